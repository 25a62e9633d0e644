#pragma once

namespace nvublk::service {

/// The project's version, such as "0.1.0".
const char* version();

}  // namespace nvublk::service
