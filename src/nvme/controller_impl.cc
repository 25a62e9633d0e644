#include "nvme/controller_impl.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/namespace_geometry.h"
#include "nvme/spec/text.h"
#include "nvme/status_text.h"

namespace nvublk::nvme {

namespace {

constexpr std::uint32_t kAsyncEventRequests = 4;
// What every transport's admin queue carries in a capsule. [TCP 1.1 §3.3.2]
constexpr std::uint32_t kAdminInCapsuleBytes = 8192;

}  // namespace

Controller::Impl::Impl(const ShardSet& shards, const ControllerOptions& options,
                       std::unique_ptr<Transport> transport, ControllerListener* listener)
    : shards_(shards),
      options_(options),
      used_(options),
      transport_(std::move(transport)),
      ledger_(std::make_shared<IoQueueLedger>(transport_)),
      listener_(listener),
      reactor_(shards.control->reactor()),
      // n entries hold n - 1 commands. [Base 2.1 §3.3.1.2.1]
      admin_queue_(*shards.control, 0, options.admin_queue_size - 1, options.admin_timeout, *this),
      authentication_(admin_queue_, *this),
      admin_(admin_queue_, options.application_queues),
      keep_alive_(
          admin_queue_,
          [](const void* self) { return static_cast<const Impl*>(self)->answered_commands(); },
          this),
      async_events_(admin_queue_, options.admin_timeout, *this),
      wait_timer_([](Timer&, void* self) { static_cast<Impl*>(self)->recovery_step_done(); }, this),
      loss_timer_(
          [](Timer&, void* self) {
            auto* impl = static_cast<Impl*>(self);
            impl->give_up(impl->last_error_.value_or(
                Error::make(ErrorCode::kDisconnected, "the connection was lost")));
          },
          this),
      fast_fail_timer_([](Timer&, void* self) { static_cast<Impl*>(self)->fail_io_fast(); }, this),
      shutdown_timer_(
          [](Timer&, void* self) {
            auto* impl = static_cast<Impl*>(self);
            if (impl->shutdown_runner_) {
              impl->shutdown_runner_->disconnected(
                  Error::make(ErrorCode::kTimeout, "it took too long"));
            }
          },
          this),
      look_again_timer_(
          [](Timer&, void* self) {
            auto* impl = static_cast<Impl*>(self);
            impl->want_rescan(impl->announced_.missing());
          },
          this),
      released_([](Deferred&, void* self) { static_cast<Impl*>(self)->check_released(); }, this),
      closed_([](Deferred&, void* self) { static_cast<Impl*>(self)->on_all_closed(); }, this),
      rescan_([](Deferred&, void* self) { static_cast<Impl*>(self)->begin_rescan(); }, this) {
  ledger_->set_keys({options_.dhchap_key, options_.dhchap_ctrlr_key});
}

Controller::Impl::~Impl() {
  CHECK(all_closed());
  cancel_sequences();
  reactor_.cancel(look_again_timer_);
  cancel_recovery();
  reactor_.cancel(shutdown_timer_);
  reactor_.cancel(released_);
  reactor_.cancel(closed_);
  reactor_.cancel(rescan_);
  keep_alive_.stop();
  for (IoSlot& slot : io_) {
    // A queue pair ends on its own shard, after everything that was posted to it.
    Shard& shard = slot.queue->shard();
    shard.post([queue = std::move(slot.queue)]() mutable { queue.reset(); });
  }
}

void Controller::Impl::set_state(ControllerState state) {
  if (state_ == state) {
    return;
  }
  state_ = state;
  set_unavailable(state);
  log_info("nvme", options_.name + ": " + controller_state_name(state));
  if (listener_ != nullptr) {
    listener_->controller_state_changed(state);
  }
}

// Queue pairs of applications and looks at the namespaces cannot be had any more, for now or for
// good.
void Controller::Impl::set_unavailable(ControllerState state) {
  const std::string reason = last_error_ ? last_error_->text : "";
  switch (state) {
    case ControllerState::kNew:
    case ControllerState::kConnecting:
    case ControllerState::kLive:
      return;
    case ControllerState::kReconnecting:
      ledger_->close(QueueAvailability::kResetting, QueueFailure::kRemote, reason);
      break;
    case ControllerState::kResetting:
      ledger_->close(QueueAvailability::kResetting, QueueFailure::kReset, "reset");
      break;
    case ControllerState::kDeleting:
      ledger_->close(QueueAvailability::kRemoved, QueueFailure::kLocal, "detached");
      break;
    case ControllerState::kFailed:
      ledger_->close(QueueAvailability::kFailed, QueueFailure::kRemote, reason);
      break;
  }
  admin_.close();
  end_rescans(nvublk::fail(ErrorCode::kDisconnected, std::string("the controller is ") +
                                                         controller_state_name(state) +
                                                         (reason.empty() ? "" : ": " + reason)));
}

void Controller::Impl::connect(Done done) {
  CHECK_ON(*shards_.control);
  CHECK(state_ == ControllerState::kNew);
  connect_done_ = std::move(done);
  set_state(ControllerState::kConnecting);
  start_init();
}

void Controller::Impl::start_init() {
  CHECK(all_closed());
  closing_ = false;
  authenticated_.reset();
  init_ = std::make_unique<ControllerInit>(options_, transport_->limits(), options_.io_queues);
  init_runner_ = std::make_unique<InitRunner>(reactor_, *init_, *this);
  init_runner_->start();
}

void Controller::Impl::perform(ControllerInit& machine, const ControlAction& action) {
  // The controller's timer runs from CSTS.RDY on, which is before the first of these commands. What
  // answers nothing at all is for the step's deadline. [Base 2.1 §3.9]
  if (action.kind == ControlAction::Kind::kAdminCommand && !machine.rescans()) {
    keep_alive_.start(machine.keep_alive(), options_.admin_timeout + options_.keep_alive);
  }
  perform_action(action);
}

void Controller::Impl::perform(ControllerShutdown&, const ControlAction& action) {
  perform_action(action);
}

void Controller::Impl::perform_action(const ControlAction& action) {
  switch (action.kind) {
    case ControlAction::Kind::kConnectAdminQueue: {
      admin_open_ = true;
      QueueTransportOptions queue_options;
      queue_options.in_capsule_bytes = kAdminInCapsuleBytes;
      admin_queue_.connect(*transport_, queue_options);
      return;
    }
    case ControlAction::Kind::kFabricsConnect:
      send_fabrics_connect(options_.disable_sq_flow_control);
      return;
    case ControlAction::Kind::kAuthenticate:
      authentication_.start(options_);
      return;
    case ControlAction::Kind::kGetProperty:
      send_admin(command::property_get(action.property), {}, options_.admin_timeout + kBeyondStep);
      return;
    case ControlAction::Kind::kSetProperty:
      send_admin(command::property_set(action.property, action.value), {},
                 options_.admin_timeout + kBeyondStep);
      return;
    case ControlAction::Kind::kAdminCommand:
      send_admin(action.sqe, action.data, options_.admin_timeout + kBeyondStep);
      return;
    case ControlAction::Kind::kConnectIoQueues:
      connect_io_queues();
      return;
    case ControlAction::Kind::kDisconnectIoQueues:
      for (IoSlot& slot : io_) {
        slot.queue->stop(Error::make(ErrorCode::kCancelled, "the controller is shut down"));
      }
      check_all_closed();
      return;
  }
}

// Outcomes are reported from the reactor's timers and completions, never from within perform().
void Controller::Impl::report(ControlOutcome outcome) {
  if (shutdown_runner_ && shutdown_runner_->waiting()) {
    shutdown_runner_->finish(std::move(outcome));
  } else if (init_runner_ && init_runner_->waiting()) {
    init_runner_->finish(std::move(outcome));
  }
}

void Controller::Impl::report_failure(const Error& error) {
  ControlOutcome outcome;
  outcome.failure = error;
  report(std::move(outcome));
}

bool Controller::Impl::sequence_waits() const {
  return (shutdown_runner_ && shutdown_runner_->waiting()) ||
         (init_runner_ && init_runner_->waiting());
}

void Controller::Impl::send_admin(const spec::SubmissionEntry& sqe, std::span<std::byte> data,
                                  Duration timeout) {
  Request* request = admin_queue_.acquire();
  CHECK(request != nullptr);  // sequences have one command at a time, and the queue has room for it
  command_outstanding_ = true;
  request->sqe = sqe;
  if (data.empty()) {
    request->set_no_data();
  } else {
    request->set_data(data.data(), static_cast<std::uint32_t>(data.size()));
  }
  request->context = this;
  request->done = [](void* self, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    static_cast<Impl*>(self)->on_admin_done(status, entry);
  };
  admin_queue_.submit(*request, timeout);
}

// A command that ended with its connection: queue_disconnected() follows and knows why.
bool Controller::Impl::connection_ended() const {
  return admin_queue_.state() == QueueState::kDisconnecting;
}

void Controller::Impl::on_admin_done(spec::NvmeStatus status, const spec::CompletionEntry& entry) {
  command_outstanding_ = false;
  if (connection_ended()) {
    return;
  }
  if (!sequence_waits() || closing_) {
    reactor_.defer(rescan_);  // it may have waited for this one
    return;
  }
  if (status.ok()) {
    report(ControlOutcome{entry.result(), {}});
    return;
  }
  Error error =
      Error::make(ErrorCode::kNvmeStatus, "the controller answered: " + status_text(status));
  error.nvme_status = status.bits();
  report_failure(error);
}

void Controller::Impl::send_fabrics_connect(bool disable_sq_flow_control) {
  asked_no_flow_control_ = disable_sq_flow_control;
  command::ConnectArguments arguments;
  arguments.queue_entries = options_.admin_queue_size;
  arguments.kato_ms = static_cast<std::uint32_t>(options_.keep_alive.count());
  arguments.disable_sq_flow_control = disable_sq_flow_control;
  Request* request = admin_queue_.acquire();
  CHECK(request != nullptr);
  build_fabrics_connect(arguments, spec::kCntlidDynamic, options_, *request, connect_data_);
  request->context = this;
  request->done = [](void* self, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    static_cast<Impl*>(self)->on_fabrics_connect_done(status, entry);
  };
  admin_queue_.submit(*request, options_.connect_timeout);
}

void Controller::Impl::on_fabrics_connect_done(spec::NvmeStatus status,
                                               const spec::CompletionEntry& entry) {
  if (!sequence_waits() || closing_ || connection_ended()) {
    return;
  }
  if (!status.ok()) {
    // The whole command is refused for cattr only where the parameter named is cattr itself.
    const auto parameter = spec::ConnectInvalidParameter::decode(entry);
    if (asked_no_flow_control_ && status.is(spec::FabricsStatus::kInvalidParameters) &&
        !parameter.in_data) {
      send_fabrics_connect(false);
      return;
    }
    report_failure(fabrics_connect_error(status, entry, options_));
    return;
  }
  admin_queue_.set_live();
  // SQHD of ffffh says that the request to do without flow control was granted. [Base 2.1 §6.3]
  sq_flow_control_disabled_ = asked_no_flow_control_ && entry.sqhd.get() == 0xffff;
  report(ControlOutcome{entry.dw0.get(), {}});
}

void Controller::Impl::queue_connected(std::uint16_t) {
  if (!transport_->limits().fabrics) {
    admin_queue_.set_live();
  }
  report(ControlOutcome{});
}

void Controller::Impl::queue_disconnected(std::uint16_t, const Error& reason) {
  admin_open_ = false;
  stop_authentication(reason);
  admin_failure_ = reason.text;
  keep_alive_.stop();
  async_events_.stop();
  if (!closing_) {
    connection_lost(reason);
  }
  check_all_closed();
}

std::uint32_t Controller::Impl::queue_slots() const {
  return std::min(options_.queue_size, most_commands());
}

std::uint32_t Controller::Impl::most_commands() const {
  const ControllerProfile& profile = init_->profile();
  // n entries hold n - 1 commands. [Base 2.1 §3.3.1.2.1]
  std::uint32_t slots = profile.cap.max_queue_entries() - 1;
  if (const std::uint32_t maxcmd = profile.identify.maxcmd.get(); maxcmd != 0) {
    slots = std::min(slots, maxcmd);
  }
  if (profile.quirks.has(Quirk::kOneCommand)) {
    return 1;
  }
  return std::max(slots, 1u);
}

// The data of a command capsule; none if it would not follow the command at once. ICDOFF is 0 over
// TCP. [TCP 1.1 §3.3.2]
std::uint32_t Controller::Impl::in_capsule_bytes(const spec::IdentifyController& identify) {
  if (identify.in_capsule_data_offset_bytes() != 0) {
    return 0;
  }
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(identify.in_capsule_data_bytes(), 1024 * 1024));
}

