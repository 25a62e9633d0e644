#include "nvme/pcie/io_queue.h"

#include <array>
#include <string>
#include <utility>

#include "engine/check.h"
#include "nvme/pcie/queue_commands.h"
#include "nvme/status_text.h"

namespace nvublk::nvme::pcie {

PcieIoQueue::PcieIoQueue(Shard& shard, const QueueTransportOptions& options,
                         std::shared_ptr<AdminLink> link, RequestTable& requests,
                         QueueTransportSink& sink)
    : shard_(shard),
      reactor_(shard.reactor()),
      qid_(options.qid),
      priority_(options.priority),
      memory_(options.memory),
      link_(std::move(link)),
      requests_(requests),
      sink_(sink),
      interrupt_(reactor_, nullptr, this) {}

PcieIoQueue::~PcieIoQueue() {
  CHECK(state_ == State::kIdle || state_ == State::kClosed);
}

StepView PcieIoQueue::step() const {
  switch (state_) {
    case State::kAsking:
      return {"ask for the controller", "", since_, kNever};
    case State::kCreatingCq:
      return {"create completion queue", "Base 2.1 §5.2.1", since_, kNever};
    case State::kCreatingSq:
      return {"create submission queue", "Base 2.1 §5.2.2", since_, kNever};
    default:
      return {};
  }
}

void PcieIoQueue::enter(State state) {
  state_ = state;
  since_ = reactor_.now();
}

// --- Connecting

void PcieIoQueue::connect() {
  CHECK_ON(shard_);
  CHECK(state_ == State::kIdle);
  enter(State::kAsking);
  link_->access(shard_, [this](const AdminLink::Access& access) { asked(access); });
}

void PcieIoQueue::asked(const AdminLink::Access& access) {
  if (!access.session || closing_) {
    if (!closing_) {
      reason_ = Error::make(ErrorCode::kDisconnected, "the controller is not there");
    }
    stop_waiting();
    return;
  }
  session_ = access.session;
  QueueRings::Options options;
  options.qid = qid_;
  options.entries = requests_.size() + 1;
  options.cap = access.cap;
  options.memory = memory_;
  auto rings = QueueRings::create(options, reactor_.dma_catalog(), *session_, requests_);
  if (!rings) {
    reason_ = std::move(rings.error());
    stop_waiting();
    return;
  }
  rings_ = std::move(*rings);
  // Vector 0 is the admin queue's. A shard that never sleeps needs no interrupts, and they cost.
  const bool wants = reactor_.mode() != IdleMode::kBusy;
  vector_ = wants && qid_ < session_->device().interrupt_count() ? qid_ : std::uint16_t{0};
  ask(State::kCreatingCq, create_completion_queue({.qid = qid_,
                                                   .entries = rings_->entries(),
                                                   .address = rings_->cq_address(),
                                                   .vector = vector_,
                                                   .interrupts = has_interrupt()}));
}

void PcieIoQueue::ask(State state, const spec::SubmissionEntry& sqe) {
  enter(state);
  link_->run(shard_, sqe, [this](const AdminOutcome& outcome) { answered(outcome); });
}

void PcieIoQueue::answered(const AdminOutcome& outcome) {
  const bool done = !outcome.reset && outcome.status.ok();
  switch (state_) {
    case State::kCreatingCq:
      has_cq_ = done;
      if (!done || closing_) {
        creation_failed(outcome);
        return;
      }
      ask(State::kCreatingSq, create_submission_queue({.qid = qid_,
                                                       .entries = rings_->entries(),
                                                       .address = rings_->sq_address(),
                                                       .priority = priority_}));
      return;
    case State::kCreatingSq:
      has_sq_ = done;
      if (!done || closing_) {
        creation_failed(outcome);
        return;
      }
      enter(State::kConnected);
      reactor_.add_poller(*this);
      polled_ = true;
      sink_.on_connected();
      return;
    case State::kDeletingSq:
    case State::kDeletingCq:
      deletion_ended(outcome);
      return;
    default:
      CHECK(false);
  }
}

void PcieIoQueue::creation_failed(const AdminOutcome& outcome) {
  if (!closing_) {
    const char* name = state_ == State::kCreatingCq ? "completion" : "submission";
    reason_ = outcome.reset
                  ? Error::make(ErrorCode::kDisconnected, "the controller was reset")
                  : Error::make(ErrorCode::kNvmeStatus,
                                "the controller did not create " + std::string(name) + " queue " +
                                    std::to_string(qid_) + ": " + status_text(outcome.status));
    reason_.nvme_status = outcome.reset ? std::uint16_t{0} : outcome.status.bits();
    reason_.step = std::string("create ") + name + " queue";
  }
  if (outcome.reset) {
    has_cq_ = false;
    has_sq_ = false;
  }
  delete_queues();
}

// --- Connected

void PcieIoQueue::submit(Request& request) {
  if (state_ != State::kConnected) {
    // It closes and on_disconnected() is on its way: the request waits for that.
    CHECK(state_ > State::kConnected && state_ != State::kClosed);
    return;
  }
  rings_->submit(request);
  reactor_.request_flush(*this);
}

void PcieIoQueue::flush() {
  rings_->release();
}

unsigned PcieIoQueue::poll() {
  if (!rings_->ready()) {
    return 0;
  }
  std::array<spec::CompletionEntry, QueueRings::kBatch> batch;
  const unsigned count = rings_->reap(batch);
  reactor_.request_flush(*this);
  for (unsigned i = 0; i < count; i++) {
    sink_.on_completion(batch[i]);
  }
  if (rings_->faulty()) {
    fail(rings_->fault());
  }
  return count;
}

bool PcieIoQueue::arm() {
  if (requests_.in_use() == 0) {
    return true;  // nothing is to come
  }
  if (!has_interrupt()) {
    return false;
  }
  if (!interrupt_.armed()) {
    interrupt_.arm(session_->device().interrupt_fd(vector_));
  }
  return !rings_->ready();
}

// --- Ending

void PcieIoQueue::disconnect(Error reason) {
  CHECK_ON(shard_);
  CHECK(state_ != State::kIdle && state_ != State::kClosed);
  fail(std::move(reason));
}

void PcieIoQueue::fail(Error reason) {
  if (closing_ || state_ > State::kConnected) {
    return;
  }
  closing_ = true;
  reason_ = std::move(reason);
  if (state_ == State::kConnected) {
    delete_queues();
  }  // else the answer that is awaited goes on
}

void PcieIoQueue::delete_queues() {
  if (has_sq_) {
    ask(State::kDeletingSq, delete_submission_queue(qid_));
  } else if (has_cq_) {
    ask(State::kDeletingCq, delete_completion_queue(qid_));
  } else {
    stop_waiting();
  }
}

void PcieIoQueue::deletion_ended(const AdminOutcome& outcome) {
  if (outcome.reset) {
    has_sq_ = false;
    has_cq_ = false;
  } else if (!outcome.status.ok() &&
             !outcome.status.is(spec::CommandStatus::kInvalidQueueIdentifier)) {
    // The controller keeps the queue: only a reset takes it away.
    enter(State::kDeletingSq);
    link_->reset(shard_,
                 Error::make(ErrorCode::kNvmeStatus, "the controller did not delete queue " +
                                                         std::to_string(qid_) + ": " +
                                                         status_text(outcome.status)),
                 [this](const AdminOutcome& reset) { answered(reset); });
    return;
  } else if (state_ == State::kDeletingSq) {
    has_sq_ = false;
  } else {
    has_cq_ = false;
  }
  delete_queues();
}

void PcieIoQueue::stop_waiting() {
  enter(State::kClosing);
  if (std::exchange(polled_, false)) {
    reactor_.remove_poller(*this);
  }
  reactor_.cancel_flush(*this);
  interrupt_.close([](void* self) { static_cast<PcieIoQueue*>(self)->end(); });
}

void PcieIoQueue::end() {
  state_ = State::kClosed;
  rings_.reset();
  session_.reset();
  sink_.on_disconnected(std::move(reason_));
}

}  // namespace nvublk::nvme::pcie
