#pragma once

// The sanitize state machine of the subsystem, and what it does to the namespaces. Thread-safe.
// [Base 2.1 §5.1.22, §8.1.24]

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "nvme/spec/log_pages.h"
#include "nvme/spec/opcodes.h"
#include "nvme/spec/sanitize.h"
#include "nvme/spec/sqe.h"
#include "nvme/spec/status.h"
#include "target/namespace.h"
#include "target/operation.h"

namespace nvublk::target {

class Sanitize {
 public:
  using NvmeStatus = nvme::spec::NvmeStatus;

  struct Request {
    nvme::spec::SanitizeCommand command;
    std::uint32_t cdw10 = 0;
    std::uint32_t pattern = 0;  ///< OVRPAT
    std::shared_ptr<const NamespaceList> namespaces;
    std::chrono::milliseconds least{0};
    bool fails = false;  ///< it does all, and then fails
    /// Runs on a worker when the operation has ended; the log and the state say how.
    std::function<void()> completed;
  };

  /// What is wrong with a command as it is, in the state that there is.
  NvmeStatus check(const nvme::spec::SanitizeCommand& command,
                   const NamespaceList& namespaces) const;
  /// Begins an operation, or says why not. I/O and forbidden commands are refused from now on.
  NvmeStatus begin(const Background& background, Request request);
  /// Exit Failure Mode.
  NvmeStatus exit_failure_mode();

  /// Why I/O commands are refused, if they are. [Base 2.1 §8.1.24.4]
  NvmeStatus admit_io() const {
    const std::uint16_t bits = refusal_.load(std::memory_order_relaxed);
    return NvmeStatus::from_bits(bits);
  }
  /// The same of an admin command.
  NvmeStatus admit_admin(const nvme::spec::SubmissionEntry& sqe) const;
  /// Whether an operation is in progress.
  bool in_progress() const;

  nvme::spec::SanitizeStatusLog log(const NamespaceList& namespaces) const;
  void hurry() { operation_.hurry(); }

 private:
  using State = nvme::spec::SanitizeState;
  /// What is to be done to the namespaces, as a list of pieces.
  class Plan;

  NvmeStatus check_locked(const nvme::spec::SanitizeCommand& command,
                          const NamespaceList& namespaces) const;
  void set_state(State state);
  void end(bool good, const NamespaceList& namespaces);
  static bool processing(State state) {
    return state == State::kRestrictedProcessing || state == State::kUnrestrictedProcessing;
  }

  mutable std::mutex mutex_;
  std::atomic<std::uint16_t> refusal_{0};  ///< a status; 0: nothing is refused
  Operation operation_;
  // All below by mutex_.
  State state_ = State::kIdle;
  State failed_in_ = State::kIdle;
  nvme::spec::SanitizeStatus status_ = nvme::spec::SanitizeStatus::kNeverStarted;
  std::uint32_t cdw10_ = 0;
  std::uint32_t least_seconds_ = nvme::spec::kSanitizeTimeUnknown;
  std::shared_ptr<Plan> plan_;  ///< of the last operation
};

}  // namespace nvublk::target