// Lists of descriptors lie in the capsule and are named by their offset. MSDBD 0: no limit.
// [Base 2.1 §5.1.13.2.1]
std::uint32_t Controller::Impl::max_descriptors(const spec::IdentifyController& identify) {
  if (!identify.supports_offset_sgl()) {
    return 1;
  }
  return identify.msdbd == 0 ? 256u : identify.msdbd;
}

TransportLimits Controller::Impl::transport_limits() const {
  const spec::IdentifyController& identify = profile_.identify;
  TransportLimits limits = transport_->limits();
  if (!limits.fabrics) {
    // MSDBD is about capsules. [Base 2.1 §5.1.13.2.1]
    limits.prp = limits.prp && identify.sgl_support() == 0;
    limits.max_segments = limits.prp ? 0 : limits.max_segments;
  } else if (limits.max_segments != 0) {
    const auto room =
        static_cast<std::uint32_t>(in_capsule_bytes(identify) / sizeof(spec::SglDescriptor));
    limits.max_segments = std::min({limits.max_segments, max_descriptors(identify), room});
    // A single descriptor has no pieces: the transport gathers them, for less than a command each.
    limits.max_segments = limits.max_segments > 1 ? limits.max_segments : 0;
  }
  return limits;
}

Status Controller::Impl::make_io_queues() {
  const std::uint32_t count = init_->profile().io_queue_count;
  const std::uint32_t slots = queue_slots();
  if (io_.empty()) {
    options_.io_queues = count;
    options_.queue_size = slots;
    for (std::uint32_t i = 0; i < count; i++) {
      Shard& shard = *shards_.io[i % shards_.io.size()];
      IoSlot slot;
      slot.queue = std::make_unique<IoQueue>(
          shard, *shards_.control, static_cast<std::uint16_t>(i + 1), slots, options_, *this);
      io_.push_back(std::move(slot));
    }
    return {};
  }
  if (count < io_.size() || slots < options_.queue_size) {
    return fail(ErrorCode::kNoResources,
                "the controller now grants " + std::to_string(count) + " I/O queues of " +
                    std::to_string(slots) + " commands; before it was " +
                    std::to_string(io_.size()) + " of " + std::to_string(options_.queue_size));
  }
  return {};
}

