#pragma once

// One queue of a ublk device, served by one shard: fetches requests from the kernel, hands them to
// the back-end, commits the results. Its memory is made with it; an I/O allocates nothing.
// Shard-affine, but for create(), counters and the destructor (any thread, once idle).

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/block.h"
#include "engine/block_export.h"
#include "engine/counter.h"
#include "engine/dma_memory.h"
#include "engine/log.h"
#include "engine/shard.h"
#include "ublk/descriptor.h"

namespace nvublk::ublk {

/// A mapping of a queue's descriptors, read-only. [Documentation/block/ublk.rst]
class DescriptorMap {
 public:
  static Result<DescriptorMap> map(int char_fd, std::uint16_t queue_id, std::uint16_t depth);
  DescriptorMap(DescriptorMap&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), length_bytes_(other.length_bytes_) {}
  DescriptorMap(const DescriptorMap&) = delete;
  DescriptorMap& operator=(const DescriptorMap&) = delete;
  DescriptorMap& operator=(DescriptorMap&&) = delete;
  ~DescriptorMap();

  /// A copy: what is behind may change under a kernel that misbehaves.
  abi::IoDescriptor at(std::uint16_t tag) const;

 private:
  DescriptorMap(void* memory, std::size_t length_bytes)
      : memory_(memory), length_bytes_(length_bytes) {}
  void* memory_;
  std::size_t length_bytes_;
};

class UblkQueue final : public Feeder {
 public:
  struct Options {
    Shard* shard = nullptr;
    BlockQueue* back_end = nullptr;
    RequestLimits limits;
    int char_fd = -1;  ///< /dev/ublkcN; must stay open as long as this queue
    std::uint16_t queue_id = 0;
    std::uint16_t depth = 0;
    std::uint32_t buffer_bytes = 0;  ///< of each tag
    bool user_copy = false;          ///< data is copied by us and not by the driver
    std::string name;                ///< log prefix
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
  /// Posted to the control shard, once each.
  struct Events {
    Shard* control = nullptr;
    void (*idle)(void* context) = nullptr;     ///< all tags are back, after watch_idle()
    void (*drained)(void* context) = nullptr;  ///< nothing is with the back-end, after hold()
    void (*failed)(void* context, int error) = nullptr;  ///< the kernel refused a tag or took it
    void* context = nullptr;
  };

  /// Any thread: maps the descriptors and reserves the buffers.
  static Result<std::unique_ptr<UblkQueue>> create(const Options& options, const Events& events);
  ~UblkQueue();

  /// Offers every tag to the kernel.
  void fetch_all();
  /// From here on requests that the kernel hands over fail at once with EIO; those with the
  /// back-end go on.
  void refuse_requests() { refusing_ = true; }
  /// Has Events::drained posted once the back-end has nothing of ours; from here on it gets
  /// nothing, and what the kernel hands over stays unanswered.
  void hold();
  /// The device has another size.
  void resize(std::uint64_t size_blocks) { options_.limits.size_blocks = size_blocks; }
  /// Has Events::idle posted once no tag is with the kernel or the back-end.
  void watch_idle();

  Shard& shard() { return *options_.shard; }
  const Counters& counters() const { return counters_; }
  void add_statistics(BlockExportStatistics& sum) const;

  void feed() override;

 private:
  enum class State : std::uint8_t {
    kIdle,        ///< with us, nothing asked
    kFetching,    ///< with the kernel, first time
    kInFlight,    ///< a request is with us or the back-end
    kCommitting,  ///< with the kernel: the result goes back, the next request is awaited
  };
  struct Slot final : RingOp, BlockRequest {
    UblkQueue* owner = nullptr;
    State state = State::kIdle;
  };
  struct EventMessage : Message {
    UblkQueue* owner = nullptr;
    int error = 0;
    bool posted = false;
  };

  UblkQueue(const Options& options, const Events& events, DescriptorMap descriptors,
            DmaRegion buffers);
  static void on_kernel(RingOp& op, std::int32_t result, std::uint32_t flags);
  static void on_done(BlockRequest& request);
  void take(Slot& slot, std::int32_t result);
  void take_back(Slot& slot, std::int32_t result);
  void begin(Slot& slot);
  void commit(Slot& slot, std::int32_t result);
  void refuse(Slot& slot, int error);
  void send(Slot& slot, std::uint32_t command, std::int32_t result);
  void count(const Slot& slot);
  bool take_data(Slot& slot);
  bool give_data(Slot& slot);
  std::int32_t result_of(Slot& slot);
  void report_failure(int error);
  void report_if_idle();
  void report_if_drained();

  Options options_;
  Events events_;
  DescriptorMap descriptors_;
  DmaRegion buffers_;
  DmaEntry buffers_entry_{buffers_};
  std::unique_ptr<Slot[]> slots_;
  std::unique_ptr<std::uint16_t[]> ready_;  ///< tags that wait for feed(), oldest first
  unsigned ready_count_ = 0;
  unsigned tags_out_ = 0;  ///< not kIdle
  bool refusing_ = false;
  bool holding_ = false;
  bool watched_ = false;
  Counters counters_;
  LogLimiter limiter_;
  EventMessage idle_message_;
  EventMessage drained_message_;
  EventMessage failed_message_;
};

}  // namespace nvublk::ublk
