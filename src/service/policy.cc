#include "service/policy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace nvublk::service {

namespace {

constexpr std::int64_t kMaxSeconds = std::numeric_limits<std::int32_t>::max();
// The Keep Alive Timeout of Connect is 32 bits of milliseconds. [Base 2.1 §6.3]
constexpr std::int64_t kMaxKeepAliveSeconds = std::numeric_limits<std::uint32_t>::max() / 1000;
// A day: longer than anybody waits, and far from any overflow.
constexpr std::int64_t kMaxTimeoutSeconds = 86400;

constexpr char kActionKey[] = "timeout_action";

struct Setting {
  const char* key;       ///< in JSON
  const char* name;      ///< as it is typed and shown
  std::int64_t minimum;  ///< seconds
  std::int64_t maximum;  ///< seconds
};
constexpr std::array<Setting, 7> kSettings = {{
    {"ctrl_loss_tmo", "ctrl-loss-tmo", -1, kMaxSeconds},
    {"fast_io_fail_tmo", "fast_io_fail_tmo", -1, kMaxSeconds},
    {"reconnect_delay", "reconnect-delay", 1, kMaxSeconds},
    {"keep_alive_tmo", "keep-alive-tmo", 0, kMaxKeepAliveSeconds},
    {"io_timeout", "io-timeout", 1, kMaxTimeoutSeconds},
    {"admin_timeout", "admin-timeout", 1, kMaxTimeoutSeconds},
    {kActionKey, "timeout-action", 0, 0},
}};

std::int64_t in_seconds(milliseconds time) {
  return std::chrono::duration_cast<seconds>(time).count();
}

const Setting* find_setting(std::string name) {
  std::ranges::replace(name, '-', '_');
  const auto found =
      std::ranges::find_if(kSettings, [&name](const Setting& each) { return name == each.key; });
  return found == kSettings.end() ? nullptr : &*found;
}

template <typename Time>
void read_seconds(JsonFields& fields, const char* key, Time& value) {
  const Setting& setting = *find_setting(key);
  std::int64_t count = 0;
  if (fields.integer(key, count, setting.minimum, setting.maximum)) {
    value = seconds(count);
  }
}

std::string list_settings() {
  std::string text;
  for (const std::string& name : setting_names()) {
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

}  // namespace

void read_policy(JsonFields& fields, nvme::ControllerOptions& options) {
  read_seconds(fields, "keep_alive_tmo", options.keep_alive);
  read_seconds(fields, "reconnect_delay", options.reconnect_delay);
  read_seconds(fields, "ctrl_loss_tmo", options.ctrl_loss_timeout);
  read_seconds(fields, "fast_io_fail_tmo", options.fast_io_fail_timeout);
  read_seconds(fields, "io_timeout", options.io_timeout);
  read_seconds(fields, "admin_timeout", options.admin_timeout);
  std::string action;
  if (fields.text(kActionKey, action)) {
    if (const auto found = nvme::timeout_action_from_name(action)) {
      options.timeout_action = *found;
    } else {
      fields.complain("\"timeout_action\" must be reset, abort or none");
    }
  }
}

void write_policy(const nvme::ControllerOptions& options, Json& json) {
  json["keep_alive_tmo"] = in_seconds(options.keep_alive);
  json["reconnect_delay"] = options.reconnect_delay.count();
  json["ctrl_loss_tmo"] = options.ctrl_loss_timeout.count();
  json["fast_io_fail_tmo"] = options.fast_io_fail_timeout.count();
  json["io_timeout"] = in_seconds(options.io_timeout);
  json["admin_timeout"] = in_seconds(options.admin_timeout);
  json[kActionKey] = nvme::timeout_action_name(options.timeout_action);
}

std::string policy_text(const Json& policy) {
  std::string text;
  for (const Setting& setting : kSettings) {
    const Json& value = policy.at(setting.key);
    text += (text.empty() ? "" : ", ") + std::string(setting.name) + " ";
    text += value.is_string() ? value.get<std::string>() : value.dump();
    text += value.is_number() && value.get<std::int64_t>() > 0 ? " s" : "";
  }
  return text;
}

Result<Json> parse_settings(const std::vector<std::string>& words) {
  Json policy = Json::object();
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) {
      return fail(ErrorCode::kInvalidArgument,
                  "'" + word + "' is no setting: write NAME=VALUE, as in ctrl-loss-tmo=600");
    }
    const Setting* setting = find_setting(word.substr(0, equals));
    if (setting == nullptr) {
      return fail(ErrorCode::kInvalidArgument, "there is no setting '" + word.substr(0, equals) +
                                                   "'; there are " + list_settings());
    }
    if (policy.contains(setting->key)) {
      return fail(ErrorCode::kInvalidArgument, std::string(setting->name) + " is given twice");
    }
    const std::string text = word.substr(equals + 1);
    if (setting->key == std::string(kActionKey)) {
      if (!nvme::timeout_action_from_name(text)) {
        return fail(ErrorCode::kInvalidArgument,
                    "timeout-action is reset, abort or none, not '" + text + "'");
      }
      policy[setting->key] = text;
      continue;
    }
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
      return fail(ErrorCode::kInvalidArgument,
                  std::string(setting->name) + " is a number of seconds, not '" + text + "'");
    }
    if (value < setting->minimum || value > setting->maximum) {
      return fail(ErrorCode::kInvalidArgument,
                  std::string(setting->name) + " is from " + std::to_string(setting->minimum) +
                      " to " + std::to_string(setting->maximum) + " seconds, not " + text);
    }
    policy[setting->key] = value;
  }
  return policy;
}

std::vector<std::string> setting_names() {
  std::vector<std::string> names;
  for (const Setting& setting : kSettings) {
    names.emplace_back(setting.name);
  }
  return names;
}

}  // namespace nvublk::service
