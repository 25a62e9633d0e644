#pragma once

// Reads the discovery log. What comes in is a target's: counts, lengths and texts are checked here,
// once. [Base 2.1 §5.1.12]

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/error.h"
#include "nvme/spec/log_pages.h"
#include "nvme/transport_id.h"

namespace nvublk::nvme {

/// More records than this are refused; the largest fabrics have far fewer.
inline constexpr std::uint64_t kMaxDiscoveryRecords = 16384;

/// The head of the log.
struct DiscoveryHeader {
  std::uint64_t genctr = 0;  ///< the same before and after reading: the records belong together
  std::uint64_t record_count = 0;  ///< at most kMaxDiscoveryRecords
  /// How much to read for the whole log, header included.
  std::uint64_t log_bytes() const { return (record_count + 1) * sizeof(spec::DiscoveryLogHeader); }
};

/// A subsystem that a host may connect to, or another discovery subsystem.
struct DiscoveryRecord {
  TransportId id;                                            ///< where it is; complete and checked
  spec::SubsystemType subtype = spec::SubsystemType::kNvme;  ///< what is there
  std::uint16_t portid = 0;                  ///< PORTID, of the port of the subsystem
  std::uint16_t cntlid = 0;                  ///< CNTLID; kCntlidDynamic or kCntlidStaticAny: any
  std::uint16_t asqsz = 0;                   ///< largest admin queue, in entries
  std::uint16_t eflags = 0;                  ///< EFLAGS
  bool secure_channel_required = false;      ///< TREQ: connections have to be secured
  bool may_disable_sq_flow_control = false;  ///< TREQ: disable_sq_flow_control may be asked for
};

/// The whole log.
struct DiscoveryLog {
  std::uint64_t genctr = 0;                      ///< as in DiscoveryHeader
  std::vector<DiscoveryRecord> records;          ///< those of use, in their order
  std::vector<spec::DiscoveryLogEntry> entries;  ///< all of them, as they came
  std::vector<std::string> skipped;              ///< for each record that is of no use, why
};

/// Reads the first 1024 bytes of the log.
Result<DiscoveryHeader> decode_discovery_header(std::span<const std::byte> data);

/// Reads a whole log: header and as many records as the header says. Fails when `data` is shorter.
Result<DiscoveryLog> decode_discovery_log(std::span<const std::byte> data);

/// Reads one record.
Result<DiscoveryRecord> decode_discovery_record(const spec::DiscoveryLogEntry& entry);

}  // namespace nvublk::nvme
