// The methods of the control socket.

#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include "nvme/spec/opcodes.h"
#include "target/control_server.h"
#include "target/target.h"

namespace nvublk::target {

namespace {

using nlohmann::json;
using nvme::spec::AdminOpcode;
using nvme::spec::NvmOpcode;

struct Named {
  std::string_view name;
  FaultQueues queues;
  std::uint8_t opcode;
};

constexpr Named admin_command(std::string_view name, AdminOpcode opcode) {
  return {name, FaultQueues::kAdmin, static_cast<std::uint8_t>(opcode)};
}
constexpr Named io_command(std::string_view name, NvmOpcode opcode) {
  return {name, FaultQueues::kIo, static_cast<std::uint8_t>(opcode)};
}

constexpr std::array kCommands{
    admin_command("get_log_page", AdminOpcode::kGetLogPage),
    admin_command("identify", AdminOpcode::kIdentify),
    admin_command("abort", AdminOpcode::kAbort),
    admin_command("set_features", AdminOpcode::kSetFeatures),
    admin_command("get_features", AdminOpcode::kGetFeatures),
    admin_command("async_event_request", AdminOpcode::kAsyncEventRequest),
    admin_command("keep_alive", AdminOpcode::kKeepAlive),
    io_command("flush", NvmOpcode::kFlush),
    io_command("write", NvmOpcode::kWrite),
    io_command("read", NvmOpcode::kRead),
    io_command("compare", NvmOpcode::kCompare),
    io_command("write_zeroes", NvmOpcode::kWriteZeroes),
    io_command("dataset_management", NvmOpcode::kDatasetManagement),
    io_command("write_uncorrectable", NvmOpcode::kWriteUncorrectable),
    io_command("verify", NvmOpcode::kVerify),
    io_command("copy", NvmOpcode::kCopy),
    io_command("reservation_register", NvmOpcode::kReservationRegister),
    io_command("reservation_report", NvmOpcode::kReservationReport),
    io_command("reservation_acquire", NvmOpcode::kReservationAcquire),
    io_command("reservation_release", NvmOpcode::kReservationRelease),
    io_command("zone_send", NvmOpcode::kZoneManagementSend),
    io_command("zone_receive", NvmOpcode::kZoneManagementReceive),
    io_command("zone_append", NvmOpcode::kZoneAppend),
    Named{"fabrics", FaultQueues::kAny, nvme::spec::kFabricsOpcode},
};

constexpr std::array<std::pair<std::string_view, std::uint8_t>, 3> kFabricsCommands{{
    {"property_set", 0x00},
    {"connect", 0x01},
    {"property_get", 0x04},
}};

template <typename T>
T checked(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().text);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::uint64_t size_of(const json& value) {
  if (value.is_string()) return checked(parse_size(value.get<std::string>()));
  return value.get<std::uint64_t>();
}

template <typename T>
T number(const json& params, const char* key) {
  const auto value = params.at(key).get<std::int64_t>();
  if (value < 0 || !std::in_range<T>(value)) {
    throw std::runtime_error(std::string(key) + " is out of range");
  }
  return static_cast<T>(value);
}

template <typename T>
std::optional<T> optional_number(const json& params, const char* key) {
  if (!params.contains(key)) return std::nullopt;
  return number<T>(params, key);
}

FaultQueues queues_of(const json& params) {
  const std::string text = params.value("queues", "any");
  if (text == "any") return FaultQueues::kAny;
  if (text == "admin") return FaultQueues::kAdmin;
  if (text == "io") return FaultQueues::kIo;
  throw std::runtime_error("queues is \"any\", \"admin\" or \"io\"");
}

void set_command(Fault& fault, const json& params) {
  if (!params.contains("opcode")) return;
  if (!params["opcode"].is_string()) {
    fault.opcode = number<std::uint8_t>(params, "opcode");
    fault.fctype = optional_number<std::uint8_t>(params, "fctype");
    return;
  }
  const std::string name = params["opcode"];
  for (const Named& command : kCommands) {
    if (command.name != name) continue;
    fault.opcode = command.opcode;
    if (!params.contains("queues")) fault.queues = command.queues;
    return;
  }
  for (const auto& [text, fctype] : kFabricsCommands) {
    if (text != name) continue;
    fault.opcode = nvme::spec::kFabricsOpcode;
    fault.fctype = fctype;
    return;
  }
  throw std::runtime_error("there is no command \"" + name + "\"");
}

Fault fault_of(const json& params) {
  Fault fault;
  const std::string kind = params.at("kind");
  const auto found = fault_kind_from_name(kind);
  if (!found) throw std::runtime_error("there is no fault \"" + kind + "\"");
  fault.kind = *found;
  fault.queues = queues_of(params);
  set_command(fault, params);
  fault.count = optional_number<std::uint64_t>(params, "count").value_or(0);
  fault.skip = optional_number<std::uint64_t>(params, "skip").value_or(0);
  fault.delay_ms = optional_number<std::uint32_t>(params, "delay_ms").value_or(0);
  fault.at_byte = optional_number<std::uint64_t>(params, "at_byte").value_or(0);
  const auto sct = optional_number<std::uint8_t>(params, "sct").value_or(0);
  const auto sc = optional_number<std::uint8_t>(params, "sc").value_or(0);
  const auto crd = optional_number<std::uint8_t>(params, "crd").value_or(0);
  if (sct > 7 || crd > 3) throw std::runtime_error("sct or crd is out of range");
  const auto plain = nvme::spec::NvmeStatus::make(static_cast<nvme::spec::StatusCodeType>(sct), sc,
                                                  params.value("dnr", false));
  fault.status =
      nvme::spec::NvmeStatus::from_bits(static_cast<std::uint16_t>(plain.bits() | (crd << 11)));
  if (fault.kind == FaultKind::kStatus && fault.status.ok()) {
    throw std::runtime_error("a status fault needs sct or sc");
  }
  return fault;
}

json fault_json(const Fault& fault) {
  json value{{"kind", fault_kind_name(fault.kind)}, {"count", fault.count}, {"skip", fault.skip}};
  value["queues"] = fault.queues == FaultQueues::kAny     ? "any"
                    : fault.queues == FaultQueues::kAdmin ? "admin"
                                                          : "io";
  if (fault.opcode) value["opcode"] = *fault.opcode;
  if (fault.fctype) value["fctype"] = *fault.fctype;
  if (fault.delay_ms != 0) value["delay_ms"] = fault.delay_ms;
  if (fault.at_byte != 0) value["at_byte"] = fault.at_byte;
  if (!fault.status.ok()) {
    value["sct"] = static_cast<unsigned>(fault.status.sct());
    value["sc"] = fault.status.sc();
    value["dnr"] = fault.status.dnr();
    value["crd"] = fault.status.crd();
  }
  return value;
}

json commands_json(const std::array<std::uint64_t, 256>& counts, FaultQueues queues) {
  json value = json::object();
  for (std::size_t opcode = 0; opcode < counts.size(); opcode++) {
    if (counts[opcode] == 0) continue;
    std::string name = std::to_string(opcode);
    for (const Named& command : kCommands) {
      if (command.opcode == opcode &&
          (command.queues == queues || command.queues == FaultQueues::kAny)) {
        name = command.name;
      }
    }
    value[name] = counts[opcode];
  }
  return value;
}

json stats_json(const Stats& stats) {
  return {{"connections", stats.connections},
          {"open_connections", stats.open_connections},
          {"controllers", stats.controllers},
          {"pdus_received", stats.pdus_received},
          {"pdus_sent", stats.pdus_sent},
          {"bytes_received", stats.bytes_received},
          {"bytes_sent", stats.bytes_sent},
          {"receives", stats.receives},
          {"sends", stats.sends},
          {"read_bytes", stats.read_bytes},
          {"written_bytes", stats.written_bytes},
          {"errors", stats.errors},
          {"responses_saved", stats.responses_saved},
          {"terminations_sent", stats.terminations_sent},
          {"terminations_received", stats.terminations_received},
          {"digest_errors", stats.digest_errors},
          {"admin_commands", commands_json(stats.admin_commands, FaultQueues::kAdmin)},
          {"io_commands", commands_json(stats.io_commands, FaultQueues::kIo)}};
}

json list_json(const Target& target) {
  json value{{"subnqn", target.options().subnqn}, {"listening", json::array()},
             {"referrals", json::array()},        {"controllers", json::array()},
             {"namespaces", json::array()},       {"faults", json::array()}};
  for (const auto& address : target.listening()) {
    value["listening"].push_back(
        {{"traddr", address.address}, {"trsvcid", std::to_string(address.port)}});
  }
  for (const auto& address : target.referrals()) {
    value["referrals"].push_back(
        {{"traddr", address.address}, {"trsvcid", std::to_string(address.port)}});
  }
  for (const auto& controller : target.controllers()) {
    value["controllers"].push_back({{"cntlid", controller.cntlid},
                                    {"hostnqn", controller.hostnqn},
                                    {"discovery", controller.discovery},
                                    {"ready", controller.ready},
                                    {"kato_ms", controller.kato_ms}});
  }
  for (const auto& ns : target.namespaces()) {
    value["namespaces"].push_back({{"nsid", ns.nsid},
                                   {"size_blocks", ns.size_blocks},
                                   {"block_size", ns.block_size},
                                   {"uuid", ns.uuid},
                                   {"read_only", ns.read_only}});
  }
  for (const Fault& fault : target.faults()) value["faults"].push_back(fault_json(fault));
  return value;
}

json add_namespace(Target& target, const json& params) {
  NamespaceOptions options;
  options.nsid = optional_number<std::uint32_t>(params, "nsid").value_or(0);
  if (params.contains("size")) options.size_bytes = size_of(params["size"]);
  if (params.contains("bs")) {
    options.block_size = static_cast<std::uint32_t>(size_of(params["bs"]));
  }
  options.path = params.value("file", "");
  options.read_only = params.value("ro", false);
  options.log_path = params.value("log", "");
  options.volatile_cache = params.value("cache", "") == "volatile";
  options.uuid = params.value("uuid", "");
  options.metadata_bytes = optional_number<std::uint32_t>(params, "ms").value_or(0);
  options.protection_type = optional_number<std::uint8_t>(params, "pi").value_or(0);
  options.protection_first = params.value("pi-first", false);
  options.boundary_blocks = optional_number<std::uint16_t>(params, "noiob").value_or(0);
  if (params.contains("zsze")) options.zone_bytes = size_of(params["zsze"]);
  if (params.contains("zcap")) options.zone_capacity_bytes = size_of(params["zcap"]);
  options.max_open_zones = optional_number<std::uint32_t>(params, "mor").value_or(0);
  options.max_active_zones = optional_number<std::uint32_t>(params, "mar").value_or(0);
  return {{"nsid", checked(target.add_namespace(options))}};
}

/// Where a discovery subsystem elsewhere is.
ListenAddress referral_of(const json& params) {
  ListenAddress address;
  address.address = params.at("traddr");
  const json& port = params.at("trsvcid");
  const std::string text = port.is_string() ? port.get<std::string>() : port.dump();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), address.port);
  if (error != std::errc{} || end != text.data() + text.size() || address.port == 0) {
    throw std::runtime_error("trsvcid is a port number from 1 to 65535");
  }
  if (address.address.empty() || address.address.size() > 256) {
    throw std::runtime_error("traddr is an IP address");
  }
  return address;
}

