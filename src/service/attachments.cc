#include "service/attachments.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "service/policy.h"

namespace nvublk::service {

namespace {

/// How long, and how often, leaving looks whether what is just being changed is through.
constexpr seconds kLeaveLimit{10};
constexpr milliseconds kLeavePoll{50};

/// The paths of the devices of `attachment` with these namespace ids (all: empty).
std::vector<std::string> device_paths(const Attachment& attachment,
                                      const std::vector<std::uint32_t>& nsids) {
  std::vector<std::string> paths;
  for (const Attachment::Device* device : attachment.devices()) {
    const std::string path = device->info().device;
    const bool wanted =
        nsids.empty() || std::find(nsids.begin(), nsids.end(), device->nsid) != nsids.end();
    if (wanted && !path.empty()) {
      paths.push_back(path);
    }
  }
  return paths;
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : ", ") + word;
  }
  return text;
}

}  // namespace

struct Attachments::DetachJob {
  struct Part {
    std::string name;  ///< by name: the attachment may end while others are detached
    std::vector<std::uint32_t> nsids;
  };
  std::deque<Part> parts;
  bool force = false;
  Detached result;
  DetachDone done;

  void record(const Status& status, std::vector<std::string> devices) {
    if (status) {
      result.devices.insert(result.devices.end(), devices.begin(), devices.end());
    } else if (result.status) {
      result.status = status;
    } else {
      result.status.error().text += "; " + status.error().text;
    }
  }
};

Attachments::Attachments(const ShardSet& shards, Frontends& frontends,
                         HostIdentitySource& identities, std::string run_directory)
    : identities_(identities),
      leave_timer_(
          [](Timer&, void* context) { static_cast<Attachments*>(context)->try_to_leave(); }, this),
      bury_(
          [](Deferred&, void* context) { static_cast<Attachments*>(context)->graveyard_.clear(); },
          this) {
  environment_.shards = shards;
  environment_.load = &load_;
  environment_.frontends = &frontends;
  environment_.owner = this;
  environment_.run_directory = std::move(run_directory);
}

Attachments::~Attachments() {
  CHECK(graveyard_.empty() && std::ranges::all_of(attachments_, [](const auto& attachment) {
          return attachment->left();
        }));
  environment_.shards.control->reactor().cancel(leave_timer_);
  environment_.shards.control->reactor().cancel(bury_);
}

Status Attachments::check_not_attached(const AttachRequest& request) const {
  const nvme::TransportId& id = request.controller.transport.id;
  for (const auto& attachment : attachments_) {
    const nvme::ControllerOptions& other = attachment->request().controller;
    if (other.transport.id != id || other.host.nqn != request.controller.host.nqn) {
      continue;
    }
    std::string text = request.subject() + " is already attached as " + attachment->name();
    if (const auto paths = device_paths(*attachment, {}); !paths.empty()) {
      text += " (" + join(paths) + ")";
    }
    if (attachment->controller_state() == nvme::ControllerState::kFailed) {
      text += ", which has failed: detach that first";
    }
    return fail(ErrorCode::kAlreadyExists, std::move(text));
  }
  return {};
}

Result<std::string> Attachments::choose_name(const std::string& wanted) const {
  if (!wanted.empty()) {
    if (find_by_name(wanted) != nullptr) {
      return fail(ErrorCode::kAlreadyExists, "there is a controller called " + wanted + " already");
    }
    return wanted;
  }
  for (unsigned number = 0;; number++) {
    const std::string name = "nvublk" + std::to_string(number);
    if (find_by_name(name) == nullptr) {
      return name;
    }
  }
}

Result<std::string> Attachments::attach(AttachRequest request, Attachment::Done done) {
  auto host = identities_.find(request.hostnqn, request.hostid);
  if (!host) {
    return std::unexpected(std::move(host.error()));
  }
  request.controller.host = std::move(*host);
  if (Status fresh = check_not_attached(request); !fresh) {
    return std::unexpected(std::move(fresh.error()));
  }
  auto name = choose_name(request.controller.name);
  if (!name) {
    return name;
  }
  request.controller.name = *name;
  auto attachment = Attachment::create(environment_, std::move(request));
  if (!attachment) {
    return std::unexpected(std::move(attachment.error()));
  }
  Attachment& started = **attachment;
  attachments_.push_back(std::move(*attachment));
  started.start(std::move(done));
  return name;
}

