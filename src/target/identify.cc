// Identify. [Base 2.1 §5.1.13] [NVM 1.1 §4.1.5]

#include "nvme/spec/identify.h"

#include <algorithm>
#include <bit>

#include "nvme/spec/features.h"
#include "nvme/spec/properties.h"
#include "nvme/spec/text.h"
#include "nvme/spec/zoned.h"
#include "target/queue.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

/// NSIDs from here on are never in a list. [Base 2.1 §5.1.13.2.2]
constexpr std::uint32_t kLastListNsid = 0xfffffffd;

constexpr std::uint8_t kSharedNamespace = 1;       // NMIC bit 0
constexpr std::uint8_t kWriteProtected = 1;        // NSATTR bit 0
constexpr std::uint8_t kDeallocatedReadsZero = 1;  // DLFEAT bits 2:0
constexpr std::uint8_t kWriteZeroesDeallocates = 1u << 3;

constexpr std::uint8_t kReservationTypes = 0xfe;  // RESCAP: all types, but not persistent

/// LBA format, metadata, protection and the limits of Copy. [NVM 1.1 §4.1.5]
void set_format_fields(IdentifyNamespace& id, const BlockFormat& format) {
  id.lbaf[0].ms = static_cast<std::uint16_t>(format.metadata_bytes);
  if (format.metadata_bytes != 0) {
    id.flbas = 1u << 4;  // metadata extends each block: fabrics have no other way
    id.mc = 1;
    id.dpc = 0x1f;
    id.dps = static_cast<std::uint8_t>(format.protection_type |
                                       (format.protection_first ? 1u << 3 : 0u));
  }
  const CopyLimits limits = CopyLimits::of(format);
  id.mssrl = limits.range_blocks;
  id.mcl = limits.blocks;
  id.msrc = static_cast<std::uint8_t>(limits.ranges - 1);
}

template <typename T>
Reply whole(const T& value) {
  return Reply::with_data(bytes_of(value), kIdentifyBytes);
}

void append_descriptor(std::vector<std::uint8_t>& list, NamespaceIdType type, Bytes identifier) {
  const NamespaceIdDescriptor head{
      static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(identifier.size()), {}};
  const auto bytes = bytes_of(head);
  list.insert(list.end(), bytes.begin(), bytes.end());
  list.insert(list.end(), identifier.begin(), identifier.end());
}

/// Sanitize, firmware, self-tests, security and directives. [Base 2.1 §5.1.13.2.1]
void set_management_fields(IdentifyController& id, const Options& options) {
  id.oacs = std::uint16_t{0x35};
  id.frmw = static_cast<std::uint8_t>(kFirmwareFirstSlotReadOnly | (Firmware::kSlots << 1) |
                                      kFirmwareActivatesWithoutReset | kFirmwareDetectsOverlap);
  id.fwug = Firmware::kGranularity;
  const std::uint32_t minutes = options.self_test_time_ms / 60000 + 1;
  id.edstt = static_cast<std::uint16_t>(std::min<std::uint32_t>(minutes, 0xffff));
  id.dsto = kSelfTestOnePerSubsystem;
  id.sanicap =
      kSanitizeCryptoErase | kSanitizeBlockErase | kSanitizeOverwrite | kSanitizeMediaNotModified;
}

/// What host and controller need to know of each other over fabrics. [Base 2.1 §5.1.13.2.1]
void set_fabrics_fields(IdentifyController& id, const Options& options, bool discovery) {
  const std::uint32_t in_capsule = discovery ? 0 : options.in_capsule_bytes;
  id.ioccsz = static_cast<std::uint32_t>((kSubmissionEntryBytes + in_capsule) / 16);
  id.iorcsz = static_cast<std::uint32_t>(kCompletionEntryBytes / 16);
  id.msdbd = 1;
  // Any alignment; transport data blocks; offsets into the capsule where it may hold data.
  id.sgls = 1u | (1u << 21) | (in_capsule != 0 ? 1u << 20 : 0u);
  id.maxcmd = static_cast<std::uint16_t>(std::min<std::uint32_t>(options.queue_entries, 65535));
  id.kas = static_cast<std::uint16_t>(Controller::kKeepAliveUnitMs / 100);
}

}  // namespace

