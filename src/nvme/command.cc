#include "nvme/command.h"

#include <utility>

#include "engine/check.h"
#include "nvme/spec/dsm.h"
#include "nvme/spec/opcodes.h"

namespace nvublk::nvme::command {
namespace {

using spec::AdminOpcode;
using spec::NvmOpcode;
using spec::SubmissionEntry;

constexpr std::uint32_t kMaxBlocks = 65536;

template <typename Opcode>
SubmissionEntry make(Opcode opcode, std::uint32_t nsid = 0) {
  SubmissionEntry sqe;
  sqe.opcode = static_cast<std::uint8_t>(opcode);
  sqe.nsid = nsid;
  return sqe;
}

}  // namespace

SubmissionEntry identify(const IdentifyArguments& arguments) {
  SubmissionEntry sqe = make(AdminOpcode::kIdentify, arguments.nsid);
  sqe.cdw10 =
      std::to_underlying(arguments.cns) | (static_cast<std::uint32_t>(arguments.cntid) << 16);
  sqe.cdw11 = arguments.cns_specific_id |
              (static_cast<std::uint32_t>(std::to_underlying(arguments.csi)) << 24);
  return sqe;
}

SubmissionEntry get_features(spec::FeatureId feature, std::uint32_t nsid,
                             spec::FeatureSelect select, std::uint32_t cdw11) {
  SubmissionEntry sqe = make(AdminOpcode::kGetFeatures, nsid);
  sqe.cdw10 =
      std::to_underlying(feature) | (static_cast<std::uint32_t>(std::to_underlying(select)) << 8);
  sqe.cdw11 = cdw11;
  return sqe;
}

SubmissionEntry set_features(spec::FeatureId feature, std::uint32_t cdw11, std::uint32_t nsid,
                             bool save) {
  SubmissionEntry sqe = make(AdminOpcode::kSetFeatures, nsid);
  sqe.cdw10 = std::to_underlying(feature) | (save ? 1u << 31 : 0u);
  sqe.cdw11 = cdw11;
  return sqe;
}

SubmissionEntry set_number_of_queues(std::uint32_t submission_queues,
                                     std::uint32_t completion_queues) {
  CHECK(submission_queues >= 1 && submission_queues <= 65535);
  CHECK(completion_queues >= 1 && completion_queues <= 65535);
  const spec::NumberOfQueues queues{submission_queues, completion_queues};
  return set_features(spec::FeatureId::kNumberOfQueues, queues.encode());
}

SubmissionEntry keep_alive() {
  return make(AdminOpcode::kKeepAlive);
}

SubmissionEntry async_event_request() {
  return make(AdminOpcode::kAsyncEventRequest);
}

SubmissionEntry abort(std::uint16_t sqid, std::uint16_t cid) {
  SubmissionEntry sqe = make(AdminOpcode::kAbort);
  sqe.cdw10 = sqid | (static_cast<std::uint32_t>(cid) << 16);
  return sqe;
}

SubmissionEntry get_log_page(const LogPageArguments& arguments) {
  CHECK(arguments.length_bytes % 4 == 0 && arguments.offset_bytes % 4 == 0);
  CHECK(arguments.length_bytes >= 4 && arguments.length_bytes <= (1ull << 34));
  CHECK(arguments.lsp <= 0x7f);
  const auto numd = static_cast<std::uint32_t>(arguments.length_bytes / 4 - 1);
  SubmissionEntry sqe = make(AdminOpcode::kGetLogPage, arguments.nsid);
  sqe.cdw10 = std::to_underlying(arguments.page) |
              (static_cast<std::uint32_t>(arguments.lsp) << 8) |
              (arguments.retain_async_event ? 1u << 15 : 0u) | (numd << 16);
  sqe.cdw11 = (numd >> 16) | (static_cast<std::uint32_t>(arguments.lsi) << 16);
  sqe.cdw12 = static_cast<std::uint32_t>(arguments.offset_bytes);
  sqe.cdw13 = static_cast<std::uint32_t>(arguments.offset_bytes >> 32);
  sqe.cdw14 = static_cast<std::uint32_t>(std::to_underlying(arguments.csi)) << 24;
  return sqe;
}

SubmissionEntry fabrics_connect(const ConnectArguments& arguments) {
  CHECK(arguments.queue_entries >= 2 && arguments.queue_entries <= 65536);
  spec::ConnectCommand connect;
  connect.qid = arguments.qid;
  connect.set_queue_entries(arguments.queue_entries);
  connect.kato = arguments.kato_ms;
  connect.cattr = static_cast<std::uint8_t>(
      (arguments.priority & 3u) |
      (arguments.disable_sq_flow_control ? spec::ConnectCommand::kDisableSqFlowControl : 0u) |
      (arguments.individual_queue_deletion ? spec::ConnectCommand::kIndividualQueueDeletion : 0u));
  return spec::as_submission_entry(connect);
}

SubmissionEntry property_get(spec::Property property) {
  spec::PropertyGetCommand get;
  get.attrib = std::to_underlying(is_8_byte_property(property) ? spec::PropertySize::k8Bytes
                                                               : spec::PropertySize::k4Bytes);
  get.ofst = std::to_underlying(property);
  return spec::as_submission_entry(get);
}

SubmissionEntry property_set(spec::Property property, std::uint64_t value) {
  spec::PropertySetCommand set;
  set.attrib = std::to_underlying(is_8_byte_property(property) ? spec::PropertySize::k8Bytes
                                                               : spec::PropertySize::k4Bytes);
  set.ofst = std::to_underlying(property);
  set.value = value;
  return spec::as_submission_entry(set);
}

SubmissionEntry disconnect() {
  return spec::as_submission_entry(spec::DisconnectCommand{});
}

SubmissionEntry block_command(NvmOpcode opcode, std::uint32_t nsid, std::uint64_t lba,
                              std::uint32_t block_count, std::uint32_t io_flags) {
  CHECK(block_count >= 1 && block_count <= kMaxBlocks);
  SubmissionEntry sqe = make(opcode, nsid);
  sqe.cdw10 = static_cast<std::uint32_t>(lba);
  sqe.cdw11 = static_cast<std::uint32_t>(lba >> 32);
  sqe.cdw12 = (block_count - 1) | io_flags;
  return sqe;
}

void set_protection_tags(SubmissionEntry& sqe, const ProtectionTags& tags) {
  sqe.cdw14 = tags.reference_tag;
  sqe.cdw15 = tags.application_tag | (std::uint32_t{tags.application_tag_mask} << 16);
}

SubmissionEntry read(std::uint32_t nsid, std::uint64_t lba, std::uint32_t block_count,
                     std::uint32_t io_flags) {
  return block_command(NvmOpcode::kRead, nsid, lba, block_count, io_flags);
}

SubmissionEntry write(std::uint32_t nsid, std::uint64_t lba, std::uint32_t block_count,
                      std::uint32_t io_flags) {
  return block_command(NvmOpcode::kWrite, nsid, lba, block_count, io_flags);
}

SubmissionEntry write_zeroes(std::uint32_t nsid, std::uint64_t lba, std::uint32_t block_count,
                             bool deallocate, std::uint32_t io_flags) {
  return block_command(NvmOpcode::kWriteZeroes, nsid, lba, block_count,
                       io_flags | (deallocate ? kIoDeallocate : 0u));
}

SubmissionEntry flush(std::uint32_t nsid) {
  return make(NvmOpcode::kFlush, nsid);
}

SubmissionEntry dataset_management(std::uint32_t nsid, std::uint32_t range_count,
                                   std::uint32_t attributes) {
  CHECK(range_count >= 1 && range_count <= spec::kDsmMaxRanges);
  SubmissionEntry sqe = make(NvmOpcode::kDatasetManagement, nsid);
  sqe.cdw10 = range_count - 1;
  sqe.cdw11 = attributes;
  return sqe;
}

}  // namespace nvublk::nvme::command
