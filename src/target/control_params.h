#pragma once

// Internal: the parameters of a method of the control socket. What is wrong with them is thrown, as
// a std::runtime_error in words for who sent them.

#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace nvublk::target {

class Params {
 public:
  /// The member "params" of a request, which may be left out.
  explicit Params(const nlohmann::json& request);
  /// That there are none but these.
  void check_names(std::span<const std::string_view> known) const;

  /// Those that there are.
  std::vector<std::string> names() const;
  bool has(const char* name) const { return values_.contains(name); }
  bool is_text(const char* name) const { return has(name) && values_[name].is_string(); }

  std::string text(const char* name) const;
  /// A number, or the digits of one.
  std::string digits(const char* name) const;
  /// A number of bytes, or such as "64M".
  std::uint64_t size(const char* name) const;
  template <std::unsigned_integral T>
  T number(const char* name) const {
    const std::uint64_t value = any_number(name);
    if (!std::in_range<T>(value)) refuse(name, "is out of range");
    return static_cast<T>(value);
  }

  // The same where they may be left out.
  std::string optional_text(const char* name, const char* otherwise = "") const {
    return has(name) ? text(name) : otherwise;
  }
  bool flag(const char* name) const;
  template <std::unsigned_integral T>
  std::optional<T> optional_number(const char* name) const {
    return has(name) ? std::optional(number<T>(name)) : std::nullopt;
  }

 private:
  [[noreturn]] static void refuse(std::string_view name, const char* why) {
    throw std::runtime_error("\"" + std::string(name) + "\" " + why);
  }
  const nlohmann::json& at(const char* name) const;
  std::uint64_t any_number(const char* name) const;

  nlohmann::json values_ = nlohmann::json::object();
};

}  // namespace nvublk::target
