#pragma once

// All subsystems that a discovery subsystem, and those it refers to, know of. It advances when it
// is polled, after the shard's turn. Shard-affine.

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/step_runner.h"
#include "nvme/connection.h"
#include "nvme/discovery_reader.h"

namespace nvublk::nvme {

class DiscoveryWalk final : public StepOwner<DiscoveryReader, DiscoveryRead> {
 public:
  /// Referrals of referrals ...
  static constexpr unsigned kMaxDepth = 4;
  /// Discovery subsystems in all.
  static constexpr std::size_t kMaxVisits = 32;
  /// Subsystems in all.
  static constexpr std::size_t kMaxFound = 16384;

  DiscoveryWalk(Shard& shard, const TransportMaker& maker, const ControllerOptions& options,
                const TransportId& first);
  ~DiscoveryWalk();

  /// Advances as far as it can; true when there is nothing left to do.
  bool poll();
  /// Whether it waits for something that a turn of the shard may bring.
  bool waits() const { return connection_ != nullptr && !connection_->ended(); }
  /// One log that was read.
  struct Log {
    TransportId id;
    std::uint64_t genctr = 0;
    std::vector<spec::DiscoveryLogEntry> entries;  ///< as they came, referrals included
  };
  /// The log of the first discovery subsystem, then those it refers to; no more than kMaxFound
  /// entries in all.
  const std::vector<Log>& logs() const { return logs_; }
  /// I/O subsystems, each once, in the order of the logs.
  const std::vector<DiscoveryRecord>& found() const { return found_; }
  /// Discovery subsystems that could not be read, and why.
  const std::vector<std::pair<TransportId, Error>>& failures() const { return failures_; }
  /// The connection that is open now, for whoever has to outlive it; it may be null.
  std::shared_ptr<Connection> take_connection();

 private:
  using Runner = StepRunner<DiscoveryReader, DiscoveryRead, DiscoveryOutcome>;
  struct Visit {
    TransportId id;
    unsigned depth = 0;
  };

  void perform(DiscoveryReader& machine, const DiscoveryRead& read) override;
  void ended(DiscoveryReader& machine) override;
  bool begin_visit();
  void end_visit();
  void keep(const DiscoveryLog& log);
  void keep_entries(const DiscoveryLog& log);
  void refer(const TransportId& id);

  Shard& shard_;
  const TransportMaker maker_;
  const ControllerOptions options_;
  std::deque<Visit> to_visit_;
  std::vector<TransportId> known_;  ///< visited or to be visited
  Visit current_;
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<DiscoveryReader> reader_;  ///< its commands in flight hold it too
  std::unique_ptr<Runner> runner_;
  std::vector<Log> logs_;
  std::size_t entry_count_ = 0;  ///< in logs_
  std::vector<DiscoveryRecord> found_;
  std::vector<std::pair<TransportId, Error>> failures_;
};

}  // namespace nvublk::nvme
