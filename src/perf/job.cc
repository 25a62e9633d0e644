#include "perf/job.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "nvme/status_text.h"

namespace nvublk::perf {

void JobResult::add(const JobResult& other) {
  reads += other.reads;
  writes += other.writes;
  elapsed_s = std::max(elapsed_s, other.elapsed_s);
  errors += other.errors;
  verified += other.verified;
  verify_errors += other.verify_errors;
  if (first_error.empty()) {
    first_error = other.first_error;
  }
  latency.add(other.latency);
}

Job::Job(const Options& options, const JobPlan& plan)
    : options_(options),
      plan_(plan),
      unit_blocks_(options.io_size_bytes / plan.subject->geometry().block_size_bytes),
      reads_(options.reads()),
      visits_(plan.unit_count, options.random(), plan.seed),
      mix_(plan.seed * 31) {
  if (options.verify) {
    contents_.emplace(plan.unit_count, plan.seed);
  }
}

Job::~Job() {
  queue_.reset();
  Shard::current()->reactor().dma_catalog().remove(memory_entry_);
}

// A request of the queue pair for each piece into which an I/O may be cut.
nvme::IoQueuePairOptions Job::queue_options() const {
  const BlockGeometry& geometry = plan_.subject->geometry();
  std::uint64_t piece_bytes = std::max(geometry.max_transfer_bytes, geometry.block_size_bytes);
  std::uint64_t crossings = 0;
  if (geometry.boundary_blocks != 0) {
    piece_bytes = std::min<std::uint64_t>(
        piece_bytes, std::uint64_t{geometry.boundary_blocks} * geometry.block_size_bytes);
    crossings = 1;
  }
  const std::uint64_t pieces = (options_.io_size_bytes + piece_bytes - 1) / piece_bytes + crossings;
  nvme::IoQueuePairOptions queue;
  queue.create_only = true;
  queue.queue_size = options_.depth;
  queue.requests = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      pieces * options_.depth, std::uint64_t{nvme::IoQueuePairOptions::kMaxRequests} + 1));
  return queue;
}

Status Job::prepare(nvme::PollGroup& group) {
  Result<DmaRegion> memory =
      DmaRegion::allocate(std::size_t{options_.depth} * options_.io_size_bytes);
  if (!memory) {
    return std::unexpected(std::move(memory.error()));
  }
  memory_ = std::move(*memory);
  // So that devices that reach memory themselves need no copies.
  Shard::current()->reactor().dma_catalog().add(memory_entry_);
  // Data that neither compresses nor dedupes.
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= memory_.size_bytes();
       at += sizeof(std::uint64_t)) {
    const std::uint64_t word = mix_.next();
    std::memcpy(memory_.data() + at, &word, sizeof(word));
  }
  tasks_.resize(options_.depth);
  for (std::size_t i = 0; i < tasks_.size(); i++) {
    tasks_[i].job = this;
    tasks_[i].piece = {memory_.data() + i * options_.io_size_bytes, options_.io_size_bytes};
  }
  auto queue = plan_.controller->allocate_io_queue_pair(queue_options());
  if (!queue) {
    return std::unexpected(std::move(queue.error()));
  }
  queue_ = std::move(*queue);
  if (group.add(*queue_) != 0 || queue_->connect() != 0) {
    return fail(ErrorCode::kBusy, "the controller went away while its queue pair was made");
  }
  if (Status connected = queue_->wait_connected(); !connected) {
    return connected;
  }
  io_ = std::make_unique<nvme::NamespaceIo>(*plan_.controller, *plan_.subject, *queue_);
  return {};
}

Result<std::unique_ptr<Job>> Job::create(const Options& options, const JobPlan& plan,
                                         nvme::PollGroup& group) {
  std::unique_ptr<Job> job(new Job(options, plan));
  if (Status ready = job->prepare(group); !ready) {
    return std::unexpected(std::move(ready.error()));
  }
  return job;
}

void Job::start() {
  for (Task& task : tasks_) {
    next(task);
  }
}

