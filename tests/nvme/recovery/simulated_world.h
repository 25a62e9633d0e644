#pragma once

// A network and a target whose time is the test's: what happens, and when, follows from a seed
// alone. The controller, its queue pairs and its recovery are the real ones; only the transport and
// the clock are not.
//
// What the network and the target do is as bad as TCP and the specification allow: bytes may take
// any time while a connection is open on both sides, but do not outlive a host's close; a target
// that reports a Command Quiesce Time may carry out what it has received until that, and two keep
// alive timeouts, are over.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "engine/shard.h"
#include "nvme/controller/perfect_controller.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

/// The events of the simulated part, in the order of their times.
class SimulatedTime {
 public:
  Instant now = Instant{} + seconds(1000);

  void at(Instant when, std::function<void()> event) { events_.emplace(when, std::move(event)); }
  void after(Duration delay, std::function<void()> event) { at(now + delay, std::move(event)); }
  Instant next() const { return events_.empty() ? kNever : events_.begin()->first; }
  void run_due();
  void clear() { events_.clear(); }

 private:
  std::multimap<Instant, std::function<void()>> events_;
};

/// What the simulated target does wrong, until it is told otherwise.
struct TargetFaults {
  bool refuse = false;        ///< no connection is accepted
  bool black_hole = false;    ///< nothing arrives, either way
  bool silent_admin = false;  ///< admin commands get no answer
  int stuck_io = 0;           ///< so many I/O commands get no answer, unless aborted
  bool refuse_abort = false;  ///< Abort says that nothing was aborted
  int busy_io = 0;            ///< so many I/O commands are answered with "later" (CRD 1)
  int not_ready_io = 0;       ///< so many with Namespace Not Ready
  Duration delay{};           ///< what goes over the wire takes up to so much longer
  int partial_io = 0;         ///< with so many the connection ends in the middle of their data
};

class SimulatedTarget {
 public:
  static constexpr std::uint32_t kBlocks = 64;

  SimulatedTarget(SimulatedTime& time, std::uint64_t seed) : time_(time), random_(seed) {}

  TargetFaults faults;
  PerfectController controller;  ///< as every new connection finds it
  bool late_writes = false;      ///< carries out what it has received long after the connection
  Duration latency = microseconds(200);

  std::unique_ptr<Transport> make_transport();
  /// Closes every connection from its side; the controllers are gone.
  void drop_connections();
  void drop_queue(std::uint16_t qid);
  /// CSTS.CFS: the controllers that there are now do nothing any more.
  void fail_controllers();
  /// From now on other media are behind the namespaces.
  void replace_media();
  /// The next controller does not have the first namespace any more.
  void remove_namespace() { controller.nsids = {3}; }

  std::uint64_t block(std::uint32_t lba) const { return media_[lba]; }
  std::uint64_t writes() const { return writes_; }    ///< that changed the media
  std::uint64_t late() const { return late_; }        ///< of them, after the host had closed
  std::size_t connections() const { return alive_; }  ///< objects of the host's
  bool quiet() const { return arrived_ == 0; }        ///< no command is with the target

 private:
  friend class SimulatedConnection;
  struct Association {
    PerfectController answers;
    bool failed = false;
  };
  struct Wire {
    std::uint16_t qid = 0;
    bool host_open = true;
    bool target_open = true;
    std::shared_ptr<Association> association;
    class SimulatedConnection* host = nullptr;
    std::vector<std::function<void()>> stalled;  ///< what a black hole holds up
    std::set<std::uint16_t> stuck;
    bool usable() const { return host_open && target_open; }
  };
  using WirePointer = std::shared_ptr<Wire>;
  struct Command {
    spec::SubmissionEntry sqe;
    std::uint16_t cid = 0;
    std::byte* data = nullptr;
    std::uint32_t length_bytes = 0;
    std::uint64_t written = 0;
  };

  Duration random_up_to(Duration most);
  Duration random_latency();
  void carry(const WirePointer& wire, std::function<void()> deliver);
  void release_stalled(const WirePointer& wire);
  void arrive(const WirePointer& wire, const Command& command);
  void execute_io(const WirePointer& wire, const Command& command);
  void execute_admin(const WirePointer& wire, const Command& command);
  std::uint64_t abort(const Command& command);
  void answer(const WirePointer& wire, const Command& command, std::uint64_t result,
              spec::NvmeStatus status);
  void host_closed(const WirePointer& wire);

  SimulatedTime& time_;
  std::mt19937_64 random_;
  std::vector<WirePointer> wires_;
  std::shared_ptr<Association> association_;
  std::vector<std::uint64_t> media_ = std::vector<std::uint64_t>(kBlocks);
  std::uint64_t writes_ = 0;
  std::uint64_t late_ = 0;
  std::size_t alive_ = 0;
  int arrived_ = 0;

 public:
  /// Has what a black hole held up arrive; call it when `faults.black_hole` ends.
  void end_black_hole();
};

}  // namespace nvublk::nvme
