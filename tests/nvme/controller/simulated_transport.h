#pragma once

// A transport whose queues answer like a well-behaved controller, until a fault that the test chose
// strikes at the n-th thing that the host asks for. For faults that real parts do not show on
// demand.

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "engine/shard.h"
#include "nvme/controller/perfect_controller.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

enum class Fault { kNone, kDisconnect, kSilence, kErrorStatus, kNonsense, kUnknownCid };

/// What the simulated controller has in common over all its queues. All shards are one thread.
struct Simulation {
  PerfectController controller;
  TransportLimits limits;
  Fault fault = Fault::kNone;
  int strike_at = -1;   ///< count of connects and commands at which the fault strikes, -1: never
  bool refuse = false;  ///< every connection fails
  int asked = 0;        ///< connects and commands so far
  int io_submitted = 0;
  int keep_alives = 0;
  int queues_alive = 0;
  bool hold_io = false;     ///< I/O commands get no answer until it is false again
  bool hold_admin = false;  ///< the same for admin commands other than Fabrics and keep alive
  std::vector<spec::SubmissionEntry> admin_seen;  ///< admin commands, in order
  std::vector<spec::SubmissionEntry> io_seen;     ///< I/O commands, in order
  /// What else an admin or I/O command answers; null: as the perfect controller does.
  std::function<bool(const Request& request, spec::CompletionEntry& entry)> script;
  std::function<void(const spec::ConnectCommand&)> connect_seen;  ///< null: nobody looks
  std::deque<std::uint32_t> events;  ///< DW0 of asynchronous events to come
  std::function<void()> kick;        ///< has the admin queue look at `events`

  Fault strike() { return asked++ == strike_at ? fault : Fault::kNone; }
};

class SimulatedQueue final : public QueueTransport {
 public:
  SimulatedQueue(Shard& shard, const QueueTransportOptions& options, QueueTransportSink& sink,
                 Simulation& simulation)
      : shard_(shard),
        qid_(options.qid),
        sink_(sink),
        simulation_(simulation),
        deferred_([](Deferred&, void* self) { static_cast<SimulatedQueue*>(self)->run(); }, this) {
    simulation_.queues_alive++;
    if (qid_ == 0) {
      simulation_.kick = [this] { shard_.reactor().defer(deferred_); };
    }
  }
  ~SimulatedQueue() override {
    simulation_.queues_alive--;
    if (qid_ == 0) simulation_.kick = nullptr;
    shard_.reactor().cancel(deferred_);
  }

  void connect() override {
    connecting_ = true;
    shard_.reactor().defer(deferred_);
  }
  void submit(Request& request) override {
    requests_.push_back(&request);
    shard_.reactor().defer(deferred_);
  }
  void disconnect(Error reason) override {
    if (!closing_) {
      closing_ = true;
      reason_ = std::move(reason);
      shard_.reactor().defer(deferred_);
    }
  }
  StepView step() const override { return {"simulated handshake", "", Instant{}, kNever}; }

 private:
  void run() {
    if (std::exchange(connecting_, false) && !closing_) {
      finish_connect();
    }
    std::vector<Request*> requests = std::exchange(held_, {});
    requests.insert(requests.end(), requests_.begin(), requests_.end());
    requests_.clear();
    for (Request* request : requests) {
      if (!closing_) {
        answer(*request);
      }
    }
    if (!held_.empty()) shard_.reactor().defer(deferred_);
    deliver_events();
    if (closing_ && !closed_) {
      closed_ = true;
      sink_.on_disconnected(reason_);
    }
  }

  void deliver_events() {
    while (qid_ == 0 && !closing_ && !event_requests_.empty() && !simulation_.events.empty()) {
      const std::uint16_t cid = event_requests_.front();
      event_requests_.pop_front();
      const std::uint32_t event = simulation_.events.front();
      simulation_.events.pop_front();
      complete(cid, event, {});
    }
  }

  bool scripted(const Request& request) {
    if (!simulation_.script) return false;
    spec::CompletionEntry entry;
    entry.cid = request.cid;
    if (!simulation_.script(request, entry)) return false;
    sink_.on_completion(entry);
    return true;
  }

  void finish_connect() {
    const Fault fault = simulation_.strike();
    if (simulation_.refuse || fault == Fault::kDisconnect || fault == Fault::kErrorStatus ||
        fault == Fault::kNonsense || fault == Fault::kUnknownCid) {
      closing_ = true;
      reason_ = Error{ErrorCode::kUnreachable, "refused", "simulated handshake", 0};
    } else if (fault == Fault::kSilence) {
      // Real transports bound each step of their own; the controller's limit is for what they miss.
    } else {
      sink_.on_connected();
    }
  }

