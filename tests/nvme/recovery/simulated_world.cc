#include "nvme/recovery/simulated_world.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace nvublk::nvme {

namespace {

// As a transport bounds the steps of connecting.
constexpr Duration kConnectLimit = seconds(5);

ControlAction action_of(const spec::SubmissionEntry& sqe, std::span<std::byte> data) {
  ControlAction action;
  action.sqe = sqe;
  action.data = data;
  action.kind = ControlAction::Kind::kAdminCommand;
  if (!sqe.is_fabrics()) {
    return action;
  }
  if (sqe.fctype() == spec::FabricsCommandType::kConnect) {
    action.kind = ControlAction::Kind::kFabricsConnect;
  } else if (sqe.fctype() == spec::FabricsCommandType::kPropertyGet) {
    action.kind = ControlAction::Kind::kGetProperty;
    action.property = static_cast<spec::Property>(
        spec::submission_entry_as<spec::PropertyGetCommand>(sqe).ofst.get());
  } else {
    const auto set = spec::submission_entry_as<spec::PropertySetCommand>(sqe);
    action.kind = ControlAction::Kind::kSetProperty;
    action.property = static_cast<spec::Property>(set.ofst.get());
    action.value = set.value.get();
  }
  return action;
}

}  // namespace

void SimulatedTime::run_due() {
  while (!events_.empty() && events_.begin()->first <= now) {
    const std::function<void()> event = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    event();
  }
}

/// The host's end of a connection.
class SimulatedConnection final : public QueueTransport {
 public:
  SimulatedConnection(Shard& shard, std::uint16_t qid, QueueTransportSink& sink,
                      SimulatedTarget& target)
      : shard_(shard),
        sink_(sink),
        target_(target),
        wire_(std::make_shared<SimulatedTarget::Wire>()),
        closed_([](Deferred&, void* self) { static_cast<SimulatedConnection*>(self)->end(); },
                this) {
    wire_->qid = qid;
    wire_->host = this;
    target_.alive_++;
  }
  ~SimulatedConnection() override {
    shard_.reactor().cancel(closed_);
    wire_->host = nullptr;
    target_.alive_--;
  }

  void connect() override {
    target_.wires_.push_back(wire_);
    const auto wire = wire_;
    SimulatedTarget& target = target_;
    target.time_.after(kConnectLimit, [wire] {
      if (wire->host != nullptr && !wire->host->connected_) {
        wire->host->close(Error::make(ErrorCode::kTimeout, "no answer"));
      }
    });
    target.carry(wire, [wire, &target] {
      if (target.faults.refuse) {
        wire->host->close(Error::make(ErrorCode::kUnreachable, "refused"));
        return;
      }
      wire->host->connected_ = true;
      wire->host->sink_.on_connected();
    });
  }

  void submit(Request& request) override {
    SimulatedTarget::Command command{request.sqe, request.cid, nullptr, request.length_bytes, 0};
    if (request.length_bytes > 0) {
      command.data = static_cast<std::byte*>(request.iov->iov_base);
    }
    if (command.data != nullptr && request.length_bytes >= sizeof(command.written)) {
      std::memcpy(&command.written, command.data, sizeof(command.written));
    }
    const auto wire = wire_;
    SimulatedTarget& target = target_;
    target.carry(wire, [wire, command, &target] { target.arrive(wire, command); });
  }

  void disconnect(Error reason) override { close(std::move(reason)); }
  StepView step() const override { return {"simulated handshake", "", Instant{}, kNever}; }

  void close(Error reason) {
    if (std::exchange(closing_, true)) {
      return;
    }
    reason_ = std::move(reason);
    target_.host_closed(wire_);
    shard_.reactor().defer(closed_);
  }
  void complete(const spec::CompletionEntry& entry) {
    if (!closing_) {
      sink_.on_completion(entry);
    }
  }

 private:
  void end() { sink_.on_disconnected(reason_); }

