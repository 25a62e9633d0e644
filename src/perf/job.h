#pragma once

// The load on one namespace through one queue pair: as many I/Os under way as the depth says, each
// begun as soon as one ends. All memory is there before the first. Shard-affine.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/dma_catalog.h"
#include "nvme/namespace_io.h"
#include "nvme/poll_group.h"
#include "perf/blocks.h"
#include "perf/histogram.h"
#include "perf/options.h"

namespace nvublk::perf {

/// Where a job runs.
struct JobPlan {
  nvme::Controller* controller = nullptr;
  nvme::Namespace* subject = nullptr;
  std::string device;  ///< for the report
  int core = 0;
  std::uint64_t first_lba = 0;   ///< of its part of the namespace
  std::uint64_t unit_count = 0;  ///< of one I/O each, in its part
  std::uint64_t seed = 1;
  std::uint64_t number_ios = 0;  ///< then it ends; 0: when it is told to
};

/// What came of one job, or of several.
struct JobResult {
  std::uint64_t reads = 0;  ///< I/Os in the time that is measured
  std::uint64_t writes = 0;
  double elapsed_s = 0;
  std::uint64_t errors = 0;         ///< over the whole run
  std::uint64_t verified = 0;       ///< I/Os whose contents were compared
  std::uint64_t verify_errors = 0;  ///< and were not what was written
  std::string first_error;
  Histogram latency;

  std::uint64_t ios() const { return reads + writes; }
  /// Of jobs that ran at the same time.
  void add(const JobResult& other);
};

class Job {
 public:
  /// Allocates and connects its queue pair as a member of `group`, which outlives the job.
  static Result<std::unique_ptr<Job>> create(const Options& options, const JobPlan& plan,
                                             nvme::PollGroup& group);
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  const JobPlan& plan() const { return plan_; }
  const JobResult& result() const { return result_; }
  bool owns(const nvme::IoQueuePair& queue) const { return queue_.get() == &queue; }

  void start();
  /// What was measured so far does not count; the time begins.
  void begin_measuring(Instant now);
  void end_measuring(Instant now);
  /// No new I/O from now on.
  void stop() { stopping_ = true; }
  bool idle() const { return under_way_ == 0; }
  /// Whether nothing is left to do, because it has failed or has done its number of I/Os.
  bool ended() const { return stopping_ && idle(); }
  bool failed() const { return result_.errors != 0 || result_.verify_errors != 0; }
  /// Its queue pair is gone; more than once is once.
  void lost(const std::string& reason);
  /// Reads all back that was written, if contents are verified; over when it is idle again.
  void begin_check();
  /// Gives up what is under way.
  void close() { queue_.reset(); }

 private:
  struct Task {
    Job* job = nullptr;
    iovec piece{};
    std::uint64_t unit = 0;
    bool read = false;
    Instant begun{};
    std::span<std::byte> data() const {
      return {static_cast<std::byte*>(piece.iov_base), piece.iov_len};
    }
  };

  Job(const Options& options, const JobPlan& plan);
  Status prepare(nvme::PollGroup& group);
  nvme::IoQueuePairOptions queue_options() const;
  void next(Task& task);
  void next_check(Task& task);
  void submit(Task& task);
  void done(Task& task, nvme::spec::NvmeStatus status);
  void note_error(std::string text);

  const Options& options_;
  const JobPlan plan_;
  const std::uint32_t unit_blocks_;
  const unsigned reads_;
  DmaRegion memory_;
  DmaEntry memory_entry_{memory_};
  std::vector<Task> tasks_;
  nvme::IoQueuePair::Pointer queue_;
  std::unique_ptr<nvme::NamespaceIo> io_;
  Visits visits_;
  Random mix_;
  std::optional<Contents> contents_;
  std::uint64_t begun_ = 0;
  std::uint64_t check_at_ = 0;
  unsigned under_way_ = 0;
  bool stopping_ = false;
  bool measuring_ = false;
  bool checking_ = false;
  bool lost_ = false;
  Instant measured_from_{};
  JobResult result_;
};

}  // namespace nvublk::perf
