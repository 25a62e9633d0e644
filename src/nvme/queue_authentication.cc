#include "nvme/queue_authentication.h"

#include <utility>

#include "engine/blocking_call.h"
#include "engine/check.h"
#include "nvme/control_action.h"
#include "nvme/spec/fabrics.h"
#include "nvme/status_text.h"

namespace nvublk::nvme {

namespace {

spec::SubmissionEntry authentication_command(const DhchapAction& action) {
  spec::AuthenticationCommand command;
  command.fctype = std::to_underlying(action.kind == DhchapAction::Kind::kSend
                                          ? spec::FabricsCommandType::kAuthenticationSend
                                          : spec::FabricsCommandType::kAuthenticationReceive);
  command.spsp0 = spec::kAuthenticationSpsp;
  command.spsp1 = spec::kAuthenticationSpsp;
  command.secp = spec::kAuthenticationSecp;
  command.length = static_cast<std::uint32_t>(action.message.size());
  return spec::as_submission_entry(command);
}

}  // namespace

Result<bool> needs_authentication(const spec::ConnectResult& result,
                                  const ControllerOptions& options) {
  if (result.secure_channel_concat_required) {
    return fail(ErrorCode::kUnsupported,
                "the target wants the connection encrypted after authentication (secure channel "
                "concatenation), which nvublk does not offer");
  }
  if (result.authentication_required && options.dhchap_key.empty()) {
    return fail(ErrorCode::kPermission,
                "the target requires authentication (DH-HMAC-CHAP): give the key of host \"" +
                    options.host.nqn + "\" with --dhchap-secret");
  }
  return result.authentication_required || !options.dhchap_ctrlr_key.empty();
}

/// Lives as long as its thread and its result need it, which may be longer than the authentication.
struct QueueAuthentication::Calculation {
  Calculation(Shard& shard, QueueAuthentication* wants) : call(shard), owner(wants) {}

  BlockingCall call;
  QueueAuthentication* owner;  ///< null: nobody wants the result any more
};

QueueAuthentication::QueueAuthentication(QueuePair& queue_pair, Listener& listener)
    : queue_pair_(queue_pair),
      listener_(listener),
      failed_(
          [](Deferred&, void* context) {
            auto* self = static_cast<QueueAuthentication*>(context);
            self->finish(std::exchange(self->failure_, std::nullopt));
          },
          this) {}

QueueAuthentication::~QueueAuthentication() {
  cancel();
  abandon_calculation();
}

void QueueAuthentication::start(const ControllerOptions& options) {
  CHECK_ON(queue_pair_.shard());
  CHECK(!busy());
  limit_ = options.admin_timeout;
  Result<DhchapParameters> parameters = dhchap_parameters(options);
  CHECK(parameters.has_value());  // OpenSSL's random numbers fail where nothing of it works
  machine_ = std::make_unique<DhchapHost>(std::move(*parameters));
  runner_ = std::make_unique<Runner>(queue_pair_.shard().reactor(), *machine_, *this);
  runner_->start();
}

void QueueAuthentication::cancel() {
  queue_pair_.shard().reactor().cancel(failed_);
  failure_.reset();
  stop_waiting_for_slot();
  runner_.reset();
  if (!command_outstanding_) {
    machine_.reset();
  }
}

StepView QueueAuthentication::step() const {
  if (!running()) {
    return {};
  }
  return {machine_->step_name(), machine_->step_spec(), machine_->step_since(),
          machine_->step_deadline()};
}

void QueueAuthentication::perform(DhchapHost&, const DhchapAction& action) {
  action_ = action;
  if (action.kind == DhchapAction::Kind::kCalculate) {
    calculate();
  } else if (Request* request = queue_pair_.acquire()) {
    send(*request);
  } else {
    queue_pair_.wait_for_slot(*this);
  }
}

void QueueAuthentication::slot_free(Request& request) {
  send(request);
}

void QueueAuthentication::no_slot() {
  failure_ = Error::make(ErrorCode::kDisconnected, "the queue is not connected any more");
  queue_pair_.shard().reactor().defer(failed_);
}

void QueueAuthentication::send(Request& request) {
  request.sqe = authentication_command(action_);
  request.set_data(action_.message.data(), static_cast<std::uint32_t>(action_.message.size()));
  request.context = this;
  request.done = [](void* self, spec::NvmeStatus status, const spec::CompletionEntry&) {
    static_cast<QueueAuthentication*>(self)->on_done(status);
  };
  command_outstanding_ = true;
  queue_pair_.submit(request, limit_ + kBeyondStep);
}

void QueueAuthentication::on_done(spec::NvmeStatus status) {
  command_outstanding_ = false;
  if (status.ok()) {
    finish(std::nullopt);
    return;
  }
  Error error =
      Error::make(ErrorCode::kNvmeStatus,
                  "the target answered: " + status_text(status, StatusOf::kFabricsCommand));
  error.nvme_status = status.bits();
  finish(std::move(error));
}

// The outcome of an action, if it is still wanted.
void QueueAuthentication::finish(std::optional<Error> failure) {
  if (!runner_) {
    machine_.reset();
  } else if (runner_->waiting()) {
    runner_->finish(DhchapOutcome{std::move(failure)});
  }
}

void QueueAuthentication::calculate() {
  abandon_calculation();
  auto made = std::make_unique<Calculation>(queue_pair_.shard(), this);
  calculation_ = made.get();
  BlockingCall& call = made->call;
  call.start([inputs = machine_->calculation()] { return inputs.run(); },
             [calculation = std::move(made)](Result<DhchapCalculation::Answer> answer) {
               if (calculation->owner != nullptr) {
                 calculation->owner->calculated(std::move(answer));
               }
             });
}

void QueueAuthentication::calculated(Result<DhchapCalculation::Answer> answer) {
  calculation_ = nullptr;
  if (!runner_ || !runner_->waiting() || action_.kind != DhchapAction::Kind::kCalculate) {
    return;
  }
  if (!answer) {
    finish(std::move(answer.error()));
    return;
  }
  machine_->answer(std::move(*answer));
  finish(std::nullopt);
}

void QueueAuthentication::abandon_calculation() {
  if (calculation_ != nullptr) {
    calculation_->call.wait();
    calculation_->owner = nullptr;
    calculation_ = nullptr;
  }
}

void QueueAuthentication::stop_waiting_for_slot() {
  if (IntrusiveList<SlotWaiter, SlotWaiterTag>::contains_anywhere(*this)) {
    IntrusiveList<SlotWaiter, SlotWaiterTag>::remove(*this);
  }
}

void QueueAuthentication::ended(DhchapHost& machine) {
  stop_waiting_for_slot();
  if (machine.done()) {
    listener_.authenticated(machine.result());
  } else {
    listener_.authenticated(std::unexpected(machine.reason()));
  }
}

}  // namespace nvublk::nvme
