#include "fuse/fuse_export.h"

#include <algorithm>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "engine/shard.h"
#include "fuse/loop_device.h"

namespace nvublk::fuse {

namespace {

constexpr std::uint32_t kPage = 4096;
constexpr unsigned kMaxDepth = 1024;
/// The loop driver has 128 requests at once, each of which may be split.
constexpr unsigned kMinBackground = 512;

// The kernel cuts a request after 256 pages if not after its maximum length before. The loop
// driver's pieces of memory need not be page aligned, at most 128 of them, each of which can cost a
// page more: with half the length the cut always is by length, between blocks. Blocks of 512 bytes
// cannot be cut apart, as memory is aligned to that.
std::uint32_t max_transfer_bytes(const BlockGeometry& geometry) {
  constexpr std::uint32_t kMost = 1024 * 1024;
  const std::uint32_t most = geometry.block_size_bytes > 512 ? kMost / 2 : kMost;
  const std::uint32_t unit = std::max(geometry.block_size_bytes, kPage);
  return std::max(std::min(geometry.max_transfer_bytes, most) / unit * unit, unit);
}

FileLimits limits_of(const BlockGeometry& geometry, bool read_only) {
  FileLimits limits;
  limits.block_size_bytes = geometry.block_size_bytes;
  limits.size_bytes = geometry.size_bytes();
  limits.max_transfer_bytes = max_transfer_bytes(geometry);
  limits.write_zeroes = geometry.max_write_zeroes_blocks > 0;
  limits.read_only = read_only || geometry.read_only;
  return limits;
}

ExportOutcome failed(Error error) {
  return {std::move(error), false};
}

ExportOutcome outcome_of(const Status& status) {
  return status ? ExportOutcome{} : failed(status.error());
}

}  // namespace

std::string cannot_show(const BlockGeometry& geometry) {
  return geometry.zones.zone_blocks == 0
             ? ""
             : "it is zoned, and a file on FUSE has no zones; a kernel with ublk (Linux 6.6) can "
               "show it";
}

FuseExport::FuseExport(const ShardSet& shards, BlockDevice& device, BlockExportOptions options,
                       bool multishot)
    : shards_(shards),
      device_(device),
      options_(std::move(options)),
      limits_(limits_of(device.geometry(), options_.read_only)),
      multishot_(multishot),
      call_(*shards.control),
      resize_call_(*shards.control),
      start_runner_(shards.control->reactor(), start_steps_, *this),
      release_runner_(shards.control->reactor(), release_steps_, *this),
      teardown_runner_(shards.control->reactor(), teardown_steps_, *this) {}

FuseExport::~FuseExport() {
  CHECK(state_ == State::kNew || state_ == State::kStopped);
}

unsigned FuseExport::queue_count() const {
  const unsigned available = device_.queue_count();
  return options_.queues == 0 ? available : std::min(options_.queues, available);
}

void FuseExport::start(Done done) {
  CHECK_ON(*shards_.control);
  CHECK(state_ == State::kNew);
  state_ = State::kStarting;
  start_done_ = std::move(done);
  start_runner_.start();
}

void FuseExport::stop(bool force, Done done) {
  CHECK_ON(*shards_.control);
  force_ = force_ || force;
  switch (state_) {
    case State::kNew:
    case State::kStopped:
      state_ = State::kStopped;
      shards_.control->post([done = std::move(done)] { done({}); });
      return;
    case State::kStarting:
      stop_done_.push_back(std::move(done));
      start_runner_.cancel();
      start_status_ = fail(ErrorCode::kCancelled, options_.name + " was stopped while it started");
      begin_teardown(State::kStopping);
      return;
    case State::kStopping:
      stop_done_.push_back(std::move(done));
      if (force && !teardown_runner_.running()) {
        release_runner_.cancel();
        begin_teardown(State::kStopping);
      }
      return;
    case State::kLive:
    case State::kFailed:
      stop_done_.push_back(std::move(done));
      if (resize_done_) {
        return;  // resized() goes on with it
      }
      state_ = State::kStopping;
      release_steps_.begin_again();
      release_runner_.start();
      return;
  }
}

void FuseExport::leave(Done done) {
  shards_.control->post([name = options_.name, done = std::move(done)] {
    done(nvublk::fail(ErrorCode::kUnsupported,
                      name + " is served through FUSE, which ends with the daemon"));
  });
}

void FuseExport::resize(Done done) {
  CHECK_ON(*shards_.control);
  CHECK(!resize_done_);
  if (state_ != State::kLive) {
    shards_.control->post([done = std::move(done), name = options_.name] {
      done(fail(ErrorCode::kBusy, name + " is not live"));
    });
    return;
  }
  resize_done_ = std::move(done);
  limits_.size_bytes = device_.geometry().size_bytes();
  session_->resize(limits_.size_bytes);
  resize_left_ = queues_.size();
  for (auto& queue : queues_) {
    queue->shard().post([this, served = queue.get(), size = limits_.size_bytes] {
      served->resize(size);
      shards_.control->post([this] {
        if (--resize_left_ == 0) {
          resize_loop();
        }
      });
    });
  }
}

void FuseExport::resize_loop() {
  resize_call_.start([number = loop_, file = at_.file,
                      size = limits_.size_bytes] { return resize_loop_device(number, file, size); },
                     [this](const Status& status) { resized(status); });
}

void FuseExport::resized(const Status& status) {
  std::exchange(resize_done_, nullptr)(status);
  if (!stop_done_.empty()) {
    Done last = std::move(stop_done_.back());
    stop_done_.pop_back();
    stop(force_, std::move(last));
  }
}

void FuseExport::ended(StartSteps& steps) {
  if (steps.failed()) {
    start_status_ = std::unexpected(steps.error());
    begin_teardown(State::kStarting);
    return;
  }
  state_ = State::kLive;
  log_info("fuse", options_.name + " is " + loop_device_path(loop_));
  std::exchange(start_done_, nullptr)({});
}

void FuseExport::ended(ReleaseSteps& steps) {
  if (steps.failed() && !force_) {
    state_ = State::kLive;
    finish_stop(std::unexpected(steps.error()));
    return;
  }
  begin_teardown(State::kStopping);
}

void FuseExport::begin_teardown(State state) {
  state_ = state;
  action_++;
  awaits_handshake_ = false;
  teardown_runner_.start();
}

void FuseExport::ended(TeardownSteps&) {
  queues_.clear();
  session_.reset();
  state_ = State::kStopped;
  if (start_done_) {
    std::exchange(start_done_, nullptr)(start_status_);
  }
  finish_stop({});
}

void FuseExport::finish_stop(const Status& status) {
  for (Done& done : std::exchange(stop_done_, {})) {
    done(status);
  }
}

void FuseExport::forwarded(ForwardedRequest& request) {
  session_->process(request.bytes, request.queue->fd());
  request.queue->give_back(request);
  if (awaits_handshake_ && (session_->initialized() || session_->handshake_failed())) {
    awaits_handshake_ = false;
    report(action_, handshake_outcome());
  }
}

ExportOutcome FuseExport::handshake_outcome() const {
  return session_->initialized()
             ? ExportOutcome{}
             : failed(Error::make(ErrorCode::kUnsupported,
                                  "libfuse and this kernel's FUSE do not agree on a protocol"));
}

void FuseExport::connection_ended() {
  if (state_ == State::kLive) {
    state_ = State::kFailed;
    log_error("fuse", options_.name + ": somebody ended the FUSE connection; detach the device");
  }
}

void FuseExport::report(std::uint64_t action, ExportOutcome outcome) {
  if (action != action_) {
    return;
  }
  action_++;
  if (start_runner_.waiting()) {
    start_runner_.finish(std::move(outcome));
  } else if (teardown_runner_.waiting()) {
    teardown_runner_.finish(std::move(outcome));
  } else if (release_runner_.waiting()) {
    release_runner_.finish(std::move(outcome));
  }
}

void FuseExport::report_later(ExportOutcome outcome) {
  shards_.control->post(
      [this, action = action_, outcome = std::move(outcome)] { report(action, outcome); });
}

// Runs `work()` on its own thread. `keep(result)` records what there is now, also if nobody waits
// for the call any more, and says how it went.
template <typename Work, typename Keep>
void FuseExport::call(Work work, Keep keep) {
  call_.start(std::move(work), [this, action = action_, keep](auto result) {
    ExportOutcome outcome = keep(std::move(result));
    if (std::exchange(awaits_call_, false)) {
      report(action_, {});
      return;
    }
    report(action, std::move(outcome));
  });
}

template <typename Task>
void FuseExport::on_every_queue(const Task& task) {
  if (queues_.empty()) {
    report_later({});
    return;
  }
  gathering_ = {static_cast<unsigned>(queues_.size()), {}};
  for (auto& queue : queues_) {
    auto part_done = [this, action = action_](const Status& status) {
      if (action != action_) {
        return;
      }
      if (!status) {
        gathering_.outcome = failed(status.error());
      }
      if (--gathering_.left == 0) {
        report(action, std::move(gathering_.outcome));
      }
    };
    queue->shard().post([task, part_done, served = queue.get()] { task(*served, part_done); });
  }
}

void FuseExport::perform_action(ExportAction action) {
  action_++;
  switch (action) {
    case ExportAction::kPrepare:
    case ExportAction::kMount:
    case ExportAction::kStartQueues:
    case ExportAction::kAwaitHandshake:
    case ExportAction::kAttachLoop:
    case ExportAction::kProbeDevice:
      perform_start_action(action);
      return;
    case ExportAction::kReleaseLoop:
    case ExportAction::kSever:
    case ExportAction::kCloseDescriptors:
    case ExportAction::kAwaitCall:
    case ExportAction::kClearLoop:
    case ExportAction::kUnmount:
    case ExportAction::kDrain:
      perform_teardown_action(action);
      return;
  }
}

void FuseExport::perform_start_action(ExportAction action) {
  switch (action) {
    case ExportAction::kPrepare:
      return prepare();
    case ExportAction::kMount:
      return mount();
    case ExportAction::kStartQueues:
      return start_queues();
    case ExportAction::kAwaitHandshake:
      awaits_handshake_ = !session_->initialized() && !session_->handshake_failed();
      return awaits_handshake_ ? void() : report_later(handshake_outcome());
    case ExportAction::kAttachLoop:
      return attach_loop();
    default:
      return probe_device();
  }
}

void FuseExport::perform_teardown_action(ExportAction action) {
  switch (action) {
    case ExportAction::kReleaseLoop:
      return release_loop();
    case ExportAction::kSever:
      return on_every_queue([](FuseQueue& queue, auto done) { queue.sever([done] { done({}); }); });
    case ExportAction::kCloseDescriptors:
      mount_.descriptors.clear();
      return report_later({});
    case ExportAction::kAwaitCall:
      awaits_call_ = call_.busy();
      return awaits_call_ ? void() : report_later({});
    case ExportAction::kClearLoop:
      return clear_loop();
    case ExportAction::kUnmount:
      mount_.descriptors.clear();
      return unmount();
    default:
      return on_every_queue([](FuseQueue& queue, auto done) { queue.drain([done] { done({}); }); });
  }
}

void FuseExport::prepare() {
  call([directory = options_.run_directory,
        name = options_.name] { return make_mount_point(directory, name); },
       [this](Result<MountPoint> made) {
         if (!made) {
           return failed(made.error());
         }
         at_ = *made;
         return ExportOutcome{};
       });
}

void FuseExport::mount() {
  const MountOptions options{at_, limits_.max_transfer_bytes, limits_.read_only, queue_count()};
  call([options] { return mount_fuse(options); },
       [this](Result<Mount> mounted) {
         if (!mounted) {
           return failed(mounted.error());
         }
         mount_ = std::move(*mounted);
         return ExportOutcome{};
       });
}

void FuseExport::start_queues() {
  const unsigned depth = std::clamp(options_.depth, 2U, kMaxDepth);
  FileSession::Options session_options;
  session_options.name = options_.name;
  session_options.limits = limits_;
  session_options.discard_granularity_bytes = device_.geometry().discard_granularity_bytes;
  session_options.max_background = std::max(depth * queue_count(), kMinBackground);
  auto session = FileSession::create(std::move(session_options));
  if (!session) {
    report_later(failed(session.error()));
    return;
  }
  session_ = std::move(*session);
  for (unsigned i = 0; i < queue_count(); i++) {
    FuseQueue::Options options;
    options.shard = shards_.io[device_.queue_shard(i)];
    options.control = shards_.control;
    options.device_queue = &device_.queue(i);
    options.geometry = device_.geometry();
    options.limits = limits_;
    options.depth = depth;
    options.multishot = multishot_;
    FuseQueueClient& client = *this;
    queues_.push_back(std::make_unique<FuseQueue>(options, client));
  }
  std::vector<int> descriptors;
  descriptors.reserve(mount_.descriptors.size());
  for (const UniqueFd& descriptor : mount_.descriptors) {
    descriptors.push_back(descriptor.get());
  }
  on_every_queue([control = shards_.control, descriptors, this](FuseQueue& queue, auto done) {
    std::size_t index = 0;
    while (queues_[index].get() != &queue) {
      index++;
    }
    Status status = queue.start(descriptors[index]);
    control->post([done, status = std::move(status)] { done(status); });
  });
}

void FuseExport::attach_loop() {
  const LoopOptions options{at_.file, limits_.block_size_bytes, limits_.read_only, options_.id};
  call([options] { return attach_loop_device(options); },
       [this](Result<std::optional<int>> attached) {
         if (!attached) {
           return failed(attached.error());
         }
         if (*attached) {
           loop_ = **attached;
         }
         return ExportOutcome{std::nullopt, !attached->has_value()};
       });
}

void FuseExport::probe_device() {
  struct Probe {
    Result<bool> ready;
    bool direct = false;
  };
  call(
      [number = loop_, size = limits_.size_bytes] {
        return Probe{loop_device_ready(number, size), loop_device_is_direct(number)};
      },
      [this](Probe probe) {
        if (!probe.ready) {
          return failed(probe.ready.error());
        }
        loop_direct_ = probe.direct;
        return ExportOutcome{std::nullopt, !*probe.ready};
      });
}

void FuseExport::release_loop() {
  if (call_.busy()) {
    // The call of an attempt that ran out of time; it ends when the device answers.
    report_later(failed(Error::make(ErrorCode::kBusy,
                                    "an earlier attempt to release " + loop_device_path(loop_) +
                                        " still waits for the device; try again, or use --force")));
    return;
  }
  call([number = loop_, at = at_] { return release_loop_device(number, at.file, at.directory); },
       [this](const LoopRelease& released) {
         if (released.status && state_ != State::kStopping) {
           // Too late for the stop that asked for it; another stop finishes the work.
           state_ = State::kFailed;
         }
         ExportOutcome outcome = outcome_of(released.status);
         outcome.again = released.momentary;
         return outcome;
       });
}

void FuseExport::clear_loop() {
  if (loop_ < 0) {
    report_later({});
    return;
  }
  call([number = loop_, file = at_.file] { return clear_loop_device(number, file); },
       [this](const Status& cleared) {
         if (!cleared) {
           log_warning("fuse", cleared.error().text);
         }
         loop_ = -1;
         return ExportOutcome{};
       });
}

void FuseExport::unmount() {
  call(
      [at = at_] {
        remove_mount_point(at);
        return true;
      },
      [](bool) { return ExportOutcome{}; });
}

const char* FuseExport::state_name() const {
  switch (state_) {
    case State::kNew:
    case State::kStarting:
      return "starting";
    case State::kLive:
      return "live";
    case State::kFailed:
      return "failed";
    case State::kStopping:
      return "stopping";
    case State::kStopped:
      return "stopped";
  }
  return "failed";
}

BlockExportInfo FuseExport::info() const {
  CHECK_ON(*shards_.control);
  BlockExportInfo info;
  info.frontend = "fuse";
  info.state = state_name();
  info.queues = queue_count();
  info.depth = std::clamp(options_.depth, 2U, kMaxDepth);
  if (state_ == State::kLive || state_ == State::kFailed || state_ == State::kStopping) {
    if (loop_ >= 0) {
      info.device = loop_device_path(loop_);
    }
    info.features = {"FUSE_ASYNC_DIO", "FOPEN_DIRECT_IO", "FOPEN_PARALLEL_DIRECT_WRITES"};
    if (loop_direct_) {
      info.features.emplace_back("LO_FLAGS_DIRECT_IO");
    }
  }
  return info;
}

BlockExportStatistics FuseExport::statistics() const {
  BlockExportStatistics sum;
  for (const auto& queue : queues_) {
    queue->add_statistics(sum);
  }
  return sum;
}

}  // namespace nvublk::fuse
