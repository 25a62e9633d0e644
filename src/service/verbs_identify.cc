// Verbs: what Identify and Get Features tell.

#include <cstring>
#include <utility>

#include "engine/check.h"
#include "nvme/base64.h"
#include "nvme/spec/opcodes.h"
#include "service/feature_names.h"
#include "service/identify_report.h"
#include "service/verbs.h"

namespace nvublk::service {

namespace {

using nvme::spec::FeatureId;
using nvme::spec::FeatureSelect;
using nvme::spec::IdentifyCns;

template <typename Structure>
Structure structure_of(const DeviceAnswer& answer) {
  Structure structure;
  CHECK(answer.data.size() == sizeof(structure));
  std::memcpy(&structure, answer.data.data(), sizeof(structure));
  return structure;
}

DeviceCommand identify_command(const nvme::command::IdentifyArguments& arguments) {
  DeviceCommand command;
  command.name = "identify";
  command.sqe = nvme::command::identify(arguments);
  command.data.resize(nvme::spec::kIdentifyBytes);
  return command;
}

}  // namespace

void Verbs::id_ctrl(CallId id, JsonFields& fields) {
  const auto target = read_target(fields);
  bool raw = false;
  bool vendor = false;
  fields.flag("raw", raw);
  fields.flag("vendor-specific", vendor);
  if (Attachment* attachment = begin(id, fields, target)) {
    send_command(attachment->controller(), identify_command({.cns = IdentifyCns::kController}),
                 answering(id, raw, [vendor](const DeviceAnswer& answer) -> Result<Json> {
                   const auto data = structure_of<nvme::spec::IdentifyController>(answer);
                   Json report = id_ctrl_report(data);
                   if (vendor) {
                     report["vs"] = nvme::to_base64(std::as_bytes(std::span(data.vendor)));
                   }
                   return report;
                 }));
  }
}

void Verbs::id_ns(CallId id, JsonFields& fields) {
  const auto target = read_target(fields);
  std::uint32_t nsid = target ? target->nsid : 0;
  bool raw = false;
  bool force = false;
  bool vendor = false;
  fields.flag("force", force);
  // FFFFFFFFh asks for what all namespaces have in common; none is allocated under it.
  // [Base 2.1 §5.1.13.2.1]
  fields.integer("namespace-id", nsid, 1, nvme::spec::kNsidBroadcast - (force ? 1 : 0));
  fields.flag("raw", raw);
  fields.flag("vendor-specific", vendor);
  Attachment* attachment = begin(id, fields, target);
  if (attachment == nullptr) {
    return;
  }
  if (nsid == 0) {
    fail_call(id, Error::make(ErrorCode::kInvalidArgument,
                              attachment->name() +
                                  " is a controller; say which namespace with --namespace-id, or "
                                  "name a device"));
    return;
  }
  const auto cns = force ? IdentifyCns::kAllocatedNamespace : IdentifyCns::kNamespace;
  send_command(attachment->controller(), identify_command({.cns = cns, .nsid = nsid}),
               answering(id, raw, [nsid, vendor](const DeviceAnswer& answer) -> Result<Json> {
                 const auto block = structure_of<nvme::spec::IdentifyNamespace>(answer);
                 // An inactive namespace is all zeroes. [Base 2.1 §5.1.13.2.1]
                 if (!block.active() && nsid != nvme::spec::kNsidBroadcast) {
                   return fail(ErrorCode::kNotFound,
                               "namespace " + std::to_string(nsid) +
                                   " is not active; 'nvublk list-ns' shows those "
                                   "that are");
                 }
                 Json report = id_ns_report(block);
                 report["nsid"] = nsid;
                 if (vendor) {
                   report["vs"] = nvme::to_base64(std::as_bytes(std::span(block.vendor)));
                 }
                 return report;
               }));
}

void Verbs::list_ns(CallId id, JsonFields& fields) {
  const auto target = read_target(fields);
  std::uint32_t first = 1;
  std::int64_t csi = -1;
  bool all = false;
  fields.integer("namespace-id", first, 1, nvme::spec::kNsidBroadcast - 1);
  fields.integer("csi", csi, 0, 255);
  fields.flag("all", all);
  Attachment* attachment = begin(id, fields, target);
  if (attachment == nullptr) {
    return;
  }
  nvme::command::IdentifyArguments arguments;
  arguments.cns = all ? IdentifyCns::kAllocatedNamespaceList : IdentifyCns::kActiveNamespaceList;
  if (csi >= 0) {
    arguments.cns = all ? IdentifyCns::kCommandSetAllocatedNamespaceList
                        : IdentifyCns::kCommandSetActiveNamespaceList;
    arguments.csi = static_cast<nvme::spec::CommandSetIdentifier>(csi);
  }
  // The list is of ids above the one in the command. [Base 2.1 §5.1.13.2.2]
  arguments.nsid = first - 1;
  send_command(attachment->controller(), identify_command(arguments),
               answering(id, false, [](const DeviceAnswer& answer) -> Result<Json> {
                 return ns_list_report(structure_of<nvme::spec::NamespaceList>(answer));
               }));
}

void Verbs::get_feature(CallId id, JsonFields& fields) {
  const auto target = read_target(fields);
  std::uint8_t feature = 0;
  std::uint32_t nsid = target ? target->nsid : 0;
  std::uint8_t select = 0;
  std::uint32_t cdw11 = 0;
  std::uint8_t uuid_index = 0;
  std::int64_t data_len = -1;
  if (!fields.integer("feature-id", feature, 1)) {
    fields.complain("\"feature-id\" says which feature");
  }
  fields.integer("namespace-id", nsid, 0);
  fields.integer("sel", select, 0, kSelectChanged);
  fields.integer("cdw11", cdw11, 0);
  fields.integer("uuid-index", uuid_index, 0, 127);
  fields.integer("data-len", data_len, 0, kMaxDataBytes);
  Attachment* attachment = begin(id, fields, target);
  if (attachment == nullptr) {
    return;
  }
  const bool changed = select == kSelectChanged;
  DeviceCommand command;
  command.name = "get features";
  command.sqe = nvme::command::get_features(
      static_cast<FeatureId>(feature), nsid,
      changed ? FeatureSelect::kCurrent : static_cast<FeatureSelect>(select), cdw11);
  command.sqe.cdw14 = std::uint32_t{uuid_index};
  const bool capabilities = select == 3;
  const std::size_t usual = capabilities ? 0 : feature_data_bytes(feature, cdw11);
  command.data.resize(data_len >= 0 ? static_cast<std::size_t>(data_len) : usual);
  nvme::Controller& controller = attachment->controller();
  if (changed) {
    get_changed_feature(id, controller, feature, std::move(command));
    return;
  }
  send_command(controller, std::move(command),
               answering(id, false, [feature, select](const DeviceAnswer& answer) -> Result<Json> {
                 return feature_report(feature, select, static_cast<std::uint32_t>(answer.result),
                                       answer.data);
               }));
}

// `command` asks for the current value; then the default one is asked for. A feature that has none
// counts as changed, as with nvme-cli.
void Verbs::get_changed_feature(CallId id, nvme::Controller& controller, std::uint8_t feature,
                                DeviceCommand command) {
  DeviceCommand second = command;
  second.sqe.cdw10 =
      second.sqe.cdw10.get() | std::uint32_t{std::to_underlying(FeatureSelect::kDefault)} << 8;
  send_command(
      controller, std::move(command),
      [this, id, &controller, feature,
       second = std::move(second)](Result<DeviceAnswer> current) mutable {
        if (!current) {
          fail_call(id, std::move(current.error()));
          return;
        }
        send_command(
            controller, std::move(second),
            [this, id, feature, now = std::move(*current)](const Result<DeviceAnswer>& usual) {
              Json report =
                  feature_report(feature, 0, static_cast<std::uint32_t>(now.result), now.data);
              report["changed"] = !usual || usual->result != now.result || usual->data != now.data;
              answer_(id, std::move(report));
            });
      });
}

}  // namespace nvublk::service
