#include "target/options.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <optional>

#include "target/uuid.h"

namespace nvublk::target {

namespace {

std::unexpected<Error> invalid(std::string text) {
  return fail(ErrorCode::kInvalidArgument, std::move(text));
}

template <typename T>
Result<T> parse_number(std::string_view text, std::string_view what) {
  T value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return invalid(std::string(what) + " \"" + std::string(text) + "\" is not a number in range");
  }
  return value;
}

// Sets `field` to a number, or to bytes as "64K", and says why not.
template <typename T>
Status set_number(T& field, std::string_view key, std::string_view value) {
  const auto number = parse_number<T>(value, key);
  if (!number) return std::unexpected(number.error());
  field = *number;
  return {};
}
Status set_bytes(std::uint64_t& field, std::string_view value) {
  const auto size = parse_size(value);
  if (!size) return std::unexpected(size.error());
  field = *size;
  return {};
}

// The options of formats and zones; nothing when `key` is not one of them.
std::optional<Status> apply_format(NamespaceOptions& options, std::string_view key,
                                   std::string_view value) {
  if (key == "ms") return set_number(options.metadata_bytes, key, value);
  if (key == "pi") return set_number(options.protection_type, key, value);
  if (key == "noiob") return set_number(options.boundary_blocks, key, value);
  if (key == "zsze") return set_bytes(options.zone_bytes, value);
  if (key == "zcap") return set_bytes(options.zone_capacity_bytes, value);
  if (key == "mor") return set_number(options.max_open_zones, key, value);
  if (key == "mar") return set_number(options.max_active_zones, key, value);
  if (key == "pi-first" && value.empty()) {
    options.protection_first = true;
    return Status{};
  }
  return std::nullopt;
}

Status apply(NamespaceOptions& options, std::string_view key, std::string_view value) {
  if (auto applied = apply_format(options, key, value)) return *applied;
  if (key == "size") {
    auto size = parse_size(value);
    if (!size) return std::unexpected(size.error());
    options.size_bytes = *size;
  } else if (key == "bs") {
    auto size = parse_size(value);
    if (!size) return std::unexpected(size.error());
    options.block_size = static_cast<std::uint32_t>(*size);
    if (options.block_size != *size) return invalid("bs is too large");
  } else if (key == "nsid") {
    auto nsid = parse_number<std::uint32_t>(value, "nsid");
    if (!nsid) return std::unexpected(nsid.error());
    options.nsid = *nsid;
  } else if (key == "file") {
    options.path = value;
  } else if (key == "log") {
    options.log_path = value;
  } else if (key == "uuid") {
    if (!Uuid::parse(value)) return invalid("\"" + std::string(value) + "\" is not a UUID");
    options.uuid = value;
  } else if (key == "ro" && value.empty()) {
    options.read_only = true;
  } else if (key == "cache" && value == "volatile") {
    options.volatile_cache = true;
  } else {
    return invalid(
        "a namespace has no option \"" + std::string(key) +
        "\"; it has size, bs, file, cache=volatile, log, nsid, uuid, ro, ms, pi, pi-first, "
        "noiob, zsze, zcap, mor and mar");
  }
  return {};
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  std::string_view digits = text;
  unsigned shift = 0;
  if (!text.empty()) {
    switch (text.back()) {
      case 'k':
      case 'K':
        shift = 10;
        break;
      case 'm':
      case 'M':
        shift = 20;
        break;
      case 'g':
      case 'G':
        shift = 30;
        break;
      case 't':
      case 'T':
        shift = 40;
        break;
      default:
        break;
    }
  }
  if (shift != 0) digits.remove_suffix(1);
  auto value = parse_number<std::uint64_t>(digits, "size");
  if (!value) return value;
  if (shift != 0 && (*value >> (64 - shift)) != 0) return invalid("the size is too large");
  return *value << shift;
}

Result<NamespaceOptions> NamespaceOptions::parse(std::string_view text) {
  NamespaceOptions options;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    const std::size_t equals = item.find('=');
    const std::string_view key = item.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view{} : item.substr(equals + 1);
    if (auto applied = apply(options, key, value); !applied) {
      return std::unexpected(applied.error());
    }
  }
  return options;
}

