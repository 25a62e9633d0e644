#include "ublk/ublk_export.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/log.h"
#include "ublk/device_mark.h"
#include "ublk/driver.h"
#include "ublk/explain.h"
#include "ublk/holders.h"
#include "ublk/params.h"

namespace nvublk::ublk {

namespace {

constexpr unsigned kMaxDepth = 1024;
constexpr unsigned kMaxQueues = 4096;
// QUIESCE_DEV waits until each queue has a tag that is not in use.
constexpr std::uint64_t kQuiesceLimitMs = 5000;

Status check_options(const BlockExportOptions& options) {
  if (options.depth < 1 || options.depth > kMaxDepth) {
    return fail(ErrorCode::kInvalidArgument,
                "depth " + std::to_string(options.depth) + " is not between 1 and 1024");
  }
  if (options.queues > kMaxQueues) {
    return fail(ErrorCode::kInvalidArgument,
                std::to_string(options.queues) + " queues are more than ublk can have (4096)");
  }
  return {};
}

/// The errno of trying to open a node, as 0 or a negative number. May block: a thread of its own.
std::int32_t try_open(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd ? 0 : -errno;
}

}  // namespace

/// A machine, its runner, and what it does when it ends.
template <typename Machine>
class UblkExport::Driver final : private StepOwner<Machine, DeviceAction> {
 public:
  using Ended = void (UblkExport::*)();
  template <typename Plan>
  Driver(UblkExport& owner, Ended on_end, const Plan& plan)
      : machine(plan),
        runner(owner.control_shard_.reactor(), machine, *this),
        owner_(owner),
        ended_(on_end) {}

  Machine machine;
  StepRunner<Machine, DeviceAction, DeviceOutcome> runner;

 private:
  void perform(Machine&, const DeviceAction& action) override { owner_.perform(action); }
  void ended(Machine&) override { (owner_.*ended_)(); }

