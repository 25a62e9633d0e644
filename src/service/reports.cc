#include "service/reports.h"

#include <algorithm>
#include <cctype>

#include "service/policy.h"

namespace nvublk::service {

namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

/// A device is as well as the controller behind it.
std::string device_state(const Attachment::Device& device, const BlockExportInfo& info,
                         nvme::ControllerState controller) {
  if (device.failed && info.state == "live") {
    return "failed";
  }
  if (info.state != "live" || controller == nvme::ControllerState::kLive) {
    return info.state;
  }
  return nvme::controller_state_name(controller);
}

/// Why the controller was given up; empty if it was not, or is tried again.
std::string controller_reason(const Attachment& attachment,
                              const nvme::ControllerStatus& controller) {
  if (!attachment.given_up() || !controller.last_error) {
    return "";
  }
  return "given up: " + controller.last_error->text +
         "; detach it, and attach again when that is mended";
}

std::string device_reason(const Attachment& attachment, const Attachment::Device& device,
                          const nvme::ControllerStatus& controller) {
  return device.problem.empty() ? controller_reason(attachment, controller) : device.problem;
}

Json listed_device(const Attachment& attachment, const Attachment::Device& device,
                   const nvme::ControllerStatus& controller) {
  const BlockExportInfo info = device.info();
  const nvme::TransportId& id = attachment.request().controller.transport.id;
  const nvme::NamespaceIdentity& identity = device.identity;
  Json entry;
  entry["device"] = info.device;
  entry["name"] = device.name;
  entry["controller"] = attachment.name();
  entry["nsid"] = device.nsid;
  entry["transport"] = lower(nvme::trtype_name(id.trtype));
  entry["traddr"] = id.traddr;
  entry["trsvcid"] = id.trsvcid;
  entry["subnqn"] = id.subnqn;
  entry["size_bytes"] = device.shown_bytes;
  entry["block_size"] = device.block_size_bytes;
  entry["model"] = controller.model;
  entry["serial"] = controller.serial;
  entry["uuid"] = identity.uuid;
  entry["nguid"] = identity.nguid;
  entry["eui64"] = identity.eui64;
  entry["frontend"] = info.frontend;
  entry["state"] = device_state(device, info, controller.state);
  entry["reason"] = device_reason(attachment, device, controller);
  return entry;
}

Json transport_json(const nvme::TransportOptions& transport) {
  Json json;
  json["trtype"] = lower(nvme::trtype_name(transport.id.trtype));
  json["adrfam"] = lower(nvme::adrfam_name(transport.id.adrfam));
  json["traddr"] = transport.id.traddr;
  json["trsvcid"] = transport.id.trsvcid;
  json["subnqn"] = transport.id.subnqn;
  json["host_traddr"] = transport.host_traddr;
  json["host_trsvcid"] = transport.host_trsvcid;
  json["host_iface"] = transport.host_iface;
  return json;
}

Json queue_json(const nvme::QueueStatus& queue) {
  Json json;
  json["qid"] = queue.qid;
  json["shard"] = queue.shard;
  json["state"] = nvme::queue_state_name(queue.state);
  json["depth"] = queue.depth;
  json["outstanding"] = queue.outstanding;
  json["submitted"] = queue.submitted;
  json["completed"] = queue.completed;
  json["errors"] = queue.errors;
  json["failure"] = queue.failure;
  if (queue.in_controller_memory) {
    json["in_controller_memory"] = true;
  }
  return json;
}

std::string path_of(const Attachment& attachment, std::uint32_t nsid) {
  for (const Attachment::Device* device : attachment.devices()) {
    if (device->nsid == nsid) {
      return device->info().device;
    }
  }
  return {};
}

Json namespace_json(const Attachment& attachment, const nvme::NamespaceStatus& status) {
  Json json;
  json["nsid"] = status.nsid;
  json["size_blocks"] = status.size_blocks;
  json["block_size"] = status.block_size_bytes;
  json["uuid"] = status.uuid;
  json["nguid"] = status.nguid;
  json["eui64"] = status.eui64;
  json["state"] = status.state;
  json["device"] = path_of(attachment, status.nsid);
  json["ana_state"] = status.ana_state;
  json["reason"] = attachment.namespace_problem(status.nsid);
  return json;
}

Json milliseconds_json(const std::optional<std::uint64_t>& count) {
  return count ? Json(*count) : Json(nullptr);
}

Json recovery_json(const std::optional<nvme::RecoveryStatus>& status) {
  if (!status) {
    return nullptr;
  }
  Json json;
  json["step"] = status->step;
  json["reason"] = status->reason;
  json["since_ms"] = status->since_ms;
  json["attempts"] = status->attempts;
  json["next_attempt_ms"] = milliseconds_json(status->next_attempt_ms);
  json["gives_up_ms"] = milliseconds_json(status->gives_up_ms);
  json["io_fails_ms"] = milliseconds_json(status->io_fails_ms);
  json["io_fails"] = status->io_fails;
  return json;
}

Json authentication_json(const std::optional<nvme::AuthenticationStatus>& status) {
  if (!status) {
    return nullptr;
  }
  Json json;
  json["digest"] = status->digest;
  json["dhgroup"] = status->dhgroup;
  json["bidirectional"] = status->bidirectional;
  return json;
}

Json controller_json(const Attachment& attachment, const nvme::ControllerStatus& status) {
  const nvme::ControllerOptions& wanted = attachment.request().controller;
  Json json;
  json["name"] = attachment.name();
  json["state"] = attachment.resuming() && status.state == nvme::ControllerState::kFailed
                      ? nvme::controller_state_name(nvme::ControllerState::kReconnecting)
                      : nvme::controller_state_name(status.state);
  json["reason"] = controller_reason(attachment, status);
  json["step"] = status.step;
  json["step_since_ms"] = status.step_since_ms;
  json["step_deadline_ms"] = milliseconds_json(status.step_deadline_ms);
  json["recovery"] = recovery_json(status.recovery);
  write_policy(status.options, json["policy"]);
  json["transport_id"] = transport_json(wanted.transport);
  json["host"]["nqn"] = wanted.host.nqn;
  json["host"]["id"] = wanted.host.id.to_string();
  json["authentication"] = authentication_json(status.authentication);
  json["tls_cipher"] = status.tls_cipher.empty() ? Json(nullptr) : Json(status.tls_cipher);
  json["cntlid"] = status.cntlid;
  json["model"] = status.model;
  json["serial"] = status.serial;
  json["firmware"] = status.firmware;
  json["version"] = status.version;
  json["keep_alive_ms"] = status.keep_alive_ms;
  json["queues"] = Json::array();
  for (const nvme::QueueStatus& queue : status.queues) {
    json["queues"].push_back(queue_json(queue));
  }
  json["namespaces"] = Json::array();
  for (const nvme::NamespaceStatus& block : status.namespaces) {
    json["namespaces"].push_back(namespace_json(attachment, block));
  }
  return json;
}

Json device_json(const Attachment& attachment, const Attachment::Device& device,
                 const nvme::ControllerStatus& controller) {
  const BlockExportInfo info = device.info();
  const BlockExportStatistics statistics = device.statistics();
  Json json;
  json["device"] = info.device;
  json["name"] = device.name;
  json["nsid"] = device.nsid;
  json["frontend"] = info.frontend;
  json["state"] = device_state(device, info, controller.state);
  json["reason"] = device_reason(attachment, device, controller);
  json["size_bytes"] = device.shown_bytes;
  json["queues"] = info.queues;
  json["depth"] = info.depth;
  json["features"] = info.features;
  json["outlives_daemon"] = info.key != 0;
  json["in_flight"] = statistics.in_flight;
  json["reads"] = statistics.reads;
  json["writes"] = statistics.writes;
  json["flushes"] = statistics.flushes;
  json["discards"] = statistics.discards;
  json["write_zeroes"] = statistics.write_zeroes;
  json["read_bytes"] = statistics.read_bytes;
  json["write_bytes"] = statistics.write_bytes;
  json["errors"] = statistics.errors;
  return json;
}

// {"rdma":[{"device","polls",...}]} of a shard that uses RDMA devices.
void add_counter_groups(Json& entry, const CounterGroups& groups) {
  for (std::size_t index = 0; index < groups.size(); index++) {
    const CounterGroup& group = groups.at(index);
    Json counted;
    counted["device"] = group.name();
    for (std::size_t each = 0; each < group.labels().size(); each++) {
      counted[group.labels()[each]] = group.counter(each).get();
    }
    entry[group.kind()].push_back(std::move(counted));
  }
}

Json daemon_json(const DaemonFacts& daemon, Instant now) {
  Json json;
  json["version"] = daemon.version;
  json["pid"] = daemon.pid;
  json["uptime_s"] = milliseconds_between(daemon.started, now) / 1000;
  json["shards"] = Json::array();
  for (Shard* shard : daemon.shards) {
    Json entry;
    entry["id"] = shard->id();
    entry["cpu"] = shard->cpu() >= 0 ? Json(shard->cpu()) : Json(nullptr);
    entry["numa_node"] = shard->numa_node() >= 0 ? Json(shard->numa_node()) : Json(nullptr);
    const bool adaptive = shard->reactor().mode() == IdleMode::kAdaptive;
    entry["mode"] = idle_mode_name(shard->reactor().mode());
    entry["spin_us"] = adaptive ? Json(shard->reactor().spin() / microseconds(1)) : Json(nullptr);
    const Reactor::Counters counters = shard->reactor().counters();
    entry["turns"] = counters.turns;
    entry["sleeps"] = counters.sleeps;
    entry["enters"] = counters.enters;
    entry["completions"] = counters.completions;
    add_counter_groups(entry, shard->reactor().counter_groups());
    json["shards"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace

Json list_report(const Attachments& attachments, const std::string& controller) {
  Json report;
  report["devices"] = Json::array();
  for (const Attachment* attachment : attachments.list()) {
    if (!controller.empty() && attachment->name() != controller) {
      continue;
    }
    const nvme::ControllerStatus status = attachment->controller_status();
    for (const Attachment::Device* device : attachment->devices()) {
      if (!device->info().device.empty()) {
        report["devices"].push_back(listed_device(*attachment, *device, status));
      }
    }
  }
  return report;
}

Json status_report(const DaemonFacts& daemon, const Attachments& attachments,
                   const std::optional<std::vector<AttachmentMatch>>& matches, Instant now) {
  std::vector<AttachmentMatch> shown;
  if (matches) {
    shown = *matches;
  } else {
    for (Attachment* attachment : attachments.list()) {
      shown.push_back({attachment, {}});
    }
  }
  Json report;
  report["daemon"] = daemon_json(daemon, now);
  report["controllers"] = Json::array();
  report["devices"] = Json::array();
  for (const AttachmentMatch& match : shown) {
    const nvme::ControllerStatus controller = match.attachment->controller_status();
    report["controllers"].push_back(controller_json(*match.attachment, controller));
    for (const Attachment::Device* device : match.attachment->devices()) {
      const bool wanted = match.nsids.empty() || std::find(match.nsids.begin(), match.nsids.end(),
                                                           device->nsid) != match.nsids.end();
      if (wanted) {
        report["devices"].push_back(device_json(*match.attachment, *device, controller));
      }
    }
  }
  return report;
}

}  // namespace nvublk::service