void Job::begin_measuring(Instant now) {
  measuring_ = true;
  measured_from_ = now;
  begun_ = under_way_;
}

void Job::end_measuring(Instant now) {
  if (std::exchange(measuring_, false)) {
    result_.elapsed_s = std::chrono::duration<double>(now - measured_from_).count();
  }
}

void Job::next(Task& task) {
  if (stopping_ || (plan_.number_ios != 0 && measuring_ && begun_ >= plan_.number_ios)) {
    stopping_ = true;
    return;
  }
  task.unit = visits_.next();
  task.read = reads_ == 100 || (reads_ != 0 && mix_.below(100) < reads_);
  if (contents_) {
    task.unit = contents_->take(task.unit);
    if (!task.read) {
      contents_->begin_write(task.unit, task.data());
    }
  }
  begun_++;
  submit(task);
}

void Job::begin_check() {
  if (!contents_ || reads_ == 100 || failed()) {
    return;
  }
  checking_ = true;
  for (Task& task : tasks_) {
    next_check(task);
  }
}

void Job::next_check(Task& task) {
  while (check_at_ < plan_.unit_count && !contents_->written(check_at_)) {
    check_at_++;
  }
  if (check_at_ >= plan_.unit_count || failed()) {
    return;
  }
  task.unit = contents_->take(check_at_++);
  task.read = true;
  submit(task);
}

void Job::submit(Task& task) {
  nvme::BlockIo io;
  io.lba = plan_.first_lba + task.unit * unit_blocks_;
  io.blocks = unit_blocks_;
  io.data = {&task.piece, 1};
  io.context = &task;
  io.done = [](void* context, nvme::spec::NvmeStatus status, const nvme::spec::CompletionEntry&) {
    auto* done = static_cast<Task*>(context);
    done->job->done(*done, status);
  };
  task.begun = Clock::now();
  const int error = task.read ? io_->read(io) : io_->write(io);
  if (error == 0) {
    under_way_++;
    return;
  }
  if (contents_) {
    contents_->release(task.unit);
  }
  stopping_ = true;
  note_error(std::string("an I/O could not be submitted: ") + std::strerror(-error));
}

void Job::done(Task& task, nvme::spec::NvmeStatus status) {
  under_way_--;
  if (measuring_) {
    const auto took =
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - task.begun);
    result_.latency.add(static_cast<std::uint64_t>(took.count()));
    (task.read ? result_.reads : result_.writes)++;
  }
  if (contents_) {
    contents_->release(task.unit);
    if (status.ok() && task.read && contents_->written(task.unit)) {
      result_.verified++;
      if (!contents_->matches(task.unit, task.data())) {
        result_.verify_errors++;
        stopping_ = true;
        note_error("block " + std::to_string(plan_.first_lba + task.unit * unit_blocks_) +
                   " is not what was written");
      }
    } else if (!status.ok() && !task.read) {
      contents_->forget(task.unit);
    }
  }
  if (!status.ok()) {
    result_.errors++;
    if (options_.continue_on_error == 0) {
      stopping_ = true;
    }
    note_error(std::string(task.read ? "a read" : "a write") + " of block " +
               std::to_string(plan_.first_lba + task.unit * unit_blocks_) +
               " failed: " + nvme::status_text(status));
  }
  if (checking_) {
    next_check(task);
  } else if (!stopping_) {
    next(task);
  }
}

void Job::note_error(std::string text) {
  const std::uint64_t every = options_.continue_on_error;
  if (every != 0 && result_.errors % every == 0) {
    std::fprintf(stderr, "nvublk-perf: %s: %s\n", plan_.device.c_str(), text.c_str());
  }
  if (result_.first_error.empty()) {
    result_.first_error = std::move(text);
  }
}

void Job::lost(const std::string& reason) {
  if (std::exchange(lost_, true)) {
    return;
  }
  result_.errors++;
  stopping_ = true;
  note_error("the queue pair is gone: " + reason);
}

}  // namespace nvublk::perf
