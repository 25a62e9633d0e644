#pragma once

// The NVM subsystem: its namespaces, its controllers, and who may use it. Thread-safe.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "target/controller.h"
#include "target/faults.h"
#include "target/namespace.h"
#include "target/options.h"
#include "target/stats.h"
#include "target/tls_server.h"

namespace nvublk::target {

class Subsystem {
 public:
  explicit Subsystem(Options options) : options_(std::move(options)), namespaces_(options_.subnqn) {
    if (!options_.tls_key.empty()) tls_.emplace(options_.tls_key, options_.subnqn);
  }

  const Options& options() const { return options_; }
  FaultTable& faults() { return faults_; }
  /// Null if connections are without TLS.
  const TlsServer* tls() const { return tls_ ? &*tls_ : nullptr; }
  const NamespaceTable& namespaces() const { return namespaces_; }

  Result<std::uint32_t> add_namespace(const NamespaceOptions& options);
  Status remove_namespace(std::uint32_t nsid);
  Status resize_namespace(std::uint32_t nsid, std::uint64_t size_bytes);

  /// Discovery subsystems elsewhere that the discovery log refers to. Hosts that keep a connection
  /// to the discovery controller and asked for it get a Discovery Log Page Changed event.
  Status add_referral(const ListenAddress& address);
  Status remove_referral(const ListenAddress& address);
  struct Referrals {
    std::uint64_t generation = 1;  ///< of the discovery log: it counts its changes
    std::vector<ListenAddress> list;
  };
  Referrals referrals() const;

  bool host_allowed(std::string_view hostnqn) const;

  /// A new controller of the dynamic model, or nullptr when there are too many.
  std::shared_ptr<Controller> create_controller(Controller::Identity identity,
                                                std::uint32_t kato_ms,
                                                std::weak_ptr<QueueOwner> admin);
  std::shared_ptr<Controller> find_controller(std::uint16_t cntlid) const;
  /// Ends a controller: its I/O queues are closed.
  void remove_controller(std::uint16_t cntlid);
  std::vector<std::shared_ptr<Controller>> controllers() const;

  /// Where the target really listens; set once, before there are connections.
  void set_listening(std::vector<ListenAddress> addresses) { listening_ = std::move(addresses); }
  const std::vector<ListenAddress>& listening() const { return listening_; }

  /// Where the sum of all workers' counters comes from; set once, before there are connections.
  void set_stats_source(std::function<Stats()> source) { stats_source_ = std::move(source); }
  Stats stats() const { return stats_source_ ? stats_source_() : Stats{}; }

 private:
  void announce(std::uint32_t nsid);
  void announce_discovery_log();

  const Options options_;
  std::optional<TlsServer> tls_;
  NamespaceTable namespaces_;
  FaultTable faults_;
  std::vector<ListenAddress> listening_;
  std::function<Stats()> stats_source_;
  mutable std::mutex mutex_;
  std::map<std::uint16_t, std::shared_ptr<Controller>> controllers_;  // by mutex_
  std::uint16_t next_cntlid_ = 1;                                     // by mutex_
  Referrals referrals_;                                               // by mutex_
};

}  // namespace nvublk::target
