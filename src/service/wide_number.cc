#include "service/wide_number.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace nvublk::service {

namespace {

bool is_wide_field(const std::string& key) {
  static const std::set<std::string, std::less<>> fields = {"tnvmcap",
                                                            "unvmcap",
                                                            "megcap",
                                                            "maxdna",
                                                            "nvmcap",
                                                            "data_units_read",
                                                            "data_units_written",
                                                            "host_read_commands",
                                                            "host_write_commands",
                                                            "controller_busy_time",
                                                            "power_cycles",
                                                            "power_on_hours",
                                                            "unsafe_shutdowns",
                                                            "media_errors",
                                                            "num_err_log_entries"};
  return fields.contains(key);
}

bool is_decimal(const Json& value) {
  if (!value.is_string()) {
    return false;
  }
  const auto& text = value.get_ref<const std::string&>();
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void write(const Json& value, const std::string& indent, std::string& text) {
  if (!value.is_structured() || value.empty()) {
    text += to_line(value);
    return;
  }
  const std::string inner = indent + "  ";
  text += value.is_object() ? "{" : "[";
  bool first = true;
  for (const auto& [key, member] : value.items()) {
    text += (first ? "\n" : ",\n") + inner;
    first = false;
    if (value.is_object()) {
      text += quoted(key) + ": ";
      if (is_wide_field(key) && is_decimal(member)) {
        text += member.get_ref<const std::string&>();
        continue;
      }
    }
    write(member, inner, text);
  }
  text += "\n" + indent + (value.is_object() ? "}" : "]");
}

}  // namespace

std::string wide_text(const Le128& value) {
  // Long division by ten, 32 bits at a time.
  std::uint64_t parts[4] = {value.high() >> 32, value.high() & 0xffffffff, value.low() >> 32,
                            value.low() & 0xffffffff};
  std::string text;
  do {
    std::uint64_t rest = 0;
    for (std::uint64_t& part : parts) {
      const std::uint64_t dividend = rest << 32 | part;
      part = dividend / 10;
      rest = dividend % 10;
    }
    text += static_cast<char>('0' + rest);
  } while ((parts[0] | parts[1] | parts[2] | parts[3]) != 0);
  std::reverse(text.begin(), text.end());
  return text;
}

Json wide_number(const Le128& value) {
  return value.high() == 0 ? Json(value.low()) : Json(wide_text(value));
}

std::string to_pretty_wide(const Json& report) {
  std::string text;
  write(report, "", text);
  return text;
}

}  // namespace nvublk::service
