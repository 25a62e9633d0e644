#pragma once

// One connected queue pair: capsules go out, responses come in. A command completes when both have
// happened: its capsule has been sent (until then the device may send it again, from our memory)
// and its response is here. What the controller says is checked before it is believed.
// Shard-affine. No allocation after construction, but for data in memory that is not registered.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/dma_memory.h"
#include "nvme/rdma/capsule_builder.h"
#include "nvme/rdma/completion_queue.h"
#include "nvme/rdma/rdma_command.h"
#include "nvme/rdma/receives.h"
#include "nvme/rdma/shard_device.h"
#include "nvme/request_table.h"
#include "nvme/transport.h"

namespace nvublk::nvme::rdma {

class RdmaSession {
 public:
  /// What a queue pair for `commands` commands at a time needs.
  ibv_qp_init_attr queue_pair_attributes(ibv_cq* queue, int max_pieces) const;

  /// `requests` and `sink` outlive it; of `sink` only on_completion() is called. `share_receives`:
  /// responses arrive by the device's shared receive queue.
  static Result<std::unique_ptr<RdmaSession>> create(const QueueTransportOptions& options,
                                                     ShardDevice& device, bool share_receives,
                                                     RequestTable& requests,
                                                     QueueTransportSink& sink);
  ~RdmaSession();
  RdmaSession(const RdmaSession&) = delete;
  RdmaSession& operator=(const RdmaSession&) = delete;

  /// From here on `queue_pair` is posted to; receives are posted at once. 0 or an errno.
  int start(ibv_qp& queue_pair, CompletionQueue& completions, std::uint32_t client,
            std::uint32_t max_inline_bytes, std::uint32_t max_pieces);
  /// No completion is delivered and nothing is posted from here on; may be called by the sink.
  void stop() { stopped_ = true; }

  /// Queues the capsule of `request`; it leaves with the next flush().
  void submit(Request& request);
  /// Posts receives and what submit() has queued, in one call each. An error ends the connection.
  std::optional<std::string> flush();
  /// A work request has ended. An error ends the connection.
  std::optional<std::string> on_work(std::uint32_t id, const ibv_wc& completion);

  /// Whether flush() has something to do.
  bool has_work() const { return queued_ > 0 || receives_->has_work() || failed_ > 0; }
  bool shares_receives() const { return receives_->shared() != nullptr; }
  /// Whether the device has given back every work request; it keeps those that are shared.
  bool idle() const { return posted_ == 0 && (shares_receives() || receives_->posted() == 0); }

 private:
  RdmaSession(const QueueTransportOptions& options, ShardDevice& device, RequestTable& requests,
              QueueTransportSink& sink, DmaRegion region);
  Status set_up_receives(bool share);
  std::optional<std::string> post_receives();
  std::optional<std::string> post_sends();
  void deliver_failed();
  void on_sent(std::uint32_t slot);
  std::optional<std::string> on_receive(std::uint32_t index, const ibv_wc& completion);
  std::optional<std::string> on_response(std::uint32_t index, std::uint32_t length_bytes);
  void complete(RdmaCommand& command);
  Capsule& capsule(std::uint32_t slot) { return capsules_[slot]; }

  const QueueTransportOptions options_;
  ShardDevice& device_;
  RequestTable& requests_;
  QueueTransportSink& sink_;
  const std::uint32_t commands_count_;
  const std::uint32_t receive_count_;

  DmaRegion region_;  // of the capsules
  MemoryRegion memory_;
  Capsule* capsules_ = nullptr;
  std::unique_ptr<Receives> own_receives_;
  Receives* receives_ = nullptr;  // ours, or the device's
  std::optional<CapsuleBuilder> builder_;
  ibv_qp* queue_pair_ = nullptr;
  std::uint32_t max_inline_bytes_ = 0;

  std::unique_ptr<RdmaCommand[]> commands_;  // one per slot of requests_
  // Slots in the order in which they were posted, as a ring; an end tells of all before it.
  std::unique_ptr<std::uint16_t[]> order_;
  std::uint32_t order_head_ = 0;
  std::uint32_t posted_ = 0;
  std::unique_ptr<std::uint16_t[]> queue_;  // slots to be sent, oldest first
  std::uint32_t queued_ = 0;
  std::unique_ptr<std::uint16_t[]> failed_slots_;  // for which there was no memory
  std::uint32_t failed_ = 0;

  bool stopped_ = false;
};

}  // namespace nvublk::nvme::rdma