// At the address of a local drive another one may be by now.
Status Controller::Impl::check_serial() const {
  std::string expected = options_.serial;
  if (expected.empty() && !transport_->limits().fabrics) {
    expected = spec::printable_text(profile_.identify.sn);
  }
  const std::string serial = spec::printable_text(init_->profile().identify.sn);
  if (expected.empty() || serial == expected) {
    return {};
  }
  return nvublk::fail(ErrorCode::kProtocol,
                      "it is another drive: its serial number is " + serial + ", not " + expected);
}

void Controller::Impl::connect_io_queues() {
  transport_->controller_identified(init_->profile().identify);
  Status status = check_serial();
  if (status && !options_.application_queues) {
    status = make_io_queues();
  }
  if (!status) {
    shards_.control->post([this, error = status.error()] { report_failure(error); });
    return;
  }
  // Before a queue can be live: what waits for a namespace that is another one now must not reach
  // it.
  update_namespaces(init_->profile());
  if (io_.empty()) {
    shards_.control->post([this] { report(ControlOutcome{}); });
    return;
  }
  IoQueue::Start start;
  start.transport = transport_.get();
  start.cntlid = init_->profile().cntlid;
  start.in_capsule_bytes = in_capsule_bytes(init_->profile().identify);
  start.max_descriptors = max_descriptors(init_->profile().identify);
  if (init_->profile().retry_delays) {
    const spec::IdentifyController& identify = init_->profile().identify;
    for (std::uint8_t crd = 1; crd <= start.retry_delays.size(); crd++) {
      start.retry_delays[crd - 1u] = milliseconds(identify.command_retry_delay_ms(crd));
    }
  }
  for (IoSlot& slot : io_) {
    slot.open = true;
    slot.live = false;
    slot.released = false;
    slot.queue->start(start);
  }
}

