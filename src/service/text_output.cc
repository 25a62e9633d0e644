#include "service/text_output.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "service/policy.h"

namespace nvublk::service {

namespace {

std::string word(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) {
    return "-";
  }
  if (found->is_string()) {
    const auto text = found->get<std::string>();
    return text.empty() ? "-" : text;
  }
  return found->dump();
}

std::uint64_t number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>()
         : found != object.end() && found->is_number_integer()
             ? static_cast<std::uint64_t>(found->get<std::int64_t>())
             : 0;
}

std::string address(const Json& object, const char* transport_key) {
  const std::string traddr = word(object, "traddr");
  if (word(object, "trsvcid") == "-") {  // a local drive
    return word(object, transport_key) + " " + traddr;
  }
  const bool bracket = traddr.find(':') != std::string::npos;
  return word(object, transport_key) + " " + (bracket ? "[" + traddr + "]" : traddr) + ":" +
         word(object, "trsvcid");
}

std::string joined(const Json& list) {
  std::string text;
  for (const Json& entry : list) {
    text +=
        (text.empty() ? "" : " ") + (entry.is_string() ? entry.get<std::string>() : entry.dump());
  }
  return text.empty() ? "-" : text;
}

/// Words wrapped at about 90 columns below a label.
std::string wrapped(const Json& list, const std::string& indent) {
  std::string text;
  std::string line = indent;
  for (const Json& entry : list) {
    const auto next = entry.get<std::string>();
    if (line.size() + next.size() > 90 && line != indent) {
      text += line + "\n";
      line = indent;
    }
    line += (line == indent ? "" : " ") + next;
  }
  return line == indent ? text : text + line + "\n";
}

/// The policy and, while one runs, the recovery; nothing of a daemon that does not say.
std::string recovery_text(const Json& controller) {
  std::string text;
  if (const Json recovery = controller.value("recovery", Json()); recovery.is_object()) {
    const auto until = [&recovery](const char* key, const char* what) {
      const Json left = recovery.value(key, Json());
      return left.is_null() ? "" : what + format_milliseconds(left.get<std::uint64_t>());
    };
    text += "  recovery  " + word(recovery, "attempts") + " attempts in " +
            format_milliseconds(number(recovery, "since_ms")) +
            until("next_attempt_ms", ", next in ") + until("io_fails_ms", ", I/O fails in ") +
            (recovery.value("io_fails", false) ? ", I/O fails meanwhile" : "") +
            until("gives_up_ms", ", given up in ") + "\n            " + word(recovery, "reason") +
            "\n";
  }
  if (controller.contains("policy")) {
    text += "  policy    " + policy_text(controller["policy"]) + "\n";
  }
  return text;
}

std::string controller_text(const Json& controller) {
  const Json& id = controller["transport_id"];
  std::string text = word(controller, "name") + ": " + word(controller, "state") + ", " +
                     address(id, "trtype") + ", " + word(id, "subnqn") + "\n";
  if (!controller.value("reason", std::string()).empty()) {
    text += "  reason    " + word(controller, "reason") + "\n";
  }
  if (!controller.value("step", std::string()).empty()) {
    text += "  step      " + word(controller, "step") + ", for " +
            format_milliseconds(number(controller, "step_since_ms"));
    if (!controller["step_deadline_ms"].is_null()) {
      text += ", given up in " + format_milliseconds(number(controller, "step_deadline_ms"));
    }
    text += "\n";
  }
  text += recovery_text(controller);
  text += "  host      " + word(controller["host"], "nqn") + ", id " +
          word(controller["host"], "id") + "\n";
  if (const Json authentication = controller.value("authentication", Json());
      !authentication.is_null()) {
    text += "  auth      " + word(authentication, "digest") + " and " +
            word(authentication, "dhgroup") +
            (authentication.value("bidirectional", false) ? ", in both directions\n" : "\n");
  }
  if (const Json cipher = controller.value("tls_cipher", Json()); !cipher.is_null()) {
    text += "  TLS       " + cipher.get<std::string>() + "\n";
  }
  if (!controller.value("model", std::string()).empty()) {
    text += "  model     " + word(controller, "model") + ", serial " + word(controller, "serial") +
            ", firmware " + word(controller, "firmware") + ", NVMe " + word(controller, "version") +
            ", controller id " + word(controller, "cntlid") + ", keep alive " +
            format_milliseconds(number(controller, "keep_alive_ms")) + "\n";
  }
  return text;
}

