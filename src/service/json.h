#pragma once

// JSON as the service writes it: fields keep the order in which they were added.

#include <string>

#include <nlohmann/json.hpp>

namespace nvublk::service {

using Json = nlohmann::ordered_json;

/// `value` on one line. Text that a device or a peer reported may be no UTF-8: what is not becomes
/// U+FFFD instead of an exception.
inline std::string to_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}
/// `value` for people, indented by two.
inline std::string to_pretty(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace nvublk::service
