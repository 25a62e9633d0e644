// The methods of the control socket.

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "nvme/spec/opcodes.h"
#include "target/control_params.h"
#include "target/control_server.h"
#include "target/target.h"
#include "target/uuid.h"

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
    admin_command("sanitize", AdminOpcode::kSanitize),
    admin_command("firmware_commit", AdminOpcode::kFirmwareCommit),
    admin_command("firmware_download", AdminOpcode::kFirmwareImageDownload),
    admin_command("device_self_test", AdminOpcode::kDeviceSelfTest),
    admin_command("security_send", AdminOpcode::kSecuritySend),
    admin_command("security_receive", AdminOpcode::kSecurityReceive),
    admin_command("directive_send", AdminOpcode::kDirectiveSend),
    admin_command("directive_receive", AdminOpcode::kDirectiveReceive),
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

FaultQueues queues_of(const Params& params) {
  const std::string text = params.optional_text("queues", "any");
  if (text == "any") return FaultQueues::kAny;
  if (text == "admin") return FaultQueues::kAdmin;
  if (text == "io") return FaultQueues::kIo;
  throw std::runtime_error("\"queues\" must be \"any\", \"admin\" or \"io\"");
}

void set_command(Fault& fault, const Params& params) {
  if (params.has("fctype") && (!params.has("opcode") || params.is_text("opcode"))) {
    throw std::runtime_error("\"fctype\" goes with a number as \"opcode\"");
  }
  if (!params.is_text("opcode")) {
    fault.opcode = params.optional_number<std::uint8_t>("opcode");
    fault.fctype = params.optional_number<std::uint8_t>("fctype");
    return;
  }
  const std::string name = params.text("opcode");
  for (const Named& command : kCommands) {
    if (command.name != name) continue;
    fault.opcode = command.opcode;
    if (!params.has("queues")) fault.queues = command.queues;
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

nvme::spec::NvmeStatus status_of(const Params& params) {
  const auto sct = params.optional_number<std::uint8_t>("sct").value_or(0);
  const auto sc = params.optional_number<std::uint8_t>("sc").value_or(0);
  const auto crd = params.optional_number<std::uint8_t>("crd").value_or(0);
  if (sct > 7 || crd > 3) throw std::runtime_error("sct or crd is out of range");
  const auto plain = nvme::spec::NvmeStatus::make(static_cast<nvme::spec::StatusCodeType>(sct), sc,
                                                  params.flag("dnr"));
  return nvme::spec::NvmeStatus::from_bits(static_cast<std::uint16_t>(plain.bits() | (crd << 11)));
}

using FaultParameters = std::vector<std::string_view>;

/// What a fault has besides its kind.
FaultParameters parameters_of(FaultKind kind, bool at_byte) {
  switch (kind) {
    case FaultKind::kDrop:
      if (at_byte) return {"queues", "at_byte", "count", "skip"};
      return {"queues", "opcode", "fctype", "count", "skip", "at_byte"};
    case FaultKind::kDelay:
      return {"queues", "opcode", "fctype", "count", "skip", "delay_ms"};
    case FaultKind::kStuck:
      return {"queues", "opcode", "fctype", "count", "skip"};
    case FaultKind::kStatus:
      return {"queues", "opcode", "fctype", "count", "skip", "sct", "sc", "dnr", "crd"};
    case FaultKind::kBlackHole:
      return {"queues"};
    case FaultKind::kRefuse:
      return {"count", "skip"};
    case FaultKind::kCorruptHeaderDigest:
    case FaultKind::kCorruptDataDigest:
      return {"queues", "count", "skip"};
    case FaultKind::kSanitizeFails:
      return {"count", "skip"};
    case FaultKind::kFatalStatus:
    case FaultKind::kWrongIdentity:
      return {};
  }
  return {};
}

/// A parameter without effect would be a test that tests something else.
void check_fault_parameters(const Params& params, const std::string& kind,
                            const FaultParameters& known) {
  std::string list;
  for (const std::string_view each : known) {
    list += (list.empty() ? "" : ", ") + std::string(each);
  }
  for (const std::string& name : params.names()) {
    if (name == "kind" || std::ranges::find(known, name) != known.end()) continue;
    throw std::runtime_error("a fault \"" + kind + "\" has no parameter \"" + name + "\"; it has " +
                             (list.empty() ? "none" : list));
  }
}

Fault fault_of(const Params& params) {
  Fault fault;
  const std::string kind = params.text("kind");
  const auto found = fault_kind_from_name(kind);
  if (!found) throw std::runtime_error("there is no fault \"" + kind + "\"");
  fault.kind = *found;
  const bool cuts = *found == FaultKind::kDrop && params.has("at_byte");
  check_fault_parameters(params, cuts ? kind + "\" with \"at_byte" : kind,
                         parameters_of(*found, cuts));
  fault.queues = queues_of(params);
  set_command(fault, params);
  if (const auto count = params.optional_number<std::uint64_t>("count")) {
    if (*count == 0) {
      throw std::runtime_error("\"count\" must be at least 1; without it there is no limit");
    }
    fault.count = *count;
  }
  fault.skip = params.optional_number<std::uint64_t>("skip").value_or(0);
  if (fault.kind == FaultKind::kDelay) {
    fault.delay_ms = params.number<std::uint32_t>("delay_ms");
  }
  if (const auto at_byte = params.optional_number<std::uint64_t>("at_byte")) {
    if (*at_byte == 0) throw std::runtime_error("\"at_byte\" must be at least 1");
    fault.at_byte = *at_byte;
  }
  fault.status = status_of(params);
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

json add_namespace(Target& target, const Params& params) {
  NamespaceOptions options;
  options.nsid = params.optional_number<std::uint32_t>("nsid").value_or(0);
  if (params.has("size")) options.size_bytes = params.size("size");
  if (params.has("bs")) {
    const std::uint64_t size = params.size("bs");
    if (!std::in_range<std::uint32_t>(size)) throw std::runtime_error("\"bs\" is out of range");
    options.block_size = static_cast<std::uint32_t>(size);
  }
  options.path = params.optional_text("file");
  options.read_only = params.flag("ro");
  options.log_path = params.optional_text("log");
  options.volatile_cache = params.has("cache");
  if (options.volatile_cache && params.text("cache") != "volatile") {
    throw std::runtime_error("\"cache\" must be \"volatile\", or be left out");
  }
  options.uuid = params.optional_text("uuid");
  if (params.has("uuid") && !Uuid::parse(options.uuid)) {
    throw std::runtime_error("\"" + options.uuid + "\" is not a UUID");
  }
  options.metadata_bytes = params.optional_number<std::uint32_t>("ms").value_or(0);
  options.protection_type = params.optional_number<std::uint8_t>("pi").value_or(0);
  options.protection_first = params.flag("pi-first");
  options.boundary_blocks = params.optional_number<std::uint16_t>("noiob").value_or(0);
  if (params.has("zsze")) options.zone_bytes = params.size("zsze");
  if (params.has("zcap")) options.zone_capacity_bytes = params.size("zcap");
  options.max_open_zones = params.optional_number<std::uint32_t>("mor").value_or(0);
  options.max_active_zones = params.optional_number<std::uint32_t>("mar").value_or(0);
  return {{"nsid", checked(target.add_namespace(options))}};
}

json remove_namespace(Target& target, const Params& params) {
  checked(target.remove_namespace(params.number<std::uint32_t>("nsid")));
  return json::object();
}

json resize_namespace(Target& target, const Params& params) {
  checked(target.resize_namespace(params.number<std::uint32_t>("nsid"), params.size("size")));
  return json::object();
}

/// Where a discovery subsystem elsewhere is.
ListenAddress referral_of(const Params& params) {
  ListenAddress address;
  address.address = params.text("traddr");
  const std::string text = params.digits("trsvcid");
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), address.port);
  if (error != std::errc{} || end != text.data() + text.size() || address.port == 0) {
    throw std::runtime_error("trsvcid is a port number from 1 to 65535");
  }
  if (address.address.empty() || address.address.size() > 256) {
    throw std::runtime_error("traddr is an IP address");
  }
  return address;
}

json add_referral(Target& target, const Params& params) {
  checked(target.add_referral(referral_of(params)));
  return json::object();
}

json remove_referral(Target& target, const Params& params) {
  checked(target.remove_referral(referral_of(params)));
  return json::object();
}

json fail_zone(Target& target, const Params& params) {
  const std::string state = params.text("state");
  if (state != "read-only" && state != "offline") {
    throw std::runtime_error("\"state\" must be \"read-only\" or \"offline\"");
  }
  checked(target.fail_zone(params.number<std::uint32_t>("nsid"),
                           params.number<std::uint64_t>("lba"), state == "offline"));
  return json::object();
}

json finish_operations(Target& target, const Params&) {
  target.finish_operations();
  return json::object();
}

json inject(Target& target, const Params& params) {
  target.inject(fault_of(params));
  return json::object();
}

json clear_faults(Target& target, const Params&) {
  target.clear_faults();
  return json::object();
}

json drop(Target& target, const Params& params) {
  ConnectionFilter filter;
  filter.queues = queues_of(params);
  filter.cntlid = params.optional_number<std::uint16_t>("cntlid");
  filter.qid = params.optional_number<std::uint16_t>("qid");
  return {{"dropped", target.drop_connections(filter)}};
}

json expire_keep_alive(Target& target, const Params& params) {
  const auto cntlid = params.optional_number<std::uint16_t>("cntlid");
  return {{"expired", target.expire_keep_alive(cntlid)}};
}

struct Method {
  std::string_view name;
  json (*call)(Target&, const Params&);
  std::array<std::string_view, 16> parameters{};  ///< their names; empty ones are none
};

constexpr std::array kMethods{
    Method{"stats", [](Target& target, const Params&) { return stats_json(target.stats()); }},
    Method{"list", [](Target& target, const Params&) { return list_json(target); }},
    Method{"ns_add",
           add_namespace,
           {"size", "bs", "file", "cache", "log", "nsid", "uuid", "ro", "ms", "pi", "pi-first",
            "noiob", "zsze", "zcap", "mor", "mar"}},
    Method{"ns_remove", remove_namespace, {"nsid"}},
    Method{"ns_resize", resize_namespace, {"nsid", "size"}},
    Method{"referral_add", add_referral, {"traddr", "trsvcid"}},
    Method{"referral_remove", remove_referral, {"traddr", "trsvcid"}},
    Method{"zone_fail", fail_zone, {"nsid", "lba", "state"}},
    Method{"finish_operations", finish_operations},
    Method{"fault",
           inject,
           {"kind", "queues", "opcode", "fctype", "count", "skip", "delay_ms", "at_byte", "sct",
            "sc", "dnr", "crd"}},
    Method{"clear_faults", clear_faults},
    Method{"drop", drop, {"queues", "cntlid", "qid"}},
    Method{"expire_keep_alive", expire_keep_alive, {"cntlid"}},
};

json dispatch(Target& target, const json& request) {
  const auto name = request.find("method");
  if (name == request.end()) throw std::runtime_error("\"method\" is missing");
  if (!name->is_string()) throw std::runtime_error("\"method\" must be a text");
  const auto* method = std::ranges::find(kMethods, name->get<std::string>(), &Method::name);
  if (method == kMethods.end()) {
    throw std::runtime_error(
        "there is no method \"" + name->get<std::string>() +
        "\"; there are stats, list, ns_add, ns_remove, ns_resize, referral_add, referral_remove, "
        "zone_fail, finish_operations, fault, clear_faults, drop and expire_keep_alive");
  }
  const Params params(request);
  params.check_names(method->parameters);
  return method->call(target, params);
}

}  // namespace

std::string handle_control_request(Target& target, std::string_view line) {
  json response;
  try {
    const json request = json::parse(line, nullptr, false);
    if (!request.is_object()) throw std::runtime_error("a request is a JSON object on one line");
    response["result"] = dispatch(target, request);
  } catch (const std::exception& error) {
    response = {{"error", {{"message", error.what()}}}};
  }
  return response.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace nvublk::target
