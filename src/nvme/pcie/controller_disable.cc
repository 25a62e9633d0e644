#include "nvme/pcie/controller_disable.h"

#include <algorithm>
#include <array>

namespace nvublk::nvme::pcie {

namespace {

constexpr Duration kPoll = milliseconds(2);
constexpr std::uint32_t kShortestLimit_ms = 1000;

ControlAction get(spec::Property property) {
  ControlAction action;
  action.kind = ControlAction::Kind::kGetProperty;
  action.property = property;
  return action;
}

}  // namespace

std::span<const ControllerDisable::Row> ControllerDisable::rows() {
  using M = ControllerDisable;
  static constexpr std::array<Row, 4> kRows = {{
      {"read CAP", "Base 2.1 §3.1.4.1", &M::register_limit, &M::get_cap, &M::keep_cap},
      {"read CC", "Base 2.1 §3.1.4.5", &M::register_limit, &M::get_cc, &M::keep_cc},
      {"clear CC.EN", "Base 2.1 §3.5.1", &M::register_limit, &M::disable, &M::next},
      {"wait CSTS.RDY=0", "Base 2.1 §3.5.1", &M::ready_limit, &M::get_csts, &M::until_not_ready},
  }};
  return kRows;
}

Duration ControllerDisable::ready_limit() const {
  return milliseconds(std::max(cap_.timeout_ms(), kShortestLimit_ms));
}

StepNext ControllerDisable::gone() const {
  return leaving_ ? StepNext::done()
                  : StepNext::fail(Error::make(ErrorCode::kDisconnected,
                                               "the device is gone (registers read all ones)"));
}

std::optional<ControlAction> ControllerDisable::get_cap() {
  return get(spec::Property::kCap);
}

StepNext ControllerDisable::keep_cap(const ControlOutcome& outcome) {
  cap_ = spec::Cap{outcome.value};
  return outcome.value == ~std::uint64_t{0} ? gone() : StepNext::next();
}

std::optional<ControlAction> ControllerDisable::get_cc() {
  return get(spec::Property::kCc);
}

StepNext ControllerDisable::keep_cc(const ControlOutcome& outcome) {
  cc_ = spec::Cc{static_cast<std::uint32_t>(outcome.value)};
  return cc_.raw == ~std::uint32_t{0} ? gone() : StepNext::next();
}

std::optional<ControlAction> ControllerDisable::disable() {
  if (!cc_.enabled()) {
    return std::nullopt;
  }
  cc_.set_enabled(false);
  ControlAction action;
  action.kind = ControlAction::Kind::kSetProperty;
  action.property = spec::Property::kCc;
  action.value = cc_.raw;
  return action;
}

StepNext ControllerDisable::next(const ControlOutcome&) {
  return StepNext::next();
}

std::optional<ControlAction> ControllerDisable::get_csts() {
  return get(spec::Property::kCsts);
}

StepNext ControllerDisable::until_not_ready(const ControlOutcome& outcome) {
  const spec::Csts csts{static_cast<std::uint32_t>(outcome.value)};
  if (csts.all_ones()) {
    return gone();
  }
  return csts.ready() ? StepNext::repeat(kPoll) : StepNext::next();
}

}  // namespace nvublk::nvme::pcie
