// The daemon's state file: whatever is read is refused with a reason, or can be written again.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "service/saved_state.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto state = nvublk::service::SavedState::from_text(text);
  if (state && !nvublk::service::SavedState::from_text(state->to_text())) {
    std::abort();
  }
  return 0;
}