  void answer(Request& request) {
    const spec::AdminOpcode opcode = request.sqe.admin_opcode();
    if (qid_ != 0 && !request.sqe.is_fabrics()) {
      if (simulation_.hold_io) {
        if (first_time(request)) simulation_.io_submitted++;
        held_.push_back(&request);
        return;
      }
      if (first_time(request)) simulation_.io_submitted++;
      if (!scripted(request)) complete(request.cid, 0, {});
      return;
    }
    if (opcode == spec::AdminOpcode::kAsyncEventRequest) {
      event_requests_.push_back(request.cid);
      return;
    }
    if (opcode == spec::AdminOpcode::kKeepAlive && !request.sqe.is_fabrics()) {
      simulation_.keep_alives++;
    }
    const bool holdable = !request.sqe.is_fabrics() && opcode != spec::AdminOpcode::kKeepAlive;
    if (holdable && simulation_.hold_admin && opcode != spec::AdminOpcode::kAbort) {
      if (first_time(request)) simulation_.admin_seen.push_back(request.sqe);
      held_.push_back(&request);
      return;
    }
    if (holdable && first_time(request)) simulation_.admin_seen.push_back(request.sqe);
    if (holdable && scripted(request)) return;
    const Fault fault = simulation_.strike();
    switch (fault) {
      case Fault::kNone:
        complete(request.cid, outcome(request).value, {});
        return;
      case Fault::kDisconnect:
        closing_ = true;
        reason_ = Error::make(ErrorCode::kDisconnected, "the peer closed the connection");
        return;
      case Fault::kSilence:
        return;
      case Fault::kErrorStatus:
        complete(request.cid, 0, spec::NvmeStatus::make(spec::GenericStatus::kInvalidField, true));
        return;
      case Fault::kNonsense:
        if (request.length_bytes > 0 &&
            request.sqe.direction() == spec::DataDirection::kControllerToHost) {
          std::memset(request.iov->iov_base, 0xff, request.length_bytes);
        }
        complete(request.cid, ~0ull, {});
        return;
      case Fault::kUnknownCid:
        complete(static_cast<std::uint16_t>(request.cid ^ 0x5555), 0, {});
        return;
    }
  }

  ControlOutcome outcome(const Request& request) {
    ControlAction action;
    action.sqe = request.sqe;
    if (request.length_bytes > 0) {
      action.data = {static_cast<std::byte*>(request.iov->iov_base), request.length_bytes};
    }
    action.kind = ControlAction::Kind::kAdminCommand;
    if (request.sqe.is_fabrics()) {
      switch (request.sqe.fctype()) {
        case spec::FabricsCommandType::kConnect:
          action.kind = ControlAction::Kind::kFabricsConnect;
          if (simulation_.connect_seen) {
            simulation_.connect_seen(spec::submission_entry_as<spec::ConnectCommand>(request.sqe));
          }
          break;
        case spec::FabricsCommandType::kPropertyGet: {
          const auto get = spec::submission_entry_as<spec::PropertyGetCommand>(request.sqe);
          action.kind = ControlAction::Kind::kGetProperty;
          action.property = static_cast<spec::Property>(get.ofst.get());
          break;
        }
        case spec::FabricsCommandType::kPropertySet: {
          const auto set = spec::submission_entry_as<spec::PropertySetCommand>(request.sqe);
          action.kind = ControlAction::Kind::kSetProperty;
          action.property = static_cast<spec::Property>(set.ofst.get());
          action.value = set.value.get();
          break;
        }
        default:
          break;
      }
    }
    return simulation_.controller.answer(action);
  }

  // Whether `request` was not held before.
  bool first_time(const Request& request) {
    const bool fresh = counted_.insert({request.slot, request.cid}).second;
    if (fresh && qid_ != 0) simulation_.io_seen.push_back(request.sqe);
    return fresh;
  }

  void complete(std::uint16_t cid, std::uint64_t result, spec::NvmeStatus status) {
    spec::CompletionEntry entry;
    entry.cid = cid;
    entry.sqhd = 0xffff;
    entry.set_result(result);
    entry.set_status(status);
    sink_.on_completion(entry);
  }

  Shard& shard_;
  const std::uint16_t qid_;
  QueueTransportSink& sink_;
  Simulation& simulation_;
  Deferred deferred_;
  std::vector<Request*> requests_;
  std::vector<Request*> held_;
  std::deque<std::uint16_t> event_requests_;
  std::set<std::pair<std::uint16_t, std::uint16_t>> counted_;  // CIDs repeat after a long time
  bool connecting_ = false;
  bool closing_ = false;
  bool closed_ = false;
  Error reason_;
};

class SimulatedTransport final : public Transport {
 public:
  explicit SimulatedTransport(Simulation& simulation) : simulation_(simulation) {}
  TransportLimits limits() const override { return simulation_.limits; }
  std::unique_ptr<QueueTransport> make_queue(Shard& shard, const QueueTransportOptions& options,
                                             RequestTable&, QueueTransportSink& sink) override {
    return std::make_unique<SimulatedQueue>(shard, options, sink, simulation_);
  }

 private:
  Simulation& simulation_;
};

}  // namespace nvublk::nvme
