#pragma once

// A transport whose queues answer like a well-behaved controller, until a fault that the test chose
// strikes at the n-th thing that the host asks for. For faults that real parts do not show on
// demand.

#include <memory>
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
  Fault fault = Fault::kNone;
  int strike_at = -1;   ///< count of connects and commands at which the fault strikes, -1: never
  bool refuse = false;  ///< every connection fails
  int asked = 0;        ///< connects and commands so far
  int io_submitted = 0;
  int queues_alive = 0;
  bool hold_io = false;  ///< I/O commands get no answer

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
  }
  ~SimulatedQueue() override {
    simulation_.queues_alive--;
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
    std::vector<Request*> requests = std::exchange(requests_, {});
    for (Request* request : requests) {
      if (!closing_) {
        answer(*request);
      }
    }
    if (closing_ && !closed_) {
      closed_ = true;
      sink_.on_disconnected(reason_);
    }
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

  void answer(const Request& request) {
    if (qid_ != 0 && !request.sqe.is_fabrics()) {
      simulation_.io_submitted++;
      if (simulation_.hold_io) return;
      complete(request.cid, 0, {});
      return;
    }
    const bool async_event =
        qid_ == 0 && request.sqe.admin_opcode() == spec::AdminOpcode::kAsyncEventRequest;
    if (async_event) return;
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
  bool connecting_ = false;
  bool closing_ = false;
  bool closed_ = false;
  Error reason_;
};

class SimulatedTransport final : public Transport {
 public:
  explicit SimulatedTransport(Simulation& simulation) : simulation_(simulation) {}
  TransportLimits limits() const override { return {}; }
  std::unique_ptr<QueueTransport> make_queue(Shard& shard, const QueueTransportOptions& options,
                                             RequestTable&, QueueTransportSink& sink) override {
    return std::make_unique<SimulatedQueue>(shard, options, sink, simulation_);
  }

 private:
  Simulation& simulation_;
};

}  // namespace nvublk::nvme
