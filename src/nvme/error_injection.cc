#include "nvme/error_injection.h"

#include <algorithm>

namespace nvublk::nvme {

void ErrorInjector::add(const InjectedError& error) {
  remove(error.opcode);
  if (error.count > 0) {
    errors_.push_back(error);
  }
}

void ErrorInjector::remove(std::uint8_t opcode) {
  std::erase_if(errors_, [opcode](const InjectedError& each) { return each.opcode == opcode; });
}

InjectedOutcome ErrorInjector::take(std::uint8_t opcode) {
  const auto found = std::ranges::find_if(
      errors_, [opcode](const InjectedError& e) { return e.opcode == opcode; });
  if (found == errors_.end()) {
    return {};
  }
  const InjectedOutcome outcome{true, found->do_not_submit, found->status, found->delay};
  if (--found->count == 0) {
    errors_.erase(found);
  }
  return outcome;
}

}  // namespace nvublk::nvme
