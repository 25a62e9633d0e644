#pragma once

// Buffers that responses arrive in, posted to one queue pair or to a shared receive queue, and
// posted again in one call for all that came back. Shard-affine. No allocation after construction.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/dma_memory.h"
#include "engine/error.h"
#include "nvme/rdma/rdma_statistics.h"
#include "nvme/rdma/verbs.h"
#include "nvme/spec/cqe.h"

namespace nvublk::nvme::rdma {

class Receives {
 public:
  static constexpr std::uint32_t kWorkId = 1u << 31;  // of a work request's id: a receive

  /// `count` buffers, for start().
  static Result<std::unique_ptr<Receives>> create(ibv_pd& domain, RdmaCounters& counters,
                                                  std::uint32_t count);
  /// As many, of a shared receive queue of their own; post() gives them to it.
  static Result<std::unique_ptr<Receives>> create_shared(ibv_pd& domain, RdmaCounters& counters,
                                                         std::uint32_t count);
  ~Receives();
  Receives(const Receives&) = delete;
  Receives& operator=(const Receives&) = delete;

  /// Those of one queue pair: from here on post() gives them to it; `client` is the number that
  /// its completion queue knows it by.
  void start(ibv_qp& queue_pair, std::uint32_t client);
  /// Null if they are one queue pair's.
  ibv_srq* shared() const { return shared_.get(); }

  /// Sets `count` buffers aside, so that each command that is outstanding has one; false if there
  /// are not as many.
  bool reserve(std::uint32_t count);
  void unreserve(std::uint32_t count) { reserved_ -= count; }

  /// What has come back is posted. An error ends the connection.
  std::optional<std::string> post();
  /// The device has filled or given back buffer `index`.
  void returned() { posted_--; }
  spec::CompletionEntry entry(std::uint32_t index) const;
  /// Buffer `index` is posted with the next post().
  void give_back(std::uint32_t index) { waiting_list_[waiting_++] = index; }

  std::uint32_t size() const { return count_; }
  std::uint32_t posted() const { return posted_; }
  bool has_work() const { return waiting_ > 0; }

 private:
  Receives(RdmaCounters& counters, std::uint32_t count, DmaRegion region, MemoryRegion memory);
  static Result<std::unique_ptr<Receives>> make(ibv_pd& domain, RdmaCounters& counters,
                                                std::uint32_t count);
  void prepare(std::uint32_t client);

  RdmaCounters& counters_;
  const std::uint32_t count_;
  DmaRegion region_;
  MemoryRegion memory_;
  SharedReceiveQueue shared_;
  ibv_qp* queue_pair_ = nullptr;
  const spec::CompletionEntry* entries_ = nullptr;
  std::unique_ptr<ibv_recv_wr[]> works_;
  std::unique_ptr<ibv_sge[]> pieces_;
  std::unique_ptr<std::uint32_t[]> waiting_list_;
  std::uint32_t waiting_ = 0;
  std::uint32_t posted_ = 0;
  std::uint32_t reserved_ = 0;
};

}  // namespace nvublk::nvme::rdma