  UblkExport& owner_;
  Ended ended_;
};

UblkExport::UblkExport(const ShardSet& shards, BlockDevice& device, BlockExportOptions options)
    : shards_(shards),
      control_shard_(*shards.control),
      device_(device),
      options_(std::move(options)),
      open_call_(*shards.control),
      look_call_(*shards.control) {}

UblkExport::~UblkExport() {
  CHECK(queues_.empty());
  CHECK(state_ == State::kStopped || state_ == State::kFailed);
}

void UblkExport::start(Done done) {
  DeviceStart::Plan plan;
  plan.mark.owner = owner_of(options_.run_directory);
  if (options_.resume_key != 0) {
    plan.id = options_.id;
    plan.take_over = true;
    plan.mark.key = options_.resume_key;
    plan.check_mark = true;
    begin_start(plan, std::move(done));
    return;
  }
  plan.mark.key = make_key();
  plan.id = options_.id;
  const unsigned queues = options_.queues == 0 ? device_.queue_count() : options_.queues;
  plan.queues = static_cast<std::uint16_t>(std::min(queues, kMaxQueues));
  plan.depth = static_cast<std::uint16_t>(options_.depth);
  begin_start(plan, std::move(done));
}

void UblkExport::take_over(int id, Done done) {
  DeviceStart::Plan plan;
  plan.id = id;
  plan.take_over = true;
  begin_start(plan, std::move(done));
}

void UblkExport::begin_start(const DeviceStart::Plan& plan, Done done) {
  CHECK_ON(control_shard_);
  CHECK(state_ == State::kStopped);
  if (Status status = check_options(options_); !status) {
    return refuse_soon(std::move(done), std::move(status.error()));
  }
  const BlockGeometry& geometry = device_.geometry();
  const auto params = make_params(geometry, options_.read_only,
                                  io_buffer_bytes(geometry, unsigned{plan.queues} * plan.depth));
  if (!params) {
    return refuse_soon(std::move(done), params.error());
  }
  DeviceStart::Plan full = plan;
  full.geometry = geometry;
  full.read_only = options_.read_only;
  full.server_pid = ::getpid();
  state_ = State::kStarting;
  start_waiting_.push_back(std::move(done));
  starting_ = std::make_unique<Driver<DeviceStart>>(*this, &UblkExport::start_ended, full);
  starting_->runner.start();
}

void UblkExport::refuse_soon(Done done, Error error) {
  control_shard_.post([done = std::move(done), error = std::move(error)]() mutable {
    done(std::unexpected(std::move(error)));
  });
}

void UblkExport::start_ended() {
  const DeviceStart& machine = starting_->machine;
  device_info_ = machine.info();
  driver_features_ = machine.features();
  if (machine.done()) {
    state_ = State::kLive;
    start_result_ = {};
    log_info("ublk", options_.name + " is /dev/" + disk());
    settle();
    return;
  }
  start_result_ = std::unexpected(machine.error());
  begin_stop(machine.undo());
}

void UblkExport::stop(bool force, Done done) {
  CHECK_ON(control_shard_);
  stop_waiting_.push_back(std::move(done));
  switch (state_) {
    case State::kStopped:
      stop_result_ = {};
      settle();
      return;
    case State::kStopping:
    case State::kLeaving:  // the process is about to end
      return;
    case State::kStarting:
      starting_->runner.cancel();
      start_result_ = fail(ErrorCode::kCancelled, "it was stopped while it was starting");
      device_info_ = starting_->machine.info();
      begin_stop(starting_->machine.undo());
      return;
    case State::kLive:
    case State::kFailed:
      stop_by_force_ = stop_by_force_ || force;
      if (resize_done_) {
        return;  // resized() goes on with it
      }
      force = std::exchange(stop_by_force_, false);
      begin_stop({.device = device_info_.dev_id,
                  .force = force,
                  .live = true,
                  .safe_stop = driver_features_.has(abi::kFeatureSafeStopDev)});
      return;
  }
}

void UblkExport::resize(Done done) {
  CHECK_ON(control_shard_);
  CHECK(!resize_done_);
  if (state_ != State::kLive) {
    return refuse_soon(std::move(done),
                       Error::make(ErrorCode::kBusy, options_.name + " is not live"));
  }
  const BlockGeometry& geometry = device_.geometry();
  if (!Features{device_info_.flags}.has(abi::kFeatureUpdateSize)) {
    return refuse_soon(
        std::move(done),
        Error::make(ErrorCode::kUnsupported,
                    "the namespace has " + std::to_string(geometry.size_bytes()) +
                        " bytes now, but this kernel's ublk cannot resize /dev/" + disk() +
                        (geometry.zones.zone_blocks == 0 ? " (UPDATE_SIZE, Linux 6.16)"
                                                         : ", which is zoned") +
                        ": it keeps its size; detach and attach it to see the new one"));
  }
  resize_done_ = std::move(done);
  // The queues first: the kernel may use the new size at once.
  on_queues([size = geometry.size_blocks](UblkQueue& queue) { queue.resize(size); },
            [this, size = geometry.size_blocks] { send_size(size); });
}

void UblkExport::send_size(std::uint64_t size_blocks) {
  ControlRequest request;
  request.command = abi::kUpdateSize;
  request.device = device_info_.dev_id;
  request.data = size_blocks * (device_.geometry().block_size_bytes / abi::kSectorBytes);
  control_->send(request, [this](std::int32_t result, const ControlRequest&) {
    resized(result == 0 ? Status{}
                        : fail_errno(-result, "the kernel does not resize /dev/" + disk()));
  });
}

void UblkExport::resized(Status status) {
  std::exchange(resize_done_, nullptr)(std::move(status));
  if (!stop_waiting_.empty()) {
    Done first = std::move(stop_waiting_.back());
    stop_waiting_.pop_back();
    stop(stop_by_force_, std::move(first));
  }
}

// The kernel keeps requests back from the moment at which it is told, or, where it cannot be told,
// gives those that we hold to the next server, as if we had died with them.
void UblkExport::leave(Done done) {
  CHECK_ON(control_shard_);
  const Features features{device_info_.flags};
  if (state_ != State::kLive || resize_done_ || !features.has(abi::kFeatureUserRecoveryReissue)) {
    refuse_soon(std::move(done),
                state_ == State::kLive && !resize_done_
                    ? Error::make(ErrorCode::kUnsupported, "this kernel's ublk cannot keep /dev/" +
                                                               disk() + " without a server")
                    : Error::make(ErrorCode::kBusy, options_.name + " is not live"));
    return;
  }
  state_ = State::kLeaving;
  leave_done_ = std::move(done);
  if (!features.has(abi::kFeatureQuiesce)) {
    drain_queues();
    return;
  }
  control_->send(device_request(abi::kQuiesceDev, device_info_.dev_id, kQuiesceLimitMs),
                 [this](std::int32_t result, const ControlRequest&) {
                   if (result < 0) {
                     log_warning("ublk", options_.name + ": the kernel does not quiesce /dev/" +
                                             disk() + ": " + std::strerror(-result));
                   }
                   drain_queues();
                 });
}

void UblkExport::drain_queues() {
  queues_undrained_ = static_cast<unsigned>(queues_.size());
  on_queues([](UblkQueue& queue) { queue.hold(); }, [] {});
}

void UblkExport::queue_drained() {
  queues_undrained_--;
  if (queues_undrained_ == 0) {
    // Once more: the turn that has made the last answer has then given it to the kernel.
    on_queues([](UblkQueue&) {}, [this] { std::exchange(leave_done_, nullptr)({}); });
  }
}

void UblkExport::begin_stop(const DeviceStop::Plan& plan) {
  state_ = State::kStopping;
  ticket_++;
  stopping_ = std::make_unique<Driver<DeviceStop>>(*this, &UblkExport::stop_ended, plan);
  stopping_->runner.start();
}

void UblkExport::stop_ended() {
  const DeviceStop& machine = stopping_->machine;
  if (machine.done() || machine.only_id_left()) {
    if (!machine.done()) {
      log_warning("ublk", options_.name + ": somebody still has /dev/" + disk() +
                              " open; its number is free again when that ends");
    }
    state_ = State::kStopped;
    stop_result_ = {};
    control_.reset();
  } else {
    state_ = machine.untouched() ? State::kLive : State::kFailed;
    stop_result_ = std::unexpected(machine.error());
  }
  settle();
}

/// Tells those who wait how it went, once no thread of ours is left behind.
void UblkExport::settle() {
  settling_ = open_call_.busy() || look_call_.busy();
  if (settling_) {
    return;
  }
  const auto tell = [this](std::vector<Done>& waiting, const Status& status) {
    for (Done& done : std::exchange(waiting, {})) {
      control_shard_.post([done = std::move(done), status]() { done(status); });
    }
  };
  tell(start_waiting_, start_result_);
  tell(stop_waiting_, stop_result_);
}

void UblkExport::perform(const DeviceAction& action) {
  ticket_++;
  switch (action.kind) {
    case DeviceAction::Kind::kOpenControl:
      return open_control();
    case DeviceAction::Kind::kControl:
      return send(action.request);
    case DeviceAction::Kind::kOpenServerNode:
      return report_soon(DeviceOutcome::of(open_server_node(action.device)));
    case DeviceAction::Kind::kMakeQueues:
      return report_soon(DeviceOutcome::of(make_queues(action)));
    case DeviceAction::Kind::kFetch:
      return work_on_queues([](UblkQueue& queue) { queue.fetch_all(); });
    case DeviceAction::Kind::kTryBlockNode:
      return try_block_node("/dev/ublkb" + std::to_string(action.device));
    case DeviceAction::Kind::kCheckUnused:
      return check_unused();
    case DeviceAction::Kind::kRefuseRequests:
      return work_on_queues([](UblkQueue& queue) { queue.refuse_requests(); });
    case DeviceAction::Kind::kWindUp:
      return wind_up();
    case DeviceAction::Kind::kTakeBack:
      return take_back();
    case DeviceAction::Kind::kCloseServerNode:
      close_server_node();
      return report_soon(DeviceOutcome::of(0));
  }
}

void UblkExport::report(std::uint64_t ticket, DeviceOutcome outcome) {
  if (settling_) {
    settle();
    return;
  }
  if (ticket != ticket_) {
    return;
  }
  if (state_ == State::kStarting && starting_->runner.waiting()) {
    starting_->runner.finish(std::move(outcome));
  } else if (state_ == State::kStopping && stopping_->runner.waiting()) {
    stopping_->runner.finish(std::move(outcome));
  }
}

void UblkExport::report_soon(DeviceOutcome outcome) {
  control_shard_.post([this, ticket = ticket_, outcome = std::move(outcome)]() mutable {
    report(ticket, std::move(outcome));
  });
}

void UblkExport::open_control() {
  open_call_.start([] { return nvublk::ublk::open_control(); },
                   [this, ticket = ticket_](Result<UniqueFd> fd) {
                     if (!fd) {
                       report(ticket, DeviceOutcome::failed(std::move(fd.error())));
                       return;
                     }
                     control_ = std::make_unique<Control>(control_shard_, std::move(*fd));
                     report(ticket, DeviceOutcome::of(0));
                   });
}

void UblkExport::send(const ControlRequest& request) {
  // Without a driver there is no device: whatever is to be undone is not there.
  if (control_ == nullptr) {
    return report_soon(DeviceOutcome::of(-ENODEV));
  }
  control_->send(request,
                 [this, ticket = ticket_](std::int32_t result, const ControlRequest& answered) {
                   DeviceOutcome outcome = DeviceOutcome::of(result);
                   outcome.request = answered;
                   report(ticket, std::move(outcome));
                 });
}

std::int32_t UblkExport::open_server_node(std::uint32_t id) {
  const std::string path = "/dev/ublkc" + std::to_string(id);
  server_node_.reset(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  return server_node_ ? 0 : -errno;
}

Status UblkExport::make_queues(const DeviceAction& action) {
  UblkQueue::Events events;
  events.control = &control_shard_;
  events.context = this;
  events.idle = [](void* self) { static_cast<UblkExport*>(self)->queue_idle(); };
  events.drained = [](void* self) { static_cast<UblkExport*>(self)->queue_drained(); };
  events.failed = [](void* self, int error) {
    static_cast<UblkExport*>(self)->queue_failed(error);
  };
  UblkQueue::Options queue;
  queue.limits = RequestLimits::of(device_.geometry(), options_.read_only, action.buffer_bytes);
  queue.char_fd = server_node_.get();
  queue.depth = action.depth;
  queue.buffer_bytes = action.buffer_bytes;
  queue.user_copy = action.user_copy;
  queue.name = options_.name;
  taking_back_ = false;
  for (std::uint16_t id = 0; id < action.queues; id++) {
    const unsigned index = id % device_.queue_count();
    queue.queue_id = id;
    queue.shard = shards_.io[device_.queue_shard(index)];
    queue.back_end = &device_.queue(index);
    auto made = UblkQueue::create(queue, events);
    if (!made) {
      return std::unexpected(std::move(made.error()));
    }
    queues_.push_back(std::move(*made));
  }
  return {};
}

void UblkExport::on_queues(const std::function<void(UblkQueue& queue)>& work,
                           std::move_only_function<void()> then) {
  struct Round {
    std::size_t left;
    std::move_only_function<void()> then;
  };
  CHECK(!queues_.empty());
  auto* round = new Round{queues_.size(), std::move(then)};
  Shard* control = &control_shard_;
  for (auto& queue : queues_) {
    queue->shard().post([work, round, control, queue = queue.get()] {
      work(*queue);
      control->post([round] {
        if (--round->left == 0) {
          round->then();
          delete round;
        }
      });
    });
  }
}

void UblkExport::work_on_queues(void (*work)(UblkQueue& queue)) {
  if (queues_.empty()) {
    return report_soon(DeviceOutcome::of(0));
  }
  on_queues(work, [this, ticket = ticket_] {
    // On the second visit the turn of the first one has ended, with its io_uring_enter.
    on_queues([](UblkQueue&) {}, [this, ticket] { report(ticket, DeviceOutcome::of(0)); });
  });
}

void UblkExport::wind_up() {
  if (control_ == nullptr) {
    return report_soon(DeviceOutcome::of(0));
  }
  control_->wind_up([this] { report_soon(DeviceOutcome::of(0)); });
}

void UblkExport::take_back() {
  if (!taking_back_ && !queues_.empty()) {
    taking_back_ = true;
    queues_busy_ = static_cast<unsigned>(queues_.size());
    on_queues([](UblkQueue& queue) { queue.watch_idle(); }, [] {});
  } else if (queues_busy_ == 0) {
    report_soon(DeviceOutcome::of(0));
  }
}

void UblkExport::queue_idle() {
  queues_busy_--;
  if (queues_busy_ == 0) {
    report(ticket_, DeviceOutcome::of(0));
  }
}

void UblkExport::close_server_node() {
  for (const auto& queue : queues_) {
    queue->add_statistics(past_);
  }
  queues_.clear();
  server_node_.reset();
}

void UblkExport::try_block_node(const std::string& path) {
  open_call_.start(
      [path] { return try_open(path); },
      [this, ticket = ticket_](std::int32_t result) { report(ticket, DeviceOutcome::of(result)); });
}

void UblkExport::check_unused() {
  if (look_call_.busy()) {
    return report_soon(DeviceOutcome::failed(
        Error::make(ErrorCode::kBusy, "looking for the users of /dev/" + disk() + " hangs")));
  }
  look_call_.start([name = disk()] { return nvublk::ublk::check_unused(name); },
                   [this, ticket = ticket_](Status status) {
                     report(ticket, DeviceOutcome::of(std::move(status)));
                   });
}

void UblkExport::queue_failed(int error) {
  std::string text = "the kernel took a request slot of /dev/" + disk() + " away: ";
  text += std::strerror(error);
  if (state_ == State::kStarting) {
    starting_->runner.disconnected(Error::make(ErrorCode::kSystem, std::move(text)));
  } else if (state_ == State::kLive) {
    log_error("ublk", options_.name + ": " + text + "; the device no longer works");
    state_ = State::kFailed;
  }
}

BlockExportInfo UblkExport::info() const {
  BlockExportInfo info;
  info.frontend = "ublk";
  switch (state_) {
    case State::kStopped:
      info.state = "stopped";
      return info;
    case State::kStarting:
      info.state = "starting";
      return info;
    case State::kLive:
      info.state = "live";
      break;
    case State::kLeaving:
      info.state = "leaving";
      break;
    case State::kStopping:
      info.state = "stopping";
      break;
    case State::kFailed:
      info.state = "failed";
      break;
  }
  info.device = "/dev/" + disk();
  info.id = static_cast<int>(device_info_.dev_id);
  if (const auto mark = DeviceMark::read(device_info_.ublksrv_flags);
      mark && Features{device_info_.flags}.has(abi::kFeatureUserRecoveryReissue)) {
    info.key = mark->key;
  }
  info.queues = device_info_.nr_hw_queues;
  info.depth = device_info_.queue_depth;
  info.features = Features{device_info_.flags}.names();
  return info;
}

BlockExportStatistics UblkExport::statistics() const {
  BlockExportStatistics sum = past_;
  for (const auto& queue : queues_) {
    queue->add_statistics(sum);
  }
  return sum;
}

const char* UblkExport::step_name() const {
  if (state_ == State::kStarting) {
    return starting_->machine.step_name();
  }
  return state_ == State::kStopping ? stopping_->machine.step_name() : "";
}

}  // namespace nvublk::ublk
