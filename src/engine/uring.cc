#include "engine/uring.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/check.h"

// Newer than the oldest liburing that we build with.
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif

namespace nvublk {

namespace {

// Newer kernels take more set-up flags; the list goes from what we want to what always works.
constexpr unsigned kSetups[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
        IORING_SETUP_SUBMIT_ALL,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
    0,
};
// Times of waiting as an argument of io_uring_enter (5.11), and no completion ever dropped (5.5).
constexpr unsigned kNeeded = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP;

Error explain(int error) {
  Error result = Error::from_errno(error, "io_uring is not available");
  if (error == EPERM || error == EACCES) {
    result.text +=
        "; /proc/sys/kernel/io_uring_disabled may forbid it, or a container's seccomp profile does";
  } else if (error == ENOSYS) {
    result.text += "; the kernel needs CONFIG_IO_URING";
  }
  return result;
}

// What io_uring_enter may answer without a bug of ours: a signal, a timeout, or a lack of memory or
// of room for completions that the next turn mends.
bool is_transient(int error) {
  return error == EINTR || error == ETIME || error == EAGAIN || error == EBUSY || error == ENOMEM;
}

}  // namespace

Result<std::unique_ptr<Uring>> Uring::create(const Options& options) {
  std::unique_ptr<Uring> uring(new Uring);
  int status = -EINVAL;
  for (const unsigned setup : kSetups) {
    io_uring_params params{};
    params.flags = setup | IORING_SETUP_CQSIZE;
    params.cq_entries = options.cq_entries;
    if (options.sqe128) {
      params.flags |= IORING_SETUP_SQE128;
    }
    status = io_uring_queue_init_params(options.entries, &uring->ring_, &params);
    if (status == 0) {
      break;
    }
    std::memset(&uring->ring_, 0, sizeof(uring->ring_));
    if (status != -EINVAL) {
      break;
    }
  }
  if (status < 0) {
    uring->ring_.ring_fd = -1;
    return std::unexpected(explain(-status));
  }
  if ((uring->ring_.features & kNeeded) != kNeeded) {
    return fail(ErrorCode::kUnsupported,
                "this kernel's io_uring is too old; use Linux 5.11 or newer");
  }
  io_uring_ring_dontfork(&uring->ring_);
  uring->sqe128_ = options.sqe128;
  // A ring always has something pending here (the mailbox's wake-up), and the kernel would count
  // an idle shard as 100 % iowait.
  uring->wait_flags_ = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  if ((uring->ring_.features & IORING_FEAT_NO_IOWAIT) != 0) {
    uring->wait_flags_ |= IORING_ENTER_NO_IOWAIT;
  }
  return uring;
}

Uring::~Uring() {
  if (ring_.ring_fd >= 0) {
    io_uring_queue_exit(&ring_);
  }
}

io_uring_sqe* Uring::prepare(RingOp& op) {
  CHECK(op.complete != nullptr);
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    // Only the kernel's memory can run out here, for a moment.
    call_enter(0, 0, nullptr);
    sqe = io_uring_get_sqe(&ring_);
  }
  std::memset(sqe, 0, sqe128_ ? 128 : 64);
  io_uring_sqe_set_data(sqe, &op);
  return sqe;
}

std::span<Uring::Reaped> Uring::reap(std::span<Reaped> batch) {
  std::size_t count = 0;
  unsigned head = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    if (count == batch.size()) {
      break;
    }
    batch[count++] = Reaped{static_cast<RingOp*>(io_uring_cqe_get_data(cqe)), cqe->res, cqe->flags};
  }
  io_uring_cq_advance(&ring_, static_cast<unsigned>(count));
  return batch.first(count);
}

bool Uring::overflown() const {
  // relaxed: the kernel sets it before it leaves the call that did not find room.
  return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW) != 0;
}

bool Uring::has_work() const {
  // relaxed: only a hint that the kernel sets; io_uring_enter itself synchronises.
  const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  return io_uring_sq_ready(&ring_) > 0 ||
         (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

void Uring::enter(Instant wait_until) {
  if (wait_until == kDoNotWait) {
    call_enter(0, IORING_ENTER_GETEVENTS, nullptr);
    return;
  }
  __kernel_timespec timeout{};
  io_uring_getevents_arg argument{};
  argument.sigmask_sz = _NSIG / 8;
  if (wait_until != kNever) {
    const Duration left = std::max(wait_until - Clock::now(), Duration::zero());
    timeout.tv_sec = left / seconds(1);
    timeout.tv_nsec = std::chrono::nanoseconds(left % seconds(1)).count();
    argument.ts = reinterpret_cast<std::uint64_t>(&timeout);
  }
  call_enter(1, wait_flags_, &argument);
}

// liburing's submit functions cannot pass IORING_ENTER_NO_IOWAIT before 2.10, so this publishes the
// submission queue itself, as they do.
void Uring::call_enter(unsigned min_complete, unsigned flags, io_uring_getevents_arg* argument) {
  io_uring_sq& queue = ring_.sq;
  if (queue.sqe_head != queue.sqe_tail) {
    queue.sqe_head = queue.sqe_tail;
    io_uring_smp_store_release(queue.ktail, queue.sqe_tail);
  }
  const unsigned prepared = queue.sqe_tail - io_uring_smp_load_acquire(queue.khead);
  enters_.add();
  const int status = io_uring_enter2(static_cast<unsigned>(ring_.ring_fd), prepared, min_complete,
                                     flags, reinterpret_cast<sigset_t*>(argument),
                                     argument == nullptr ? 0 : sizeof(*argument));
  CHECK(status >= 0 || is_transient(-status));
}

}  // namespace nvublk
