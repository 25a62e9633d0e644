#pragma once

// An NVMe/TCP target in user space: for quick starts, tests and benchmarks. `nvublk-target` is this
// with a command line; tests start one in their own process.
//
//   Options options;
//   options.listen = {{"127.0.0.1", 0}};
//   options.namespaces = {{.size_bytes = 64 << 20}};
//   Target target(options);
//   if (auto started = target.start(); !started) ...
//   connect_to(target.port());

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "target/faults.h"
#include "target/options.h"
#include "target/stats.h"

namespace nvublk::target {

/// Which connections something is done to; what is not set means any.
struct ConnectionFilter {
  FaultQueues queues = FaultQueues::kAny;
  std::optional<std::uint16_t> cntlid;
  std::optional<std::uint16_t> qid;
};

/// What a controller is, for status and tests.
struct ControllerInfo {
  std::uint16_t cntlid = 0;
  std::string hostnqn;
  bool discovery = false;
  bool ready = false;
  std::uint32_t kato_ms = 0;
};

struct NamespaceInfo {
  std::uint32_t nsid = 0;
  std::uint64_t size_blocks = 0;
  std::uint32_t block_size = 0;
  std::string uuid;
  bool read_only = false;
};

/// All methods but start() and stop() are thread-safe while the target runs.
class Target {
 public:
  explicit Target(Options options);
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  ~Target();

  /// Opens the namespaces, listens, and serves on threads of its own.
  Status start();
  /// Closes all connections and ends the threads. The namespaces' contents in memory are lost.
  void stop();

  const Options& options() const;
  /// Where it listens, with the ports that the kernel chose.
  const std::vector<ListenAddress>& listening() const;
  std::uint16_t port() const { return listening().front().port; }

  Stats stats() const;
  std::vector<ControllerInfo> controllers() const;
  std::vector<NamespaceInfo> namespaces() const;

  /// Returns the NSID. Hosts that asked for it get a Namespace Attribute Changed event.
  Result<std::uint32_t> add_namespace(const NamespaceOptions& options);
  Status remove_namespace(std::uint32_t nsid);
  Status resize_namespace(std::uint32_t nsid, std::uint64_t size_bytes);

  /// The discovery log refers to another discovery subsystem, at this address over TCP, or does not
  /// any more. Hosts that asked for it get a Discovery Log Page Changed event.
  Status add_referral(const ListenAddress& address);
  Status remove_referral(const ListenAddress& address);
  std::vector<ListenAddress> referrals() const;

  /// Makes the zone with this block read-only, or takes it offline, as if its media had failed.
  Status fail_zone(std::uint32_t nsid, std::uint64_t lba, bool offline);

  /// Has sanitize operations and self-tests that run take no longer than their work does.
  void finish_operations();

  void inject(const Fault& fault);
  void clear_faults();
  std::vector<Fault> faults() const;
  /// Closes connections now; returns how many.
  unsigned drop_connections(const ConnectionFilter& filter = {});
  /// Ends controllers as if their keep alive timers had expired; returns how many.
  unsigned expire_keep_alive(std::optional<std::uint16_t> cntlid = std::nullopt);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nvublk::target