Status NamespaceOptions::check() const {
  if (!std::has_single_bit(block_size) || block_size < 512 || block_size > 65536) {
    return invalid("the block size must be a power of two, 512 to 64K");
  }
  if (size_bytes % block_size != 0) return invalid("the size must be a multiple of the block size");
  if (metadata_bytes != 0 && (metadata_bytes < 8 || metadata_bytes > 128)) {
    return invalid("a block has no metadata (ms=0), or 8 to 128 bytes of it");
  }
  if (protection_type > 3) return invalid("protection information has the types 1, 2 and 3");
  if (protection_type != 0 && metadata_bytes == 0) {
    return invalid("protection information (pi) is in the metadata: give ms=8 or more");
  }
  if (volatile_cache && path.empty()) {
    return invalid("memory has nothing to write a cache back to: give cache=volatile with file");
  }
  if ((metadata_bytes != 0 || zoned()) && !path.empty()) {
    return invalid("metadata and zones are kept in memory: leave out file");
  }
  if (!zoned()) {
    return zone_capacity_bytes == 0 && max_open_zones == 0 && max_active_zones == 0
               ? Status{}
               : invalid("zcap, mor and mar are for zoned namespaces: give zsze");
  }
  if (metadata_bytes != 0) return invalid("a zoned namespace has no metadata here: leave out ms");
  if (zone_bytes % block_size != 0 || zone_capacity_bytes % block_size != 0 ||
      zone_capacity_bytes > zone_bytes) {
    return invalid("zones and their capacity are whole blocks, and zcap is at most zsze");
  }
  if (size_bytes == 0 || size_bytes % zone_bytes != 0) {
    return invalid("a zoned namespace is made of whole zones: size must be a multiple of zsze");
  }
  if (max_active_zones != 0 && (max_open_zones == 0 || max_open_zones > max_active_zones)) {
    return invalid("open zones are active too: mor must be 1 to mar");
  }
  return {};
}

Result<ListenAddress> ListenAddress::parse(std::string_view text) {
  ListenAddress result;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return invalid("the address lacks its \"]\"");
    result.address = text.substr(1, end - 1);
    if (end + 1 < text.size() && text[end + 1] != ':')
      return invalid("after \"]\" comes \":PORT\"");
    port = end + 2 <= text.size() ? text.substr(end + 2) : std::string_view{};
  } else if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    if (text.find(':') != colon) return invalid("write an IPv6 address as [ADDR]:PORT");
    if (colon != 0) result.address = text.substr(0, colon);
    port = text.substr(colon + 1);
  } else if (!text.empty()) {
    result.address = text;
  }
  if (!port.empty()) {
    auto number = parse_number<std::uint16_t>(port, "port");
    if (!number) return std::unexpected(number.error());
    result.port = *number;
  }
  return result;
}

Status Options::check() const {
  if (listen.empty()) return invalid("a target needs an address to listen on");
  if (!subnqn.starts_with("nqn.") || subnqn.size() > 223) {
    return invalid("the subsystem's NQN must start with \"nqn.\" and have at most 223 characters");
  }
  // [Base 2.1 §5.1.13.2.1]
  if (serial.size() > 20) return invalid("the serial number must have at most 20 characters");
  if (model.size() > 40) return invalid("the model number must have at most 40 characters");
  if (threads < 1 || threads > 64) return invalid("threads must be 1 to 64");
  if (io_queues < 1) return invalid("there must be at least one I/O queue");
  if (queue_entries < 32 || queue_entries > 65536) {
    return invalid("queue entries must be 32 to 65536");
  }
  // MDTS counts in pages of 4096 bytes, and 0 is no limit. [Base 2.1 §5.1.13.2.1]
  if (!std::has_single_bit(max_transfer_bytes) || max_transfer_bytes < 8192 ||
      max_transfer_bytes > (64u << 20)) {
    return invalid("the largest transfer must be a power of two from 8K to 64M");
  }
  if (in_capsule_bytes % 16 != 0 || in_capsule_bytes > 65536) {
    return invalid("in-capsule data must be a multiple of 16 and at most 64K");
  }
  // [TCP 1.1 §3.6.2.3] MAXH2CDATA is a multiple of 4 and no smaller than 4096.
  if (max_h2c_bytes < 4096 || max_h2c_bytes % 4 != 0) {
    return invalid("MAXH2CDATA must be a multiple of 4 and at least 4096");
  }
  if (max_r2t_bytes % 4 != 0 || c2h_pdu_bytes % 4 != 0) {
    return invalid("the sizes of R2T and C2HData must be multiples of 4");
  }
  if (cpda > 31) return invalid("CPDA must be at most 31");
  for (const DhchapHostOptions& host : dhchap_hosts) {
    if (host.key.secret.empty()) {
      return invalid("host " + host.hostnqn + " has a controller key but no key of its own");
    }
  }
  return {};
}

Status Options::set_dhchap_key(std::string_view text, bool controller) {
  auto parsed = parse_host_key(text);
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  auto host = std::ranges::find(dhchap_hosts, parsed->first, &DhchapHostOptions::hostnqn);
  if (host == dhchap_hosts.end()) {
    host = dhchap_hosts.insert(host, {.hostnqn = parsed->first, .key = {}, .ctrl_key = {}});
  }
  (controller ? host->ctrl_key : host->key) = std::move(parsed->second);
  return {};
}

}  // namespace nvublk::target
