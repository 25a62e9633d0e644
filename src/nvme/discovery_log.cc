#include "nvme/discovery_log.h"

#include <cstring>
#include <string_view>
#include <utility>

#include "nvme/spec/text.h"

namespace nvublk::nvme {
namespace {

static_assert(sizeof(spec::DiscoveryLogHeader) == sizeof(spec::DiscoveryLogEntry));

// Address fields are padded with spaces by some targets and with NULs by others.
template <std::size_t N>
std::string unpadded(const std::array<char, N>& field) {
  std::string_view text = spec::raw_text(field);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return std::string(text);
}

Result<Trtype> trtype_of(std::uint8_t code) {
  switch (static_cast<spec::TransportTypeCode>(code)) {
    case spec::TransportTypeCode::kRdma:
      return Trtype::kRdma;
    case spec::TransportTypeCode::kFibreChannel:
      return Trtype::kFibreChannel;
    case spec::TransportTypeCode::kTcp:
      return Trtype::kTcp;
    case spec::TransportTypeCode::kIntraHost:
      break;
  }
  return fail(ErrorCode::kUnsupported,
              "the transport type " + std::to_string(code) + " is not supported");
}

Adrfam adrfam_of(std::uint8_t code) {
  switch (static_cast<spec::AddressFamilyCode>(code)) {
    case spec::AddressFamilyCode::kIpv4:
      return Adrfam::kIpv4;
    case spec::AddressFamilyCode::kIpv6:
      return Adrfam::kIpv6;
    case spec::AddressFamilyCode::kInfiniBand:
      return Adrfam::kInfiniBand;
    case spec::AddressFamilyCode::kFibreChannel:
      return Adrfam::kFibreChannel;
    case spec::AddressFamilyCode::kIntraHost:
      break;
  }
  return Adrfam::kNone;
}

}  // namespace

Result<DiscoveryHeader> decode_discovery_header(std::span<const std::byte> data) {
  spec::DiscoveryLogHeader header;
  if (data.size() < sizeof(header)) {
    return fail(ErrorCode::kProtocol, "the discovery log is shorter than its header");
  }
  std::memcpy(&header, data.data(), sizeof(header));
  if (header.recfmt.get() != 0) {
    return fail(ErrorCode::kUnsupported, "the discovery log has the unknown record format " +
                                             std::to_string(header.recfmt.get()));
  }
  if (header.numrec.get() > kMaxDiscoveryRecords) {
    return fail(ErrorCode::kProtocol, "the discovery log claims to have " +
                                          std::to_string(header.numrec.get()) + " records");
  }
  return DiscoveryHeader{header.genctr.get(), header.numrec.get()};
}

Result<DiscoveryRecord> decode_discovery_record(const spec::DiscoveryLogEntry& entry) {
  const Result<Trtype> trtype = trtype_of(entry.trtype);
  if (!trtype) return std::unexpected(trtype.error());
  if (entry.subtype < 1 || entry.subtype > 3) {
    return fail(ErrorCode::kUnsupported,
                "the subsystem type " + std::to_string(entry.subtype) + " is not known");
  }
  DiscoveryRecord record;
  record.id.trtype = *trtype;
  record.id.adrfam = adrfam_of(entry.adrfam);
  record.id.traddr = unpadded(entry.traddr);
  record.id.trsvcid = unpadded(entry.trsvcid);
  record.id.subnqn = unpadded(entry.subnqn);
  record.subtype = static_cast<spec::SubsystemType>(entry.subtype);
  record.portid = entry.portid.get();
  record.cntlid = entry.cntlid.get();
  record.asqsz = entry.asqsz.get();
  record.eflags = entry.eflags.get();
  record.secure_channel_required = entry.secure_channel() == 1;
  record.may_disable_sq_flow_control = entry.may_disable_sq_flow_control();
  if (record.id.subnqn.empty()) {
    return fail(ErrorCode::kProtocol, "the record names no subsystem");
  }
  if (const Status complete = record.id.complete(); !complete) {
    return std::unexpected(complete.error());
  }
  return record;
}

Result<DiscoveryLog> decode_discovery_log(std::span<const std::byte> data) {
  const Result<DiscoveryHeader> header = decode_discovery_header(data);
  if (!header) return std::unexpected(header.error());
  if (data.size() < header->log_bytes()) {
    return fail(ErrorCode::kProtocol, "the discovery log is shorter than its " +
                                          std::to_string(header->record_count) + " records");
  }
  DiscoveryLog log;
  log.genctr = header->genctr;
  for (std::uint64_t i = 1; i <= header->record_count; i++) {
    spec::DiscoveryLogEntry entry;
    std::memcpy(&entry, data.data() + i * sizeof(entry), sizeof(entry));
    log.entries.push_back(entry);
    Result<DiscoveryRecord> record = decode_discovery_record(entry);
    if (record) {
      log.records.push_back(std::move(*record));
    } else {
      log.skipped.push_back(std::move(record.error().text));
    }
  }
  return log;
}

}  // namespace nvublk::nvme
