// Verbs: log pages.

#include <algorithm>
#include <cstring>
#include <utility>

#include "service/log_report.h"
#include "service/verbs.h"

namespace nvublk::service {

namespace {

using nvme::spec::LogPage;

/// More than this is not read of a log whose length the controller determines.
constexpr std::uint64_t kMaxAnaLogBytes = 4 * 1024 * 1024;

/// LSP of the ANA log, RGO: only the groups, without their namespaces. [Base 2.1 §5.1.12.1.13]
constexpr std::uint8_t kReturnGroupsOnly = 1;

/// How long the ANA log may be. [Base 2.1 §5.1.12.1.13]
std::uint64_t ana_log_bytes(const nvme::spec::IdentifyController& identify, bool groups_only) {
  const std::uint64_t namespaces =
      identify.mnan.get() != 0 ? identify.mnan.get() : identify.nn.get();
  const std::uint64_t bytes =
      sizeof(nvme::spec::AnaLogHeader) +
      std::uint64_t{identify.nanagrpid.get()} * sizeof(nvme::spec::AnaGroupDescriptor) +
      (groups_only ? 0 : namespaces * sizeof(Le32));
  return std::min(bytes, kMaxAnaLogBytes);
}

}  // namespace

void Verbs::smart_log(CallId id, JsonFields& fields) {
  const auto target = read_target(fields);
  // Unless one is asked for, the log is the controller's, as with nvme-cli.
  std::uint32_t nsid = nvme::spec::kNsidBroadcast;
  bool raw = false;
  fields.integer("namespace-id", nsid, 1);
  fields.flag("raw", raw);
  if (Attachment* attachment = begin(id, fields, target)) {
    read_log(
        attachment->controller(),
        {.page = LogPage::kSmartHealth, .length_bytes = sizeof(nvme::spec::SmartLog), .nsid = nsid},
        answering(id, raw, [](const DeviceAnswer& answer) -> Result<Json> {
          nvme::spec::SmartLog log;
          std::memcpy(&log, answer.data.data(), sizeof(log));
          return smart_log_report(log);
        }));
  }
}

void Verbs::error_log(CallId id, JsonFields& fields) {
  const auto target = read_target(fields);
  std::uint32_t entries = 64;
  bool raw = false;
  fields.integer("log-entries", entries, 1);
  fields.flag("raw", raw);
  Attachment* attachment = begin(id, fields, target);
  if (attachment == nullptr) {
    return;
  }
  const std::uint32_t there = attachment->controller().profile().identify.error_log_entry_count();
  read_log(
      attachment->controller(),
      {.page = LogPage::kErrorInformation,
       .length_bytes = std::uint64_t{std::min(entries, there)} * sizeof(nvme::spec::ErrorLogEntry)},
      answering(id, raw, [](const DeviceAnswer& answer) -> Result<Json> {
        return error_log_report(answer.data);
      }));
}

void Verbs::ana_log(CallId id, JsonFields& fields) {
  const auto target = read_target(fields);
  bool groups = false;
  bool raw = false;
  fields.flag("groups", groups);
  fields.flag("raw", raw);
  Attachment* attachment = begin(id, fields, target);
  if (attachment == nullptr) {
    return;
  }
  const nvme::spec::IdentifyController& identify = attachment->controller().profile().identify;
  if (!identify.supports_ana()) {
    fail_call(id, Error::make(ErrorCode::kUnsupported,
                              attachment->name() + " does not report Asymmetric Namespace Access"));
    return;
  }
  read_log(attachment->controller(),
           {.page = LogPage::kAna,
            .length_bytes = ana_log_bytes(identify, groups),
            .lsp = groups ? kReturnGroupsOnly : std::uint8_t{0}},
           answering(id, raw, [name = attachment->name()](const DeviceAnswer& answer) {
             return ana_log_report(answer.data, name);
           }));
}

}  // namespace nvublk::service
