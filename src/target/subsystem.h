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
#include "target/directives.h"
#include "target/faults.h"
#include "target/firmware.h"
#include "target/namespace.h"
#include "target/operation.h"
#include "target/options.h"
#include "target/sanitize.h"
#include "target/self_test.h"
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

  Firmware& firmware() { return firmware_; }
  Directives& directives() { return directives_; }
  Sanitize& sanitize() { return sanitize_; }
  SelfTests& self_tests() { return self_tests_; }
  /// What `controller` asked for by Sanitize. [Base 2.1 §8.1.24.4]
  NvmeStatus begin_sanitize(const std::shared_ptr<Controller>& controller, std::uint32_t cdw10,
                            std::uint32_t pattern);
  NvmeStatus begin_self_test(nvme::spec::SelfTest test, std::uint16_t cntlid,
                             NamespaceList namespaces);
  /// Has sanitize operations and self-tests that run take no longer than their work does.
  void hurry_operations();
  /// Another firmware image runs: tells hosts.
  void announce_firmware();
  /// A Controller Level Reset, by CC.EN or with the connection.
  void controller_reset(const Controller& controller);
  std::uint64_t power_on_hours() const;

  /// How operations get onto the workers; set once, before there are connections.
  void set_background(Background background) { background_ = std::move(background); }

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
  Firmware firmware_;
  Directives directives_;
  Sanitize sanitize_;
  SelfTests self_tests_;
  Background background_;
  const Operation::Clock::time_point started_ = Operation::Clock::now();
  std::vector<ListenAddress> listening_;
  std::function<Stats()> stats_source_;
  mutable std::mutex mutex_;
  std::map<std::uint16_t, std::shared_ptr<Controller>> controllers_;  // by mutex_
  std::uint16_t next_cntlid_ = 1;                                     // by mutex_
  Referrals referrals_;                                               // by mutex_
};

}  // namespace nvublk::target
