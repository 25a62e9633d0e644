#include "service/discovery_job.h"

#include <utility>

#include "engine/check.h"
#include "nvme/base64.h"
#include "nvme/spec/fabrics.h"
#include "nvme/transport_factory.h"
#include "service/discovery_report.h"

namespace nvublk::service {

namespace {

/// The library's walk advances when it is polled; nobody waits longer for a log than this.
constexpr milliseconds kPollInterval{1};

}  // namespace

Result<AttachRequest> DiscoveryJob::read_request(const Json& params) {
  Json completed = params;
  const Json raw = completed.value("raw", Json());
  if (!raw.is_boolean() && !raw.is_null()) {
    return fail(ErrorCode::kInvalidArgument, "\"raw\" must be true or false");
  }
  completed.erase("raw");
  if (completed.value("nqn", Json()).is_null() || completed["nqn"] == "") {
    completed["nqn"] = nvme::spec::kDiscoveryNqn;
  }
  if (!completed.contains("keep_alive_tmo")) {
    completed["keep_alive_tmo"] = 0;  // the connection does not stay
  }
  const bool no_port = completed.value("trsvcid", Json()).is_null() || completed["trsvcid"] == "";
  auto request = AttachRequest::from_params(completed);
  if (request && no_port && request->controller.transport.id.is_fabrics()) {
    nvme::TransportId& id = request->controller.transport.id;
    id.trsvcid = std::to_string(nvme::default_port(id.trtype, true));
  }
  if (request && !request->controller.transport.id.is_fabrics()) {
    return fail(ErrorCode::kInvalidArgument, "there is no discovery on PCIe; use -t tcp");
  }
  return request;
}

DiscoveryJob::DiscoveryJob(Shard& shard, const nvme::ControllerOptions& options, bool raw)
    : shard_(shard),
      options_(options),
      raw_(raw),
      next_([](Timer&, void* self) { static_cast<DiscoveryJob*>(self)->advance(); }, this) {}

DiscoveryJob::~DiscoveryJob() {
  CHECK(!walk_ && !closing_);
  shard_.reactor().cancel(next_);
}

void DiscoveryJob::start(Done done) {
  done_ = std::move(done);
  walk_ = std::make_unique<nvme::DiscoveryWalk>(shard_, nvme::make_transport, options_,
                                                options_.transport.id);
  shard_.reactor().arm_after(next_, Duration::zero());
}

void DiscoveryJob::cancel(const std::string& reason) {
  if (cancelled_.empty()) {
    cancelled_ = reason;
  }
}

// False while the connection that was open is still closing.
bool DiscoveryJob::close_connection() {
  if (walk_) {
    closing_ = walk_->take_connection();
    walk_.reset();
    if (closing_) {
      closing_->close();
    }
  }
  if (closing_ && !closing_->ended()) {
    return false;
  }
  closing_.reset();
  return true;
}

Result<Json> DiscoveryJob::outcome() const {
  if (walk_->logs().empty()) {
    // The first visit is to the one that was asked for.
    return std::unexpected(walk_->failures().front().second);
  }
  if (raw_) {
    return Json{{"data", nvme::to_base64(discovery_log_bytes(walk_->logs().front()))}};
  }
  return discovery_report(walk_->logs(), walk_->failures());
}

// On a timer: nothing of a connection is on the stack when the walk lets go of one.
void DiscoveryJob::advance() {
  if (!cancelled_.empty()) {
    if (close_connection()) {
      done_(fail(ErrorCode::kCancelled, cancelled_));
      return;
    }
  } else if (walk_->poll()) {
    Result<Json> report = outcome();
    walk_.reset();
    done_(std::move(report));
    return;
  }
  shard_.reactor().arm_after(next_, kPollInterval);
}

}  // namespace nvublk::service
