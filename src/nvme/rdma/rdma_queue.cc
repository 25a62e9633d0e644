#include "nvme/rdma/rdma_queue.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/fabrics_endpoints.h"
#include "nvme/rdma/rdma_environment.h"

namespace nvublk::nvme::rdma {

namespace {

constexpr auto kResolveLimit = milliseconds(2000);

// A negative errno, as events have it; never 0, which would be success.
int error_of(const CmEvent& event) {
  if (event.status == 0) {
    return ECONNABORTED;
  }
  return event.status < 0 ? -event.status : event.status;
}

RdmaHandshake::Options handshake_options(const RdmaQueue::Options& options,
                                         std::uint32_t commands) {
  return {.peer = options.peer,
          .step_timeout = options.step_timeout,
          .qid = options.queue.qid,
          .cntlid = options.queue.cntlid,
          .commands = commands};
}

}  // namespace

RdmaQueue::RdmaQueue(Shard& shard, const Options& options, RequestTable& requests,
                     QueueTransportSink& sink)
    : shard_(shard),
      reactor_(shard.reactor()),
      options_(options),
      requests_(requests),
      sink_(sink),
      handshake_(handshake_options(options, requests.size())),
      runner_(reactor_, handshake_, *this),
      report_([](Deferred&, void* self) { static_cast<RdmaQueue*>(self)->report(); }, this),
      stale_timer_([](Timer&, void* self) { static_cast<RdmaQueue*>(self)->report_soon({}); },
                   this),
      connection_(reactor_, *this),
      flush_timer_([](Timer&, void* self) { static_cast<RdmaQueue*>(self)->finish_close(); }, this),
      closed_([](Deferred&, void* self) { static_cast<RdmaQueue*>(self)->finish_close(); }, this) {}

RdmaQueue::~RdmaQueue() {
  CHECK(state_ == State::kIdle || state_ == State::kClosed);
}

StepView RdmaQueue::step() const {
  if (state_ != State::kConnecting || !handshake_.running()) {
    return {};
  }
  return {handshake_.step_name(), handshake_.step_spec(), handshake_.step_since(),
          handshake_.step_deadline()};
}

void RdmaQueue::connect() {
  CHECK_ON(shard_);
  CHECK(state_ == State::kIdle);
  state_ = State::kConnecting;
  runner_.start();
}

void RdmaQueue::submit(Request& request) {
  if (state_ != State::kConnected) {
    // The connection broke and on_disconnected() is on its way: the request waits for that.
    CHECK(state_ == State::kClosing);
    return;
  }
  session_->submit(request);
  reactor_.request_flush(*this);
}

void RdmaQueue::flush() {
  if (state_ != State::kConnected) {
    return;
  }
  if (const std::optional<std::string> failure = session_->flush();
      failure && state_ == State::kConnected) {
    close(lost(*failure));
  }
}

void RdmaQueue::disconnect(Error reason) {
  CHECK_ON(shard_);
  CHECK(state_ != State::kClosed);
  if (state_ != State::kClosing) {
    close(std::move(reason));
  }
}

// --- Connecting

int RdmaQueue::resolve_timeout_ms() const {
  const auto limit = std::min<Duration>(kResolveLimit, options_.step_timeout);
  return static_cast<int>(std::chrono::duration_cast<milliseconds>(limit).count());
}

void RdmaQueue::perform(RdmaHandshake&, const RdmaAction& action) {
  switch (action) {
    case RdmaAction::kResolveAddress:
      resolve_address();
      return;
    case RdmaAction::kResolveRoute:
      await(RDMA_CM_EVENT_ROUTE_RESOLVED, connection_.resolve_route(resolve_timeout_ms()));
      return;
    case RdmaAction::kCreateQueuePair: {
      RdmaOutcome outcome;
      if (Status status = create_queue_pair(); !status) {
        outcome.cause = std::move(status.error());
      }
      report_soon(std::move(outcome));
      return;
    }
    case RdmaAction::kConnect:
      start_connecting();
      return;
    case RdmaAction::kStartOver:
      release_queue_pair();
      reactor_.arm_after(stale_timer_, RdmaHandshake::kStaleDelay);
      return;
  }
}

void RdmaQueue::resolve_address() {
  CmConnection::Options connection = options_.connection;
  Result<SocketAddress> local = local_of_queue(connection.local, options_.queue.qid);
  if (!local) {
    RdmaOutcome outcome;
    outcome.cause = std::move(local.error());
    report_soon(std::move(outcome));
    return;
  }
  connection.local = *local;
  await(RDMA_CM_EVENT_ADDR_RESOLVED, connection_.resolve_address(connection, resolve_timeout_ms()));
}

void RdmaQueue::start_connecting() {
  CmConnection::Request request;
  request.private_data = std::as_bytes(std::span(&handshake_.request(), 1));
  request.responder_resources =
      static_cast<std::uint8_t>(std::min(device_->attributes().max_qp_rd_atom, 255));
  await(RDMA_CM_EVENT_ESTABLISHED, connection_.connect(request));
}

// The call that leads to `event` has been made; what it returned is reported if it failed.
void RdmaQueue::await(rdma_cm_event_type event, int error_number) {
  awaited_ = event;
  if (error_number != 0) {
    RdmaOutcome outcome;
    outcome.error_number = error_number;
    report_soon(std::move(outcome));
  }
}

void RdmaQueue::report_soon(RdmaOutcome outcome) {
  outcome_ = std::move(outcome);
  reactor_.defer(report_);
}

void RdmaQueue::report() {
  if (state_ == State::kConnecting && runner_.waiting()) {
    runner_.finish(std::exchange(outcome_, {}));
  }
}

Status RdmaQueue::create_queue_pair() {
  Result<ShardDevice::Use> device = ShardDevice::acquire(reactor_, *connection_.verbs());
  if (!device) {
    return std::unexpected(std::move(device.error()));
  }
  device_ = std::move(*device);
  Status status = create_on_device();
  if (!status) {
    release_queue_pair();
  }
  return status;
}

Status RdmaQueue::create_on_device() {
  const std::uint32_t commands = requests_.size();
  const ibv_device_attr& limits = device_->attributes();
  const std::string name = device_name(device_->context());
  if (commands + 1 > static_cast<std::uint32_t>(limits.max_qp_wr)) {
    return fail(ErrorCode::kNoResources, name + " has queues of at most " +
                                             std::to_string(limits.max_qp_wr) +
                                             " work requests; use a smaller --queue-size");
  }
  const int entries = static_cast<int>(2 * commands + 1);
  Result<CompletionQueue*> completions = device_->reserve_completions(entries);
  if (!completions) {
    return std::unexpected(std::move(completions.error()));
  }
  completions_ = *completions;
  reserved_completions_ = entries;
  client_ = completions_->add(*this);
  auto session =
      RdmaSession::create(options_.queue, *device_, options_.share_receives, requests_, sink_);
  if (!session) {
    return std::unexpected(std::move(session.error()));
  }
  session_ = std::move(*session);
  ibv_qp_init_attr attributes =
      session_->queue_pair_attributes(completions_->get(), limits.max_sge);
  int error = connection_.create_queue_pair(*device_->protection_domain(), attributes);
  if (error == EINVAL) {  // some devices take no data by value
    attributes = session_->queue_pair_attributes(completions_->get(), limits.max_sge);
    attributes.cap.max_inline_data = 0;
    error = connection_.create_queue_pair(*device_->protection_domain(), attributes);
  }
  if (error != 0) {
    return fail_errno(error, "cannot make a queue pair on " + name);
  }
  error = session_->start(*connection_.queue_pair(), *completions_, client_,
                          attributes.cap.max_inline_data, attributes.cap.max_send_sge);
  if (error != 0) {
    return fail_errno(error, "cannot post receives on " + name);
  }
  return {};
}

void RdmaQueue::on_cm_event(const CmEvent& event) {
  switch (state_) {
    case State::kConnecting:
      handshake_event(event);
      return;
    case State::kConnected:
      if (event.type == RDMA_CM_EVENT_DISCONNECTED) {
        close(lost("it closed the connection"));
      } else if (event.type == RDMA_CM_EVENT_DEVICE_REMOVAL) {
        close(lost("the RDMA device " + device_name(device_->context()) + " was removed"));
      }
      return;
    case State::kIdle:
    case State::kClosing:
    case State::kClosed:
      return;
  }
}

void RdmaQueue::handshake_event(const CmEvent& event) {
  if (event.type == RDMA_CM_EVENT_DEVICE_REMOVAL || event.type == RDMA_CM_EVENT_DISCONNECTED) {
    runner_.disconnected(lost(event.type == RDMA_CM_EVENT_DISCONNECTED
                                  ? "it closed the connection"
                                  : "the RDMA device was removed"));
    return;
  }
  RdmaOutcome outcome;
  outcome.event = event;
  switch (event.type) {
    case RDMA_CM_EVENT_REJECTED:
      outcome.rejected = true;
      outcome.reason = event.status;
      break;
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
    case RDMA_CM_EVENT_CONNECT_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
      outcome.error_number = error_of(event);
      break;
    default:
      if (event.type != awaited_) {
        return;
      }
  }
  if (runner_.waiting()) {
    runner_.finish(std::move(outcome));
  }
}

void RdmaQueue::ended(RdmaHandshake& handshake) {
  if (handshake.failed()) {
    Error error = handshake.explained_error();
    if (Status there = check_rdma_environment(); !there) {
      error.text += "; " + there.error().text;
    }
    close(std::move(error));
    return;
  }
  state_ = State::kConnected;
  sink_.on_connected();
}

// --- Connected

void RdmaQueue::on_work(std::uint32_t id, const ibv_wc& completion) {
  if (!session_) {
    return;
  }
  const std::optional<std::string> failure = session_->on_work(id, completion);
  if (state_ == State::kConnected && failure) {
    close(lost(completion.status == IBV_WC_WR_FLUSH_ERR ? "it closed the connection" : *failure));
  } else if (state_ == State::kClosing && session_->idle()) {
    reactor_.defer(closed_);
  }
}

void RdmaQueue::on_polled() {
  if (state_ == State::kConnected && session_->has_work()) {
    reactor_.request_flush(*this);
  }
}

// --- Ending

Error RdmaQueue::lost(const std::string& why) const {
  return Error::make(ErrorCode::kDisconnected, options_.peer + ": " + why);
}

void RdmaQueue::close(Error reason) {
  CHECK(state_ != State::kClosing && state_ != State::kClosed);
  state_ = State::kClosing;
  reason_ = std::move(reason);
  runner_.cancel();
  reactor_.cancel(report_);
  reactor_.cancel(stale_timer_);
  reactor_.cancel_flush(*this);
  connection_.disconnect();
  if (!session_) {
    reactor_.defer(closed_);
    return;
  }
  session_->stop();
  if (session_->idle()) {
    reactor_.defer(closed_);
  } else {
    reactor_.arm_after(flush_timer_, kFlushLimit);
  }
}

// Frees everything of a connection, in the order in which things depend on each other.
void RdmaQueue::release_queue_pair() {
  connection_.destroy_queue_pair();
  session_.reset();
  if (completions_ != nullptr) {
    completions_->remove(client_);
    completions_->unreserve(reserved_completions_);
    completions_ = nullptr;
  }
  device_.reset();
  connection_.close();
}

void RdmaQueue::finish_close() {
  reactor_.cancel(flush_timer_);
  if (session_ && session_->shares_receives()) {
    completions_->deliver();  // a shared buffer in a completion that nobody reads would be lost
  }
  reactor_.cancel(closed_);
  release_queue_pair();
  state_ = State::kClosed;
  sink_.on_disconnected(std::move(reason_));
}

}  // namespace nvublk::nvme::rdma
