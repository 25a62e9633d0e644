#pragma once

// Device self-tests: they read the namespaces. One at a time in the subsystem. Thread-safe.
// [Base 2.1 §5.1.5, §8.1.7]

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "nvme/spec/self_test.h"
#include "nvme/spec/status.h"
#include "target/namespace.h"
#include "target/operation.h"

namespace nvublk::target {

class SelfTests {
 public:
  using Outcome = nvme::spec::SelfTestOutcome;

  struct Request {
    nvme::spec::SelfTest test = nvme::spec::SelfTest::kShort;
    std::uint16_t cntlid = 0;  ///< of the controller that was asked
    std::vector<std::shared_ptr<Namespace>> namespaces;
    std::chrono::milliseconds least{0};
    std::function<std::uint64_t()> power_on_hours;
  };

  /// Begins one; fails with Device Self-test in Progress.
  nvme::spec::NvmeStatus begin(const Background& background, Request request);
  /// Ends the one that runs, if there is one.
  void abort(Outcome outcome);
  /// A Controller Level Reset ends short tests of that controller. [Base 2.1 §8.1.7.1]
  void controller_reset(std::uint16_t cntlid);
  void namespace_removed(std::uint32_t nsid);

  nvme::spec::SelfTestLog log() const;
  void hurry() { operation_.hurry(); }

 private:
  /// A block that could not be read.
  struct Failure {
    std::uint32_t nsid = 0;
    std::uint64_t lba = 0;
    nvme::spec::NvmeStatus status;
  };
  /// The blocks that are read, as a list of pieces.
  class Plan;

  void abort_locked(Outcome outcome);
  void record(const Request& request, Outcome outcome, const std::optional<Failure>& failure);

  mutable std::mutex mutex_;
  Operation operation_;
  // All below by mutex_.
  std::shared_ptr<const Request> running_;
  std::deque<nvme::spec::SelfTestResult> results_;  ///< newest first
};

}  // namespace nvublk::target