Status Attachments::resume(const SavedAttachment& saved, bool quiet) {
  AttachRequest request = saved.request;
  auto host = identities_.find(request.hostnqn, request.hostid);
  if (!host) {
    return std::unexpected(std::move(host.error()));
  }
  request.controller.host = std::move(*host);
  auto attachment = Attachment::create(environment_, std::move(request));
  if (!attachment) {
    return std::unexpected(std::move(attachment.error()));
  }
  attachments_.push_back(std::move(*attachment));
  attachments_.back()->resume(saved, quiet);
  return {};
}

std::vector<SavedAttachment> Attachments::saved() const {
  std::vector<SavedAttachment> all;
  for (const auto& attachment : attachments_) {
    SavedAttachment saved = attachment->saved();
    if (!saved.devices.empty()) {
      all.push_back(std::move(saved));
    }
  }
  return all;
}

void Attachments::tell_changed() {
  if (changed_) {
    changed_();
  }
}

void Attachments::leave_all(std::function<void(bool quiet)> done) {
  left_ = std::move(done);
  leave_deadline_ = Clock::now() + kLeaveLimit;
  try_to_leave();
}

// What is just being changed is waited for, but not for long: what is left then is as after a
// crash.
void Attachments::try_to_leave() {
  bool ready = true;
  for (const auto& attachment : attachments_) {
    attachment->cancel("the daemon ends");
    ready = ready && attachment->can_leave();
  }
  if (!ready && Clock::now() < leave_deadline_) {
    environment_.shards.control->reactor().arm_after(leave_timer_, kLeavePoll);
    return;
  }
  struct Round {
    std::size_t left = 1;
    bool quiet = true;
  };
  auto round = std::make_shared<Round>();
  const auto one_left = [this, round](bool quiet) {
    round->quiet = round->quiet && quiet;
    if (--round->left == 0) {
      std::exchange(left_, nullptr)(round->quiet);
    }
  };
  for (const auto& attachment : attachments_) {
    if (attachment->can_leave()) {
      round->left++;
      attachment->leave(one_left);
    } else {
      round->quiet = false;
    }
  }
  one_left(true);
}

void Attachments::cancel(const std::string& name, const std::string& reason) {
  if (Attachment* attachment = find_by_name(name)) {
    attachment->cancel(reason);
  }
}

Attachment* Attachments::find_by_name(const std::string& name) const {
  for (const auto& attachment : attachments_) {
    if (attachment->name() == name) {
      return attachment.get();
    }
  }
  return nullptr;
}

const Attachment* Attachments::find_controller(const std::string& name) const {
  return find_by_name(name);
}

std::vector<AttachmentMatch> Attachments::find(const std::string& target) const {
  std::vector<AttachmentMatch> matches;
  for (const auto& attachment : attachments_) {
    if (attachment->name() == target || attachment->request().subject() == target) {
      matches.push_back({attachment.get(), {}});
      continue;
    }
    for (const Attachment::Device* device : attachment->devices()) {
      if (device->name == target || device->info().device == target) {
        matches.push_back({attachment.get(), {device->nsid}});
      }
    }
  }
  return matches;
}

void Attachments::keep_bound(const std::string& target, bool keep) {
  for (const auto& attachment : attachments_) {
    const auto matches = find(target);
    const bool matched = std::any_of(
        matches.begin(), matches.end(),
        [&](const AttachmentMatch& match) { return match.attachment == attachment.get(); });
    if (target.empty() || matched) {
      attachment->keep_bound(keep);
    }
  }
}

void Attachments::drive_arrived(const nvme::PciAddress& address) {
  for (const auto& attachment : attachments_) {
    const AttachRequest& request = attachment->request();
    if (!request.hotplug || request.subject() != address.to_string()) {
      continue;
    }
    if (attachment->controller().state() == nvme::ControllerState::kFailed) {
      attach_again(*attachment);
      return;
    }
    attachment->drive_arrived();
  }
}

// It was given up already: its devices only have errors.
void Attachments::attach_again(Attachment& lost) {
  AttachRequest request = lost.request();
  request.controller.serial = lost.controller().status().serial;
  const std::string name = lost.name();
  log_info("service", name + ": the drive is back; attaching it again");
  detach(name, true, [this, name, request = std::move(request)](const Detached& result) {
    Status status = result.status;
    if (status) {
      const auto begun = attach(request, [name](const Status& attached) {
        if (!attached) {
          log_error("service", name + ": not attached again: " + attached.error().text);
        }
      });
      status = begun ? Status{} : std::unexpected(begun.error());
    }
    if (!status) {
      log_error("service", name + ": not attached again: " + status.error().text);
    }
  });
}

