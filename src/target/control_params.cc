#include "target/control_params.h"

#include <algorithm>

#include "target/options.h"

namespace nvublk::target {

using nlohmann::json;

Params::Params(const json& request) {
  const auto found = request.find("params");
  if (found == request.end()) return;
  if (!found->is_object()) refuse("params", "must be an object");
  values_ = *found;
}

void Params::check_names(std::span<const std::string_view> known) const {
  for (const auto& [name, value] : values_.items()) {
    if (!name.empty() && std::ranges::find(known, name) != known.end()) continue;
    throw std::runtime_error("there is no parameter \"" + name + "\"");
  }
}

std::vector<std::string> Params::names() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : values_.items()) names.push_back(name);
  return names;
}

const json& Params::at(const char* name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) refuse(name, "is missing");
  return *found;
}

std::string Params::text(const char* name) const {
  const json& value = at(name);
  if (!value.is_string()) refuse(name, "must be a text");
  return value.get<std::string>();
}

std::string Params::digits(const char* name) const {
  return is_text(name) ? text(name) : std::to_string(any_number(name));
}

std::uint64_t Params::size(const char* name) const {
  if (!is_text(name)) return any_number(name);
  const auto size = parse_size(text(name));
  if (!size) throw std::runtime_error("\"" + std::string(name) + "\": " + size.error().text);
  return *size;
}

bool Params::flag(const char* name) const {
  if (!has(name)) return false;
  const json& value = at(name);
  if (!value.is_boolean()) refuse(name, "must be true or false");
  return value.get<bool>();
}

std::uint64_t Params::any_number(const char* name) const {
  const json& value = at(name);
  if (!value.is_number()) refuse(name, "must be a number");
  // What has no sign and no fraction.
  if (!value.is_number_unsigned()) refuse(name, "is out of range");
  return value.get<std::uint64_t>();
}

}  // namespace nvublk::target
