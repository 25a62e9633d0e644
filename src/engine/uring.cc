#include "engine/uring.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/check.h"

namespace nvublk {

namespace {

// Newer kernels take more set-up flags; the list goes from what we want to what always works.
constexpr unsigned kSetups[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    0,
};

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
  io_uring_ring_dontfork(&uring->ring_);
  uring->sqe128_ = options.sqe128;
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
  if (sqe == nullptr) {
    enters_++;
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
    CHECK(sqe != nullptr);
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

bool Uring::has_work() const {
  // relaxed: only a hint that the kernel sets; io_uring_enter itself synchronises.
  const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  return io_uring_sq_ready(&ring_) > 0 ||
         (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

void Uring::enter(Instant wait_until) {
  enters_++;
  if (wait_until == kDoNotWait) {
    io_uring_submit_and_get_events(&ring_);
    return;
  }
  io_uring_cqe* cqe = nullptr;
  if (wait_until == kNever) {
    io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, nullptr, nullptr);
    return;
  }
  const Duration left = std::max(wait_until - Clock::now(), Duration::zero());
  __kernel_timespec timeout{};
  timeout.tv_sec = left / seconds(1);
  timeout.tv_nsec = std::chrono::nanoseconds(left % seconds(1)).count();
  io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
}

}  // namespace nvublk
