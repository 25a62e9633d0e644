#include "ublk/control.h"

#include <cstring>
#include <memory>
#include <utility>

#include <fcntl.h>

#include "engine/check.h"
#include "engine/log.h"
#include "ublk/explain.h"

namespace nvublk::ublk {

void prepare_control_sqe(io_uring_sqe& sqe, int control_fd, const ControlRequest& request) {
  sqe.opcode = IORING_OP_URING_CMD;
  sqe.fd = control_fd;
  sqe.cmd_op = request.command;
  abi::ControlCommand command{};
  command.dev_id = request.device;
  command.queue_id = abi::kNoQueue;
  command.data = request.data;
  if (request.buffer_bytes > 0) {
    command.len = request.buffer_bytes;
    command.addr = reinterpret_cast<std::uintptr_t>(request.buffer.data());
  }
  std::memcpy(sqe.cmd, &command, sizeof(command));
}

namespace {

bool must_be_waited_for(std::uint32_t command) {
  return command == abi::kAddDev || command == abi::kStartDev || command == abi::kEndUserRecovery ||
         command == abi::kStartUserRecovery || command == abi::kStopDev ||
         command == abi::kTryStopDev || command == abi::kDelDevAsync;
}

/// Whether the driver waits, as long as it is not interrupted, until all tags have been offered.
bool may_wait_for_others(std::uint32_t command) {
  return command == abi::kStartDev || command == abi::kEndUserRecovery;
}

/// Has the kernel interrupt the request of `target`, if that is still under way.
void interrupt(Uring& ring, RingOp& target) {
  auto* cancel = new RingOp;
  cancel->complete = [](RingOp& op, std::int32_t, std::uint32_t) { delete &op; };
  io_uring_sqe* sqe = ring.prepare(*cancel);
  io_uring_prep_cancel(sqe, &target, 0);
  io_uring_sqe_set_data(sqe, cancel);
}

}  // namespace

/// Heap memory of its own: the driver writes into `request` whenever it gets there, even after all
/// who asked are gone.
struct Control::Operation : RingOp {
  Shard* shard = nullptr;
  Control* control = nullptr;  ///< null once abandoned
  UniqueFd fd;                 ///< abandoned ADD_DEV only
  ControlRequest request;
  Done done;

  void submit(int control_fd) {
    prepare_control_sqe(*shard->reactor().ring().prepare(*this), control_fd, request);
  }

  static void completed(RingOp& op, std::int32_t result, std::uint32_t) {
    std::unique_ptr<Operation> self(static_cast<Operation*>(&op));
    if (self->control != nullptr) {
      self->control->current_ = nullptr;
      Done done = std::move(self->done);
      done(result, self->request);
    } else if (self->request.command == abi::kAddDev && result == 0) {
      delete_late_device(std::move(self));
    }
  }

  static void delete_late_device(std::unique_ptr<Operation> self) {
    const auto id = self->request.get<abi::DeviceInfo>().dev_id;
    log_warning("ublk", "device " + std::to_string(id) + " was made too late, deleting it");
    self->request = device_request(abi::kDelDevAsync, id);
    Operation* operation = self.release();
    operation->submit(operation->fd.get());
  }
};

Control::Control(Shard& shard, UniqueFd control_fd) : shard_(shard), fd_(std::move(control_fd)) {
  CHECK(shard.reactor().ring().sqe128());
}

Control::~Control() {
  abandon();
}

void Control::send(const ControlRequest& request, Done done) {
  CHECK_ON(shard_);
  CHECK(current_ == nullptr);
  auto operation = std::make_unique<Operation>();
  operation->complete = &Operation::completed;
  operation->shard = &shard_;
  operation->control = this;
  operation->request = request;
  operation->done = std::move(done);
  current_ = operation.release();
  current_->submit(fd_.get());
}

void Control::wind_up(std::move_only_function<void()> ended) {
  CHECK_ON(shard_);
  if (current_ == nullptr || !must_be_waited_for(current_->request.command)) {
    abandon();
    ended();
    return;
  }
  if (current_->request.command == abi::kAddDev) {
    current_->done = [this, ended = std::move(ended)](std::int32_t result,
                                                      const ControlRequest& request) mutable {
      if (result < 0) {
        ended();
        return;
      }
      const auto id = request.get<abi::DeviceInfo>().dev_id;
      send(device_request(abi::kDelDevAsync, id),
           [ended = std::move(ended)](std::int32_t, const ControlRequest&) mutable { ended(); });
    };
    return;
  }
  current_->done = [ended = std::move(ended)](std::int32_t, const ControlRequest&) mutable {
    ended();
  };
  if (may_wait_for_others(current_->request.command)) {
    interrupt(shard_.reactor().ring(), *current_);
  }
}

void Control::abandon() {
  if (current_ == nullptr) {
    return;
  }
  if (current_->request.command == abi::kAddDev) {
    current_->fd.reset(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  }
  current_->control = nullptr;
  current_->done = nullptr;
  current_ = nullptr;
}

}  // namespace nvublk::ublk
