// The two textual forms of a TransportId: reading and writing.

#include <charconv>
#include <cstddef>
#include <optional>
#include <utility>

#include "nvme/ip_address.h"
#include "nvme/nqn.h"
#include "nvme/text.h"
#include "nvme/transport_id.h"

namespace nvublk::nvme {
namespace {

constexpr std::string_view kUriPrefix = "nvme+";
constexpr std::string_view kWhitespace = " \t\n";
constexpr std::size_t kMaxKeyLength = 31;
constexpr std::size_t kMaxValueLength = 1023;

std::unexpected<Error> refuse(std::string message) {
  return fail(ErrorCode::kInvalidArgument, std::move(message));
}

// SPDK's form.

struct KeyValue {
  std::string_view key;
  std::string_view value;
};

// Takes the next "key:value" off the front of `text`, which starts with no whitespace and is not
// empty. The separator is the first ':' or '='; the value may have more of them.
Result<KeyValue> next_pair(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find_first_of(kWhitespace));
  text.remove_prefix(word.size());
  const std::size_t separator = word.find_first_of(":=");
  if (separator == std::string_view::npos) {
    return refuse(text::quote(word) +
                  " is not of the form key:value; write trtype:TCP "
                  "traddr:ADDRESS trsvcid:PORT subnqn:NQN, or nvme+tcp://"
                  "ADDRESS:PORT/NQN");
  }
  const KeyValue pair{word.substr(0, separator), word.substr(separator + 1)};
  if (pair.key.empty() || pair.key.size() > kMaxKeyLength) {
    return refuse("the key " + text::quote(pair.key) + " is empty or longer than 31 characters");
  }
  if (pair.value.empty()) return refuse("the value of " + text::quote(pair.key) + " is missing");
  if (pair.value.size() > kMaxValueLength) {
    return refuse("the value of " + text::quote(pair.key) + " is longer than 1023 characters");
  }
  return pair;
}

std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t least,
                                          std::uint32_t most) {
  std::uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || value < least || value > most) return std::nullopt;
  return value;
}

Status store_nsid(std::string_view value, std::uint32_t& nsid) {
  const std::optional<std::uint32_t> number = parse_number(value, 1, 0xfffffffe);
  if (!number) {
    return refuse("the namespace id " + text::quote(value) +
                  " is not a number from 1 to 4294967294");
  }
  nsid = *number;
  return {};
}

Status store_host_address(const std::string& value, std::string& hostaddr) {
  if (!IpAddress::parse(value)) {
    return refuse("the source address " + text::quote(value) + " is not an IP address");
  }
  hostaddr = value;
  return {};
}

Status store_host_service(const std::string& value, std::string& hostsvcid) {
  if (!parse_number(value, 1, 65535)) {
    return refuse("the source port " + text::quote(value) +
                  " is not a port number from 1 to 65535");
  }
  hostsvcid = value;
  return {};
}

// What is not part of the identity. SPDK gives its ids priorities of at most 4 characters.
Status store_extra(const std::string& key, const std::string& value, TransportIdExtras& extras) {
  if (key == "hostnqn") {
    extras.hostnqn = value;
    return check_nqn_usable(value, "the host NQN");
  }
  if (key == "hostaddr") return store_host_address(value, extras.hostaddr);
  if (key == "hostsvcid") return store_host_service(value, extras.hostsvcid);
  if (key == "ns") return store_nsid(value, extras.nsid);
  if (key == "alt_traddr") {
    if (value.size() <= TransportId::kMaxTraddrLength) return {};
    return refuse("the address " + text::quote(value) + " is longer than 256 characters");
  }
  if (key == "priority") {
    if (parse_number(value, 0, 9999)) return {};
    return refuse("the priority " + text::quote(value) + " is not a number from 0 to 9999");
  }
  return refuse("the key " + text::quote(key) +
                " is not known; the keys are trtype, adrfam, traddr, trsvcid and subnqn");
}

Status store(const KeyValue& pair, ParsedTransportId& parsed, bool& has_trtype) {
  const std::string key = text::lowercase(pair.key);
  const std::string value(pair.value);
  if (key == "trtype") {
    const Result<Trtype> trtype = parse_trtype(value);
    if (!trtype) return std::unexpected(trtype.error());
    parsed.id.trtype = *trtype;
    has_trtype = true;
  } else if (key == "adrfam") {
    const Result<Adrfam> adrfam = parse_adrfam(value);
    if (!adrfam) return std::unexpected(adrfam.error());
    parsed.id.adrfam = *adrfam;
  } else if (key == "traddr") {
    parsed.id.traddr = value;
  } else if (key == "trsvcid") {
    parsed.id.trsvcid = value;
  } else if (key == "subnqn") {
    parsed.id.subnqn = value;
  } else {
    return store_extra(key, value, parsed.extras);
  }
  return {};
}

Result<ParsedTransportId> parse_pairs(std::string_view text) {
  ParsedTransportId parsed;
  bool has_trtype = false;
  while (true) {
    const std::size_t start = text.find_first_not_of(kWhitespace);
    if (start == std::string_view::npos) break;
    text.remove_prefix(start);
    const Result<KeyValue> pair = next_pair(text);
    if (!pair) return std::unexpected(pair.error());
    if (const Status stored = store(*pair, parsed, has_trtype); !stored) {
      return std::unexpected(stored.error());
    }
  }
  if (!has_trtype)
    return refuse(
        "the transport is missing; write trtype:TCP, trtype:RDMA or "
        "trtype:PCIe");
  return parsed;
}

// The URI. [RFC 3986 §3]

