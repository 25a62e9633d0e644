// Verbs: commands of the user's own.

#include <algorithm>
#include <array>
#include <utility>

#include "nvme/base64.h"
#include "nvme/protection.h"
#include "nvme/spec/opcodes.h"
#include "service/verbs.h"

namespace nvublk::service {

namespace {

using nvme::spec::AdminOpcode;
using nvme::spec::DataDirection;

/// Why the daemon does not let a command through, empty if it does.
std::string why_refused(std::uint8_t opcode, bool io) {
  if (opcode == nvme::spec::kFabricsOpcode) {
    return "Fabrics commands are nvublkd's: they make and end its connections";
  }
  if (io) {
    return {};
  }
  switch (static_cast<AdminOpcode>(opcode)) {
    case AdminOpcode::kDeleteIoSubmissionQueue:
    case AdminOpcode::kCreateIoSubmissionQueue:
    case AdminOpcode::kDeleteIoCompletionQueue:
    case AdminOpcode::kCreateIoCompletionQueue:
      return "I/O queues are nvublkd's; it makes them when it connects";
    case AdminOpcode::kAsyncEventRequest:
      return "asynchronous events are nvublkd's; it keeps requests for them waiting";
    case AdminOpcode::kDoorbellBufferConfig:
      return "doorbell buffers are memory of nvublkd's";
    default:
      return {};
  }
}

/// Reads the fields of a command but for its data.
nvme::spec::SubmissionEntry read_entry(JsonFields& fields, std::uint32_t device_nsid) {
  nvme::spec::SubmissionEntry sqe;
  if (!fields.integer("opcode", sqe.opcode, 0)) {
    fields.complain("\"opcode\" says which command");
  }
  std::uint32_t nsid = device_nsid;
  fields.integer("namespace-id", nsid, 0);
  sqe.nsid = nsid;
  const std::array<std::pair<const char*, Le32*>, 8> dwords = {{{"cdw2", &sqe.cdw2},
                                                                {"cdw3", &sqe.cdw3},
                                                                {"cdw10", &sqe.cdw10},
                                                                {"cdw11", &sqe.cdw11},
                                                                {"cdw12", &sqe.cdw12},
                                                                {"cdw13", &sqe.cdw13},
                                                                {"cdw14", &sqe.cdw14},
                                                                {"cdw15", &sqe.cdw15}}};
  for (const auto& [name, dword] : dwords) {
    std::uint32_t value = 0;
    if (fields.integer(name, value, 0)) {
      *dword = value;
    }
  }
  return sqe;
}

/// What the command sends, or room for what it receives; `data` is base64.
std::vector<std::byte> read_data(JsonFields& fields, std::uint8_t opcode) {
  std::uint32_t length = 0;
  std::uint8_t prefill = 0;
  std::string text;
  const bool has_length = fields.integer("data-len", length, 0, Verbs::kMaxDataBytes);
  fields.integer("prefill", prefill, 0);
  const bool sends = fields.text("data", text);
  std::vector<std::byte> data(length, std::byte{prefill});
  if (sends) {
    auto bytes = nvme::from_base64(text);
    if (!bytes) {
      fields.complain("\"data\" must be base64");
    } else if (bytes->size() > Verbs::kMaxDataBytes ||
               (has_length && bytes->size() > data.size())) {
      fields.complain("\"data\" is longer than \"data-len\", or than a command may carry");
    } else {
      if (!has_length) {
        data.resize(bytes->size());
      }
      std::copy(bytes->begin(), bytes->end(), data.begin());
    }
  }
  // What the opcode says is what the device does. [Base 2.1 §4.1.1]
  const DataDirection direction = nvme::spec::data_direction(opcode);
  if (!data.empty() && direction == DataDirection::kNone) {
    fields.complain("a command with an opcode that is a multiple of 4 moves no data");
  } else if (!data.empty() && direction == DataDirection::kBidirectional) {
    fields.complain("a command that moves data both ways cannot be passed through");
  } else if (sends && direction != DataDirection::kHostToController) {
    fields.complain("a command with this opcode sends no data");
  }
  return data;
}

/// How much data a command moves by its own fields; 0 where that cannot be told from them.
std::uint64_t data_bytes(const nvme::Controller& controller, const nvme::spec::SubmissionEntry& sqe,
                         bool io) {
  if (!io && sqe.admin_opcode() == AdminOpcode::kIdentify) {
    return nvme::spec::kIdentifyBytes;
  }
  if (!io && sqe.admin_opcode() == AdminOpcode::kGetLogPage) {
    const std::uint64_t dwords = sqe.cdw10.get() >> 16 | (sqe.cdw11.get() & 0xffff) << 16;
    return (dwords + 1) * 4;
  }
  const nvme::spec::NvmOpcode opcode = sqe.nvm_opcode();
  if (!io || (opcode != nvme::spec::NvmOpcode::kRead && opcode != nvme::spec::NvmOpcode::kWrite &&
              opcode != nvme::spec::NvmOpcode::kCompare)) {
    return 0;
  }
  const nvme::Namespace* block = controller.find_namespace(sqe.nsid.get());
  return block == nullptr
             ? 0
             : ((sqe.cdw12.get() & 0xffff) + std::uint64_t{1}) * block->geometry().block_size_bytes;
}

/// What the command sends of metadata, or room for what it receives; `metadata` is base64.
std::vector<std::byte> read_metadata(JsonFields& fields) {
  std::uint32_t length = 0;
  std::uint8_t prefill = 0;
  std::string text;
  fields.integer("metadata-len", length, 0, Verbs::kMaxMetadataBytes);
  fields.integer("prefill", prefill, 0);
  std::vector<std::byte> metadata(length, std::byte{prefill});
  if (!fields.text("metadata", text)) {
    return metadata;
  }
  const auto bytes = nvme::from_base64(text);
  if (!bytes || bytes->size() > metadata.size()) {
    fields.complain("\"metadata\" must be base64, of at most \"metadata-len\" bytes");
    return metadata;
  }
  std::ranges::copy(*bytes, metadata.begin());
  return metadata;
}

/// How much metadata a command moves in a buffer of its own.
std::uint64_t metadata_bytes(const nvme::Controller& controller,
                             const nvme::spec::SubmissionEntry& sqe) {
  const nvme::spec::NvmOpcode opcode = sqe.nvm_opcode();
  const nvme::Namespace* block = controller.find_namespace(sqe.nsid.get());
  if (block == nullptr ||
      (opcode != nvme::spec::NvmOpcode::kRead && opcode != nvme::spec::NvmOpcode::kWrite &&
       opcode != nvme::spec::NvmOpcode::kCompare)) {
    return 0;
  }
  const auto format = nvme::MetadataFormat::of(block->profile().data);
  return ((sqe.cdw12.get() & 0xffff) + std::uint64_t{1}) * format.separate_bytes(sqe.cdw12.get());
}

/// Without memory of ours the controller would take its metadata from anywhere.
Status check_metadata(const nvme::Controller& controller, const DeviceCommand& command) {
  const std::uint64_t moved = command.io ? metadata_bytes(controller, command.sqe) : 0;
  const bool possible = controller.transport_limits().separate_metadata;
  if (!command.metadata.empty() && !(command.io && possible)) {
    return fail(ErrorCode::kUnsupported,
                command.io ? "metadata apart from the data needs a local drive; over fabrics it "
                             "comes with the data"
                           : "admin commands are passed through without metadata");
  }
  if (possible && moved > command.metadata.size()) {
    return fail(ErrorCode::kInvalidArgument, "the command moves " + std::to_string(moved) +
                                                 " bytes of metadata, but has room for " +
                                                 std::to_string(command.metadata.size()) +
                                                 "; say --metadata-len=" + std::to_string(moved));
  }
  return {};
}

/// A device may go by the command and not by the size of our memory, such as one with PRPs.
Status check_length(const nvme::Controller& controller, const DeviceCommand& command) {
  const std::uint64_t most = max_transfer_bytes(controller);
  if (command.data.size() > most) {
    return fail(ErrorCode::kInvalidArgument, controller.name() + " moves " + std::to_string(most) +
                                                 " bytes with one command at most");
  }
  if (const std::uint64_t moved = data_bytes(controller, command.sqe, command.io);
      moved > command.data.size()) {
    return fail(ErrorCode::kInvalidArgument, "the command moves " + std::to_string(moved) +
                                                 " bytes, but has room for " +
                                                 std::to_string(command.data.size()) +
                                                 "; say --data-len=" + std::to_string(moved));
  }
  return {};
}

}  // namespace

void Verbs::admin_passthru(CallId id, JsonFields& fields) {
  passthru(id, fields, false);
}

void Verbs::io_passthru(CallId id, JsonFields& fields) {
  passthru(id, fields, true);
}

void Verbs::passthru(CallId id, JsonFields& fields, bool io) {
  const auto target = read_target(fields);
  DeviceCommand command;
  command.name = io ? "I/O passthrough" : "admin passthrough";
  command.io = io;
  command.sqe = read_entry(fields, io && target ? target->nsid : 0);
  command.data = read_data(fields, command.sqe.opcode);
  command.metadata = read_metadata(fields);
  std::uint32_t timeout_ms = 0;
  if (fields.integer("timeout", timeout_ms, 0)) {
    command.timeout = milliseconds(timeout_ms);
  }
  Attachment* attachment = begin(id, fields, target);
  if (attachment == nullptr) {
    return;
  }
  if (const std::string reason = why_refused(command.sqe.opcode, io); !reason.empty()) {
    fail_call(id, Error::make(ErrorCode::kUnsupported, reason));
    return;
  }
  nvme::Controller& controller = attachment->controller();
  const bool live = controller.state() == nvme::ControllerState::kLive;
  Status fits = live ? check_length(controller, command) : Status{};
  if (live && fits) {
    fits = check_metadata(controller, command);
  }
  if (!fits) {
    fail_call(id, std::move(fits.error()));
    return;
  }
  const bool receives =
      nvme::spec::data_direction(command.sqe.opcode) == DataDirection::kControllerToHost;
  send_command(controller, std::move(command),
               answering(id, false, [receives](const DeviceAnswer& answer) -> Result<Json> {
                 Json report{{"result", answer.result}};
                 if (receives && !answer.data.empty()) {
                   report["data"] = nvme::to_base64(answer.data);
                 }
                 if (receives && !answer.metadata.empty()) {
                   report["metadata"] = nvme::to_base64(answer.metadata);
                 }
                 return report;
               }));
}

}  // namespace nvublk::service
