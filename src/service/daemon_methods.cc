#include "service/daemon_methods.h"

#include <utility>

#include "engine/log.h"
#include "service/features_report.h"
#include "service/json_fields.h"

namespace nvublk::service {

DaemonMethods::DaemonMethods(const Parts& parts, DaemonFacts facts, Ends ends)
    : attachments_(parts.attachments),
      keeper_(parts.keeper),
      recovery_(parts.recovery),
      facts_(std::move(facts)),
      ends_(std::move(ends)),
      probing_(*parts.shards.control),
      verbs_(parts.shards, parts.attachments, [this](RpcCallId id, Result<Json> answer) {
        if (!answer) {
          fail_call(id, answer.error());
          return;
        }
        server_->answer(id, std::move(*answer));
      }) {}

void DaemonMethods::begin_shutdown() {
  stopping_ = true;
  verbs_.begin_shutdown();
}

const std::map<std::string, DaemonMethods::Method>& DaemonMethods::methods() {
  static const std::map<std::string, Method> table = {
      {"attach", &DaemonMethods::attach},     {"detach", &DaemonMethods::detach},
      {"features", &DaemonMethods::features}, {"hand-over", &DaemonMethods::hand_over},
      {"list", &DaemonMethods::list},         {"recover", &DaemonMethods::recover},
      {"set", &DaemonMethods::set},           {"shutdown", &DaemonMethods::shutdown},
      {"status", &DaemonMethods::status},     {"version", &DaemonMethods::version},
  };
  return table;
}

void DaemonMethods::call(RpcCallId id, const std::string& method, const Json& params) {
  const auto found = methods().find(method);
  if (found == methods().end()) {
    if (verbs_.call(id, method, params)) {
      return;
    }
    server_->answer(id, std::unexpected(RpcError::make(RpcError::kMethodNotFound,
                                                       "there is no method '" + method + "'")));
    return;
  }
  (this->*found->second)(id, params);
}

void DaemonMethods::abandoned(RpcCallId id) {
  if (const auto found = attaching_.find(id); found != attaching_.end()) {
    const std::string name = found->second;
    attachments_.cancel(name, "the client went away");
  }
  verbs_.abandoned(id);
}

void DaemonMethods::fail_call(RpcCallId id, const Error& error) {
  server_->answer(id, std::unexpected(RpcError::of(error)));
}

void DaemonMethods::attach(RpcCallId id, const Json& params) {
  if (stopping_) {
    fail_call(id, Error::make(ErrorCode::kCancelled, "the daemon is shutting down"));
    return;
  }
  auto request = AttachRequest::from_params(params);
  if (!request) {
    fail_call(id, request.error());
    return;
  }
  const auto began = attachments_.attach(std::move(*request), [this, id](const Status& status) {
    const std::string name = attaching_.at(id);
    attaching_.erase(id);
    if (!status) {
      log_warning("service",
                  name + ": cannot attach: " + status.error().text +
                      (status.error().step.empty() ? "" : " (" + status.error().step + ")"));
      fail_call(id, status.error());
      return;
    }
    // Who has been told of a device may rely on its outliving the daemon.
    keeper_.when_saved([this, id, name] { server_->answer(id, list_report(attachments_, name)); });
  });
  if (!began) {
    fail_call(id, began.error());
    return;
  }
  attaching_.emplace(id, *began);
}

void DaemonMethods::detach(RpcCallId id, const Json& params) {
  JsonFields fields(params);
  std::string target;
  bool all = false;
  bool force = false;
  bool keep_bound = false;
  const bool has_target = fields.text("target", target);
  fields.flag("all", all);
  fields.flag("force", force);
  fields.flag("keep_bound", keep_bound);
  if (has_target == all) {
    fields.complain("\"target\" or \"all\" says what to detach");
  }
  if (const Status read = fields.finish(); !read) {
    fail_call(id, read.error());
    return;
  }
  const auto done = [this, id](const Attachments::Detached& result) {
    if (!result.status) {
      Error error = result.status.error();
      for (const std::string& device : result.devices) {
        error.text += "; " + device + " is detached";
      }
      fail_call(id, error);
      return;
    }
    keeper_.when_saved(
        [this, id, devices = result.devices] { server_->answer(id, Json{{"detached", devices}}); });
  };
  attachments_.keep_bound(target, keep_bound);
  if (all) {
    attachments_.detach_all(force, done);
  } else {
    attachments_.detach(target, force, done);
  }
}

void DaemonMethods::set(RpcCallId id, const Json& params) {
  JsonFields fields(params);
  std::string target;
  if (!fields.text("target", target)) {
    fields.complain("\"target\" says which controller");
  }
  const Json policy = fields.object("policy");
  if (policy.empty()) {
    fields.complain("\"policy\" says what to change");
  }
  if (const Status read = fields.finish(); !read) {
    fail_call(id, read.error());
    return;
  }
  attachments_.set_policy(target, policy, [this, id](Result<Json> report) {
    if (!report) {
      fail_call(id, report.error());
      return;
    }
    server_->answer(id, std::move(*report));
  });
}

void DaemonMethods::list(RpcCallId id, const Json& params) {
  if (const Status read = JsonFields(params).finish(); !read) {
    fail_call(id, read.error());
    return;
  }
  server_->answer(id, list_report(attachments_));
}

void DaemonMethods::status(RpcCallId id, const Json& params) {
  JsonFields fields(params);
  std::string target;
  const bool has_target = fields.text("target", target);
  if (const Status read = fields.finish(); !read) {
    fail_call(id, read.error());
    return;
  }
  std::optional<std::vector<AttachmentMatch>> matches;
  if (has_target) {
    matches = attachments_.find(target);
    if (matches->empty()) {
      fail_call(id,
                Error::make(ErrorCode::kNotFound, "nothing attached is called '" + target + "'"));
      return;
    }
  }
  server_->answer(id, status_report(facts_, attachments_, matches, Clock::now()));
}

void DaemonMethods::features(RpcCallId id, const Json& params) {
  if (const Status read = JsonFields(params).finish(); !read) {
    fail_call(id, read.error());
    return;
  }
  probe_waiting_.push_back(id);
  if (probing_.busy()) {
    return;
  }
  probing_.start([] { return features_report(); },
                 [this](const Json& report) {
                   for (const RpcCallId waiting : std::exchange(probe_waiting_, {})) {
                     server_->answer(waiting, report);
                   }
                 });
}

void DaemonMethods::version(RpcCallId id, const Json& params) {
  if (const Status read = JsonFields(params).finish(); !read) {
    fail_call(id, read.error());
    return;
  }
  server_->answer(id, Json{{"version", facts_.version}});
}

void DaemonMethods::shutdown(RpcCallId id, const Json& params) {
  JsonFields fields(params);
  bool force = false;
  fields.flag("force", force);
  if (const Status read = fields.finish(); !read) {
    fail_call(id, read.error());
    return;
  }
  server_->answer(id, Json::object());
  ends_.shut_down(force);
}

void DaemonMethods::hand_over(RpcCallId id, const Json& params) {
  if (const Status read = JsonFields(params).finish(); !read) {
    fail_call(id, read.error());
    return;
  }
  server_->answer(id, Json{{"pid", facts_.pid}});
  ends_.hand_over();
}

void DaemonMethods::recover(RpcCallId id, const Json& params) {
  JsonFields fields(params);
  bool clean = true;
  fields.flag("clean", clean);
  if (const Status read = fields.finish(); !read) {
    fail_call(id, read.error());
    return;
  }
  recovery_.report(clean, [this, id](Result<Json> report) {
    if (!report) {
      fail_call(id, report.error());
      return;
    }
    server_->answer(id, std::move(*report));
  });
}

}  // namespace nvublk::service
