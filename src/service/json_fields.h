#pragma once

// Reads the members of a JSON object one by one and remembers the first that is wrong, so that a
// caller can check once at the end. Members that nobody asked for are an error: a misspelt option
// must not be ignored.

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "engine/error.h"
#include "service/json.h"

namespace nvublk::service {

class JsonFields {
 public:
  explicit JsonFields(const Json& object) : object_(object) {}

  /// Each leaves `value` as it is when the member is absent or null; false then.
  bool text(const char* key, std::string& value);
  bool flag(const char* key, bool& value);
  template <typename Integer>
  bool integer(const char* key, Integer& value, std::int64_t minimum,
               std::int64_t maximum = std::numeric_limits<Integer>::max()) {
    std::int64_t read = 0;
    if (!whole_number(key, read, minimum, maximum)) {
      return false;
    }
    value = static_cast<Integer>(read);
    return true;
  }
  /// An empty one when it is absent.
  Json object(const char* key);
  bool integers(const char* key, std::vector<std::uint32_t>& values, std::int64_t minimum,
                std::int64_t maximum);

  /// Reports `text` unless there is an error already.
  void complain(std::string text);
  /// The first error, or one for a member that was not asked for.
  Status finish();

 private:
  const Json* member(const char* key);
  bool whole_number(const char* key, std::int64_t& value, std::int64_t minimum,
                    std::int64_t maximum);

  const Json& object_;
  std::set<std::string> asked_;
  std::string error_;
};

}  // namespace nvublk::service
