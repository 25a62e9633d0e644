// Controller::Impl, how it authenticates its admin queue: as a step of every connection, and once
// more when its user wants that.

#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/controller_impl.h"

namespace nvublk::nvme {

void Controller::Impl::authenticated(const Result<DhchapResult>& result) {
  if (result) {
    authenticated_ = *result;
    log_info("nvme", options_.name + ": authenticated with " +
                         std::string(dhchap_hash_name(result->hash)) + " and " +
                         std::string(dhchap_group_name(result->group)) +
                         (result->bidirectional ? ", in both directions" : ""));
  }
  if (authenticate_done_) {
    finish(authenticate_done_, result ? Status{} : std::unexpected(result.error()));
    return;
  }
  if (!sequence_waits() || closing_ || connection_ended()) {
    return;
  }
  if (result) {
    report(ControlOutcome{});
  } else {
    report_failure(result.error());
  }
}

void Controller::Impl::authenticate(Done done) {
  CHECK_ON(*shards_.control);
  if (state_ != ControllerState::kLive || authentication_.busy()) {
    finish(done, nvublk::fail(ErrorCode::kBusy, std::string("a controller that is ") +
                                                    (state_ == ControllerState::kLive
                                                         ? "authenticating"
                                                         : controller_state_name(state_)) +
                                                    " cannot be authenticated"));
    return;
  }
  if (options_.dhchap_key.empty()) {
    finish(done, nvublk::fail(ErrorCode::kInvalidArgument, "there is no key to authenticate with"));
    return;
  }
  authenticate_done_ = std::move(done);
  authentication_.start(options_);
}

void Controller::Impl::stop_authentication(const Error& reason) {
  authentication_.cancel();
  finish(authenticate_done_, std::unexpected(reason));
}

Status Controller::Impl::set_keys(const DhchapKeys& keys) {
  CHECK_ON(*shards_.control);
  ControllerOptions changed = options_;
  changed.dhchap_key = keys.key;
  changed.dhchap_ctrlr_key = keys.ctrlr_key;
  if (Status sensible = check_dhchap(changed); !sensible) {
    return sensible;
  }
  for (ControllerOptions* each : {&options_, &used_}) {
    each->dhchap_key = keys.key;
    each->dhchap_ctrlr_key = keys.ctrlr_key;
  }
  ledger_->set_keys(keys);
  for (IoSlot& slot : io_) {
    slot.queue->set_keys(keys);
  }
  return {};
}

}  // namespace nvublk::nvme
