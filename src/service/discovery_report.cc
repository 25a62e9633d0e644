#include "service/discovery_report.h"

#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "nvme/spec/text.h"

namespace nvublk::service {

namespace {

using nvme::spec::DiscoveryLogEntry;

// [Base 2.1 §5.1.12.3.1]
std::string_view trtype_word(std::uint8_t code) {
  switch (code) {
    case 1:
      return "rdma";
    case 2:
      return "fc";
    case 3:
      return "tcp";
    case 254:
      return "loop";
    default:
      return "unrecognized";
  }
}

std::string_view adrfam_word(std::uint8_t code) {
  constexpr std::array<std::string_view, 5> kWords = {"pci", "ipv4", "ipv6", "infiniband",
                                                      "fibre-channel"};
  return code < kWords.size() ? kWords[code] : "unrecognized";
}

std::string_view subtype_word(std::uint8_t code) {
  constexpr std::array<std::string_view, 4> kWords = {
      "unrecognized", "discovery subsystem referral", "nvme subsystem",
      "current discovery subsystem"};
  return code < kWords.size() ? kWords[code] : "unrecognized";
}

std::string_view treq_word(std::uint8_t treq) {
  constexpr std::array<std::string_view, 8> kWords = {
      "not specified",
      "required",
      "not required",
      "unrecognized",
      "not specified, sq flow control disable supported",
      "required, sq flow control disable supported",
      "not required, sq flow control disable supported",
      "unrecognized"};
  return treq < kWords.size() ? kWords[treq] : "unrecognized";
}

std::string_view eflags_word(std::uint16_t eflags) {
  constexpr std::array<std::string_view, 4> kWords = {
      "none", "duplicate discovery information", "explicit discovery connections",
      "explicit discovery connections, duplicate discovery information"};
  return eflags < kWords.size() ? kWords[eflags] : "unrecognized";
}

template <std::size_t N>
std::string_view word_of(const std::array<std::string_view, N>& words, std::uint8_t code) {
  return code < N ? words[code] : "unrecognized";
}

// The transport specific address subtype. [Base 2.1 §5.1.12.3.1] [TCP 1.1 §3.1]
void add_tsas(Json& json, const DiscoveryLogEntry& entry) {
  constexpr std::array<std::string_view, 3> kQueuePairs = {"unrecognized", "connected", "datagram"};
  constexpr std::array<std::string_view, 6> kProviders = {
      "unrecognized", "not specified", "infiniband", "roce", "roce-v2", "iwarp"};
  constexpr std::array<std::string_view, 2> kConnections = {"unrecognized", "rdma-cm"};
  constexpr std::array<std::string_view, 3> kSecurity = {"none", "tls", "tls13"};
  if (entry.trtype == 1) {
    json["rdma_prtype"] = word_of(kProviders, entry.tsas[1]);
    json["rdma_qptype"] = word_of(kQueuePairs, entry.tsas[0]);
    json["rdma_cms"] = word_of(kConnections, entry.tsas[2]);
    json["rdma_pkey"] = entry.tsas[8] | entry.tsas[9] << 8;
  } else if (entry.trtype == 3) {
    json["sectype"] = word_of(kSecurity, entry.tsas[0]);
  }
}

void add_log(Json& json, const nvme::DiscoveryWalk::Log& log) {
  json["genctr"] = log.genctr;
  json["records"] = Json::array();
  for (const DiscoveryLogEntry& entry : log.entries) {
    json["records"].push_back(discovery_record(entry));
  }
}

Json address(const nvme::TransportId& id) {
  return Json{{"traddr", id.traddr}, {"trsvcid", id.trsvcid}, {"subnqn", id.subnqn}};
}

}  // namespace

Json discovery_record(const DiscoveryLogEntry& entry) {
  Json json;
  json["trtype"] = trtype_word(entry.trtype);
  json["adrfam"] = adrfam_word(entry.adrfam);
  json["subtype"] = subtype_word(entry.subtype);
  json["treq"] = treq_word(entry.treq);
  json["portid"] = entry.portid.get();
  json["trsvcid"] = nvme::spec::printable_text(entry.trsvcid);
  json["subnqn"] = nvme::spec::printable_text(entry.subnqn);
  json["traddr"] = nvme::spec::printable_text(entry.traddr);
  json["eflags"] = eflags_word(entry.eflags.get());
  add_tsas(json, entry);
  return json;
}

std::vector<std::byte> discovery_log_bytes(const nvme::DiscoveryWalk::Log& log) {
  nvme::spec::DiscoveryLogHeader header;
  header.genctr = log.genctr;
  header.numrec = std::uint64_t{log.entries.size()};
  std::vector<std::byte> bytes(sizeof(header) + log.entries.size() * sizeof(DiscoveryLogEntry));
  std::memcpy(bytes.data(), &header, sizeof(header));
  if (!log.entries.empty()) {
    std::memcpy(bytes.data() + sizeof(header), log.entries.data(), bytes.size() - sizeof(header));
  }
  return bytes;
}

Json discovery_report(const std::vector<nvme::DiscoveryWalk::Log>& logs,
                      const std::vector<std::pair<nvme::TransportId, Error>>& failures) {
  Json json;
  Json referrals = Json::array();
  bool first = true;
  for (const nvme::DiscoveryWalk::Log& log : logs) {
    if (std::exchange(first, false)) {
      add_log(json, log);
      continue;
    }
    Json referral = address(log.id);
    add_log(referral, log);
    referrals.push_back(std::move(referral));
  }
  for (const auto& [id, error] : failures) {
    Json referral = address(id);
    referral["error"] = error.text;
    referrals.push_back(std::move(referral));
  }
  if (!referrals.empty()) {
    json["referrals"] = std::move(referrals);
  }
  return json;
}

}  // namespace nvublk::service
