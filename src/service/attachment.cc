#include "service/attachment.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/pci_scan.h"
#include "nvme/transport_factory.h"

namespace nvublk::service {

namespace {

constexpr char kSubsystem[] = "service";

std::string join(const std::vector<std::uint32_t>& numbers) {
  std::string text;
  for (const std::uint32_t number : numbers) {
    text += (text.empty() ? "" : ", ") + std::to_string(number);
  }
  return text;
}

/// Over fabrics it is the network card that has one, and which that is is the kernel's choice.
int numa_node_of(const nvme::ControllerOptions& options) {
  const auto address = nvme::PciAddress::parse(options.transport.id.traddr);
  return options.transport.id.trtype == nvme::Trtype::kPcie && address
             ? nvme::pci_numa_node(*address)
             : kNoNumaNode;
}

}  // namespace

Result<std::unique_ptr<Attachment>> Attachment::create(const AttachmentEnvironment& environment,
                                                       AttachRequest request) {
  std::unique_ptr<Attachment> attachment(new Attachment(environment, std::move(request)));
  if (Status made = attachment->make_controller(); !made) {
    return std::unexpected(std::move(made.error()));
  }
  return attachment;
}

Status Attachment::make_controller() {
  nvme::ControllerOptions& options = request_.controller;
  options.transport.before_open = nullptr;
  if (request_.hotplug) {
    // The kernel's driver has it when it is back.
    options.transport.before_open = PciLease::taking(options.transport.id);
  }
  auto wanted = nvme::transport_options(options);
  if (!wanted) {
    return std::unexpected(std::move(wanted.error()));
  }
  auto transport = nvme::make_transport(*wanted);
  if (!transport) {
    return std::unexpected(std::move(transport.error()));
  }
  auto controller = nvme::Controller::create(placement_.shards(), request_.controller,
                                             std::move(*transport), this);
  if (!controller) {
    return std::unexpected(std::move(controller.error()));
  }
  controller_ = std::move(*controller);
  return {};
}

Attachment::Attachment(const AttachmentEnvironment& environment, AttachRequest request)
    : environment_(environment),
      request_(std::move(request)),
      placement_(environment.shards, *environment.load, numa_node_of(request_.controller),
                 request_.controller.io_queues),
      checking_(*environment.shards.control),
      lease_(*environment.shards.control),
      overdue_([](Timer&, void* context) { static_cast<Attachment*>(context)->stop_overdue(); },
               this),
      resume_timer_(
          [](Timer&, void* context) { static_cast<Attachment*>(context)->resume_timer_fired(); },
          this),
      bury_(
          [](Deferred&, void* context) { static_cast<Attachment*>(context)->bury_gone_devices(); },
          this) {}

Attachment::~Attachment() {
  CHECK(phase_ == Phase::kNew || phase_ == Phase::kEnded || left());
  environment_.shards.control->reactor().cancel(overdue_);
  environment_.shards.control->reactor().cancel(resume_timer_);
  environment_.shards.control->reactor().cancel(bury_);
}

void Attachment::start(Done done) {
  CHECK(phase_ == Phase::kNew);
  phase_ = Phase::kChoosing;
  done_ = std::move(done);
  environment_.frontends->choose(
      request_.frontend, [this](Result<std::string> name) { frontend_chosen(std::move(name)); });
}

bool Attachment::attaching() const {
  return phase_ == Phase::kChoosing || phase_ == Phase::kTaking || phase_ == Phase::kConnecting ||
         phase_ == Phase::kStarting;
}

void Attachment::frontend_chosen(Result<std::string> name) {
  if (!name || !cancelled_.empty()) {
    outcome_ = name ? fail(ErrorCode::kCancelled, cancelled_)
                    : Status(std::unexpected(std::move(name.error())));
    end();
    return;
  }
  frontend_ = std::move(*name);
  phase_ = Phase::kTaking;
  lease_.take(request_.controller.transport.id,
              [this](Status status) { taken(std::move(status)); });
}

void Attachment::taken(Status drive) {
  if (drive && !cancelled_.empty()) {
    drive = fail(ErrorCode::kCancelled, cancelled_);
  }
  if (!drive) {
    outcome_ = std::move(drive);
    end();
    return;
  }
  if (frontend_ == "fuse") {
    log_warning(kSubsystem, this->name() +
                                ": FUSE devices end with this daemon, and cannot be resumed "
                                "by another");
  }
  phase_ = Phase::kConnecting;
  controller_->connect([this](Status status) { connected(std::move(status)); });
}

void Attachment::cancel(std::string reason) {
  if (!attaching() || !cancelled_.empty()) {
    return;
  }
  log_info(kSubsystem, name() + ": " + reason + "; giving up the attach");
  cancelled_ = std::move(reason);
  if (phase_ == Phase::kConnecting) {
    outcome_ = fail(ErrorCode::kCancelled, cancelled_);
    disconnect();
  }
}

void Attachment::connected(Status status) {
  if (phase_ != Phase::kConnecting) {
    return;  // cancel() disconnects already
  }
  if (!status) {
    outcome_ = std::move(status);
    end();
    return;
  }
  phase_ = Phase::kStarting;
  if (Status chosen = choose_namespaces(); !chosen) {
    undo(std::move(chosen.error()));
    return;
  }
  start_device(devices_.begin());
}

Error Attachment::missing_namespace(std::uint32_t nsid) const {
  std::vector<std::uint32_t> present;
  for (const nvme::Namespace* block : controller_->namespaces()) {
    present.push_back(block->nsid());
  }
  std::string text =
      "namespace " + std::to_string(nsid) + " does not exist on " + request_.subject();
  text += present.empty() ? "; it has none" : "; it has " + join(present);
  return Error::make(ErrorCode::kNotFound, std::move(text));
}

std::string Attachment::why_not_shown(const nvme::Namespace& block) const {
  return block.unusable().empty() ? environment_.frontends->cannot_show(frontend_, block.geometry())
                                  : block.unusable();
}

/// Why there is nothing to show, to follow the subsystem's name.
std::string Attachment::why_none() const {
  const std::vector<nvme::Namespace*> namespaces = controller_->namespaces();
  if (namespaces.empty()) {
    return " has no active namespace for this host";
  }
  std::string text = " has no namespace that can be shown as a block device";
  for (const nvme::Namespace* block : namespaces) {
    text += (block == namespaces.front() ? ": namespace " : "; namespace ") +
            std::to_string(block->nsid()) + ": " + why_not_shown(*block);
  }
  return text;
}

Status Attachment::choose_namespaces() {
  std::vector<nvme::Namespace*> chosen;
  if (request_.nsids.empty()) {
    for (nvme::Namespace* block : controller_->namespaces()) {
      const std::string obstacle = why_not_shown(*block);
      if (obstacle.empty()) {
        chosen.push_back(block);
        continue;
      }
      namespace_problems_[block->nsid()] = "it cannot be shown as a block device: " + obstacle;
      log_warning(kSubsystem, name() + ": namespace " + std::to_string(block->nsid()) +
                                  " is left out: " + obstacle);
    }
  }
  for (const std::uint32_t nsid : request_.nsids) {
    nvme::Namespace* block = controller_->find_namespace(nsid);
    if (block == nullptr) {
      return std::unexpected(missing_namespace(nsid));
    }
    if (const std::string obstacle = why_not_shown(*block); !obstacle.empty()) {
      return fail(ErrorCode::kUnsupported, "namespace " + std::to_string(nsid) +
                                               " cannot be shown as a block device: " + obstacle);
    }
    if (std::find(chosen.begin(), chosen.end(), block) == chosen.end()) {
      chosen.push_back(block);
    }
  }
  if (chosen.empty()) {
    return fail(ErrorCode::kNotFound, request_.subject() + why_none());
  }
  std::sort(chosen.begin(), chosen.end(), [](const nvme::Namespace* a, const nvme::Namespace* b) {
    return a->nsid() < b->nsid();
  });
  for (nvme::Namespace* block : chosen) {
    const int id =
        request_.first_id < 0 ? -1 : request_.first_id + static_cast<int>(devices_.size());
    Device& device = devices_.emplace_back();
    device.nsid = block->nsid();
    device.name = name() + "n" + std::to_string(block->nsid());
    device.wanted_id = id;
    device.block = block;
  }
  return {};
}

void Attachment::make_export(Device& device) {
  BlockExportOptions options;
  options.name = device.name;
  options.id = device.wanted_id;
  options.queues = request_.queues;
  options.depth = request_.depth;
  options.read_only = request_.read_only;
  options.run_directory = environment_.run_directory;
  if (device.saved) {
    options.resume_key = device.saved->key;
  } else {
    const BlockGeometry& geometry = device.block->geometry();
    device.shown_bytes = geometry.size_bytes();
    device.tried_bytes = device.shown_bytes;
    device.block_size_bytes = geometry.block_size_bytes;
    device.identity = device.block->identity();
    device.volatile_cache = geometry.volatile_write_cache;
  }
  BlockDevice& back_end = device.failing ? static_cast<BlockDevice&>(*device.failing)
                                         : static_cast<BlockDevice&>(*device.block);
  device.shown = environment_.frontends->make(frontend_, back_end, options);
}

void Attachment::start_device(std::list<Device>::iterator device) {
  make_export(*device);
  device->shown->start(
      [this, device](Status status) { device_started(device, std::move(status)); });
}

void Attachment::device_started(std::list<Device>::iterator at, Status status) {
  Device& device = *at;
  if (!status) {
    Error error = std::move(status.error());
    error.text = device.name + ": " + error.text;
    if (error.step.empty()) {
      error.step = "start the " + frontend_ + " device";
    }
    device.gone = true;  // nothing of it is left
    undo(std::move(error));
    return;
  }
  if (!cancelled_.empty()) {
    undo(Error::make(ErrorCode::kCancelled, cancelled_));
    return;
  }
  if (lost_) {
    undo(Error::make(ErrorCode::kDisconnected,
                     "the connection to the controller broke while its devices started"));
    return;
  }
  if (std::next(at) != devices_.end()) {
    start_device(std::next(at));
    return;
  }
  phase_ = Phase::kLive;
  environment_.owner->attachment_changed(*this);
  finish({});
  update_devices();
}

void Attachment::undo(Error reason) {
  outcome_ = std::unexpected(std::move(reason));
  std::vector<Device*> started;
  for (Device& device : devices_) {
    if (device.shown != nullptr && !device.gone) {
      started.push_back(&device);
    } else {
      device.gone = true;
    }
  }
  begin_stopping(std::move(started), true);
}

void Attachment::set_policy(const nvme::ControllerOptions& policy, Done done) {
  if (given_up() && !request_.hotplug) {
    const auto reason = controller_->status().last_error;
    done(fail(ErrorCode::kDisconnected,
              "it was given up" + (reason ? " (" + reason->text + ")" : "") +
                  ", and no setting brings it back; detach it, and attach it again with the "
                  "settings that it is to have"));
    return;
  }
  nvme::copy_policy(policy, request_.controller);
  environment_.owner->attachment_changed(*this);
  controller_->set_policy(policy, std::move(done));
  if (phase_ == Phase::kResuming) {
    resume_now();  // the times count from when it began
  }
}

void Attachment::finish(Status status) {
  const Done done = std::exchange(done_, nullptr);
  if (done) {
    done(std::move(status));
  }
}

void Attachment::end() {
  phase_ = Phase::kGivingBack;
  lease_.give_back(request_.controller.transport.id, [this] { ended(); });
}

void Attachment::ended() {
  phase_ = Phase::kEnded;
  environment_.owner->attachment_ended(*this);
  finish(std::exchange(outcome_, {}));
  if (const Done detached = std::exchange(detached_, nullptr)) {
    detached({});
  }
  for (WaitingDetach& waiting : std::exchange(waiting_detaches_, {})) {
    waiting.done({});
  }
}

std::vector<const Attachment::Device*> Attachment::devices() const {
  std::vector<const Device*> result;
  for (const Device& device : devices_) {
    if ((device.shown != nullptr || device.saved) && !device.gone) {
      result.push_back(&device);
    }
  }
  return result;
}

bool Attachment::outlives_daemon() const {
  return std::ranges::all_of(
      devices_, [](const Device& device) { return device.gone || device.info().key != 0; });
}

BlockExportInfo Attachment::Device::info() const {
  if (shown != nullptr && !saved) {
    return shown->info();
  }
  BlockExportInfo info;
  if (saved) {
    info.device = saved->path();
    info.id = saved->id;
    info.key = saved->key;
    info.frontend = "ublk";
    info.state = "recovering";
    info.queues = saved->queues;
    info.depth = saved->depth;
    info.features = saved->features;
  }
  return info;
}

BlockExportStatistics Attachment::Device::statistics() const {
  return shown != nullptr ? shown->statistics() : BlockExportStatistics{};
}

void Attachment::controller_state_changed(nvme::ControllerState state) {
  const bool broken =
      state == nvme::ControllerState::kReconnecting || state == nvme::ControllerState::kFailed;
  if (broken && phase_ == Phase::kStarting && !lost_) {
    // The kernel reads a new disk before it shows it; nobody wants to wait for a reconnect there.
    lost_ = true;
    controller_->fail_io(EIO);
  }
  if (broken) {
    stop_overdue();
  }
}

}  // namespace nvublk::service
