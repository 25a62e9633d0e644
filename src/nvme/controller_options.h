#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/time.h"
#include "nvme/dhchap_key.h"
#include "nvme/nqn.h"
#include "nvme/tls_key.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

/// Who we are to a fabric's controller. [Base 2.1 §6.3]
struct HostIdentity {
  std::string nqn;  ///< HOSTNQN, 1 to 223 bytes
  HostId id;        ///< HOSTID
};

/// What becomes of an I/O command that has no answer within ControllerOptions::io_timeout.
enum class TimeoutAction : std::uint8_t {
  kReset,  ///< all connections close, and recovery begins
  kAbort,  ///< Abort is sent; a reset comes when that has not helped within admin_timeout
  kNone,   ///< it is logged and may take for ever
};
/// "reset", "abort", "none".
std::string_view timeout_action_name(TimeoutAction action);
/// What timeout_action_name() writes; nothing for another text.
std::optional<TimeoutAction> timeout_action_from_name(std::string_view name);

/// Which I/O command sets a controller is enabled with. [Base 2.1 §3.1.4.5]
enum class CommandSets : std::uint8_t {
  kAutomatic,  ///< all that it has
  kNvm,        ///< the NVM command set only
};

/// How a controller takes commands from its I/O queues. [Base 2.1 §3.4.4]
struct ArbitrationOptions {
  bool weighted = false;    ///< weighted round robin, where the controller has it
  std::uint8_t burst = 0;   ///< at most 2 to this power commands at once, 7: no limit; 0: its own
  std::uint8_t low = 0;     ///< the weights of the classes less one; for `weighted`, with a burst
  std::uint8_t medium = 0;  ///< see low
  std::uint8_t high = 0;    ///< see low
};

/// Options of one controller; the names follow nvme-cli, the defaults its kernel driver or SPDK.
struct ControllerOptions {
  std::string name;            ///< "nvublk0", for logs; empty: what the transport id names
  HostIdentity host;           ///< who connects
  TransportOptions transport;  ///< where to, and how
  unsigned io_queues = 0;  ///< I/O queue pairs, one per I/O shard; 0: as many as there are shards
  unsigned queue_size = 256;           ///< commands per I/O queue; clamped to 2 to 1024
  unsigned io_queue_requests = 512;    ///< of an application's queue pair; at least queue_size
  unsigned transport_retry_count = 4;  ///< how often a block request is tried again
  unsigned admin_queue_size = 32;      ///< entries of the admin queue, our own commands included
  /// Over fabrics; a target that does not do without is asked again with it.
  bool disable_sq_flow_control = true;
  milliseconds keep_alive{10000};  ///< 0: none
  std::string serial;  ///< any other serial number is refused; empty: any, when connecting first
  seconds reconnect_delay{10};         ///< the longest pause between two attempts to reconnect
  seconds ctrl_loss_timeout{600};      ///< -1: for ever; 0: do not reconnect
  seconds fast_io_fail_timeout{-1};    ///< -1: off
  milliseconds connect_timeout{5000};  ///< each step of connecting, and Fabrics Connect
  milliseconds admin_timeout{30000};   ///< for each of our own admin commands, and for Abort
  milliseconds io_timeout{30000};      ///< for a block request; more than 0
  TimeoutAction timeout_action = TimeoutAction::kReset;  ///< what follows after io_timeout
  CommandSets command_sets = CommandSets::kAutomatic;    ///< what CC.CSS is set to
  ArbitrationOptions arbitration;                        ///< of the I/O queues
  bool log_errors = true;           ///< block requests that fail are logged, a few at a time
  bool application_queues = false;  ///< I/O queue pairs are allocated by the application, none here
  bool discovery_allowed = false;   ///< the controller may be one of a discovery subsystem
  bool read_ana_log = true;         ///< else all namespaces count as optimized
  bool read_changed_namespace_list = true;  ///< else an event means that any may have changed
  bool shutdown_notification = true;        ///< CC.SHN before the connections close
  /// How long the controller may take to shut down then; 0: what it reports (RTD3E), within 5 s to
  /// 60 s.
  milliseconds shutdown_timeout{0};
  DhchapKey dhchap_key;  ///< by which the host authenticates itself, if the controller asks for it
  /// By which the controller has to authenticate itself; needs a dhchap_key. Empty: it need not.
  DhchapKey dhchap_ctrlr_key;
  /// Hash functions that are offered then, the best first; at least one. [Base 2.3 §8.3.5.5.2]
  std::vector<spec::DhchapHash> dhchap_digests{spec::DhchapHash::kSha512, spec::DhchapHash::kSha384,
                                               spec::DhchapHash::kSha256};
  /// The same of Diffie-Hellman groups. Without kNull, responses that were overheard cannot be used
  /// to guess the key.
  std::vector<spec::DhchapGroup> dhchap_dhgroups{
      spec::DhchapGroup::kFfdhe8192, spec::DhchapGroup::kFfdhe6144, spec::DhchapGroup::kFfdhe4096,
      spec::DhchapGroup::kFfdhe3072, spec::DhchapGroup::kFfdhe2048, spec::DhchapGroup::kNull};
  /// TCP: by which all connections are encrypted, and the target proves that it knows it, too (TLS
  /// 1.3, with a key exchange). Empty: no TLS. [TCP 1.1 §3.6.1]
  TlsKey tls_key;
  /// How the target is told which key that is: 0 by names only, as SPDK does, and nvme-cli unless
  /// told otherwise; 1 with a digest of the key, too. It has to know the key by the same.
  unsigned tls_identity_version = 0;
};

/// ControllerOptions::transport with what follows from the others: what connections share by
/// `tls_key`. Fails when that cannot be, or for another transport than TCP.
Result<TransportOptions> transport_options(const ControllerOptions& options);
/// Whether the times of `options` and what they say to do make sense together; the error says why
/// they do not.
Status check_policy(const ControllerOptions& options);
/// Whether the keys, hashes and groups of `options` make sense together.
Status check_dhchap(const ControllerOptions& options);
/// Those same times and actions of `from`, which may change while a controller lives, into `to`.
void copy_policy(const ControllerOptions& from, ControllerOptions& to);

}  // namespace nvublk::nvme
