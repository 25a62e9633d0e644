#pragma once

// A transport whose answers the test writes: it keeps what was submitted and completes, or breaks,
// on demand. For faults that real parts do not show.

#include <memory>
#include <utility>
#include <vector>

#include "engine/shard.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

/// A command as it was when it was submitted; its slot may have another since.
struct SubmittedCommand {
  spec::SubmissionEntry sqe;
  std::uint16_t slot = 0;
  std::uint16_t cid = 0;
  std::uint32_t length_bytes = 0;
};

class ScriptedQueue final : public QueueTransport {
 public:
  ScriptedQueue(Shard& shard, QueueTransportSink& sink, std::vector<SubmittedCommand>& submitted)
      : shard_(shard),
        sink_(sink),
        submitted_(submitted),
        deferred_([](Deferred&, void* self) { static_cast<ScriptedQueue*>(self)->on_deferred(); },
                  this) {}
  ~ScriptedQueue() override { shard_.reactor().cancel(deferred_); }

  void connect() override {
    connecting_ = true;
    shard_.reactor().defer(deferred_);
  }
  void submit(Request& request) override {
    submitted_.push_back({request.sqe, request.slot, request.cid, request.length_bytes});
  }
  void disconnect(Error reason) override {
    if (!closing_) {
      closing_ = true;
      reason_ = std::move(reason);
      shard_.reactor().defer(deferred_);
    }
  }
  StepView step() const override { return {"scripted", "", Instant{}, kNever}; }

  void complete(std::uint16_t cid, spec::NvmeStatus status = {}) {
    spec::CompletionEntry entry;
    entry.cid = cid;
    entry.set_status(status);
    complete(entry);
  }
  void complete(const spec::CompletionEntry& entry) { sink_.on_completion(entry); }

 private:
  void on_deferred() {
    if (std::exchange(connecting_, false) && !closing_) {
      sink_.on_connected();
    } else if (closing_) {
      sink_.on_disconnected(reason_);
    }
  }

  Shard& shard_;
  QueueTransportSink& sink_;
  std::vector<SubmittedCommand>& submitted_;
  Deferred deferred_;
  bool connecting_ = false;
  bool closing_ = false;
  Error reason_;
};

class ScriptedTransport final : public Transport {
 public:
  TransportLimits limits() const override { return {}; }
  std::unique_ptr<QueueTransport> make_queue(Shard& shard, const QueueTransportOptions&,
                                             RequestTable&, QueueTransportSink& sink) override {
    auto made = std::make_unique<ScriptedQueue>(shard, sink, submitted);
    queue = made.get();
    submitted.clear();
    return made;
  }

  ScriptedQueue* queue = nullptr;           ///< the one made last
  std::vector<SubmittedCommand> submitted;  ///< since it was made
};

}  // namespace nvublk::nvme
