#pragma once

// Serves one descriptor of a FUSE connection on one shard: requests are read and answered through
// the shard's ring, each in a slot whose buffer stays its own until the reply has left.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "engine/block.h"
#include "engine/block_export.h"
#include "engine/counter.h"
#include "engine/dma_memory.h"
#include "engine/intrusive_list.h"
#include "engine/log.h"
#include "engine/mailbox.h"
#include "engine/reactor.h"
#include "fuse/file_request.h"
#include "fuse/receive_ring.h"

namespace nvublk {
class Shard;
}

namespace nvublk::fuse {

class FuseQueue;

/// A request that libfuse answers, on its way to the control shard and back.
struct ForwardedRequest : Message {
  FuseQueue* queue = nullptr;
  std::span<std::byte> bytes;
};

/// What a queue tells its export. Called on the control shard.
class FuseQueueClient {
 public:
  /// Answer `request` on its queue's descriptor, then hand it to FuseQueue::give_back().
  virtual void forwarded(ForwardedRequest& request) = 0;
  /// The kernel has ended the connection: unmounted or aborted.
  virtual void connection_ended() = 0;

 protected:
  ~FuseQueueClient() = default;
};

/// Shard-affine to `options.shard` where not said otherwise. Allocates in start() only.
class FuseQueue final : public Feeder {
 public:
  struct Options {
    Shard* shard = nullptr;
    Shard* control = nullptr;
    BlockQueue* device_queue = nullptr;
    BlockGeometry geometry;
    FileLimits limits;
    unsigned depth = 128;
    /// One read that brings all requests, where the kernel has it; else a few plain ones.
    bool multishot = true;
  };

  /// Any thread.
  FuseQueue(const Options& options, FuseQueueClient& client);
  /// Any thread, once it never started or is drained.
  ~FuseQueue();
  FuseQueue(const FuseQueue&) = delete;
  FuseQueue& operator=(const FuseQueue&) = delete;

  /// Begins to serve `fd`, a non-blocking descriptor of a mounted connection, which stays open
  /// until sever() has reported.
  Status start(int fd);
  /// Stops reading requests and writing replies. `quiet` is posted to the control shard once `fd`
  /// is not used any more.
  void sever(std::function<void()> quiet);
  /// After sever(): `drained` is posted to the control shard once the device has answered all.
  void drain(std::function<void()> drained);

  /// Control shard: libfuse has answered.
  void give_back(ForwardedRequest& request);

  /// The file has another size.
  void resize(std::uint64_t size_bytes) { options_.limits.size_bytes = size_bytes; }

  Shard& shard() const { return *options_.shard; }
  /// Control shard, between start() and the end of sever().
  int fd() const { return fd_; }
  /// Any thread.
  void add_statistics(BlockExportStatistics& sum) const;

 private:
  struct Slot;
  struct SlotTag;
  struct QueueOp : RingOp {
    FuseQueue* queue = nullptr;
  };
  struct EndedMessage : Message {
    FuseQueueClient* client = nullptr;
  };
  struct Counters {
    Counter in_flight;
    Counter reads;
    Counter writes;
    Counter flushes;
    Counter discards;
    Counter write_zeroes;
    Counter read_bytes;
    Counter write_bytes;
    Counter errors;
  };

  void prepare_slots(std::size_t stride);
  void feed() override;
  void offer_slots();
  void read_multishot();
  void read_plainly();
  void on_multishot(std::int32_t result, std::uint32_t flags);
  void on_read(Slot& slot, std::int32_t result);
  void on_read_error(int error);
  void end_connection(int error);
  void dispatch(Slot& slot, std::size_t length_bytes);
  void forward(Slot& slot, std::size_t length_bytes);
  void reply_opened(Slot& slot);
  void submit(Slot& slot, const FileRequest& request);
  void submit_pieces(Slot& slot);
  std::uint32_t next_piece_blocks(const Slot& slot) const;
  void on_device_done(Slot& slot);
  void finish(Slot& slot, int error);
  void count_finished(const Slot& slot, int error);
  void reply(Slot& slot, int error, std::size_t body_bytes);
  void on_replied(Slot& slot, std::int32_t result);
  void release(Slot& slot);
  void cancel(RingOp& op);
  void report_if_quiet();

  Options options_;
  FuseQueueClient& client_;
  int fd_ = -1;
  std::size_t buffer_bytes_ = 0;  ///< what a slot can receive, headers included
  DmaRegion memory_;
  DmaEntry memory_entry_{memory_};
  std::unique_ptr<Slot[]> slots_;
  IntrusiveList<Slot, SlotTag> free_;
  unsigned in_use_ = 0;  ///< slots with a request

  bool multishot_ = false;
  ReceiveRing receive_ring_;
  unsigned offered_ = 0;        ///< slots that the multishot read may pick
  unsigned offered_limit_ = 0;  ///< few, as long as that is enough: their memory stays in caches
  QueueOp read_;
  bool reading_ = false;      ///< the multishot read is under way
  unsigned plain_reads_ = 0;  ///< without multishot
  QueueOp cancel_;

  unsigned ring_ops_ = 0;
  unsigned forwarded_ = 0;
  bool served_ = false;  ///< the first multishot read has said something
  bool ended_ = false;
  bool severed_ = false;
  std::function<void()> on_quiet_;
  std::function<void()> on_drained_;
  EndedMessage ended_message_;
  Counters counters_;
  LogLimiter limiter_;
};

}  // namespace nvublk::fuse
