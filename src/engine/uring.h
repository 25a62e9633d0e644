#pragma once

// RAII over one io_uring. Completions are reaped into a batch and run by the reactor; there is no
// policy here. Shard-affine: create and use it on one thread (IORING_SETUP_SINGLE_ISSUER).

#include <cstdint>
#include <memory>
#include <span>

#include <liburing.h>

#include "engine/counter.h"
#include "engine/error.h"
#include "engine/time.h"

namespace nvublk {

/// Something with a request in the ring; the CQE's user_data is its address, so it must stay where
/// it is until `complete` has run without IORING_CQE_F_MORE.
struct RingOp {
  /// `result` and `flags` are the CQE's. Runs in the reactor's completion phase.
  using Complete = void (*)(RingOp& op, std::int32_t result, std::uint32_t flags);
  Complete complete = nullptr;  ///< never null when it is submitted
};

/// See the top of this file.
class Uring {
 public:
  /// How the ring is made.
  struct Options {
    unsigned entries = 1024;     ///< submission entries
    unsigned cq_entries = 8192;  ///< completion entries
    bool sqe128 = false;         ///< 128-byte SQEs, as ublk's control commands need
  };
  /// A completion.
  struct Reaped {
    RingOp* op;           ///< whose it is
    std::int32_t result;  ///< the CQE's: a negative errno, or what the operation says
    std::uint32_t flags;  ///< the CQE's
  };

  /// Fails with kUnsupported before Linux 5.11, with kPermission where io_uring is forbidden, or
  /// with what else the kernel says.
  static Result<std::unique_ptr<Uring>> create(const Options& options);
  ~Uring();
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  /// A cleared SQE whose completion goes to `op`; when the submission queue is full, what is in it
  /// is submitted first. It leaves with the next enter().
  io_uring_sqe* prepare(RingOp& op);

  /// Takes up to batch.size() completions; returns the filled part.
  std::span<Reaped> reap(std::span<Reaped> batch);

  /// Whether the kernel has taken all that was prepared.
  bool all_submitted() const { return io_uring_sq_ready(&ring_) == 0; }
  /// Whether a completion is kept back until there is room for it.
  bool overflown() const;
  /// Whether a successful operation may go without a completion (Linux 5.17).
  bool can_skip_success() const { return (ring_.features & IORING_FEAT_CQE_SKIP) != 0; }

  /// Whether enter() would do anything: prepared SQEs, or task work that waits for us.
  bool has_work() const;
  static constexpr Instant kDoNotWait = Instant::min();  ///< see enter()
  /// Submits all that was prepared and runs task work; then, unless `wait_until` is kDoNotWait,
  /// sleeps until a completion arrives or that instant has come.
  void enter(Instant wait_until);

  /// How many times io_uring_enter was called. Any thread.
  std::uint64_t enters() const { return enters_.get(); }
  /// Options::sqe128.
  bool sqe128() const { return sqe128_; }
  /// The ring's descriptor, the ring's own.
  int fd() const { return ring_.ring_fd; }
  /// For calls of liburing that have no counterpart here.
  io_uring& raw() { return ring_; }

 private:
  Uring() = default;
  void call_enter(unsigned min_complete, unsigned flags, io_uring_getevents_arg* argument);

  io_uring ring_{};
  bool sqe128_ = false;
  unsigned wait_flags_ = 0;
  Counter enters_;
};

}  // namespace nvublk