void Controller::Impl::io_queue_live(std::uint16_t qid, bool sq_flow_control_disabled) {
  IoSlot& slot = io_[qid - 1u];
  slot.live = slot.open;
  sq_flow_control_disabled_ = sq_flow_control_disabled;
  if (!closing_ && std::ranges::all_of(io_, [](const IoSlot& each) { return each.live; })) {
    report(ControlOutcome{});
  }
}

void Controller::Impl::io_queue_closed(std::uint16_t qid, const Error& reason,
                                       bool cut_off_writes) {
  IoSlot& slot = io_[qid - 1u];
  slot.open = false;
  slot.live = false;
  slot.released = false;
  if (cut_off_writes) {
    cut_off_at_ = reactor_.clock();
  }
  slot.failure = reason.text;
  if (!closing_ && !(shutdown_runner_ && shutdown_runner_->running())) {
    Error error = reason;
    if (error.step.empty()) {
      error.step = "I/O queue " + std::to_string(qid);
    }
    connection_lost(error);
  }
  check_all_closed();
}

void Controller::Impl::ended(ControllerInit& machine) {
  if (machine.rescans()) {
    rescan_ended(machine);
    return;
  }
  if (machine.failed()) {
    if (recovering()) {
      attempt_failed(machine.error());
    } else {
      last_error_ = machine.error();
      close_all(machine.error());
    }
    return;
  }
  profile_ = machine.profile();
  if (profile_.quirks.any()) {
    log_info("nvme",
             options_.name + ": for this model of controller, nvublk " + profile_.quirks.text());
  }
  // Already now: what the recovery still waits for may take longer than the controller does.
  keep_alive_.start(milliseconds(profile_.keep_alive_ms), milliseconds(profile_.keep_alive_ms));
  if (recovering()) {
    recovery_step_done();
    return;
  }
  for (IoSlot& slot : io_) {
    slot.queue->release();
  }
  enter_live();
}