  Shard& shard_;
  QueueTransportSink& sink_;
  SimulatedTarget& target_;
  SimulatedTarget::WirePointer wire_;
  Deferred closed_;
  bool connected_ = false;
  bool closing_ = false;
  Error reason_;
};

std::unique_ptr<Transport> SimulatedTarget::make_transport() {
  class Factory final : public Transport {
   public:
    explicit Factory(SimulatedTarget& target) : target_(target) {}
    TransportLimits limits() const override { return {}; }
    std::unique_ptr<QueueTransport> make_queue(Shard& shard, const QueueTransportOptions& options,
                                               RequestTable&, QueueTransportSink& sink) override {
      return std::make_unique<SimulatedConnection>(shard, options.qid, sink, target_);
    }

   private:
    SimulatedTarget& target_;
  };
  return std::make_unique<Factory>(*this);
}

Duration SimulatedTarget::random_up_to(Duration most) {
  return Duration(static_cast<Duration::rep>(random_() % static_cast<std::uint64_t>(most.count())));
}

Duration SimulatedTarget::random_latency() {
  const Duration usual = latency / 2 + random_up_to(latency);
  return faults.delay == Duration::zero() ? usual : usual + random_up_to(faults.delay);
}

// Takes something over the wire, as long as both sides have it open and nothing swallows it.
void SimulatedTarget::carry(const WirePointer& wire, std::function<void()> deliver) {
  time_.after(random_latency(), [this, wire, deliver = std::move(deliver)]() mutable {
    if (!wire->usable()) {
      return;
    }
    if (faults.black_hole) {
      wire->stalled.push_back(std::move(deliver));
      return;
    }
    deliver();
  });
}

void SimulatedTarget::end_black_hole() {
  faults.black_hole = false;
  for (const WirePointer& wire : wires_) {
    release_stalled(wire);
  }
}

void SimulatedTarget::release_stalled(const WirePointer& wire) {
  for (std::function<void()>& deliver : std::exchange(wire->stalled, {})) {
    carry(wire, std::move(deliver));
  }
}

// Without late writes, whatever it has not carried out yet dies with the connection.
void SimulatedTarget::host_closed(const WirePointer& wire) {
  wire->host_open = false;
  wire->stalled.clear();
  std::erase(wires_, wire);
}

void SimulatedTarget::drop_connections() {
  association_ = nullptr;
  for (const WirePointer& wire : std::vector(wires_)) {
    if (wire->host != nullptr) {
      wire->target_open = false;
      wire->host->close(Error::make(ErrorCode::kDisconnected, "the target closed the connection"));
    }
  }
}

void SimulatedTarget::drop_queue(std::uint16_t qid) {
  for (const WirePointer& wire : std::vector(wires_)) {
    if (wire->qid == qid && wire->host != nullptr) {
      wire->target_open = false;
      wire->host->close(Error::make(ErrorCode::kDisconnected, "the target closed the connection"));
    }
  }
}

void SimulatedTarget::fail_controllers() {
  if (association_) {
    association_->failed = true;
  }
}

void SimulatedTarget::replace_media() {
  controller.uuid_seed++;
  std::ranges::fill(media_, 0);
}

void SimulatedTarget::arrive(const WirePointer& wire, const Command& command) {
  if (wire->qid == 0 || command.sqe.is_fabrics()) {
    execute_admin(wire, command);
    return;
  }
  if (wire->association && wire->association->failed) {
    return;
  }
  // The media take their time, at the worst until long after the connection has ended.
  Duration taken = random_latency();
  if (late_writes && random_() % 8 == 0) {
    taken = milliseconds(random_() % 9000);
  }
  arrived_++;
  time_.after(taken, [this, wire, command] {
    arrived_--;
    execute_io(wire, command);
  });
}