Reply Queue::identify(const Sqe& sqe) {
  const auto cns = static_cast<IdentifyCns>(sqe.cdw10.get() & 0xff);
  const auto csi = static_cast<CommandSetIdentifier>(sqe.cdw11.get() >> 24);
  const std::uint32_t nsid = sqe.nsid.get();
  if (cns == IdentifyCns::kController) return identify_controller();
  if (controller_->identity().discovery) return Reply::error(GenericStatus::kInvalidField);
  if (cns == IdentifyCns::kNamespace) return identify_namespace(nsid);
  if (cns == IdentifyCns::kActiveNamespaceList) return identify_namespace_list(nsid);
  if (cns == IdentifyCns::kNamespaceDescriptors) return identify_descriptors(nsid);
  if (cns == IdentifyCns::kIndependentNamespace) return identify_independent_namespace(nsid);
  if (cns == IdentifyCns::kCommandSets) {
    // One combination: the NVM and the Zoned Namespace command sets.
    std::vector<std::uint8_t> vectors{0x5};
    return Reply::with_data(std::move(vectors), kIdentifyBytes);
  }
  if (csi == CommandSetIdentifier::kZonedNamespace) return identify_zoned(cns, nsid);
  if (csi != CommandSetIdentifier::kNvm) return Reply::error(GenericStatus::kInvalidField);
  if (cns == IdentifyCns::kCommandSetNamespace) return identify_command_set_namespace(nsid);
  if (cns == IdentifyCns::kCommandSetController) return whole(IdentifyControllerNvm{});
  if (cns == IdentifyCns::kCommandSetActiveNamespaceList) {
    return identify_namespace_list(nsid, CommandSetIdentifier::kNvm);
  }
  return Reply::error(GenericStatus::kInvalidField);
}

Reply Queue::identify_zoned(IdentifyCns cns, std::uint32_t nsid) {
  if (cns == IdentifyCns::kCommandSetController) return whole(IdentifyControllerZoned{});
  if (cns == IdentifyCns::kCommandSetActiveNamespaceList) {
    return identify_namespace_list(nsid, CommandSetIdentifier::kZonedNamespace);
  }
  if (cns != IdentifyCns::kCommandSetNamespace) return Reply::error(GenericStatus::kInvalidField);
  const auto* found = namespaces_.find(nsid);
  if (found == nullptr || (*found)->zones() == nullptr) {
    return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  }
  const ZoneOptions& zones = (*found)->zones()->options();
  IdentifyNamespaceZoned id;
  id.ozcs = std::uint16_t{1};  // reads may cross zones
  id.mar = zones.max_active - 1;
  id.mor = zones.max_open - 1;
  id.lbafe[0].zsze = zones.zone_blocks;
  id.lbafe[0].zdes = Zones::kExtensionBytes / 64;
  return whole(id);
}

Reply Queue::identify_controller() {
  const Options& options = subsystem_.options();
  const bool discovery = controller_->identity().discovery;
  IdentifyController id;
  fill_text(id.sn, options.serial, ' ');
  fill_text(id.mn, options.model, ' ');
  fill_text(id.fr, subsystem_.firmware().revision(), ' ');
  id.cmic = 0x3;  // several ports, several controllers
  id.mdts = static_cast<std::uint8_t>(std::countr_zero(options.max_transfer_bytes / 4096));
  id.cntlid = controller_->identity().cntlid;
  id.ver = Vs::make(2, 1).raw;
  id.ctratt = 1;  // host identifiers of 16 bytes
  id.cntrltype =
      static_cast<std::uint8_t>(discovery ? ControllerType::kDiscovery : ControllerType::kIo);
  id.lpa = 1u << 2;
  id.elpe = Controller::kErrorRecords - 1;
  id.aerl = Controller::kEventRequests - 1;
  set_fabrics_fields(id, options, discovery);
  fill_text(id.subnqn, discovery ? std::string_view(kDiscoveryNqn) : options.subnqn, '\0');
  if (discovery) {
    id.oaes = kAsyncDiscoveryLog;
    return whole(id);
  }
  id.oaes = kAsyncNamespaceAttribute | kAsyncFirmwareActivation;
  set_management_fields(id, options);
  id.crdt1 = options.retry_delays_100ms[0];
  id.crdt2 = options.retry_delays_100ms[1];
  id.crdt3 = options.retry_delays_100ms[2];
  id.acl = 3;
  id.lpa |= 1u << 1;
  id.sqes = 0x66;
  id.cqes = 0x44;
  id.nn = NamespaceTable::kMaxNsid;
  // Compare, Write Uncorrectable, Dataset Management, Write Zeroes, reservations, Verify, Copy.
  id.oncs = std::uint16_t{0x1af};
  id.fuses = std::uint16_t{1};  // Compare and Write
  id.vwc = 0x7;                 // a cache, which Flush with the broadcast NSID flushes too
  return whole(id);
}