void Attachments::detach(const std::string& target, bool force, DetachDone done) {
  const std::vector<AttachmentMatch> matches = find(target);
  if (matches.empty()) {
    done({{}, fail(ErrorCode::kNotFound, "nothing attached is called '" + target + "'")});
    return;
  }
  auto job = std::make_shared<DetachJob>();
  job->force = force;
  job->done = std::move(done);
  for (const AttachmentMatch& match : matches) {
    job->parts.push_back({match.attachment->name(), match.nsids});
  }
  run_detach(std::move(job));
}

void Attachments::set_policy(const std::string& target, const Json& policy,
                             std::function<void(Result<Json> report)> done) {
  struct Job {
    Json report = {{"controllers", Json::array()}};
    std::optional<Error> error;
    std::size_t left = 0;
    std::function<void(Result<Json> report)> done;
  };
  std::vector<std::pair<Attachment*, nvme::ControllerOptions>> wanted;
  for (const AttachmentMatch& match : find(target)) {
    if (!wanted.empty() && wanted.back().first == match.attachment) {
      continue;  // another device of the same controller
    }
    nvme::ControllerOptions options = match.attachment->controller().options();
    JsonFields fields(policy);
    read_policy(fields, options);
    Status right = fields.finish();
    if (right) {
      right = nvme::check_policy(options);
    }
    if (!right) {
      done(std::unexpected(std::move(right.error())));
      return;
    }
    wanted.emplace_back(match.attachment, std::move(options));
  }
  if (wanted.empty()) {
    done(fail(ErrorCode::kNotFound, "nothing attached is called '" + target + "'"));
    return;
  }
  auto job = std::make_shared<Job>();
  job->left = wanted.size();
  job->done = std::move(done);
  for (auto& [attachment, options] : wanted) {
    attachment->set_policy(options, [job, name = attachment->name(), options](Status status) {
      if (status) {
        Json entry{{"name", name}};
        write_policy(options, entry["policy"]);
        job->report["controllers"].push_back(std::move(entry));
      } else {
        job->error = std::move(status.error());
        job->error->text = name + ": " + job->error->text;
      }
      if (--job->left == 0) {
        job->done(job->error ? Result<Json>(std::unexpected(*job->error)) : job->report);
      }
    });
  }
}

void Attachments::detach_all(bool force, DetachDone done, bool mortal_only) {
  auto job = std::make_shared<DetachJob>();
  job->force = force;
  job->done = std::move(done);
  for (const auto& attachment : attachments_) {
    if (mortal_only && attachment->outlives_daemon()) {
      continue;
    }
    // Device by device, so that one that is in use keeps only itself.
    const auto devices = attachment->devices();
    if (force || !attachment->live() || devices.empty()) {
      job->parts.push_back({attachment->name(), {}});
      continue;
    }
    for (const Attachment::Device* device : devices) {
      job->parts.push_back({attachment->name(), {device->nsid}});
    }
  }
  run_detach(std::move(job));
}

void Attachments::run_detach(std::shared_ptr<DetachJob> job) {
  while (!job->parts.empty()) {
    const DetachJob::Part part = std::move(job->parts.front());
    job->parts.pop_front();
    Attachment* attachment = find_by_name(part.name);
    if (attachment == nullptr) {
      continue;
    }
    std::vector<std::string> paths = device_paths(*attachment, part.nsids);
    attachment->detach(part.nsids, job->force,
                       [this, job, paths = std::move(paths)](const Status& status) {
                         job->record(status, paths);
                         run_detach(job);
                       });
    return;
  }
  if (DetachDone done = std::exchange(job->done, nullptr)) {
    done(std::move(job->result));
  }
}

void Attachments::attachment_ended(Attachment& attachment) {
  const auto found =
      std::find_if(attachments_.begin(), attachments_.end(),
                   [&](const auto& candidate) { return candidate.get() == &attachment; });
  CHECK(found != attachments_.end());
  log_info("service", attachment.name() + " is detached");
  graveyard_.push_back(std::move(*found));
  attachments_.erase(found);
  tell_changed();
  environment_.shards.control->reactor().defer(bury_);
}

std::vector<Attachment*> Attachments::list() const {
  std::vector<Attachment*> result;
  for (const auto& attachment : attachments_) {
    result.push_back(attachment.get());
  }
  return result;
}

}  // namespace nvublk::service
