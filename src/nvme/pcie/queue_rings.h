#pragma once

// The memory of one queue pair and what moves through it: commands with their data pointers in,
// completions out. Admin and I/O queues are made of it; it knows nothing of how they come to life.
// Shard-affine.
//
// Data is where the device can reach it (a region of the shard's DmaCatalog), or it is copied
// through memory of the slot's own, which is kept: what the controller's sequences use lies
// anywhere, and so may what an application reads.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/dma_memory.h"
#include "engine/error.h"
#include "nvme/pcie/completion_ring.h"
#include "nvme/pcie/pcie_session.h"
#include "nvme/pcie/submission_ring.h"
#include "nvme/request_table.h"
#include "nvme/spec/sgl.h"
#include "nvme/transport.h"

namespace nvublk::nvme::pcie {

class QueueRings {
  static constexpr std::size_t kPage = 4096;

 public:
  /// Pieces of one command that the list of its slot has room for, as SGL descriptors; data in more
  /// of them is copied.
  static constexpr std::uint32_t kMaxPieces = kPage / sizeof(spec::SglDescriptor);

  struct Options {
    std::uint16_t qid = 0;
    std::uint32_t entries = 0;  ///< of each queue, one more than there are slots
    spec::Cap cap{};
    QueueMemory memory;  ///< the caller's
  };

  static Result<std::unique_ptr<QueueRings>> create(const Options& options, DmaCatalog& catalog,
                                                    PcieSession& session, RequestTable& requests);
  /// The controller does not know the queues any more.
  ~QueueRings();
  QueueRings(const QueueRings&) = delete;
  QueueRings& operator=(const QueueRings&) = delete;

  std::uint32_t entries() const { return options_.entries; }
  std::uint64_t sq_address() const;
  /// Whether the submission queue lies in the controller's own memory.
  bool in_controller() const { return piece_.memory != nullptr; }
  std::uint64_t cq_address() const;

  /// Puts a command into the queue; release() announces it. One whose data the device cannot reach
  /// is answered with Invalid Field by the next reap().
  void submit(Request& request);
  /// A command without data, whose CID belongs to a slot that is not given to the sink.
  void put(const spec::SubmissionEntry& sqe) { sq_.put(sqe); }
  /// An answer that does not come from the controller; the next reap() delivers it.
  void answer(const spec::CompletionEntry& entry) { local_.push_back(entry); }

  /// Whether reap() would bring something.
  bool ready() const { return cq_.ready() || !local_.empty(); }
  static constexpr std::size_t kBatch = 64;
  /// Takes what has completed into `batch`, its data in place; returns how many. An entry that
  /// cannot be this queue's is a protocol error: see faulty().
  unsigned reap(std::span<spec::CompletionEntry, kBatch> batch);
  bool faulty() const { return faulty_; }
  Error fault() const;

  /// Rings the doorbells of what has changed.
  void release() {
    sq_.release();
    cq_.release();
  }

 private:
  // Each slot has a page for a list of its own and one for data that is copied.
  struct Bounce {
    DmaRegion memory;
    std::uint64_t address = 0;
  };
  // A queue's memory that is the caller's, if it is.
  struct Lent {
    std::span<std::byte> memory;
    std::uint64_t address = 0;
  };
  struct Slot {
    // Where data and metadata of the command under way are copied to, if they are.
    std::byte* copy = nullptr;
    std::byte* metadata_copy = nullptr;
    Bounce large;  // for more data than a page; made when it is first needed
    Bounce metadata;
  };

  QueueRings(const Options& options, DmaCatalog& catalog, PcieSession& session,
             RequestTable& requests);
  Status allocate();
  Status map(Lent& lent, std::span<std::byte> memory, std::size_t length_bytes);
  bool point_to_data(Request& request);
  bool point_to_metadata(Request& request);
  bool point_to_pieces(Request& request);
  bool point_by_sgl(Request& request, std::span<const DmaSegment> segments);
  bool point_to_copy(Request& request);
  bool copy_large(Request& request, Slot& slot);
  bool make(Bounce& bounce, std::size_t length_bytes);
  void release(Bounce& bounce);
  void finish_copies(std::uint16_t cid);
  // Where a slot's list begins; its page for copies follows.
  std::size_t slot_offset(std::size_t slot) const { return slots_offset_ + slot * 2 * kPage; }

  const Options options_;
  PcieSession& session_;
  RequestTable& requests_;
  DmaView view_;
  DmaRegion memory_;
  std::uint64_t address_ = 0;
  bool mapped_ = false;
  std::size_t cq_offset_ = 0;
  std::size_t slots_offset_ = 0;
  Lent lent_sq_;
  Lent lent_cq_;
  ControllerMemory::Piece piece_;  // of the controller's memory, if there is one
  SubmissionRing sq_;
  CompletionRing cq_;
  std::unique_ptr<Slot[]> slots_;
  std::uint32_t copies_ = 0;
  std::vector<spec::CompletionEntry> local_;
  bool faulty_ = false;
  spec::CompletionEntry bad_{};
};

}  // namespace nvublk::nvme::pcie
