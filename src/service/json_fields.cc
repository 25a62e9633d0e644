#include "service/json_fields.h"

#include <utility>

namespace nvublk::service {

namespace {

std::string range_text(std::int64_t minimum, std::int64_t maximum) {
  return " from " + std::to_string(minimum) + " to " + std::to_string(maximum);
}

/// False when `value` is no integer that fits.
bool read_integer(const Json& value, std::int64_t& read) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return false;
    }
    read = static_cast<std::int64_t>(number);
    return true;
  }
  if (value.is_number_integer()) {
    read = value.get<std::int64_t>();
    return true;
  }
  return false;
}

}  // namespace

const Json* JsonFields::member(const char* key) {
  asked_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::complain(std::string text) {
  if (error_.empty()) {
    error_ = std::move(text);
  }
}

bool JsonFields::text(const char* key, std::string& value) {
  const Json* found = member(key);
  if (found == nullptr) {
    return false;
  }
  if (!found->is_string()) {
    complain(std::string("\"") + key + "\" must be a string");
    return false;
  }
  value = found->get<std::string>();
  if (value.find('\0') != std::string::npos) {
    complain(std::string("\"") + key + "\" must not contain NUL");
    return false;
  }
  return true;
}

bool JsonFields::flag(const char* key, bool& value) {
  const Json* found = member(key);
  if (found == nullptr) {
    return false;
  }
  if (!found->is_boolean()) {
    complain(std::string("\"") + key + "\" must be true or false");
    return false;
  }
  value = found->get<bool>();
  return true;
}

bool JsonFields::whole_number(const char* key, std::int64_t& value, std::int64_t minimum,
                              std::int64_t maximum) {
  const Json* found = member(key);
  if (found == nullptr) {
    return false;
  }
  std::int64_t read = 0;
  if (!read_integer(*found, read) || read < minimum || read > maximum) {
    complain(std::string("\"") + key + "\" must be a whole number" + range_text(minimum, maximum));
    return false;
  }
  value = read;
  return true;
}

bool JsonFields::integers(const char* key, std::vector<std::uint32_t>& values, std::int64_t minimum,
                          std::int64_t maximum) {
  const Json* found = member(key);
  if (found == nullptr) {
    return false;
  }
  std::vector<std::uint32_t> result;
  bool right = found->is_array();
  for (std::size_t i = 0; right && i < found->size(); i++) {
    std::int64_t read = 0;
    right = read_integer((*found)[i], read) && read >= minimum && read <= maximum;
    result.push_back(static_cast<std::uint32_t>(read));
  }
  if (!right) {
    complain(std::string("\"") + key + "\" must be a list of whole numbers" +
             range_text(minimum, maximum));
    return false;
  }
  values = std::move(result);
  return true;
}

Json JsonFields::object(const char* key) {
  const Json* found = member(key);
  if (found != nullptr && !found->is_object()) {
    complain(std::string("\"") + key + "\" must be an object");
  }
  return found == nullptr || !found->is_object() ? Json::object() : *found;
}

Status JsonFields::finish() {
  for (const auto& [key, value] : object_.items()) {
    if (!asked_.contains(key)) {
      complain("there is no parameter \"" + key + "\"");
      break;
    }
  }
  if (!error_.empty()) {
    return fail(ErrorCode::kInvalidArgument, error_);
  }
  return {};
}

}  // namespace nvublk::service