void SimulatedTarget::execute_io(const WirePointer& wire, const Command& command) {
  const bool gone = !wire->usable();
  if (gone && !late_writes) {
    return;
  }
  if (!gone && faults.stuck_io > 0) {
    faults.stuck_io--;
    wire->stuck.insert(command.cid);
    return;
  }
  if (!gone && faults.busy_io > 0) {
    faults.busy_io--;
    constexpr std::uint16_t kFirstDelay = 1u << 11;
    const auto busy = spec::NvmeStatus::make(spec::GenericStatus::kCommandInterrupted);
    answer(wire, command, 0,
           spec::NvmeStatus::from_bits(static_cast<std::uint16_t>(busy.bits() | kFirstDelay)));
    return;
  }
  if (!gone && faults.not_ready_io > 0) {
    faults.not_ready_io--;
    answer(wire, command, 0, spec::NvmeStatus::make(spec::GenericStatus::kNamespaceNotReady));
    return;
  }
  if (!gone && faults.partial_io > 0 && command.data != nullptr) {
    faults.partial_io--;
    if (command.sqe.nvm_opcode() == spec::NvmOpcode::kRead) {
      std::memset(command.data, 0xdd, command.length_bytes / 2);
    }
    drop_queue(wire->qid);
    return;
  }
  const std::uint32_t lba = command.sqe.cdw10.get();
  if (command.sqe.nvm_opcode() == spec::NvmOpcode::kWrite) {
    media_.at(lba) = command.written;
    writes_++;
    late_ += gone ? 1 : 0;
  } else if (command.sqe.nvm_opcode() == spec::NvmOpcode::kRead && !gone) {
    std::memcpy(command.data, &media_.at(lba), sizeof(media_[lba]));
  }
  if (!gone) {
    answer(wire, command, 0, {});
  }
}

std::uint64_t SimulatedTarget::abort(const Command& command) {
  constexpr std::uint64_t kNotAborted = 1;
  const auto sqid = static_cast<std::uint16_t>(command.sqe.cdw10.get() & 0xffff);
  const auto cid = static_cast<std::uint16_t>(command.sqe.cdw10.get() >> 16);
  for (const WirePointer& wire : wires_) {
    if (wire->qid != sqid || faults.refuse_abort || wire->stuck.erase(cid) == 0) {
      continue;
    }
    Command aborted;
    aborted.cid = cid;
    answer(wire, aborted, 0, spec::NvmeStatus::make(spec::GenericStatus::kAbortRequested));
    return 0;
  }
  return kNotAborted;
}

void SimulatedTarget::execute_admin(const WirePointer& wire, const Command& command) {
  const spec::AdminOpcode opcode = command.sqe.admin_opcode();
  const bool connects =
      command.sqe.is_fabrics() && command.sqe.fctype() == spec::FabricsCommandType::kConnect;
  if (faults.silent_admin ||
      (!command.sqe.is_fabrics() && opcode == spec::AdminOpcode::kAsyncEventRequest)) {
    return;
  }
  if (connects && wire->qid == 0) {
    association_ = std::make_shared<Association>(Association{controller, false});
  }
  if (connects) {
    wire->association = association_;
  }
  if (!wire->association) {
    return;  // an I/O queue of a controller that is gone
  }
  if (wire->association->failed) {
    return;
  }
  if (!command.sqe.is_fabrics() && opcode == spec::AdminOpcode::kAbort) {
    answer(wire, command, abort(command), {});
    return;
  }
  const ControlAction action = action_of(command.sqe, {command.data, command.length_bytes});
  answer(wire, command, wire->association->answers.answer(action).value, {});
}

void SimulatedTarget::answer(const WirePointer& wire, const Command& command, std::uint64_t result,
                             spec::NvmeStatus status) {
  spec::CompletionEntry entry;
  entry.cid = command.cid;
  entry.sqhd = 0xffff;
  entry.set_result(result);
  entry.set_status(status);
  carry(wire, [wire, entry] { wire->host->complete(entry); });
}

}  // namespace nvublk::nvme
