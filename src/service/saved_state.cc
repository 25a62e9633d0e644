#include "service/saved_state.h"

#include <set>
#include <utility>

#include "service/json_fields.h"
#include "service/version.h"

namespace nvublk::service {

namespace {

constexpr std::size_t kMaxText = 16 * 1024 * 1024;
constexpr std::int64_t kMaxDeviceId = 1 << 20;

Json device_json(const SavedDevice& device) {
  Json json;
  json["name"] = device.name;
  json["id"] = device.id;
  json["key"] = device.key;
  json["nsid"] = device.identity.nsid;
  json["uuid"] = device.identity.uuid;
  json["nguid"] = device.identity.nguid;
  json["eui64"] = device.identity.eui64;
  json["serial"] = device.serial;
  json["size_bytes"] = device.size_bytes;
  json["block_size"] = device.block_size_bytes;
  json["queues"] = device.queues;
  json["depth"] = device.depth;
  json["features"] = device.features;
  json["volatile_cache"] = device.volatile_cache;
  json["failed"] = device.failed;
  json["reason"] = device.problem;
  return json;
}

Error damaged(const std::string& what) {
  return Error::make(ErrorCode::kInvalidArgument, what);
}

/// What `fields` complains about, or that one of `members` is missing.
Status complete(const Json& json, JsonFields& fields, std::initializer_list<const char*> members) {
  for (const char* member : members) {
    if (!json.contains(member) || json[member].is_null()) {
      fields.complain(std::string("\"") + member + "\" is missing");
    }
  }
  return fields.finish();
}

Status read_features(const Json& json, std::vector<std::string>& features) {
  if (!json.is_array()) {
    return std::unexpected(damaged("\"features\" is no list"));
  }
  for (const Json& feature : json) {
    if (!feature.is_string()) {
      return std::unexpected(damaged("\"features\" has something else than words"));
    }
    features.push_back(feature.get<std::string>());
  }
  return {};
}

Result<SavedDevice> read_device(Json json) {
  if (!json.is_object()) {
    return std::unexpected(damaged("a device is no object"));
  }
  SavedDevice device;
  if (json.contains("features")) {
    if (Status read = read_features(json["features"], device.features); !read) {
      return std::unexpected(std::move(read.error()));
    }
    json.erase("features");
  }
  JsonFields fields(json);
  std::int64_t size_bytes = 0;
  fields.text("name", device.name);
  fields.integer("id", device.id, 0, kMaxDeviceId);
  fields.integer("key", device.key, 1);
  fields.integer("nsid", device.identity.nsid, 1, 0xfffffffe);
  fields.text("uuid", device.identity.uuid);
  fields.text("nguid", device.identity.nguid);
  fields.text("eui64", device.identity.eui64);
  fields.text("serial", device.serial);
  fields.integer("size_bytes", size_bytes, 1);
  fields.integer("block_size", device.block_size_bytes, 512, 1 << 20);
  fields.integer("queues", device.queues, 0, 4096);
  fields.integer("depth", device.depth, 0, 4096);
  fields.flag("volatile_cache", device.volatile_cache);
  fields.flag("failed", device.failed);
  fields.text("reason", device.problem);
  if (Status read =
          complete(json, fields, {"name", "id", "key", "nsid", "size_bytes", "block_size"});
      !read) {
    return std::unexpected(std::move(read.error()));
  }
  device.size_bytes = static_cast<std::uint64_t>(size_bytes);
  if (device.size_bytes % device.block_size_bytes != 0 ||
      (device.block_size_bytes & (device.block_size_bytes - 1)) != 0) {
    return std::unexpected(damaged(device.name + " has an impossible size"));
  }
  return device;
}

/// The list that `json` has as `key`.
Result<Json> take_list(Json& json, const char* key) {
  if (!json.contains(key) || !json[key].is_array()) {
    return std::unexpected(damaged(std::string("\"") + key + "\" is no list"));
  }
  Json list = std::move(json[key]);
  json.erase(key);
  return list;
}

/// Earlier daemons wrote what was not asked for as numbers that a request may not have.
void leave_out_defaults(Json& request) {
  for (const auto& [key, value] : {std::pair{"id", -1}, {"nr_io_queues", 0}, {"queues", 0}}) {
    if (const auto found = request.find(key); found != request.end() && *found == value) {
      request.erase(found);
    }
  }
}

Result<SavedAttachment> read_attachment(Json json) {
  if (!json.is_object() || !json.contains("request") || !json["request"].is_object()) {
    return std::unexpected(damaged("an attachment has no request"));
  }
  SavedAttachment attachment;
  leave_out_defaults(json["request"]);
  auto request = AttachRequest::from_params(json["request"]);
  if (!request) {
    return std::unexpected(std::move(request.error()));
  }
  attachment.request = std::move(*request);
  json.erase("request");
  auto devices = take_list(json, "devices");
  if (!devices) {
    return std::unexpected(std::move(devices.error()));
  }
  for (Json& each : *devices) {
    auto device = read_device(std::move(each));
    if (!device) {
      return std::unexpected(std::move(device.error()));
    }
    attachment.devices.push_back(std::move(*device));
  }
  JsonFields fields(json);
  fields.text("frontend", attachment.frontend);
  if (std::string driver; fields.text("drive_returns_to", driver)) {
    attachment.drive_returns_to = std::move(driver);
  }
  if (Status read = complete(json, fields, {"frontend"}); !read) {
    return std::unexpected(std::move(read.error()));
  }
  if (attachment.request.controller.name.empty() || attachment.request.hostnqn.empty()) {
    return std::unexpected(damaged("an attachment has no name or no host NQN"));
  }
  return attachment;
}

/// Whether names and numbers are used once.
Status check_distinct(const SavedState& state) {
  std::set<std::string> names;
  std::set<int> ids;
  for (const SavedAttachment& attachment : state.attachments) {
    if (!names.insert(attachment.request.controller.name).second) {
      return std::unexpected(
          damaged("two controllers are called " + attachment.request.controller.name));
    }
    for (const SavedDevice& device : attachment.devices) {
      if (!ids.insert(device.id).second) {
        return std::unexpected(damaged("two devices are " + device.path()));
      }
    }
  }
  return {};
}

Result<SavedState> read_state(Json json) {
  auto attachments = take_list(json, "attachments");
  if (!attachments) {
    return std::unexpected(std::move(attachments.error()));
  }
  SavedState state;
  JsonFields fields(json);
  std::string version;
  int format = 0;
  fields.integer("format", format, SavedState::kFormat, SavedState::kFormat);
  fields.text("version", version);
  fields.flag("quiet", state.quiet);
  if (Status read = fields.finish(); !read) {
    return std::unexpected(std::move(read.error()));
  }
  for (Json& each : *attachments) {
    auto attachment = read_attachment(std::move(each));
    if (!attachment) {
      return std::unexpected(std::move(attachment.error()));
    }
    state.attachments.push_back(std::move(*attachment));
  }
  if (Status distinct = check_distinct(state); !distinct) {
    return std::unexpected(std::move(distinct.error()));
  }
  return state;
}

}  // namespace

std::string SavedState::to_text() const {
  Json json;
  json["format"] = kFormat;
  json["version"] = version();
  json["quiet"] = quiet;
  json["attachments"] = Json::array();
  for (const SavedAttachment& attachment : attachments) {
    Json entry;
    entry["request"] = attachment.request.to_params();
    entry["frontend"] = attachment.frontend;
    if (attachment.drive_returns_to) {
      entry["drive_returns_to"] = *attachment.drive_returns_to;
    }
    entry["devices"] = Json::array();
    for (const SavedDevice& device : attachment.devices) {
      entry["devices"].push_back(device_json(device));
    }
    json["attachments"].push_back(std::move(entry));
  }
  return to_pretty(json) + "\n";
}

Result<SavedState> SavedState::from_text(std::string_view text) {
  if (text.size() > kMaxText) {
    return std::unexpected(damaged("it is too long"));
  }
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    return std::unexpected(damaged("it is no JSON object"));
  }
  const auto format = json.find("format");
  if (format == json.end() || !format->is_number_integer()) {
    return std::unexpected(damaged("it does not say its format"));
  }
  if (*format != kFormat) {
    return fail(ErrorCode::kUnsupported, "it has format " + format->dump() +
                                             "; this program reads format " +
                                             std::to_string(kFormat));
  }
  return read_state(std::move(json));
}

}  // namespace nvublk::service
