#pragma once

// Snapshots for people and for JSON. Plain values, made on the control shard at any moment, also
// while something hangs.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "nvme/controller_options.h"

namespace nvublk::nvme {

/// Where the life of a controller is.
enum class ControllerState : std::uint8_t {
  kNew,           ///< made, not connected
  kConnecting,    ///< initialization runs for the first time
  kLive,          ///< I/O flows
  kReconnecting,  ///< the connection was lost; I/O waits
  kDeleting,      ///< orderly shutdown runs
  kFailed,        ///< given up; I/O fails
  kResetting,     ///< being reset on purpose; I/O waits
};
/// "new", "connecting", "live", "reconnecting", "deleting", "failed", "resetting".
const char* controller_state_name(ControllerState state);

/// Whether a queue pair has a connection.
enum class QueueState : std::uint8_t {
  kDisconnected,
  kConnecting,
  kLive,
  kDisconnecting,
};
/// "disconnected", "connecting", "live", "disconnecting".
const char* queue_state_name(QueueState state);

/// Why a queue pair is not connected.
enum class QueueFailure : std::uint8_t {
  kNone,     ///< it is connected, or never was
  kLocal,    ///< the application disconnected it
  kRemote,   ///< the peer or the network did
  kUnknown,  ///< a deadline passed, or the protocol was broken
  kReset,    ///< the controller was reset
};
/// "none", "local", "remote", "unknown", "reset".
const char* queue_failure_name(QueueFailure failure);

/// A queue pair, at one moment.
struct QueueStatus {
  std::uint16_t qid = 0;                         ///< 0: the admin queue
  int shard = -1;                                ///< id of the I/O shard, -1: the control shard
  QueueState state = QueueState::kDisconnected;  ///< of its connection
  bool in_controller_memory = false;             ///< PCIe: the submission queue lies in the CMB
  std::uint32_t depth = 0;                       ///< commands at the device at a time
  std::uint32_t outstanding = 0;                 ///< commands at the device now
  std::uint64_t submitted = 0;                   ///< commands, since it was made
  std::uint64_t completed = 0;                   ///< answers, since it was made
  std::uint64_t errors = 0;                      ///< completions with a status other than success
  std::string failure;  ///< why it was last disconnected, empty if it never was
};

/// A namespace, at one moment.
struct NamespaceStatus {
  std::uint32_t nsid = 0;              ///< 1 and up
  std::uint64_t size_blocks = 0;       ///< of block_size_bytes
  std::uint32_t block_size_bytes = 0;  ///< of a logical block
  std::string uuid;                    ///< 8-4-4-4-12 hex, empty if the namespace has none
  std::string nguid;                   ///< 32 hex digits, empty if none
  std::string eui64;                   ///< 16 hex digits, empty if none
  std::string state;                   ///< "live", "unusable: REASON"
  std::string ana_state;               ///< "optimized", "non-optimized", ...
};

/// How a lost connection, or a reset, is being mended.
struct RecoveryStatus {
  std::string step;            ///< of Recovery
  std::string reason;          ///< why the connection was lost, or the last attempt failed
  std::uint64_t since_ms = 0;  ///< how long ago the connection was lost
  unsigned attempts = 0;       ///< that have begun
  std::optional<std::uint64_t> next_attempt_ms;  ///< until the next one, while it waits for that
  std::optional<std::uint64_t> gives_up_ms;      ///< until ctrl-loss-tmo
  std::optional<std::uint64_t> io_fails_ms;      ///< until fast_io_fail_tmo
  bool io_fails = false;                         ///< fast_io_fail_tmo is over: I/O does not wait
};

/// How an association was authenticated. [Base 2.3 §8.3.5]
struct AuthenticationStatus {
  std::string digest;          ///< "sha256", "sha384", "sha512"
  std::string dhgroup;         ///< "null", "ffdhe2048", ...
  bool bidirectional = false;  ///< the controller was, too, not only the host
};

/// A controller, at one moment.
struct ControllerStatus {
  std::string name;                               ///< Controller::name()
  ControllerState state = ControllerState::kNew;  ///< where its life is
  std::string step;                               ///< what runs or hangs, empty when live
  std::string step_spec;                          ///< the specification's section for it
  std::uint64_t step_since_ms = 0;                ///< how long it has been running
  std::optional<std::uint64_t> step_deadline_ms;  ///< how long until it is given up
  std::optional<Error> last_error;                ///< why it left kLive or failed
  unsigned reconnect_attempts = 0;                ///< of the recovery that runs, or ran last
  std::optional<RecoveryStatus> recovery;         ///< while one runs
  ControllerOptions options;        ///< as they are in force, after clamping; without the keys
  std::uint16_t cntlid = 0;         ///< CNTLID; 0 before it connected
  std::string model;                ///< MN of Identify Controller, printable
  std::string serial;               ///< SN, printable
  std::string firmware;             ///< FR, printable
  std::string version;              ///< "2.1"
  std::uint64_t keep_alive_ms = 0;  ///< as granted; 0: none
  bool sq_flow_control_disabled = false;               ///< completions carry no SQ head pointer
  std::optional<AuthenticationStatus> authentication;  ///< none: it was not
  std::string tls_cipher;  ///< "TLS_AES_128_GCM_SHA256"; empty: no TLS, or not connected yet
  std::vector<QueueStatus> queues;          ///< the admin queue first
  std::vector<NamespaceStatus> namespaces;  ///< those of Controller::namespaces()
};

}  // namespace nvublk::nvme