Reply Queue::identify_namespace(std::uint32_t nsid) {
  if (nsid == 0 || nsid > NamespaceTable::kMaxNsid) {
    return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  }
  IdentifyNamespace id;
  const auto* found = namespaces_.find(nsid);
  if (found == nullptr) return whole(id);
  const Namespace& ns = **found;
  id.nsze = ns.size_blocks();
  id.ncap = ns.size_blocks();
  id.nuse = ns.size_blocks();
  id.nmic = kSharedNamespace;
  id.rescap = kReservationTypes;
  id.noiob = ns.boundary_blocks();
  set_format_fields(id, ns.format());
  id.dlfeat = kDeallocatedReadsZero | kWriteZeroesDeallocates;
  id.nsattr = ns.read_only() ? kWriteProtected : 0;
  const std::uint8_t other = identity_offset();
  id.nguid = ns.nguid();
  id.eui64 = ns.eui64();
  id.nguid[0] ^= other;
  id.eui64[0] ^= other;
  id.lbaf[0].lbads = static_cast<std::uint8_t>(ns.block_shift());
  return whole(id);
}

Reply Queue::identify_namespace_list(std::uint32_t after, std::optional<CommandSetIdentifier> csi) {
  if (after > kLastListNsid) return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  nvme::spec::NamespaceList list;
  std::size_t count = 0;
  const auto all = subsystem_.namespaces().list();
  for (const auto& ns : *all) {
    if (csi && *csi != ns->command_set()) continue;
    if (ns->nsid() > after && count < list.nsid.size()) list.nsid[count++] = ns->nsid();
  }
  return whole(list);
}

// What the first byte of every identifier is changed by.
std::uint8_t Queue::identity_offset() const {
  return subsystem_.faults().present(FaultKind::kWrongIdentity, true) ? 0xff : 0;
}

Reply Queue::identify_descriptors(std::uint32_t nsid) {
  const auto* found = namespaces_.find(nsid);
  if (found == nullptr) return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  const Namespace& ns = **found;
  std::vector<std::uint8_t> list;
  const auto append = [this, &list](NamespaceIdType type, auto id) {
    id[0] ^= identity_offset();
    append_descriptor(list, type, id);
  };
  append(NamespaceIdType::kEui64, ns.eui64());
  append(NamespaceIdType::kNguid, ns.nguid());
  append(NamespaceIdType::kUuid, ns.uuid().bytes);
  const std::uint8_t csi = static_cast<std::uint8_t>(ns.command_set());
  append_descriptor(list, NamespaceIdType::kCsi, {&csi, 1});
  return Reply::with_data(std::move(list), kIdentifyBytes);
}

Reply Queue::identify_command_set_namespace(std::uint32_t nsid) {
  if (namespaces_.find(nsid) == nullptr) {
    return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  }
  return whole(IdentifyNamespaceNvm{});
}

Reply Queue::identify_independent_namespace(std::uint32_t nsid) {
  const auto* found = namespaces_.find(nsid);
  if (found == nullptr) return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  IdentifyNamespaceIndependent id;
  id.nmic = kSharedNamespace;
  id.rescap = kReservationTypes;
  id.nsattr = (*found)->read_only() ? kWriteProtected : 0;
  id.nstat = 1;
  return whole(id);
}

}  // namespace nvublk::target
