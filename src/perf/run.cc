#include "perf/run.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/log.h"
#include "nvme/initiator.h"
#include "nvme/transport_factory.h"
#include "perf/report.h"

namespace nvublk::perf {

namespace {

// A signal handler can reach nothing else.
std::atomic<bool>* interrupted = nullptr;

void on_signal(int) {
  if (interrupted != nullptr) {
    *interrupted = true;
  }
}

/// What is attached, and what of it is used.
class Run {
 public:
  explicit Run(const Options& options) : options_(options) {}
  Status attach();
  Status load();
  /// 0 or 1.
  int report() const;

 private:
  struct Place {
    nvme::Controller* controller = nullptr;
    nvme::Namespace* subject = nullptr;
    std::string device;
    std::uint64_t unit_count = 0;
  };

  Result<nvme::ControllerOptions> defaults() const;
  Status attach(const std::optional<nvme::TransportId>& where,
                const nvme::TransportIdExtras& extras);
  /// Why places_ is empty.
  std::string why_none() const;
  void use(nvme::Controller& controller, std::uint32_t nsid);
  Status use(nvme::Controller& controller, nvme::Namespace& subject);
  Result<std::vector<std::vector<JobPlan>>> plans() const;
  void say(const std::string& text) const;

  const Options& options_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<nvme::Initiator> initiator_;
  std::vector<Place> places_;
  bool skipped_ = false;  ///< a namespace that could not be used
  std::vector<Worker::Outcome> outcomes_;
};

void Run::say(const std::string& text) const {
  (options_.json ? std::cerr : std::cout) << text << std::endl;
}

Result<nvme::ControllerOptions> Run::defaults() const {
  nvme::ControllerOptions options;
  const Result<nvme::Uuid> id = nvme::Uuid::generate();
  if (!id) {
    return std::unexpected(id.error());
  }
  options.host.id = *id;
  options.host.nqn = options_.hostnqn.empty() ? nvme::uuid_nqn(*id) : options_.hostnqn;
  options.queue_size = std::clamp(options_.depth, 16u, 1024u);
  options.keep_alive = options_.keep_alive;
  options.ctrl_loss_timeout = seconds(0);
  options.transport.header_digest = options_.header_digest;
  options.transport.data_digest = options_.data_digest;
  if (Status read = keys::read_keys(options_.keys, options); !read) {
    return std::unexpected(std::move(read.error()));
  }
  return options;
}

Status Run::attach() {
  Shard::Options shard_options;
  shard_options.name = "perf";
  shard_options.reactor.mode = IdleMode::kInterrupt;
  auto shard = Shard::adopt_current_thread(shard_options);
  if (!shard) {
    return std::unexpected(std::move(shard.error()));
  }
  shard_ = std::move(*shard);
  auto options = defaults();
  if (!options) {
    return std::unexpected(std::move(options.error()));
  }
  initiator_ = std::make_unique<nvme::Initiator>(*shard_, nvme::make_transport, *options);
  say("Initializing NVMe Controllers");
  for (const nvme::ParsedTransportId& target : options_.targets) {
    if (Status attached = attach(target.id, target.extras); !attached) {
      return attached;
    }
  }
  if (options_.targets.empty()) {
    if (Status attached = attach(std::nullopt, {}); !attached) {
      return attached;
    }
  }
  if (places_.empty()) {
    return fail(ErrorCode::kNotFound, "there is no namespace to run on: " + why_none());
  }
  return {};
}

Status Run::attach(const std::optional<nvme::TransportId>& where,
                   const nvme::TransportIdExtras& extras) {
  Status result;
  nvme::ProbeCallbacks callbacks;
  callbacks.probe = [&extras](const nvme::TransportId&, nvme::ControllerOptions& options) {
    options.transport.host_traddr = extras.hostaddr;
    options.transport.host_trsvcid = extras.hostsvcid;
    if (!extras.hostnqn.empty()) {
      options.host.nqn = extras.hostnqn;
    }
    return true;
  };
  callbacks.attach = [this, &extras](const nvme::TransportId& id, nvme::Controller& controller,
                                     const nvme::ControllerOptions&) {
    say("Attached to " + id.to_string());
    use(controller, extras.nsid);
  };
  callbacks.attach_fail = [&result](const nvme::TransportId& id, const Error& error) {
    result = fail(error.code, "cannot attach " + id.to_string() + ": " + error.text +
                                  (error.step.empty() ? "" : " (" + error.step + ")"));
  };
  if (Status probed = initiator_->probe(where, callbacks); !probed) {
    return probed;
  }
  return result;
}

std::string Run::why_none() const {
  if (initiator_->attached().empty()) {
    return options_.targets.empty() ? "no local drive is bound to vfio-pci; bind one, or give -r"
                                    : "no controller was found";
  }
  if (skipped_) {
    return "none can be used, for the reasons above";
  }
  for (const nvme::ParsedTransportId& target : options_.targets) {
    if (target.extras.nsid != 0) {
      return target.id.to_string() + " has no namespace " + std::to_string(target.extras.nsid);
    }
  }
  return "what was attached has none";
}

void Run::use(nvme::Controller& controller, std::uint32_t nsid) {
  for (nvme::Namespace* subject : controller.namespaces()) {
    if (nsid != 0 && subject->nsid() != nsid) {
      continue;
    }
    if (const Status used = use(controller, *subject); !used) {
      skipped_ = true;
      say("Skipping namespace " + std::to_string(subject->nsid()) + ": " + used.error().text);
    }
  }
}

Status Run::use(nvme::Controller& controller, nvme::Namespace& subject) {
  const BlockGeometry& geometry = subject.geometry();
  if (!subject.unusable().empty()) {
    return fail(ErrorCode::kUnsupported, subject.unusable());
  }
  if (subject.profile().data.metadata_bytes() != 0) {
    return fail(ErrorCode::kUnsupported, "its blocks have metadata");
  }
  if (options_.io_size_bytes % geometry.block_size_bytes != 0) {
    return fail(ErrorCode::kInvalidArgument, "I/Os of " + std::to_string(options_.io_size_bytes) +
                                                 " bytes are not whole blocks of " +
                                                 std::to_string(geometry.block_size_bytes));
  }
  const nvme::TransportId& id = controller.options().transport.id;
  Place place;
  place.controller = &controller;
  place.subject = &subject;
  place.unit_count = geometry.size_bytes() / options_.io_size_bytes;
  place.device = std::string(nvme::trtype_name(id.trtype)) +
                 (id.is_fabrics() ? " (addr:" + id.traddr + " subnqn:" + id.subnqn + ")"
                                  : " (" + id.traddr + ")") +
                 " NSID " + std::to_string(subject.nsid());
  places_.push_back(std::move(place));
  return {};
}

// Each namespace gets a core, and each core a namespace; the parts of a namespace do not overlap.
Result<std::vector<std::vector<JobPlan>>> Run::plans() const {
  const std::size_t cores = options_.cores.size();
  const std::size_t pairs = std::max(cores, places_.size());
  std::vector<std::vector<JobPlan>> plans(std::min(cores, pairs));
  for (std::size_t pair = 0; pair < pairs; pair++) {
    const Place& place = places_[pair % places_.size()];
    // How many pairs have this namespace, and which of them this is.
    const std::size_t sharers =
        pairs / places_.size() + (pair % places_.size() < pairs % places_.size() ? 1 : 0);
    const std::uint64_t parts = sharers * options_.queue_pairs;
    std::uint64_t part_units = place.unit_count / parts;
    if (options_.verify) {
      part_units = std::min(part_units, Contents::kMaxUnits);
    }
    if (part_units == 0 || (options_.verify && part_units <= options_.depth)) {
      return fail(ErrorCode::kInvalidArgument,
                  place.device + " is too small for so many I/Os of this size at a time");
    }
    for (unsigned i = 0; i < options_.queue_pairs; i++) {
      const std::uint64_t part = pair / places_.size() * options_.queue_pairs + i;
      JobPlan plan;
      plan.controller = place.controller;
      plan.subject = place.subject;
      plan.device = place.device;
      plan.core = options_.cores[pair % cores];
      plan.unit_count = part_units;
      plan.first_lba = part * (place.unit_count / parts) *
                       (options_.io_size_bytes / place.subject->geometry().block_size_bytes);
      plan.seed = (pair + 1) * 1000003 + i;
      plan.number_ios = options_.number_ios / options_.queue_pairs +
                        (i < options_.number_ios % options_.queue_pairs ? 1 : 0);
      // 0 means no limit; fewer I/Os than queue pairs leave some of those without any.
      if (options_.number_ios == 0 || plan.number_ios != 0) {
        plans[pair % cores].push_back(plan);
      }
    }
  }
  return plans;
}

Status Run::load() {
  auto all = plans();
  if (!all) {
    return std::unexpected(std::move(all.error()));
  }
  Crew crew(options_, *shard_, static_cast<std::ptrdiff_t>(all->size()));
  interrupted = &crew.stop;
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  Status result;
  {
    std::vector<std::unique_ptr<Worker>> workers;
    for (std::vector<JobPlan>& plans : *all) {
      workers.push_back(std::make_unique<Worker>(crew, std::move(plans)));
    }
    // The controllers' admin queues (keep alive, events) are served by these turns.
    bool said = false;
    while (crew.ended < workers.size()) {
      shard_->reactor().turn_or_wait();
      if (crew.begun && !std::exchange(said, true)) {
        say("Initialization complete. Workers are launched.");
      }
      for (nvme::Controller* controller : initiator_->attached()) {
        controller->process_admin_completions();
      }
    }
    for (const std::unique_ptr<Worker>& worker : workers) {
      if (!worker->error().empty() && result) {
        result = fail(ErrorCode::kSystem, worker->error());
      }
      outcomes_.insert(outcomes_.end(), worker->outcomes().begin(), worker->outcomes().end());
    }
  }
  interrupted = nullptr;
  return result;
}

int Run::report() const {
  const std::vector<ReportRow> rows = make_rows(outcomes_);
  std::cout << (options_.json ? json_report(options_, rows) : text_report(options_, rows))
            << std::flush;
  const bool failed = std::ranges::any_of(rows, [](const ReportRow& row) {
    return row.result.errors != 0 || row.result.verify_errors != 0;
  });
  return failed ? 1 : 0;
}

}  // namespace

int run(const Options& options) {
  set_log_level(LogLevel::kWarning);
  Run run(options);
  Status status = run.attach();
  if (status) {
    status = run.load();
  }
  if (!status) {
    std::cerr << "nvublk-perf: " << status.error().text << "\n";
    return 1;
  }
  return run.report();
}

}  // namespace nvublk::perf
