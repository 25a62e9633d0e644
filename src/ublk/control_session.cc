#include "ublk/control_session.h"

#include <array>
#include <utility>

#include "ublk/driver.h"
#include "ublk/explain.h"

namespace nvublk::ublk {

namespace {

struct WaitedOperation : RingOp {
  ControlRequest request;
  bool completed = false;
  std::int32_t result = 0;
};

}  // namespace

Result<std::unique_ptr<ControlSession>> ControlSession::open() {
  auto fd = open_control();
  if (!fd) {
    return std::unexpected(std::move(fd.error()));
  }
  auto ring = Uring::create({.entries = 4, .cq_entries = 8, .sqe128 = true});
  if (!ring) {
    return std::unexpected(std::move(ring.error()));
  }
  return std::unique_ptr<ControlSession>(new ControlSession(std::move(*fd), std::move(*ring)));
}

Result<std::int32_t> ControlSession::run(ControlRequest& request, Duration limit) {
  auto operation = std::make_unique<WaitedOperation>();
  operation->request = request;
  operation->complete = [](RingOp& op, std::int32_t result, std::uint32_t) {
    auto& waited = static_cast<WaitedOperation&>(op);
    waited.completed = true;
    waited.result = result;
  };
  prepare_control_sqe(*ring_->prepare(*operation), fd_.get(), operation->request);
  const Instant deadline = Clock::now() + limit;
  std::array<Uring::Reaped, 8> batch{};
  while (!operation->completed && Clock::now() < deadline) {
    ring_->enter(deadline);
    for (const Uring::Reaped& reaped : ring_->reap(batch)) {
      reaped.op->complete(*reaped.op, reaped.result, reaped.flags);
    }
  }
  if (!operation->completed) {
    // The driver may still write into it, so it is never freed.
    static_cast<void>(operation.release());
    return fail(ErrorCode::kTimeout, "the ublk driver does not answer");
  }
  request.buffer = operation->request.buffer;
  return operation->result;
}

Result<Features> ControlSession::get_features() {
  ControlRequest request = features_request();
  const auto result = run(request, seconds(5));
  if (!result) {
    return std::unexpected(result.error());
  }
  if (*result < 0) {
    return std::unexpected(explain_features(-*result));
  }
  return Features{request.get<std::uint64_t>()};
}

}  // namespace nvublk::ublk
