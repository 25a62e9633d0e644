// The commands of the Zoned Namespace command set. [ZNS 1.2 §3.4]

#include <algorithm>

#include "target/queue.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

std::uint64_t start_lba(const SubmissionEntry& sqe) {
  return sqe.cdw10.get() | (std::uint64_t{sqe.cdw11.get()} << 32);
}

}  // namespace

Reply Queue::zone_append(const Sqe& sqe, Bytes data) {
  Range range;
  if (const NvmeStatus status = locate(sqe, true, range); !status.ok()) {
    return Reply::with_status(status);
  }
  const Namespace& ns = range.space();
  if (ns.zones() == nullptr) return Reply::error(GenericStatus::kInvalidOpcode);
  if (data.size() != range.length) return Reply::error(GenericStatus::kDataSglLengthInvalid);
  std::uint64_t lba = 0;
  const NvmeStatus allowed = ns.zones()->append(range.lba, range.blocks, lba);
  if (!allowed.ok()) return Reply::with_status(allowed);
  const NvmeStatus status = write_blocks(ns, {lba, range.blocks}, range.control, data);
  if (status.ok()) stats_.written_bytes.add(range.length);
  Reply reply = finish_write(sqe, ns, {lba, range.blocks}, status);
  if (reply.status.ok()) reply.result = lba;
  return reply;
}

Reply Queue::zone_send(const Sqe& sqe, Bytes data) {
  const std::shared_ptr<Namespace>* found = nullptr;
  if (const NvmeStatus status = open_namespace(sqe, true, found); !status.ok()) {
    return Reply::with_status(status);
  }
  const Namespace& ns = **found;
  if (ns.zones() == nullptr) return Reply::error(GenericStatus::kInvalidOpcode);
  const std::uint64_t lba = start_lba(sqe);
  const auto action = static_cast<ZoneSendAction>(sqe.cdw13.get() & 0xff);
  const bool all = (sqe.cdw13.get() & kZoneSelectAll) != 0;
  if (!all && !ns.contains(lba, 1)) return Reply::error(GenericStatus::kLbaOutOfRange);
  if (action == ZoneSendAction::kSetExtension) {
    Zones::Extension extension{};
    if (all) return Reply::error(GenericStatus::kInvalidField);
    if (data.size() != extension.size()) return Reply::error(GenericStatus::kDataSglLengthInvalid);
    std::ranges::copy(data, extension.begin());
    return Reply::with_status(ns.zones()->set_extension(lba, extension));
  }
  const Zones::Sent sent = ns.zones()->send(action, lba, all);
  for (const std::uint64_t zone : sent.emptied) {
    const NvmeStatus status = zero_blocks(ns, zone, ns.zones()->options().zone_blocks, {}, true);
    if (!status.ok()) return Reply::with_status(status);
  }
  return Reply::with_status(sent.status);
}

Reply Queue::zone_receive(const Sqe& sqe) {
  const std::shared_ptr<Namespace>* found = nullptr;
  if (const NvmeStatus status = open_namespace(sqe, false, found); !status.ok()) {
    return Reply::with_status(status);
  }
  const Namespace& ns = **found;
  if (ns.zones() == nullptr) return Reply::error(GenericStatus::kInvalidOpcode);
  if (!ns.contains(start_lba(sqe), 1)) return Reply::error(GenericStatus::kLbaOutOfRange);
  const std::uint32_t how = sqe.cdw13.get();
  Zones::Report request;
  request.lba = start_lba(sqe);
  request.action = static_cast<ZoneReceiveAction>(how & 0xff);
  request.option = static_cast<ZoneReportOption>((how >> 8) & 0xff);
  request.partial = (how & kZonePartialReport) != 0;
  request.length_bytes = (std::size_t{sqe.cdw12.get()} + 1) * 4;
  if (request.length_bytes > subsystem_.options().max_transfer_bytes) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  auto report = ns.zones()->report(request);
  if (!report) return Reply::error(GenericStatus::kInvalidField);
  return Reply::with_data(std::move(*report), static_cast<std::uint32_t>(request.length_bytes));
}

}  // namespace nvublk::target
