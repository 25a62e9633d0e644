#include "perf/worker.h"

#include <algorithm>
#include <utility>

namespace nvublk::perf {

namespace {

// When nothing has ended for so long, what is under way is given up.
constexpr seconds kDrainLimit{10};

}  // namespace

Worker::Worker(Crew& crew, std::vector<JobPlan> plans)
    : crew_(crew), plans_(std::move(plans)), thread_([this] { run(); }) {}

Worker::~Worker() {
  thread_.join();
}

Status Worker::prepare() {
  const int core = plans_.front().core;
  Shard::Options options;
  options.cpus = {core};
  options.name = "perf" + std::to_string(core);
  options.reactor.mode = IdleMode::kBusy;
  auto shard = Shard::adopt_current_thread(options);
  if (!shard) {
    return std::unexpected(std::move(shard.error()));
  }
  shard_ = std::move(*shard);
  group_ = std::make_unique<nvme::PollGroup>();
  for (const JobPlan& plan : plans_) {
    auto job = Job::create(crew_.options, plan, *group_);
    if (!job) {
      job.error().text = plan.device + ": " + job.error().text;
      return std::unexpected(std::move(job.error()));
    }
    jobs_.push_back(std::move(*job));
  }
  return {};
}

void Worker::run() {
  const Status prepared = prepare();
  if (!prepared) {
    error_ = prepared.error().text;
    crew_.stop = true;
  }
  crew_.ready.arrive_and_wait();
  if (prepared && !crew_.stop) {
    crew_.home.post([crew = &crew_] { crew->begun = true; });
    load();
    finish();
  }
  for (const std::unique_ptr<Job>& job : jobs_) {
    outcomes_.push_back({job->plan(), job->result()});
  }
  jobs_.clear();
  group_.reset();
  shard_.reset();
  crew_.home.post([crew = &crew_] { crew->ended++; });
}

std::int64_t Worker::poll() {
  return group_->process_completions(
      crew_.options.max_completions,
      [](void* context, nvme::IoQueuePair& queue) {
        for (const std::unique_ptr<Job>& job : static_cast<Worker*>(context)->jobs_) {
          if (job->owns(queue)) {
            job->lost(queue.failure_text());
          }
        }
      },
      this);
}

bool Worker::all_ended() const {
  return std::ranges::all_of(jobs_, [](const auto& job) { return job->ended(); });
}

bool Worker::all_idle() const {
  return std::ranges::all_of(jobs_, [](const auto& job) { return job->idle(); });
}

void Worker::load() {
  const Options& options = crew_.options;
  const Instant measure = Clock::now() + options.warmup;
  const Instant end = options.time.count() == 0 ? kNever : instant_after(measure, options.time);
  bool measuring = options.warmup.count() == 0;
  for (const std::unique_ptr<Job>& job : jobs_) {
    if (measuring) {
      job->begin_measuring(Clock::now());
    }
    job->start();
  }
  Instant now = measure;
  while (!all_ended() && now < end && !crew_.stop.load(std::memory_order_relaxed)) {
    poll();
    now = shard_->reactor().now();
    for (const std::unique_ptr<Job>& job : jobs_) {
      if (!measuring && now >= measure) {
        job->begin_measuring(now);
      }
      if (job->ended()) {
        job->end_measuring(now);
        crew_.stop = crew_.stop || (job->failed() && options.continue_on_error == 0);
      }
    }
    measuring = measuring || now >= measure;
  }
  for (const std::unique_ptr<Job>& job : jobs_) {
    job->end_measuring(now);
    job->stop();
  }
}

// Ends when all is done, or nothing has completed for too long.
void Worker::drain() {
  Instant until = instant_after(Clock::now(), kDrainLimit);
  while (!all_idle() && shard_->reactor().now() < until) {
    if (poll() > 0) {
      until = instant_after(shard_->reactor().now(), kDrainLimit);
    }
  }
  for (const std::unique_ptr<Job>& job : jobs_) {
    if (!job->idle()) {
      job->lost("I/Os did not end");
      job->close();
    }
  }
}

void Worker::finish() {
  drain();
  for (const std::unique_ptr<Job>& job : jobs_) {
    job->begin_check();
  }
  drain();
}

}  // namespace nvublk::perf
