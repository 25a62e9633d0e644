#pragma once

// Asynchronous Event Requests: kept armed as long as the controller is live, re-armed after each
// event. [Base 2.1 §5.1.2] Shard-affine to the admin queue's shard.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "nvme/queue_pair.h"
#include "nvme/spec/async_event.h"
#include "nvme/spec/log_pages.h"

namespace nvublk::nvme {

class AsyncEventListener {
 public:
  /// The Changed Namespace List was read; empty when any may have changed: too many to list them,
  /// or the list could not be read.
  virtual void namespaces_changed(const std::vector<std::uint32_t>& nsids) = 0;
  /// Any other event, after its log page was read (which clears it); `log` is the page's beginning,
  /// empty if the event names none or it could not be read.
  virtual void event_received(const spec::AsyncEvent& event, std::span<const std::byte> log) = 0;

 protected:
  ~AsyncEventListener() = default;
};

class AsyncEvents {
 public:
  AsyncEvents(QueuePair& admin_queue, Duration command_timeout, AsyncEventListener& listener);

  struct Limits {
    std::uint32_t requests = 1;       ///< at most what AERL allows
    std::uint32_t ana_log_bytes = 0;  ///< how long the ANA log may be; 0: it is not read
    bool read_changed_list = true;    ///< else any namespace may have changed
  };
  void start(const Limits& limits);
  /// No request is re-armed any more; those that are armed end with the queue.
  void stop() { armed_ = false; }

 private:
  void arm();
  void on_event(spec::NvmeStatus status, const spec::CompletionEntry& entry);
  void read_changed_namespaces();
  void on_changed_namespaces(spec::NvmeStatus status);
  void read_next_log();
  void on_log(spec::NvmeStatus status);
  std::uint32_t log_bytes(const spec::AsyncEvent& event) const;

  QueuePair& admin_queue_;
  const Duration command_timeout_;
  AsyncEventListener& listener_;
  bool armed_ = false;
  bool reading_ = false;
  bool read_again_ = false;
  spec::ChangedNamespaceListLog changed_{};
  std::deque<spec::AsyncEvent> events_;  ///< whose log pages are to be read; the first one now
  bool reading_log_ = false;
  std::vector<std::byte> log_;
  std::uint32_t ana_log_bytes_ = 0;
  bool read_changed_list_ = true;
};

}  // namespace nvublk::nvme
