#pragma once

// Faults that can be switched on while a target runs, to test what hosts make of them.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "nvme/spec/status.h"

namespace nvublk::target {

enum class FaultKind : std::uint8_t {
  kDrop,                 ///< close the connection, after `after` commands or at byte `at_byte`
  kDelay,                ///< complete commands `delay_ms` late
  kStuck,                ///< complete commands only when they are aborted
  kStatus,               ///< complete commands with `status` without executing them
  kBlackHole,            ///< accept and read, and neither execute nor say anything
  kRefuse,               ///< close new TCP connections at once
  kCorruptHeaderDigest,  ///< send wrong header digests
  kCorruptDataDigest,    ///< send wrong data digests
  kFatalStatus,          ///< CSTS.CFS is set, and nothing but properties is answered
  kWrongIdentity,        ///< namespaces are identified as others than they are
  kSanitizeFails,        ///< a sanitize operation that begins fails at its end
};

enum class FaultQueues : std::uint8_t { kAny, kAdmin, kIo };

struct Fault {
  FaultKind kind = FaultKind::kStatus;
  FaultQueues queues = FaultQueues::kAny;
  std::optional<std::uint8_t> opcode;  ///< which commands; 7Fh with `fctype` for Fabrics commands
  std::optional<std::uint8_t> fctype;
  std::uint64_t count = 0;  ///< how many times; 0: until cleared
  std::uint64_t skip = 0;   ///< how many times not, first
  std::uint32_t delay_ms = 0;
  std::uint64_t at_byte = 0;  ///< kDrop: cut after so many bytes sent on the connection; 0: no
  nvme::spec::NvmeStatus status;
};

/// The name of a kind as the control socket has it, such as "corrupt_data_digest".
std::string_view fault_kind_name(FaultKind kind);
std::optional<FaultKind> fault_kind_from_name(std::string_view name);

/// What faults ask for one command.
struct FaultVerdict {
  bool drop = false;
  bool stuck = false;
  bool abortable = false;  ///< with `stuck`: Abort can complete it
  std::uint32_t delay_ms = 0;
  std::optional<nvme::spec::NvmeStatus> status;
};

/// The faults of a target. Thread-safe; costs one relaxed load while there are none.
class FaultTable {
 public:
  void add(const Fault& fault);
  void clear();
  std::vector<Fault> list() const;

  bool active() const { return active_.load(std::memory_order_relaxed); }
  /// Counts the command and says what becomes of it.
  FaultVerdict on_command(bool admin, std::uint8_t opcode, std::uint8_t fctype);
  /// Whether a fault of `kind` that has no command applies; counts it.
  bool take(FaultKind kind, bool admin);
  /// Whether a fault of `kind` is there, without counting.
  bool present(FaultKind kind, bool admin) const;
  /// After how many bytes sent a connection is to be cut; counted when it is used.
  std::optional<std::uint64_t> take_byte_limit(bool admin);

 private:
  struct Entry {
    Fault fault;
    std::uint64_t used = 0;
    std::uint64_t skipped = 0;
  };
  static bool matches(const Fault& fault, bool admin);
  bool use(Entry& entry);
  void drop_spent();

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;  // by mutex_
  std::atomic<bool> active_{false};
};

}  // namespace nvublk::target
