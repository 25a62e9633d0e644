#include "nvme/controller_shutdown.h"

#include <algorithm>
#include <array>

namespace nvublk::nvme {

namespace {

constexpr Duration kPoll = milliseconds(10);
constexpr Duration kShortestLimit = seconds(5);
constexpr Duration kLongestLimit = seconds(60);

}  // namespace

ControllerShutdown::ControllerShutdown(Duration command_limit, std::uint32_t rtd3e_us,
                                       Duration shutdown_limit, bool reports_end)
    : command_limit_(command_limit),
      shutdown_limit_(
          shutdown_limit != Duration::zero()
              ? shutdown_limit
              : std::clamp<Duration>(microseconds(rtd3e_us), kShortestLimit, kLongestLimit)),
      reports_end_(reports_end) {}

std::span<const ControllerShutdown::Row> ControllerShutdown::rows() {
  using M = ControllerShutdown;
  static constexpr std::array<Row, 4> kRows = {{
      {"disconnect I/O queues", "Base 2.1 §3.6.2", &M::command_limit, &M::disconnect_io_queues,
       &M::next},
      {"read CC", "Base 2.1 §3.1.4.5", &M::command_limit, &M::get_cc, &M::keep_cc},
      {"set CC.SHN", "Base 2.1 §3.6.2", &M::command_limit, &M::notify, &M::next},
      {"wait CSTS.SHST=complete", "Base 2.1 §3.6.2", &M::shutdown_limit, &M::get_csts,
       &M::until_complete},
  }};
  return kRows;
}

StepNext ControllerShutdown::next(const ControlOutcome&) {
  return StepNext::next();
}

std::optional<ControlAction> ControllerShutdown::disconnect_io_queues() {
  ControlAction action;
  action.kind = ControlAction::Kind::kDisconnectIoQueues;
  return action;
}

std::optional<ControlAction> ControllerShutdown::get_cc() {
  ControlAction action;
  action.kind = ControlAction::Kind::kGetProperty;
  action.property = spec::Property::kCc;
  return action;
}

StepNext ControllerShutdown::keep_cc(const ControlOutcome& outcome) {
  cc_ = spec::Cc{static_cast<std::uint32_t>(outcome.value)};
  return StepNext::next();
}

std::optional<ControlAction> ControllerShutdown::notify() {
  cc_.set_shn(spec::ShutdownNotification::kNormal);
  ControlAction action;
  action.kind = ControlAction::Kind::kSetProperty;
  action.property = spec::Property::kCc;
  action.value = cc_.raw;
  return action;
}

std::optional<ControlAction> ControllerShutdown::get_csts() {
  if (!reports_end_) {
    return std::nullopt;
  }
  ControlAction action;
  action.kind = ControlAction::Kind::kGetProperty;
  action.property = spec::Property::kCsts;
  return action;
}

StepNext ControllerShutdown::until_complete(const ControlOutcome& outcome) {
  const spec::Csts csts{static_cast<std::uint32_t>(outcome.value)};
  if (csts.all_ones()) {
    return StepNext::fail(
        Error::make(ErrorCode::kDisconnected, "the device is gone (CSTS reads all ones)"));
  }
  return csts.shst() == spec::ShutdownStatus::kComplete ? StepNext::done()
                                                        : StepNext::repeat(kPoll);
}

}  // namespace nvublk::nvme