bool stays_as_is(char c) {
  return text::is_letter(c) || text::is_digit(c) ||
         std::string_view("-._~:!$&'()*+,;=@").find(c) != std::string_view::npos;
}

std::string percent_encode(std::string_view text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (stays_as_is(c)) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += kDigits[byte >> 4];
    encoded += kDigits[byte & 0xf];
  }
  return encoded;
}

Result<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? text::hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? text::hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return refuse("in " + text::quote(text) +
                    " a '%' is not followed by two hexadecimal digits; write %25 for a '%'");
    }
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

// Splits "HOST", "HOST:PORT", "[IPV6]" or "[IPV6]:PORT".
Status split_authority(std::string_view authority, TransportId& id) {
  std::string_view host = authority;
  std::string_view rest;
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) {
      return refuse("in " + text::quote(authority) + " the ']' after the IPv6 address is missing");
    }
    host = authority.substr(1, close - 1);
    rest = authority.substr(close + 1);
  } else if (const std::size_t colon = authority.find(':'); colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    rest = authority.substr(colon);
    if (rest.find(':', 1) != std::string_view::npos) {
      return refuse("the address " + text::quote(authority) +
                    " has several ':'; write an IPv6 address in [brackets]");
    }
  }
  if (!rest.empty() && (!rest.starts_with(':') || rest.size() == 1)) {
    return refuse("in " + text::quote(authority) + " a port number should follow the address");
  }
  if (!rest.empty()) id.trsvcid = rest.substr(1);
  const Result<std::string> decoded = percent_decode(host);
  if (!decoded) return std::unexpected(decoded.error());
  id.traddr = *decoded;
  if (authority.starts_with('[')) {
    const std::optional<IpAddress> address = IpAddress::parse(id.traddr);
    if (!address || !address->is_ipv6()) {
      return refuse(text::quote(id.traddr) + " in [brackets] is not an IPv6 address");
    }
  }
  return {};
}

Result<ParsedTransportId> parse_uri(std::string_view uri) {
  const std::size_t colon = uri.find("://");
  if (colon == std::string_view::npos) {
    return refuse(text::quote(uri) +
                  " has no '://' after the transport; write nvme+tcp://ADDRESS:"
                  "PORT/NQN");
  }
  ParsedTransportId parsed;
  const Result<Trtype> trtype =
      parse_trtype(uri.substr(kUriPrefix.size(), colon - kUriPrefix.size()));
  if (!trtype) return std::unexpected(trtype.error());
  if (*trtype == Trtype::kFibreChannel) {
    return refuse("Fibre Channel addresses have no URI; write trtype:FC traddr:... subnqn:...");
  }
  parsed.id.trtype = *trtype;
  const std::string_view rest = uri.substr(colon + 3);
  if (rest.find_first_of("?#") != std::string_view::npos) {
    return refuse("the URI " + text::quote(uri) +
                  " has a '?' or '#'; in an NQN write them as %3F and %23");
  }
  const std::size_t slash = rest.find('/');
  const std::string_view authority = rest.substr(0, slash);
  if (*trtype == Trtype::kPcie) {
    parsed.id.traddr = authority;
  } else if (const Status split = split_authority(authority, parsed.id); !split) {
    return std::unexpected(split.error());
  }
  if (slash != std::string_view::npos) {
    Result<std::string> nqn = percent_decode(rest.substr(slash + 1));
    if (!nqn) return std::unexpected(nqn.error());
    parsed.id.subnqn = std::move(*nqn);
  }
  return parsed;
}

}  // namespace

Result<ParsedTransportId> parse_transport_id(std::string_view text) {
  const std::size_t start = text.find_first_not_of(kWhitespace);
  if (start == std::string_view::npos) {
    return refuse("the transport id is empty; write nvme+tcp://ADDRESS:PORT/NQN");
  }
  text = text.substr(start, text.find_last_not_of(kWhitespace) - start + 1);
  const bool is_uri = text::equal_ignoring_case(text.substr(0, kUriPrefix.size()), kUriPrefix);
  Result<ParsedTransportId> parsed = is_uri ? parse_uri(text) : parse_pairs(text);
  if (!parsed) return parsed;
  if (const Status complete = parsed->id.complete(); !complete) {
    return std::unexpected(complete.error());
  }
  return parsed;
}

Result<TransportId> TransportId::parse(std::string_view text) {
  Result<ParsedTransportId> parsed = parse_transport_id(text);
  if (!parsed) return std::unexpected(parsed.error());
  return std::move(parsed->id);
}

std::string TransportId::to_string() const {
  std::string text = "trtype:" + std::string(trtype_name(trtype));
  if (adrfam != Adrfam::kNone) text += " adrfam:" + std::string(adrfam_name(adrfam));
  text += " traddr:" + traddr;
  if (!trsvcid.empty()) text += " trsvcid:" + trsvcid;
  if (!subnqn.empty()) text += " subnqn:" + subnqn;
  return text;
}

std::string TransportId::to_uri() const {
  if (trtype == Trtype::kFibreChannel) return to_string();
  std::string uri(kUriPrefix);
  uri += text::lowercase(trtype_name(trtype)) + "://";
  const bool brackets = adrfam == Adrfam::kIpv6 && traddr.find(':') != std::string::npos;
  uri += brackets ? "[" + percent_encode(traddr) + "]" : percent_encode(traddr);
  if (!trsvcid.empty()) uri += ":" + trsvcid;
  if (!subnqn.empty()) uri += "/" + percent_encode(subnqn);
  return uri;
}

}  // namespace nvublk::nvme