void Controller::Impl::enter_live() {
  reactor_.cancel(loss_timer_);
  reactor_.cancel(fast_fail_timer_);
  fast_failed_ = false;
  cut_off_at_ = {};
  for (IoSlot& slot : io_) {
    slot.queue->fail_waiting(0);
  }
  if (options_.application_queues && !profile_.discovery) {
    options_.io_queues = profile_.io_queue_count;
    IoQueueGrant grant;
    grant.cntlid = profile_.cntlid;
    grant.in_capsule_bytes = in_capsule_bytes(init_->profile().identify);
    grant.max_descriptors = max_descriptors(init_->profile().identify);
    grant.max_commands = most_commands();
    grant.queue_count = profile_.io_queue_count;
    ledger_->open(grant);
  }
  note_used_options();
  set_state(ControllerState::kLive);
  admin_.open(profile_.identify.abort_limit_count());
  AsyncEvents::Limits events;
  events.requests = std::min(kAsyncEventRequests, profile_.identify.async_event_limit_count());
  events.ana_log_bytes = options_.read_ana_log ? profile_.identify.ana_log_bytes() : 0;
  events.read_changed_list = options_.read_changed_namespace_list;
  async_events_.start(events);
  finish_connect({});
  finish(reset_done_, {});
}

void Controller::Impl::note_used_options() {
  used_ = options_;
  used_.keep_alive = milliseconds(profile_.keep_alive_ms);
  used_.arbitration = profile_.arbitration;
  used_.disable_sq_flow_control = sq_flow_control_disabled_;
  if (!profile_.discovery) {
    used_.queue_size = queue_slots();
    used_.io_queue_requests = std::max(used_.io_queue_requests, used_.queue_size);
  }
  if (!profile_.cap.supports_io_command_sets()) {
    used_.command_sets = CommandSets::kNvm;
  }
}

void Controller::Impl::finish(Done& done, Status status) {
  if (Done run = std::exchange(done, nullptr)) {
    shards_.control->post(
        [run = std::move(run), status = std::move(status)]() mutable { run(std::move(status)); });
  }
}

}  // namespace nvublk::nvme