json dispatch(Target& target, const std::string& method, const json& params) {
  if (method == "stats") return stats_json(target.stats());
  if (method == "list") return list_json(target);
  if (method == "ns_add") return add_namespace(target, params);
  if (method == "ns_remove") {
    checked(target.remove_namespace(number<std::uint32_t>(params, "nsid")));
    return json::object();
  }
  if (method == "ns_resize") {
    checked(
        target.resize_namespace(number<std::uint32_t>(params, "nsid"), size_of(params.at("size"))));
    return json::object();
  }
  if (method == "referral_add" || method == "referral_remove") {
    const ListenAddress address = referral_of(params);
    checked(method == "referral_add" ? target.add_referral(address)
                                     : target.remove_referral(address));
    return json::object();
  }
  if (method == "zone_fail") {
    const std::string state = params.at("state");
    if (state != "read-only" && state != "offline") {
      throw std::runtime_error("state is \"read-only\" or \"offline\"");
    }
    checked(target.fail_zone(number<std::uint32_t>(params, "nsid"),
                             number<std::uint64_t>(params, "lba"), state == "offline"));
    return json::object();
  }
  if (method == "fault") {
    target.inject(fault_of(params));
    return json::object();
  }
  if (method == "clear_faults") {
    target.clear_faults();
    return json::object();
  }
  if (method == "drop") {
    ConnectionFilter filter;
    filter.queues = queues_of(params);
    filter.cntlid = optional_number<std::uint16_t>(params, "cntlid");
    filter.qid = optional_number<std::uint16_t>(params, "qid");
    return {{"dropped", target.drop_connections(filter)}};
  }
  if (method == "expire_keep_alive") {
    const auto cntlid = optional_number<std::uint16_t>(params, "cntlid");
    return {{"expired", target.expire_keep_alive(cntlid)}};
  }
  throw std::runtime_error(
      "there is no method \"" + method +
      "\"; there are stats, list, ns_add, ns_remove, ns_resize, "
      "referral_add, referral_remove, zone_fail, fault, clear_faults, drop and expire_keep_alive");
}

}  // namespace

std::string handle_control_request(Target& target, std::string_view line) {
  json response;
  try {
    const json request = json::parse(line);
    const json params = request.value("params", json::object());
    response["result"] = dispatch(target, request.at("method"), params);
  } catch (const std::exception& error) {
    response = {{"error", {{"message", error.what()}}}};
  }
  return response.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace nvublk::target
