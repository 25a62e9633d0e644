#include "target/target.h"

#include <atomic>
#include <future>

#include <sys/epoll.h>

#include "target/connection.h"
#include "target/control_server.h"
#include "target/listener.h"
#include "target/subsystem.h"
#include "target/worker.h"

namespace nvublk::target {

struct Target::Impl {
  explicit Impl(Options options) : subsystem(std::move(options)) {}

  Subsystem subsystem;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::unique_ptr<Listener>> listeners;
  std::unique_ptr<ControlServer> control;
  bool running = false;

  Stats sum() const {
    Stats stats;
    for (const auto& worker : workers) stats.add(worker->stats());
    stats.controllers = subsystem.controllers().size();
    return stats;
  }

  void run_later(std::chrono::milliseconds delay, Background::Task task) {
    Worker& first = *workers.front();
    first.post([&first, delay, task = std::move(task)]() mutable {
      if (delay.count() == 0) {
        task();
      } else {
        first.after(delay, std::move(task));
      }
    });
  }

  /// Each worker executes one command at a time, so that it is at none when it gets to this.
  void run_after_commands(Background::Task task) {
    const auto left = std::make_shared<std::atomic<std::size_t>>(workers.size());
    for (const auto& worker : workers) {
      worker->post([left, task] {
        if (--*left == 0) task();
      });
    }
  }

  /// Runs `visit` for the open connections of all workers, on their workers, and adds up.
  unsigned count_connections(const std::function<bool(Connection&)>& visit) {
    unsigned count = 0;
    for (const auto& worker : workers) {
      std::promise<unsigned> promise;
      auto future = promise.get_future();
      worker->post([&visit, &promise, &worker = *worker] {
        unsigned found = 0;
        worker.for_each_connection([&](Connection& connection) { found += visit(connection); });
        promise.set_value(found);
      });
      count += future.get();
    }
    return count;
  }
};

Target::Target(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}

Target::~Target() {
  stop();
}

Status Target::start() {
  const Options& options = impl_->subsystem.options();
  if (auto good = options.check(); !good) return good;
  for (const NamespaceOptions& ns : options.namespaces) {
    if (auto added = impl_->subsystem.add_namespace(ns); !added) {
      return std::unexpected(added.error());
    }
  }
  impl_->subsystem.set_stats_source([impl = impl_.get()] { return impl->sum(); });
  impl_->subsystem.set_background(
      {[impl = impl_.get()](auto delay, auto task) { impl->run_later(delay, std::move(task)); },
       [impl = impl_.get()](auto task) { impl->run_after_commands(std::move(task)); }});
  for (unsigned i = 0; i < options.threads; i++) {
    impl_->workers.push_back(std::make_unique<Worker>(impl_->subsystem.namespaces()));
  }
  std::vector<ListenAddress> bound;
  for (const ListenAddress& address : options.listen) {
    impl_->listeners.push_back(std::make_unique<Listener>(impl_->subsystem, impl_->workers));
    auto where = impl_->listeners.back()->bind(address);
    if (!where) return std::unexpected(where.error());
    bound.push_back(*where);
  }
  impl_->subsystem.set_listening(std::move(bound));
  for (const auto& worker : impl_->workers) {
    if (auto started = worker->start(); !started) return started;
  }
  impl_->running = true;
  Worker& first = *impl_->workers.front();
  for (const auto& listener : impl_->listeners) {
    if (auto watched = first.watch(listener->fd(), EPOLLIN, listener.get()); !watched) {
      return watched;
    }
  }
  if (!options.control_path.empty()) {
    impl_->control = std::make_unique<ControlServer>(*this);
    if (auto started = impl_->control->start(options.control_path); !started) return started;
  }
  return {};
}

void Target::stop() {
  if (impl_->control != nullptr) impl_->control->stop();
  for (const auto& worker : impl_->workers) worker->stop();
  impl_->running = false;
}

const Options& Target::options() const {
  return impl_->subsystem.options();
}

const std::vector<ListenAddress>& Target::listening() const {
  return impl_->subsystem.listening();
}

Stats Target::stats() const {
  return impl_->sum();
}

std::vector<ControllerInfo> Target::controllers() const {
  std::vector<ControllerInfo> list;
  for (const auto& controller : impl_->subsystem.controllers()) {
    const auto& identity = controller->identity();
    list.push_back({identity.cntlid, identity.hostnqn, identity.discovery, controller->ready(),
                    controller->kato_ms()});
  }
  return list;
}

std::vector<NamespaceInfo> Target::namespaces() const {
  std::vector<NamespaceInfo> list;
  const auto all = impl_->subsystem.namespaces().list();
  for (const auto& ns : *all) {
    list.push_back(
        {ns->nsid(), ns->size_blocks(), ns->block_size(), ns->uuid().to_string(), ns->read_only()});
  }
  return list;
}

Result<std::uint32_t> Target::add_namespace(const NamespaceOptions& options) {
  return impl_->subsystem.add_namespace(options);
}

Status Target::remove_namespace(std::uint32_t nsid) {
  return impl_->subsystem.remove_namespace(nsid);
}

Status Target::resize_namespace(std::uint32_t nsid, std::uint64_t size_bytes) {
  return impl_->subsystem.resize_namespace(nsid, size_bytes);
}

Status Target::add_referral(const ListenAddress& address) {
  return impl_->subsystem.add_referral(address);
}

Status Target::remove_referral(const ListenAddress& address) {
  return impl_->subsystem.remove_referral(address);
}

std::vector<ListenAddress> Target::referrals() const {
  return impl_->subsystem.referrals().list;
}

Status Target::fail_zone(std::uint32_t nsid, std::uint64_t lba, bool offline) {
  const auto ns = impl_->subsystem.namespaces().find(nsid);
  const auto state = offline ? nvme::spec::ZoneState::kOffline : nvme::spec::ZoneState::kReadOnly;
  if (ns == nullptr || ns->zones() == nullptr || !ns->zones()->fail_zone(lba, state)) {
    return fail(ErrorCode::kNotFound, "there is no zone with block " + std::to_string(lba) +
                                          " in namespace " + std::to_string(nsid));
  }
  return {};
}

void Target::finish_operations() {
  impl_->subsystem.hurry_operations();
}

void Target::inject(const Fault& fault) {
  impl_->subsystem.faults().add(fault);
}

void Target::clear_faults() {
  impl_->subsystem.faults().clear();
}

std::vector<Fault> Target::faults() const {
  return impl_->subsystem.faults().list();
}

unsigned Target::drop_connections(const ConnectionFilter& filter) {
  if (!impl_->running) return 0;
  return impl_->count_connections([&filter](Connection& connection) {
    const Queue& queue = connection.queue();
    if (filter.queues != FaultQueues::kAny &&
        (filter.queues == FaultQueues::kAdmin) != queue.is_admin()) {
      return false;
    }
    if (filter.qid && (!queue.connected() || queue.qid() != *filter.qid)) return false;
    if (filter.cntlid &&
        (!queue.connected() || queue.controller()->identity().cntlid != *filter.cntlid)) {
      return false;
    }
    connection.close();
    return true;
  });
}

unsigned Target::expire_keep_alive(std::optional<std::uint16_t> cntlid) {
  unsigned count = 0;
  for (const auto& controller : impl_->subsystem.controllers()) {
    if (cntlid && controller->identity().cntlid != *cntlid) continue;
    impl_->subsystem.remove_controller(controller->identity().cntlid);
    count++;
  }
  return count;
}

}  // namespace nvublk::target
