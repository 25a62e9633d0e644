#include "nvme/queue_connect.h"

#include <string>
#include <utility>

#include "engine/check.h"
#include "nvme/queue_authentication.h"

namespace nvublk::nvme {

class QueueConnect::Authentication final : private QueueAuthentication::Listener {
 public:
  explicit Authentication(QueueConnect& connect)
      : connect_(connect), authentication_(connect.queue_pair_, *this) {}

  void start(const ControllerOptions& options) { authentication_.start(options); }
  void cancel() { authentication_.cancel(); }
  bool busy() const { return authentication_.busy(); }

 private:
  void authenticated(const Result<DhchapResult>& result) override {
    connect_.authenticated(result ? Status{} : std::unexpected(result.error()));
  }

  QueueConnect& connect_;
  QueueAuthentication authentication_;
};

QueueConnect::QueueConnect(QueuePair& queue_pair, const ControllerOptions& options,
                           Listener& listener, std::uint8_t priority)
    : queue_pair_(queue_pair),
      options_(options),
      priority_(priority),
      listener_(listener),
      data_(std::make_unique<spec::ConnectData>()),
      authentication_(std::make_unique<Authentication>(*this)) {}

QueueConnect::~QueueConnect() = default;

void QueueConnect::start(bool fabrics, std::uint16_t cntlid) {
  if (!fabrics) {
    queue_pair_.set_live();
    listener_.queue_live(false);
    return;
  }
  cntlid_ = cntlid;
  send(options_.disable_sq_flow_control);
}

void QueueConnect::cancel() {
  authentication_->cancel();
}

bool QueueConnect::authenticate() {
  if (authentication_->busy() || options_.dhchap_key.empty()) {
    return false;
  }
  authentication_->start(options_);
  return true;
}

void QueueConnect::set_keys(const DhchapKeys& keys) {
  options_.dhchap_key = keys.key;
  options_.dhchap_ctrlr_key = keys.ctrlr_key;
}

void QueueConnect::send(bool disable_sq_flow_control) {
  asked_no_flow_control_ = disable_sq_flow_control;
  command::ConnectArguments arguments;
  arguments.qid = queue_pair_.qid();
  arguments.priority = priority_;
  // A queue of n entries has room for n - 1 commands. [Base 2.1 §3.3.1.2.1]
  arguments.queue_entries = queue_pair_.depth() + 1;
  arguments.disable_sq_flow_control = disable_sq_flow_control;
  Request* request = queue_pair_.acquire();
  CHECK(request != nullptr);
  build_fabrics_connect(arguments, cntlid_, options_, *request, *data_);
  request->context = this;
  request->done = [](void* self, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    static_cast<QueueConnect*>(self)->on_done(status, entry);
  };
  queue_pair_.submit(*request, options_.connect_timeout);
}

void QueueConnect::on_done(spec::NvmeStatus status, const spec::CompletionEntry& entry) {
  if (queue_pair_.state() != QueueState::kConnecting) {
    return;
  }
  if (!status.ok()) {
    // A target may refuse to do without SQ flow control; then it gets it. [Base 2.1 §6.3]
    if (asked_no_flow_control_ && status.is(spec::FabricsStatus::kInvalidParameters)) {
      send(false);
      return;
    }
    Error error = fabrics_connect_error(status, entry, options_);
    error.step = "Fabrics Connect of I/O queue " + std::to_string(queue_pair_.qid());
    queue_pair_.disconnect(std::move(error));
    return;
  }
  // SQHD of ffffh says that the request to do without flow control was granted. [Base 2.1 §6.3]
  sq_flow_control_disabled_ = asked_no_flow_control_ && entry.sqhd.get() == 0xffff;
  const Result<bool> needed = needs_authentication(spec::ConnectResult::decode(entry), options_);
  if (needed && *needed) {
    authentication_->start(options_);
  } else {
    authenticated(needed ? Status{} : std::unexpected(needed.error()));
  }
}

void QueueConnect::authenticated(const Status& status) {
  if (queue_pair_.state() == QueueState::kLive) {
    listener_.queue_authenticated(status);
    return;
  }
  if (queue_pair_.state() != QueueState::kConnecting) {
    return;
  }
  if (!status) {
    Error error = status.error();
    error.step = "authentication of I/O queue " + std::to_string(queue_pair_.qid()) +
                 (error.step.empty() ? "" : ": " + error.step);
    queue_pair_.disconnect(std::move(error));
    return;
  }
  queue_pair_.set_live();
  listener_.queue_live(sq_flow_control_disabled_);
}

}  // namespace nvublk::nvme