std::string queues_text(const Json& queues) {
  std::vector<std::vector<std::string>> rows = {{"  queue", "shard", "state", "depth",
                                                 "outstanding", "submitted", "completed", "errors",
                                                 "failure"}};
  for (const Json& queue : queues) {
    const bool on_control = queue.value("shard", 0) < 0;
    rows.push_back({"  " + (number(queue, "qid") == 0 ? "admin" : word(queue, "qid")),
                    on_control ? "control" : word(queue, "shard"), word(queue, "state"),
                    word(queue, "depth"), word(queue, "outstanding"), word(queue, "submitted"),
                    word(queue, "completed"), word(queue, "errors"), word(queue, "failure")});
  }
  return rows.size() > 1 ? format_table(rows) : "";
}

/// A line for each entry that has something wrong with it, below its table.
std::string reasons_text(const Json& entries, const char* key, const std::string& before) {
  std::string text;
  for (const Json& entry : entries) {
    if (const std::string reason = word(entry, "reason"); reason != "-") {
      text += before + word(entry, key) + ": " + reason + "\n";
    }
  }
  return text;
}

std::string namespaces_text(const Json& namespaces) {
  std::vector<std::vector<std::string>> rows = {
      {"  nsid", "size", "block size", "device", "state", "uuid"}};
  for (const Json& entry : namespaces) {
    rows.push_back({"  " + word(entry, "nsid"),
                    format_size(number(entry, "size_blocks") * number(entry, "block_size")),
                    word(entry, "block_size"), word(entry, "device"), word(entry, "state"),
                    word(entry, "uuid")});
  }
  return (rows.size() > 1 ? format_table(rows) : "") +
         reasons_text(namespaces, "nsid", "  namespace ");
}

/// Which devices end with the daemon.
std::string mortal_text(const Json& devices) {
  std::string text;
  for (const Json& device : devices) {
    if (!device.value("outlives_daemon", true)) {
      text +=
          word(device, "device") + ": ends with the daemon (" + word(device, "frontend") + ")\n";
    }
  }
  return text;
}

std::string devices_text(const Json& devices) {
  std::vector<std::vector<std::string>> rows = {
      {"device", "name", "frontend", "state", "queues", "depth", "in flight", "reads", "read",
       "writes", "written", "flushes", "discards", "zeroes", "errors"}};
  for (const Json& device : devices) {
    rows.push_back({word(device, "device"), word(device, "name"), word(device, "frontend"),
                    word(device, "state"), word(device, "queues"), word(device, "depth"),
                    word(device, "in_flight"), word(device, "reads"),
                    format_size(number(device, "read_bytes")), word(device, "writes"),
                    format_size(number(device, "write_bytes")), word(device, "flushes"),
                    word(device, "discards"), word(device, "write_zeroes"),
                    word(device, "errors")});
  }
  if (rows.size() == 1) {
    return {};
  }
  return "\n" + format_table(rows) + reasons_text(devices, "device", "") + mortal_text(devices);
}

std::string availability(const Json& part) {
  return part.value("available", false) ? "yes" : "no: " + word(part, "reason");
}

}  // namespace

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t i = 0; i < row.size(); i++) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); i++) {
      line += row[i];
      if (i + 1 < row.size()) {
        line.append(widths[i] - row[i].size() + 2, ' ');
      }
    }
    text += line + "\n";
  }
  return text;
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<const char*, 7> kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // 999.995 would be printed as 1000.00.
  while (value >= 999.995 && unit + 1 < kUnits.size()) {
    value /= 1000;
    unit++;
  }
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.2f %s", value, kUnits[unit]);
  return text;
}

std::string format_milliseconds(std::uint64_t count) {
  if (count < 1000) {
    return std::to_string(count) + " ms";
  }
  return std::to_string(count / 1000) + "." + std::to_string(count % 1000 / 100) + " s";
}

