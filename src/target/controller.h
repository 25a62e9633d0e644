#pragma once

// A controller: what a host made by Connect on an admin queue. Thread-safe, since its queues may be
// on different workers and namespaces change from elsewhere.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nvme/spec/log_pages.h"
#include "nvme/spec/status.h"
#include "target/options.h"
#include "target/queue_owner.h"

namespace nvublk::target {

using nvme::spec::NvmeStatus;

/// One entry of the error information log.
struct ErrorRecord {
  std::uint64_t number = 0;  ///< counts up from 1
  std::uint16_t qid = 0;
  std::uint16_t cid = 0;
  NvmeStatus status;
  std::uint64_t lba = 0;
  std::uint32_t nsid = 0;
  std::uint8_t csi = 0;  ///< the command set's identifier
  std::uint8_t opcode = 0;
};

class Controller {
 public:
  using Clock = std::chrono::steady_clock;

  struct Identity {
    std::uint16_t cntlid = 0;
    std::array<std::uint8_t, 16> hostid{};
    std::string hostnqn;
    bool discovery = false;
  };

  /// The most error records, and the most asynchronous event requests, that are kept.
  static constexpr std::size_t kErrorRecords = 64;
  static constexpr std::size_t kEventRequests = 4;
  /// Keep alive timeouts are rounded up to this. Identify Controller KAS says so.
  static constexpr std::uint32_t kKeepAliveUnitMs = 100;

  Controller(Identity identity, const Options& options, std::uint32_t kato_ms,
             std::weak_ptr<QueueOwner> admin);

  const Identity& identity() const { return identity_; }
  bool ready() const { return ready_.load(std::memory_order_acquire); }

  // Properties. [Base 2.1 §3.1.4]
  /// The value of a property, or nothing when there is none at `offset` of that size.
  std::optional<std::uint64_t> read_property(std::uint32_t offset, bool eight_bytes) const;
  /// Whether the property exists and may be written.
  bool write_property(std::uint32_t offset, bool eight_bytes, std::uint64_t value);

  // Queues.
  /// Takes an I/O queue identifier; false when it is in use or too large.
  bool attach_queue(std::uint16_t qid, std::weak_ptr<QueueOwner> owner);
  void detach_queue(std::uint16_t qid);
  /// Closes the connections of the I/O queues, and of the admin queue if asked.
  void close_queues(bool admin_too);

  // Features. [Base 2.1 §5.1.25]
  std::uint32_t kato_ms() const { return kato_ms_.load(std::memory_order_relaxed); }
  void set_kato_ms(std::uint32_t kato_ms);
  /// How many I/O queues the host gets, at most as many as it asked for.
  std::uint16_t grant_io_queues(std::uint32_t wanted);
  std::uint16_t granted_io_queues() const;
  std::uint32_t event_config() const;
  void set_event_config(std::uint32_t config);
  bool write_cache() const { return write_cache_.load(std::memory_order_relaxed); }
  void set_write_cache(bool on) { write_cache_.store(on, std::memory_order_relaxed); }

  /// ACRE of Host Behavior Support: the host understands retry delays.
  bool retry_delays() const { return retry_delays_.load(std::memory_order_relaxed); }
  void set_retry_delays(bool on) { retry_delays_.store(on, std::memory_order_relaxed); }

  // Abort. [Base 2.1 §5.1.1]
  void hold_stuck(std::uint16_t qid, std::uint16_t cid);
  /// Completes a command that is stuck, or held for an event; false if there is no such command.
  bool abort(std::uint16_t qid, std::uint16_t cid);

  // Keep alive. [Base 2.1 §3.9]
  void note_keep_alive();
  /// When the host is taken for dead, or nothing when the timer is off.
  std::optional<Clock::time_point> keep_alive_deadline() const;

  // Asynchronous events. [Base 2.1 §5.1.2]
  /// Holds a request until there is an event; false when too many are held.
  bool hold_event_request(std::uint16_t cid);
  void namespace_changed(std::uint32_t nsid);
  /// Another firmware image runs, which needed no reset.
  void firmware_activated();
  /// The operation that this controller began has ended; or another one begins.
  void sanitize_completed();
  void sanitize_begins();
  void discovery_log_changed();
  /// The log page that goes with an event was read: lets it come again.
  void log_read(nvme::spec::LogPage page);
  /// The changed namespaces, ascending; more than 1024 are one entry of FFFFFFFFh. Forgets them,
  /// and lets the event come again, unless `retain`.
  std::vector<std::uint32_t> changed_namespaces(bool retain);

  // Error information log.
  void record_error(ErrorRecord record);
  std::vector<ErrorRecord> errors() const;  ///< newest first
  std::uint64_t error_count() const;

 private:
  void write_cc(std::uint32_t value);
  std::uint64_t capabilities() const;
  /// What a host is told of when it asks; see kEvents in the source.
  enum Event : std::uint8_t { kNamespaces, kDiscoveryLog, kFirmware, kSanitized, kEventCount };
  struct EventState {
    bool pending = false;  ///< to be reported
    bool masked = false;   ///< reported, and the log page not read yet
  };
  // With mutex_ held.
  void raise(Event event);
  /// Completes held requests with the events that there are to report.
  void report_events();

  const Identity identity_;
  const Options& options_;
  std::atomic<bool> ready_{false};
  std::atomic<bool> write_cache_{true};
  std::atomic<bool> retry_delays_{false};
  std::atomic<std::uint32_t> kato_ms_;
  std::atomic<Clock::rep> keep_alive_seen_;

  mutable std::mutex mutex_;
  // All below by mutex_.
  std::uint32_t cc_ = 0;
  std::uint32_t csts_ = 0;
  std::uint16_t io_queues_;
  std::uint32_t event_config_ = 0;
  std::map<std::uint16_t, std::weak_ptr<QueueOwner>> queues_;
  std::deque<std::uint16_t> event_requests_;
  std::set<std::pair<std::uint16_t, std::uint16_t>> stuck_;  ///< queue and CID
  std::set<std::uint32_t> changed_;
  bool changed_overflow_ = false;
  std::array<EventState, kEventCount> events_;
  std::deque<ErrorRecord> errors_;
  std::uint64_t error_count_ = 0;
};

}  // namespace nvublk::target
