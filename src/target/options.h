#pragma once

// What a target offers: its address, its subsystem, its namespaces and its limits.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "target/dhchap_key.h"
#include "target/tls_key.h"

namespace nvublk::target {

/// One namespace: memory (an empty `path`) or a file.
struct NamespaceOptions {
  std::uint32_t nsid = 0;        ///< 0: the lowest one that is free
  std::uint64_t size_bytes = 0;  ///< 0 with a file: the file's own size
  std::uint32_t block_size = 4096;
  std::string path;
  bool read_only = false;
  bool volatile_cache = false;            ///< of a file: writes stay in memory until a flush
  std::string log_path;                   ///< where writes and flushes are recorded; empty: nowhere
  std::uint32_t metadata_bytes = 0;       ///< after each block; 0, or 8 to 128
  std::uint8_t protection_type = 0;       ///< 1 to 3 need metadata
  bool protection_first = false;          ///< in the metadata's first bytes
  std::uint16_t boundary_blocks = 0;      ///< NOIOB
  std::uint64_t zone_bytes = 0;           ///< 0: not zoned
  std::uint64_t zone_capacity_bytes = 0;  ///< 0: the whole zone
  std::uint32_t max_open_zones = 0;       ///< 0: no limit
  std::uint32_t max_active_zones = 0;     ///< 0: no limit
  std::string uuid;  ///< "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"; empty: derived from NQN and NSID

  bool zoned() const { return zone_bytes != 0; }
  /// Whether these options fit together; sizes of files are not known here.
  Status check() const;
  /// Reads "size=64M,bs=4096,nsid=3,uuid=..., ro" or "file=PATH,bs=512,size=...".
  static Result<NamespaceOptions> parse(std::string_view text);
};

struct ListenAddress {
  std::string address = "127.0.0.1";
  std::uint16_t port = 4420;  ///< 0: the kernel picks a free one

  /// Reads "ADDR:PORT", "[V6ADDR]:PORT", "ADDR" or ":PORT".
  static Result<ListenAddress> parse(std::string_view text);
  bool operator==(const ListenAddress&) const = default;
};

struct Options {
  std::vector<ListenAddress> listen{ListenAddress{}};
  std::string subnqn = "nqn.2026-01.io.nvublk:target";
  std::string serial = "NVUBLK0001";
  std::string model = "nvublk-target";
  std::vector<std::string> allowed_hosts;       ///< host NQNs; empty: any
  std::vector<DhchapHostOptions> dhchap_hosts;  ///< hosts that have to authenticate themselves
  DhchapPreference dhchap;
  TlsKey tls_key;  ///< if there is one, hosts have to use TLS, and know it
  std::vector<NamespaceOptions> namespaces;
  std::string control_path;  ///< Unix socket; empty: none
  unsigned threads = 1;

  std::uint16_t io_queues = 64;        ///< most I/O queues per controller
  std::uint32_t queue_entries = 1024;  ///< most entries per queue
  std::uint32_t max_transfer_bytes = 1u << 20;
  std::uint32_t in_capsule_bytes = 8192;  ///< of I/O queues; admin queues always take 8192
  std::uint32_t max_h2c_bytes = 256u << 10;
  std::uint32_t max_r2t_bytes = 0;      ///< most bytes one R2T asks for; 0: the whole transfer
  std::uint32_t c2h_pdu_bytes = 0;      ///< most data bytes in one C2HData PDU; 0: no limit
  std::uint8_t cpda = 0;                ///< alignment asked of hosts, dwords, 0's based
  bool header_digest = true;            ///< agree when a host asks for it
  bool data_digest = true;              ///< agree when a host asks for it
  bool sq_flow_control_disable = true;  ///< agree when a host asks for it
  bool success_flag = true;             ///< save the response capsule where that is allowed
  std::array<std::uint16_t, 3> retry_delays_100ms{};  ///< CRDT1 to CRDT3; 0: none
  std::uint16_t enable_timeout_ms = 15000;            ///< CAP.TO, in units of 500 ms on the wire
  std::uint32_t sanitize_time_ms = 0;                 ///< a sanitize operation is not done sooner
  std::uint32_t self_test_time_ms = 0;                ///< the same of a device self-test

  /// Whether these options fit together and the specifications' limits.
  Status check() const;
  /// Sets the host's key that `text` has ("HOSTNQN=DHHC-1:..."), or the controller's for that host.
  Status set_dhchap_key(std::string_view text, bool controller);
};

/// Bytes in "4096", "64K", "64M", "1G", "1T" (powers of 1024).
Result<std::uint64_t> parse_size(std::string_view text);

}  // namespace nvublk::target
