#include "nvme/transport_id.h"

#include <optional>
#include <utility>

#include "nvme/ip_address.h"
#include "nvme/nqn.h"
#include "nvme/pci_address.h"
#include "nvme/spec/fabrics.h"
#include "nvme/spec/tcp_pdu.h"
#include "nvme/text.h"

namespace nvublk::nvme {
namespace {

struct TrtypeRow {
  Trtype trtype;
  std::string_view name;
};
constexpr TrtypeRow kTrtypes[] = {
    {Trtype::kPcie, "PCIe"},
    {Trtype::kRdma, "RDMA"},
    {Trtype::kFibreChannel, "FC"},
    {Trtype::kTcp, "TCP"},
};

struct AdrfamRow {
  Adrfam adrfam;
  std::string_view name;
};
constexpr AdrfamRow kAdrfams[] = {
    {Adrfam::kIpv4, "IPv4"},
    {Adrfam::kIpv6, "IPv6"},
    {Adrfam::kInfiniBand, "IB"},
    {Adrfam::kFibreChannel, "FC"},
};

std::unexpected<Error> refuse(std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

bool is_ip_transport(Trtype trtype) {
  return trtype == Trtype::kTcp || trtype == Trtype::kRdma;
}

// Labels of letters, digits, '-' and '_'. A name of digits and dots only is a mistyped IPv4
// address, not a host.
bool is_host_name(std::string_view name) {
  constexpr std::size_t kMaxNameLength = 253;
  if (name.empty() || name.size() > kMaxNameLength) return false;
  bool has_letter = false;
  char previous = '.';
  for (const char c : name) {
    const bool letter = text::is_letter(c) || c == '_';
    if (!letter && !text::is_digit(c) && c != '-' && c != '.') return false;
    if (c == '.' && previous == '.') return false;
    has_letter = has_letter || letter;
    previous = c;
  }
  return has_letter;
}

Status complete_ip_address(TransportId& id) {
  const std::optional<IpAddress> literal = IpAddress::parse(id.traddr);
  if (!literal) {
    if (is_host_name(id.traddr)) {
      if (id.adrfam == Adrfam::kInfiniBand || id.adrfam == Adrfam::kFibreChannel) {
        return refuse("the address " + text::quote(id.traddr) + " is not of family " +
                      std::string(adrfam_name(id.adrfam)));
      }
      return {};
    }
    return refuse("the address " + text::quote(id.traddr) +
                  " is neither an IP address nor a host name");
  }
  const Adrfam family = literal->is_ipv6() ? Adrfam::kIpv6 : Adrfam::kIpv4;
  if (id.adrfam != Adrfam::kNone && id.adrfam != family) {
    return refuse("the address " + text::quote(id.traddr) + " is " +
                  std::string(adrfam_name(family)) + ", but adrfam says " +
                  std::string(adrfam_name(id.adrfam)) + "; leave adrfam out or make them agree");
  }
  id.adrfam = family;
  return {};
}

Status check_port(std::string_view text) {
  unsigned port = 0;
  bool digits = !text.empty() && text.size() <= 5;
  for (const char c : text) {
    digits = digits && text::is_digit(c);
    port = port * 10 + static_cast<unsigned>(c - '0');
    if (!digits) break;
  }
  if (digits && port >= 1 && port <= 65535) return {};
  return refuse("the service " + text::quote(text) + " is not a port number from 1 to 65535");
}

Status complete_pcie(TransportId& id) {
  const Result<PciAddress> address = PciAddress::parse(id.traddr);
  if (!address) return std::unexpected(address.error());
  id.traddr = address->to_string();
  id.adrfam = Adrfam::kNone;
  if (!id.trsvcid.empty()) return refuse("a PCIe address has no service; leave trsvcid out");
  return id.subnqn.empty() ? Status{} : check_nqn_usable(id.subnqn, "the subsystem NQN");
}

// Addresses of fabrics without IP are compared as text; only their characters are checked.
Status check_opaque(std::string_view text, std::string_view what) {
  for (const char c : text) {
    if (c <= ' ' || c > '~') {
      return refuse(std::string(what) + " " + text::quote(text) +
                    " has a character in it that no address has");
    }
  }
  return {};
}

std::weak_ordering compare_text(std::string_view left, std::string_view right) {
  return left.compare(right) <=> 0;
}

std::weak_ordering compare_ignoring_case(std::string_view left, std::string_view right) {
  return compare_text(text::lowercase(left), text::lowercase(right));
}

std::weak_ordering compare_addresses(std::string_view left, std::string_view right) {
  const std::optional<IpAddress> left_ip = IpAddress::parse(left);
  const std::optional<IpAddress> right_ip = IpAddress::parse(right);
  if (left_ip && right_ip) return *left_ip <=> *right_ip;
  return compare_ignoring_case(left, right);
}

std::weak_ordering compare_pcie(const TransportId& left, const TransportId& right) {
  const Result<PciAddress> left_address = PciAddress::parse(left.traddr);
  const Result<PciAddress> right_address = PciAddress::parse(right.traddr);
  if (left_address && right_address) return *left_address <=> *right_address;
  return compare_ignoring_case(left.traddr, right.traddr);
}

}  // namespace

std::string_view trtype_name(Trtype trtype) {
  for (const TrtypeRow& row : kTrtypes) {
    if (row.trtype == trtype) return row.name;
  }
  return "unknown";
}

std::string_view adrfam_name(Adrfam adrfam) {
  for (const AdrfamRow& row : kAdrfams) {
    if (row.adrfam == adrfam) return row.name;
  }
  return "";
}

Result<Trtype> parse_trtype(std::string_view text) {
  for (const TrtypeRow& row : kTrtypes) {
    if (text::equal_ignoring_case(row.name, text)) return row.trtype;
  }
  return refuse("the transport " + text::quote(text) +
                " is not known; the transports are tcp, rdma, pcie and fc");
}

Result<Adrfam> parse_adrfam(std::string_view text) {
  for (const AdrfamRow& row : kAdrfams) {
    if (text::equal_ignoring_case(row.name, text)) return row.adrfam;
  }
  return refuse("the address family " + text::quote(text) +
                " is not known; the families are ipv4, ipv6, ib and fc");
}

std::uint16_t default_port(Trtype trtype, bool discovery) {
  return trtype == Trtype::kTcp && discovery ? spec::kNvmeTcpDiscoveryPort : spec::kNvmeIoPort;
}

bool TransportId::is_discovery() const {
  return is_discovery_nqn(subnqn);
}

Status TransportId::complete() {
  if (traddr.empty()) {
    return refuse(
        "the transport address is missing; give the target's IP address or host name, "
        "or the PCI address of a local drive");
  }
  if (traddr.size() > kMaxTraddrLength) {
    return refuse("the address " + text::quote(traddr) + " is longer than 256 characters");
  }
  if (trsvcid.size() > kMaxTrsvcidLength) {
    return refuse("the service " + text::quote(trsvcid) + " is longer than 32 characters");
  }
  if (!is_fabrics()) return complete_pcie(*this);
  if (subnqn.empty()) subnqn = spec::kDiscoveryNqn;
  if (const Status nqn = check_nqn_usable(subnqn, "the subsystem NQN"); !nqn) return nqn;
  if (is_ip_transport(trtype)) {
    if (const Status address = complete_ip_address(*this); !address) return address;
    if (trsvcid.empty()) trsvcid = std::to_string(default_port(trtype, is_discovery()));
    return check_port(trsvcid);
  }
  adrfam = Adrfam::kFibreChannel;
  if (const Status address = check_opaque(traddr, "the address"); !address) return address;
  return check_opaque(trsvcid, "the service");
}

std::weak_ordering compare(const TransportId& left, const TransportId& right) {
  if (left.trtype != right.trtype) return left.trtype <=> right.trtype;
  if (left.trtype == Trtype::kPcie) return compare_pcie(left, right);
  if (left.adrfam != right.adrfam) return left.adrfam <=> right.adrfam;
  const std::weak_ordering address = compare_addresses(left.traddr, right.traddr);
  if (!std::is_eq(address)) return address;
  const std::weak_ordering service = compare_ignoring_case(left.trsvcid, right.trsvcid);
  if (!std::is_eq(service)) return service;
  return compare_text(left.subnqn, right.subnqn);
}

}  // namespace nvublk::nvme
