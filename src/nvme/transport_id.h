#pragma once

// Names one way to one subsystem: which transport, where, and which NQN. Two textual forms are
// read and written: SPDK's ("trtype:TCP adrfam:IPv4 traddr:192.0.2.1 trsvcid:4420 subnqn:nqn...")
// and a URI ("nvme+tcp://192.0.2.1:4420/nqn...").

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace nvublk::nvme {

/// The numbers below 256 are those of discovery log entries. [Base 2.1 §5.1.12]
enum class Trtype : std::uint16_t {
  kRdma = 1,
  kFibreChannel = 2,
  kTcp = 3,
  kPcie = 256,
};

/// The family of an address; none when it is a host name, or the transport has no families.
/// [Base 2.1 §5.1.12]
enum class Adrfam : std::uint8_t {
  kNone = 0,
  kIpv4 = 1,
  kIpv6 = 2,
  kInfiniBand = 3,
  kFibreChannel = 4,
};

/// "PCIe", "RDMA", "FC", "TCP".
std::string_view trtype_name(Trtype trtype);
/// "IPv4", "IPv6", "IB", "FC"; empty for kNone.
std::string_view adrfam_name(Adrfam adrfam);

/// Reads what trtype_name() writes, in any case.
Result<Trtype> parse_trtype(std::string_view text);
/// Reads what adrfam_name() writes, in any case.
Result<Adrfam> parse_adrfam(std::string_view text);

/// Which transport, where, and which subsystem. A plain value; complete() checks it.
struct TransportId {
  static constexpr std::size_t kMaxTraddrLength = 256;  ///< characters. [Base 2.1 §5.1.12]
  static constexpr std::size_t kMaxTrsvcidLength = 32;  ///< characters. [Base 2.1 §5.1.12]

  Trtype trtype = Trtype::kTcp;   ///< how
  Adrfam adrfam = Adrfam::kNone;  ///< complete() sets it for a literal address
  std::string traddr;             ///< IP address or host name, "DDDD:BB:DD.F" for PCIe
  std::string trsvcid;            ///< port number; empty for PCIe
  std::string subnqn;             ///< the discovery NQN when a fabric's id names no subsystem

  /// Reads either form; the result is complete() and checked.
  static Result<TransportId> parse(std::string_view text);

  /// Fills in what is missing: the discovery NQN, the default port, the family of a literal
  /// address; writes a PCI address in full. Fails on what cannot be right: unknown characters, a
  /// field that is too long, a family that is not the address's.
  Status complete();

  /// SPDK's form; parse() reads it back to an equal id, unless the NQN has a space in it, which
  /// only the URI can have.
  std::string to_string() const;
  /// The URI; parse() reads it back to an equal id. It cannot say which family a host name should
  /// resolve to. Fibre Channel has no URI: SPDK's form again.
  std::string to_uri() const;

  /// Whether there is a network in between: all but PCIe.
  bool is_fabrics() const { return trtype != Trtype::kPcie; }
  /// Whether it names a discovery subsystem. [Base 2.1 §3.1.3.3]
  bool is_discovery() const;
};

/// What an id in SPDK's form may say besides, for programs that take it as their only argument.
struct TransportIdExtras {
  std::string hostnqn;     ///< 1 to 223 bytes; empty: not given
  std::string hostaddr;    ///< an IP address; empty: not given
  std::string hostsvcid;   ///< a port number; empty: not given
  std::uint32_t nsid = 0;  ///< 0: not given
};

/// All that a text said.
struct ParsedTransportId {
  TransportId id;            ///< complete and checked
  TransportIdExtras extras;  ///< checked
};

/// As TransportId::parse(), with the keys hostnqn, hostaddr, hostsvcid and ns; alt_traddr and
/// priority are checked and skipped. What is given twice has its last value, as in SPDK.
Result<ParsedTransportId> parse_transport_id(std::string_view text);

/// The port that is meant when none is given: 4420, or 8009 for TCP discovery. [TCP 1.1 §3.1]
std::uint16_t default_port(Trtype trtype, bool discovery);

/// Order and equality as SPDK has them: PCIe by the parsed address only; fabrics by family, address
/// (IP addresses by value, names in any case), service in any case, and NQN.
std::weak_ordering compare(const TransportId& left, const TransportId& right);
/// Whether compare() finds no difference.
inline bool operator==(const TransportId& left, const TransportId& right) {
  return std::is_eq(compare(left, right));
}

}  // namespace nvublk::nvme
