#include "nvme/recovery/recovery_simulation.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/check.h"

namespace nvublk::nvme {

RecoverySimulation::RecoverySimulation(std::uint64_t seed) : target(time, seed), random(seed) {
  Shard::Options shard_options;
  shard_options.reactor.simulated_time = &time.now;
  auto shard = Shard::adopt_current_thread(shard_options);
  CHECK(shard.has_value());
  shard_ = std::move(*shard);
  options.name = "nvublk0";
  options.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
  options.io_queues = kQueues;
  options.queue_size = 4;  // fewer than there are jobs: some always wait for a slot
  options.keep_alive = seconds(4);
  options.reconnect_delay = seconds(2);
  options.ctrl_loss_timeout = seconds(-1);
  target.controller.keep_alive_ms = 4000;
}

RecoverySimulation::~RecoverySimulation() {
  controller_.reset();
  time.clear();
  turn();
}

void RecoverySimulation::start() {
  const ShardSet shards{shard_.get(), std::vector<Shard*>(kQueues, shard_.get())};
  auto made = Controller::create(shards, options, target.make_transport(), this);
  CHECK(made.has_value());
  controller_ = std::move(*made);
  std::optional<Status> connected;
  controller_->connect([&connected](Status status) { connected = std::move(status); });
  if (!run_until([&] { return connected.has_value(); }, seconds(60)) || !*connected) {
    complain("it does not connect");
    return;
  }
  namespace_ = controller_->find_namespace(1);
  for (unsigned i = 0; i < kQueues * kJobs; i++) {
    auto job = std::make_unique<Job>();
    job->world = this;
    job->queue_index = i % kQueues;
    job->done = [](BlockRequest& request) {
      auto& own = static_cast<Job&>(request);
      own.world->ended(own);
    };
    jobs_.push_back(std::move(job));
    next(*jobs_.back());
  }
}

void RecoverySimulation::next(Job& job) {
  if (draining_) {
    return;
  }
  const std::uint64_t part = SimulatedTarget::kBlocks / kQueues;
  do {
    job.lba = job.queue_index * part + random() % part;
  } while (!busy_blocks_.insert(job.lba).second);
  const std::uint64_t kind = random() % 8;
  job.op = kind == 0 ? BlockOp::kFlush : (kind < 5 ? BlockOp::kWrite : BlockOp::kRead);
  job.fua = kind == 1;
  job.blocks = 1;
  job.data = job.buffer.data();
  job.value = ++last_value_;
  if (job.op == BlockOp::kWrite) {
    std::memcpy(job.buffer.data(), &job.value, sizeof(job.value));
  } else {
    job.fua = false;
    job.buffer.fill(std::byte{0xee});
  }
  under_way_++;
  namespace_->queue(job.queue_index).submit(job);
}

void RecoverySimulation::ended(Job& job) {
  under_way_--;
  completed_++;
  busy_blocks_.erase(job.lba);
  std::set<std::uint64_t>& right = right_[job.lba];
  if (job.error != 0) {
    errors_++;
    first_error_ = first_error_.value_or(time.now);
    if (job.op == BlockOp::kWrite) {
      right.insert(job.value);
    }
  } else if (job.op == BlockOp::kWrite) {
    right = {job.value};
  } else if (job.op == BlockOp::kRead) {
    std::uint64_t value = 0;
    std::memcpy(&value, job.buffer.data(), sizeof(value));
    if (!right.contains(value)) {
      complain("block " + std::to_string(job.lba) + " reads " + std::to_string(value) +
               " instead of " + std::to_string(*right.rbegin()));
    }
  }
  const auto rest = static_cast<Duration::rep>(
      random() % static_cast<std::uint64_t>(std::max<Duration>(think, microseconds(1)).count()));
  time.after(Duration(rest), [this, &job] { next(job); });
}

void RecoverySimulation::controller_state_changed(ControllerState state) {
  if (state == ControllerState::kReconnecting) {
    lost_at_ = time.now;
  }
  if (state == ControllerState::kLive) {
    live_at_ = time.now;
  }
}

void RecoverySimulation::complain(const std::string& text) {
  constexpr std::size_t kMost = 10;
  if (problems_.size() < kMost) {
    const auto at = std::chrono::duration_cast<milliseconds>(time.now.time_since_epoch()).count();
    problems_.push_back("at " + std::to_string(at) + " ms: " + text);
  }
}

void RecoverySimulation::look_at_step() {
  if (!controller_) {
    return;
  }
  std::string step = controller_->status().step;
  if (step != step_) {
    step_ = std::move(step);
    steps_.insert(step_);
    if (on_step) {
      on_step(step_);
    }
  }
}

void RecoverySimulation::turn() {
  do {
    shard_->reactor().turn(false);
    if (on_step) {
      look_at_step();
    }
  } while (!shard_->reactor().settled());
}

bool RecoverySimulation::run_until(const std::function<bool()>& ready, Duration limit) {
  const Instant end = time.now + limit;
  for (;;) {
    turn();
    if (ready()) {
      return true;
    }
    const Instant then = std::min(shard_->reactor().next_timer(), time.next());
    if (then > end) {
      time.now = end;
      turn();
      return ready();
    }
    time.now = std::max(time.now, then);
    time.run_due();
  }
}

void RecoverySimulation::run_for(Duration duration) {
  run_until([] { return false; }, duration);
}

void RecoverySimulation::drain(Duration limit) {
  draining_ = true;
  if (!run_until([this] { return under_way_ == 0 && target.quiet(); }, limit)) {
    complain(std::to_string(under_way_) + " requests have not ended; the controller is " +
             controller_state_name(controller_->state()) + ", step '" + controller_->status().step +
             "'");
  }
}

void RecoverySimulation::finish(Duration limit) {
  draining_ = true;
  bool done = false;
  controller_->disconnect([&done](const Status&) { done = true; });
  if (!run_until([&done] { return done; }, limit)) {
    complain("detaching does not end, step '" + controller_->status().step + "'");
  }
  if (!run_until([this] { return target.connections() == 0 && under_way_ == 0; }, seconds(1))) {
    complain("after detaching there are " + std::to_string(target.connections()) +
             " connections and " + std::to_string(under_way_) + " requests");
  }
}

void RecoverySimulation::check_media() {
  for (std::uint32_t lba = 0; lba < SimulatedTarget::kBlocks; lba++) {
    if (!right_[lba].contains(target.block(lba))) {
      complain("block " + std::to_string(lba) + " has " + std::to_string(target.block(lba)) +
               " instead of " + std::to_string(*right_[lba].rbegin()));
    }
  }
}

}  // namespace nvublk::nvme
