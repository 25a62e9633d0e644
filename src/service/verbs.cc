#include "service/verbs.h"

#include <utility>

#include "engine/check.h"
#include "nvme/base64.h"

namespace nvublk::service {

Verbs::Verbs(const ShardSet& shards, Attachments& attachments, Answer answer)
    : shards_(shards),
      attachments_(attachments),
      answer_(std::move(answer)),
      bury_([](Deferred&, void* context) { static_cast<Verbs*>(context)->graveyard_.clear(); },
            this) {}

Verbs::~Verbs() {
  CHECK(idle());
  shards_.control->reactor().cancel(bury_);
}

const std::map<std::string, Verbs::Method>& Verbs::methods() {
  static const std::map<std::string, Method> table = {
      {"admin-passthru", &Verbs::admin_passthru},
      {"ana-log", &Verbs::ana_log},
      {"error-log", &Verbs::error_log},
      {"get-feature", &Verbs::get_feature},
      {"id-ctrl", &Verbs::id_ctrl},
      {"id-ns", &Verbs::id_ns},
      {"io-passthru", &Verbs::io_passthru},
      {"list-ns", &Verbs::list_ns},
      {"ns-rescan", &Verbs::ns_rescan},
      {"reset", &Verbs::reset},
      {"smart-log", &Verbs::smart_log},
  };
  return table;
}

bool Verbs::call(CallId id, const std::string& method, const Json& params) {
  if (method == "discover") {
    discover(id, params);
    return true;
  }
  const auto found = methods().find(method);
  if (found == methods().end()) {
    return false;
  }
  JsonFields fields(params);
  (this->*found->second)(id, fields);
  return true;
}

Result<Verbs::Target> Verbs::read_target(JsonFields& fields) {
  std::string name;
  if (!fields.text("target", name) || name.empty()) {
    return fail(ErrorCode::kInvalidArgument, "\"target\" says which controller or device");
  }
  const std::vector<AttachmentMatch> matches = attachments_.find(name);
  if (matches.empty()) {
    return fail(ErrorCode::kNotFound, "nothing attached is called '" + name + "'");
  }
  if (matches.size() > 1) {
    return fail(ErrorCode::kInvalidArgument,
                "'" + name + "' is attached as " + matches[0].attachment->name() + " and as " +
                    matches[1].attachment->name() + "; name one of them");
  }
  const AttachmentMatch& match = matches.front();
  return Target{match.attachment, match.nsids.empty() ? 0 : match.nsids.front()};
}

Attachment* Verbs::begin(CallId id, JsonFields& fields, const Result<Target>& target) {
  if (Status read = fields.finish(); !read) {
    fail_call(id, std::move(read.error()));
    return nullptr;
  }
  if (!target) {
    fail_call(id, target.error());
    return nullptr;
  }
  return target->attachment;
}

DeviceCommand::Done Verbs::answering(CallId id, bool raw, Report report) {
  return [this, id, raw, report = std::move(report)](Result<DeviceAnswer> answer) {
    if (!answer) {
      fail_call(id, std::move(answer.error()));
      return;
    }
    answer_(id, raw ? Json{{"data", nvme::to_base64(answer->data)}} : report(*answer));
  };
}

void Verbs::reset(CallId id, JsonFields& fields) {
  const auto target = read_target(fields);
  Attachment* attachment = begin(id, fields, target);
  if (attachment == nullptr) {
    return;
  }
  attachment->controller().reset([this, id, name = attachment->name()](Status status) {
    if (!status) {
      fail_call(id, std::move(status.error()));
      return;
    }
    answer_(id, Json{{"controller", name}});
  });
}

void Verbs::ns_rescan(CallId id, JsonFields& fields) {
  const auto target = read_target(fields);
  Attachment* attachment = begin(id, fields, target);
  if (attachment == nullptr) {
    return;
  }
  nvme::Controller& controller = attachment->controller();
  controller.rescan([this, id, &controller](Status status) {
    if (!status) {
      fail_call(id, std::move(status.error()));
      return;
    }
    Json list = Json::array();
    for (const nvme::Namespace* block : controller.namespaces()) {
      list.push_back(Json{{"nsid", block->nsid()}});
    }
    answer_(id, Json{{"controller", controller.name()}, {"nsid_list", std::move(list)}});
  });
}

void Verbs::discover(CallId id, const Json& params) {
  if (stopping_) {
    fail_call(id, Error::make(ErrorCode::kCancelled, "the daemon is shutting down"));
    return;
  }
  auto request = DiscoveryJob::read_request(params);
  if (!request) {
    fail_call(id, std::move(request.error()));
    return;
  }
  auto host = attachments_.host_identity(request->hostnqn, request->hostid);
  if (!host) {
    fail_call(id, std::move(host.error()));
    return;
  }
  request->controller.host = std::move(*host);
  const bool raw = params.value("raw", Json()) == true;
  auto job = std::make_unique<DiscoveryJob>(*shards_.control, request->controller, raw);
  DiscoveryJob& started = *job;
  discoveries_.emplace(id, std::move(job));
  started.start([this, id](Result<Json> report) {
    const auto found = discoveries_.find(id);
    graveyard_.push_back(std::move(found->second));
    discoveries_.erase(found);
    shards_.control->reactor().defer(bury_);
    answer_(id, std::move(report));
  });
}

void Verbs::abandoned(CallId id) {
  if (const auto found = discoveries_.find(id); found != discoveries_.end()) {
    found->second->cancel("the client went away");
  }
}

void Verbs::begin_shutdown() {
  stopping_ = true;
  for (const auto& [id, job] : discoveries_) {
    job->cancel("the daemon is shutting down");
  }
}

}  // namespace nvublk::service
