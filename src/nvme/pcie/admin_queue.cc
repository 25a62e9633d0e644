#include "nvme/pcie/admin_queue.h"

#include <array>
#include <string>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/pcie/queue_commands.h"
#include "nvme/spec/fabrics.h"

namespace nvublk::nvme::pcie {

namespace {

// How often CSTS is looked at: what is gone or broken may never answer.
constexpr Duration kHealthInterval = seconds(1);
constexpr Duration kJobLimit = seconds(15);

}  // namespace

PcieAdminQueue::PcieAdminQueue(Shard& shard, Options options, std::shared_ptr<AdminLink> link,
                               RequestTable& requests, QueueTransportSink& sink)
    : shard_(shard),
      reactor_(shard.reactor()),
      options_(std::move(options)),
      link_(std::move(link)),
      requests_(requests),
      sink_(sink),
      opening_(shard),
      report_(
          [](Deferred&, void* self) {
            auto& queue = *static_cast<PcieAdminQueue*>(self);
            queue.runner_->finish(std::exchange(queue.outcome_, {}));
          },
          this),
      interrupt_(reactor_, nullptr, this),
      removal_(
          reactor_,
          [](void* self) {
            static_cast<PcieAdminQueue*>(self)->close(
                Error::make(ErrorCode::kDisconnected, "the kernel takes the device away"));
          },
          this),
      health_([](Timer&, void* self) { static_cast<PcieAdminQueue*>(self)->check_health(); }, this),
      job_limit_(
          [](Timer&, void* self) {
            static_cast<PcieAdminQueue*>(self)->close(Error::make(
                ErrorCode::kTimeout, "no answer to a command that creates or deletes a queue"));
          },
          this) {
  link_->serve(shard_, nullptr);
}

PcieAdminQueue::~PcieAdminQueue() {
  CHECK(state_ == State::kIdle || state_ == State::kClosed);
  reactor_.cancel(report_);
}

StepView PcieAdminQueue::step() const {
  if (state_ == State::kOpening) {
    return {"open the device", "", opening_since_, kNever};
  }
  if (machine_ && machine_->running()) {
    return {machine_->step_name(), machine_->step_spec(), machine_->step_since(),
            machine_->step_deadline()};
  }
  return {};
}

// --- Connecting

void PcieAdminQueue::connect() {
  CHECK_ON(shard_);
  CHECK(state_ == State::kIdle);
  state_ = State::kOpening;
  opening_since_ = reactor_.now();
  if (std::shared_ptr<PcieDevice> kept = link_->take_device(); kept != nullptr) {
    opened(std::move(kept));
    return;
  }
  opening_.start(options_.opener,
                 [this](Result<std::shared_ptr<PcieDevice>> device) { opened(std::move(device)); });
}

void PcieAdminQueue::opened(Result<std::shared_ptr<PcieDevice>> device) {
  if (state_ == State::kClosing) {  // disconnect() came meanwhile
    end();
    return;
  }
  if (!device) {
    reason_ = std::move(device.error());
    if (reason_.step.empty()) {
      reason_.step = "open the device";
    }
    end();
    return;
  }
  session_ = std::make_shared<PcieSession>(std::move(*device));
  state_ = State::kDisabling;
  disable(false);
}

void PcieAdminQueue::disable(bool leaving) {
  machine_ = std::make_unique<ControllerDisable>(leaving);
  runner_.reset(new DisableRunner(reactor_, *machine_, *this));
  runner_->start();
}

// Registers answer at once; the outcome is reported from phase 6.
void PcieAdminQueue::perform(ControllerDisable&, const ControlAction& action) {
  Registers registers = session_->device().registers();
  outcome_ = {};
  if (action.kind == ControlAction::Kind::kGetProperty) {
    outcome_.value = registers.read(action.property);
  } else {
    registers.write(action.property, action.value);
  }
  reactor_.defer(report_);
}

void PcieAdminQueue::ended(ControllerDisable& machine) {
  if (state_ == State::kClosing) {
    if (machine.failed()) {
      session_->device().stop_dma();
    }
    // One that does not do as it is told is better opened anew, which resets the function. The
    // controller's own memory stays mapped as long as the device is open.
    keeps_device_ = !machine.failed() && asked_to_close_ && identified_ && !csts().all_ones() &&
                    !options_.controller_memory;
    stop_waiting();
    return;
  }
  if (machine.failed()) {
    close(machine.error());
    return;
  }
  cap_ = machine.cap();
  if (Status made = make_rings(); !made) {
    close(std::move(made.error()));
    return;
  }
  if (options_.controller_memory) {
    if (const Status used = session_->use_controller_memory(cap_); !used) {
      log_warning("nvme", "submission queues are in this machine's memory: " + used.error().text);
    }
  }
  state_ = State::kConnected;
  reactor_.add_poller(*this);
  polled_ = true;
  link_->serve(shard_, this);
  if (session_->device().removal_fd() >= 0) {
    removal_.arm(session_->device().removal_fd());
  }
  reactor_.arm_after(health_, kHealthInterval);
  sink_.on_connected();
}

// [PCIe 1.1 §3.3] The controller reads these when it is enabled.
Status PcieAdminQueue::make_rings() {
  QueueRings::Options options;
  options.entries = requests_.size() + 1;
  options.cap = cap_;
  auto rings = QueueRings::create(options, reactor_.dma_catalog(), *session_, requests_);
  if (!rings) {
    return std::unexpected(std::move(rings.error()));
  }
  rings_ = std::move(*rings);
  Registers registers = session_->device().registers();
  registers.write(spec::Property::kAqa, spec::Aqa::make(rings_->entries(), rings_->entries()).raw);
  registers.write(spec::Property::kAsq, rings_->sq_address());
  registers.write(spec::Property::kAcq, rings_->cq_address());
  return {};
}

// --- Connected

void PcieAdminQueue::identified(const spec::IdentifyController& identify) {
  identified_ = true;
  wants_shadows_ = identify.supports_doorbell_buffer();
  if (session_) {
    session_->set_sgl_support(identify.sgl_support());
  }
}

// The first I/O queue to come has the shadow doorbells set up, and all wait for that. Without them
// there are the registers.
void PcieAdminQueue::access(Accessed done) {
  if (state_ == State::kConnected && std::exchange(wants_shadows_, false)) {
    set_up_shadows();
  }
  if (!shadows_pending_) {
    done(state_ == State::kConnected ? session_ : nullptr, cap_);
    return;
  }
  asking_.push_back(std::move(done));
}

void PcieAdminQueue::set_up_shadows() {
  if (const Status made = session_->make_shadows(); !made) {
    log_warning("nvme", "no shadow doorbells: " + made.error().text);
    return;
  }
  shadows_pending_ = true;
  run(doorbell_buffer_config(session_->shadow_address(), session_->event_address()),
      [this](AdminOutcome outcome) {
        shadows_pending_ = false;
        if (!outcome.reset && outcome.status.ok()) {
          session_->use_shadows();
        }
        for (const Accessed& done : std::exchange(asking_, {})) {
          done(state_ == State::kConnected ? session_ : nullptr, cap_);
        }
      });
}

void PcieAdminQueue::submit(Request& request) {
  if (state_ != State::kConnected) {
    // It closes and on_disconnected() is on its way: the request waits for that.
    CHECK(state_ == State::kClosing);
    return;
  }
  if (request.sqe.is_fabrics()) {
    answer_property(request);
  } else {
    rings_->submit(request);
  }
  reactor_.request_flush(*this);
}

void PcieAdminQueue::answer_property(const Request& request) {
  Registers registers = session_->device().registers();
  spec::CompletionEntry entry;
  entry.cid = request.cid;
  const auto get = spec::submission_entry_as<spec::PropertyGetCommand>(request.sqe);
  const std::uint32_t offset = get.ofst.get();
  if (offset % 4 != 0 || offset >= spec::kDoorbellOffset) {
    entry.set_status(spec::NvmeStatus::make(spec::GenericStatus::kInvalidField, true));
  } else if (request.sqe.fctype() == spec::FabricsCommandType::kPropertyGet) {
    entry.set_result(registers.read(static_cast<spec::Property>(offset)));
  } else if (request.sqe.fctype() == spec::FabricsCommandType::kPropertySet) {
    const auto set = spec::submission_entry_as<spec::PropertySetCommand>(request.sqe);
    registers.write(static_cast<spec::Property>(offset), set.value.get());
  } else {
    entry.set_status(spec::NvmeStatus::make(spec::GenericStatus::kInvalidOpcode, true));
  }
  rings_->answer(entry);
}

void PcieAdminQueue::flush() {
  if (rings_) {
    rings_->release();
  }
}

unsigned PcieAdminQueue::poll() {
  if (!rings_->ready()) {
    return 0;
  }
  std::array<spec::CompletionEntry, QueueRings::kBatch> batch;
  const unsigned count = rings_->reap(batch);
  reactor_.request_flush(*this);
  for (unsigned i = 0; i < count; i++) {
    deliver(batch[i]);
  }
  if (rings_->faulty()) {
    close(rings_->fault());
  }
  return count;
}

bool PcieAdminQueue::arm() {
  if (!interrupt_.armed() && session_->device().interrupt_count() > 0 &&
      state_ == State::kConnected) {
    interrupt_.arm(session_->device().interrupt_fd(0));
  }
  return !rings_->ready() && interrupt_.armed();
}

void PcieAdminQueue::deliver(const spec::CompletionEntry& entry) {
  if (job_ == nullptr || entry.cid.get() != job_->cid) {
    sink_.on_completion(entry);
    start_job();
    return;
  }
  requests_.release(*std::exchange(job_, nullptr));
  reactor_.cancel(job_limit_);
  const Job job = std::move(jobs_.front());
  jobs_.pop_front();
  job.done({false, entry.status()});
  start_job();
}

void PcieAdminQueue::run(const spec::SubmissionEntry& sqe, Done done) {
  jobs_.push_back({sqe, std::move(done)});
  start_job();
}

void PcieAdminQueue::reset(const Error& reason, Done done) {
  jobs_.push_back({{}, std::move(done)});
  close(reason);
}

// One at a time, in a slot of the table, so that its CID is nobody else's; without a free one when
// the next command has completed.
void PcieAdminQueue::start_job() {
  if (job_ != nullptr || jobs_.empty() || state_ != State::kConnected) {
    return;
  }
  job_ = requests_.acquire();
  if (job_ == nullptr) {
    return;
  }
  spec::SubmissionEntry sqe = jobs_.front().sqe;
  sqe.cid = job_->cid;
  rings_->put(sqe);
  reactor_.arm_after(job_limit_, kJobLimit);
  reactor_.request_flush(*this);
}

spec::Csts PcieAdminQueue::csts() {
  return {static_cast<std::uint32_t>(session_->device().registers().read(spec::Property::kCsts))};
}

void PcieAdminQueue::check_health() {
  const spec::Csts csts = this->csts();
  if (csts.all_ones()) {
    close(Error::make(ErrorCode::kDisconnected, "the device is gone (CSTS reads all ones)"));
  } else if (csts.fatal()) {
    close(Error::make(ErrorCode::kProtocol, "the controller reports a fatal status (CSTS.CFS)"));
  } else {
    reactor_.arm_after(health_, kHealthInterval);
  }
}

// --- Ending

void PcieAdminQueue::disconnect(Error reason) {
  CHECK_ON(shard_);
  CHECK(state_ != State::kIdle && state_ != State::kClosed);
  asked_to_close_ = asked_to_close_ || state_ == State::kConnected;
  close(std::move(reason));
}

void PcieAdminQueue::close(Error reason) {
  if (state_ == State::kClosing || state_ == State::kClosed) {
    return;
  }
  reason_ = std::move(reason);
  reactor_.cancel(health_);
  reactor_.cancel(job_limit_);
  reactor_.cancel(report_);
  if (runner_) {
    runner_->cancel();
  }
  const State before = std::exchange(state_, State::kClosing);
  if (before == State::kOpening) {
    return;  // opened() goes on
  }
  disable(true);
}

void PcieAdminQueue::stop_waiting() {
  if (std::exchange(polled_, false)) {
    reactor_.remove_poller(*this);
  }
  reactor_.cancel_flush(*this);
  waits_open_ = 2;
  const auto closed = [](void* self) { static_cast<PcieAdminQueue*>(self)->waits_ended(); };
  interrupt_.close(closed);
  removal_.close(closed);
}

void PcieAdminQueue::waits_ended() {
  waits_open_--;
  if (waits_open_ == 0) {
    end();
  }
}

void PcieAdminQueue::end() {
  state_ = State::kClosed;
  link_->serve(shard_, nullptr);
  if (job_ != nullptr) {
    requests_.release(*std::exchange(job_, nullptr));
  }
  for (const Job& job : std::exchange(jobs_, {})) {
    job.done({.reset = true});
  }
  rings_.reset();
  if (keeps_device_) {
    link_->keep_device(session_->shared_device());
  }
  session_.reset();
  sink_.on_disconnected(std::move(reason_));
}

}  // namespace nvublk::nvme::pcie
