#pragma once

// One thread on one CPU with its shard, a poll group, and the jobs in it.

#include <atomic>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/shard.h"
#include "perf/job.h"

namespace nvublk::perf {

/// What the workers of a run share.
struct Crew {
  Crew(const Options& its_options, Shard& its_home, std::ptrdiff_t workers)
      : options(its_options), home(its_home), ready(workers) {}

  const Options& options;
  Shard& home;  ///< told when all workers are ready, and when one has ended
  std::latch ready;
  std::atomic<bool> stop{false};  ///< by a signal, or a job that failed
  bool begun = false;             ///< on `home`
  unsigned ended = 0;             ///< on `home`
};

class Worker {
 public:
  Worker(Crew& crew, std::vector<JobPlan> plans);
  /// Waits for the thread.
  ~Worker();

  struct Outcome {
    JobPlan plan;
    JobResult result;
  };
  /// Once it has ended.
  const std::vector<Outcome>& outcomes() const { return outcomes_; }
  /// Why it could not begin; empty if it could.
  const std::string& error() const { return error_; }

 private:
  void run();
  Status prepare();
  void load();
  void finish();
  void drain();
  std::int64_t poll();
  bool all_ended() const;
  bool all_idle() const;

  Crew& crew_;
  const std::vector<JobPlan> plans_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<nvme::PollGroup> group_;
  std::vector<std::unique_ptr<Job>> jobs_;
  std::vector<Outcome> outcomes_;
  std::string error_;
  std::thread thread_;
};

}  // namespace nvublk::perf
