#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "nvme/spec/async_event.h"

namespace nvublk::nvme {

/// What an asynchronous event means, for a log. `log` is the beginning of the log page that it
/// names, or empty. [Base 2.1 §5.1.2.1]
std::string async_event_text(const spec::AsyncEvent& event, std::span<const std::byte> log);

}  // namespace nvublk::nvme
