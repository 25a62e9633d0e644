#pragma once

// Asynchronous Event Requests: kept armed as long as the controller is live, re-armed after each
// event. [Base 2.1 §5.1.2] Shard-affine to the admin queue's shard.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "nvme/queue_pair.h"
#include "nvme/spec/async_event.h"
#include "nvme/spec/log_pages.h"

namespace nvublk::nvme {

class AsyncEventListener {
 public:
  /// The Changed Namespace List was read; empty when too many changed to list them.
  virtual void namespaces_changed(const std::vector<std::uint32_t>& nsids) = 0;

 protected:
  ~AsyncEventListener() = default;
};

class AsyncEvents {
 public:
  AsyncEvents(QueuePair& admin_queue, Duration command_timeout, AsyncEventListener& listener);

  /// Arms `count` requests, at most what AERL allows.
  void start(std::uint32_t count);
  /// No request is re-armed any more; those that are armed end with the queue.
  void stop() { armed_ = false; }

 private:
  void arm();
  void on_event(spec::NvmeStatus status, const spec::CompletionEntry& entry);
  void read_changed_namespaces();
  void on_changed_namespaces(spec::NvmeStatus status);

  QueuePair& admin_queue_;
  const Duration command_timeout_;
  AsyncEventListener& listener_;
  bool armed_ = false;
  bool reading_ = false;
  bool read_again_ = false;
  spec::ChangedNamespaceListLog changed_{};
};

}  // namespace nvublk::nvme