std::string attach_text(const Json& report) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& device : report["devices"]) {
    rows.push_back({word(device, "device"), word(device, "name"),
                    format_size(number(device, "size_bytes")),
                    word(device, word(device, "subnqn") == "-" ? "traddr" : "subnqn")});
  }
  return format_table(rows);
}

std::string list_text(const Json& report) {
  std::vector<std::vector<std::string>> rows = {{"Device", "Name", "NSID", "Size", "Block", "Model",
                                                 "Serial", "Address", "Subsystem", "State"}};
  for (const Json& device : report["devices"]) {
    rows.push_back({word(device, "device"), word(device, "name"), word(device, "nsid"),
                    format_size(number(device, "size_bytes")), word(device, "block_size") + " B",
                    word(device, "model"), word(device, "serial"), address(device, "transport"),
                    word(device, "subnqn"), word(device, "state")});
  }
  return format_table(rows);
}

std::string set_text(const Json& report) {
  std::string text;
  for (const Json& controller : report["controllers"]) {
    text += word(controller, "name") + ": " + policy_text(controller["policy"]) + "\n";
  }
  return text;
}

std::string status_text(const Json& report) {
  const Json& daemon = report["daemon"];
  std::string shards;
  for (const Json& shard : daemon["shards"]) {
    const bool pinned = shard.contains("cpu") && !shard["cpu"].is_null();
    shards += (shards.empty() ? "" : ", ") + word(shard, "id") +
              (pinned ? " on CPU " + word(shard, "cpu") : "") + " (" + word(shard, "mode") + ")";
  }
  std::string text = "nvublkd " + word(daemon, "version") + ", pid " + word(daemon, "pid") +
                     ", up " + word(daemon, "uptime_s") + " s, shards: " + shards + "\n";
  // What hangs is why people ask: it comes first.
  for (const bool busy : {true, false}) {
    for (const Json& controller : report["controllers"]) {
      if (controller.value("step", std::string()).empty() != busy) {
        text += "\n" + controller_text(controller) + queues_text(controller["queues"]) +
                namespaces_text(controller["namespaces"]);
      }
    }
  }
  return text + devices_text(report["devices"]);
}

std::string recover_text(const Json& report) {
  std::string text;
  for (const Json& device : report["devices"]) {
    text += word(device, "device") + " " + word(device, "name") + ": " + word(device, "state");
    text += device["reason"] == "" ? "\n" : " (" + word(device, "reason") + ")\n";
  }
  for (const Json& orphan : report["orphans"]) {
    const bool cleaned = orphan["cleaned"] == true;
    text += (cleaned ? "cleaned: " : "left: ") + word(orphan, "reason") + "\n";
  }
  for (const Json& problem : report["problems"]) {
    text +=
        "problem: " + (problem.is_string() ? problem.get<std::string>() : problem.dump()) + "\n";
  }
  return text.empty() ? "There is nothing to recover.\n" : text;
}

std::string features_text(const Json& report) {
  std::string text = "kernel      " + word(report, "kernel") + "\n";
  text += "ublk        " + availability(report["ublk"]) + "\n";
  text += wrapped(report["ublk"]["flags"], "            ");
  text += "FUSE        " + availability(report["fuse"]) + "\n";
  text += "VFIO        " + availability(report["vfio"]) + "\n";
  text += "RDMA        " + availability(report["rdma"]) + "\n";
  if (!report["rdma"]["devices"].empty()) {
    text += "            " + joined(report["rdma"]["devices"]) + "\n";
  }
  text += "huge pages  ";
  std::string pools;
  for (const Json& pool : report["huge_pages"]) {
    pools += (pools.empty() ? "" : ", ") + word(pool, "free") + " of " + word(pool, "total") +
             " free (" + std::to_string(number(pool, "size_bytes") / 1024) + " KiB)";
  }
  text += (pools.empty() ? "no" : pools) + "\n";
  text += "io_uring    " + availability(report["io_uring"]) + "\n";
  text += wrapped(report["io_uring"]["features"], "            ");
  text += wrapped(report["io_uring"]["ops"], "            ");
  return text;
}

}  // namespace nvublk::service
