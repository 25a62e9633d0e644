#include "nvme/rdma/rdma_handshake.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "nvme/rdma/cm_text.h"

namespace nvublk::nvme::rdma {

namespace {

constexpr std::size_t kStartOverStep = 0;

// What to make of an address or a route that was not found.
std::string address_advice(int error_number) {
  switch (error_number) {
    case ENODEV:
      return "; no RDMA device is on the network interface that leads there: is it bound to "
             "another device, or does \"rdma link add\" have to be run?";
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT:
      return "; is the address right, and is the network up?";
    case EADDRNOTAVAIL:
      return "; the host address to connect from must be one of this machine's";
    default:
      return "";
  }
}

}  // namespace

std::span<const RdmaHandshake::Row> RdmaHandshake::rows() const {
  using H = RdmaHandshake;
  static constexpr std::array kRows = {
      Row{"start over", "RDMA 1.0 §3.1", &H::limit, &H::begin_again, &H::end_again},
      Row{"resolve address", "RDMA 1.0 §3.1", &H::limit, &H::begin_address, &H::end_address},
      Row{"resolve route", "RDMA 1.0 §3.1", &H::limit, &H::begin_route, &H::end_route},
      Row{"create queue pair", "RDMA 1.0 §3.2", &H::limit, &H::begin_queue_pair,
          &H::end_queue_pair},
      Row{"RDMA connect", "RDMA 1.0 §3.1", &H::limit, &H::begin_connect, &H::end_connect},
  };
  return kRows;
}

std::optional<RdmaAction> RdmaHandshake::begin_again() {
  if (!std::exchange(stale_, false)) {
    return std::nullopt;
  }
  return RdmaAction::kStartOver;
}

StepNext RdmaHandshake::end_again(const RdmaOutcome&) {
  return StepNext::next();
}

StepNext RdmaHandshake::resolved(int error_number, const std::string& failure) const {
  if (error_number == 0) {
    return StepNext::next();
  }
  Error error = Error::from_errno(error_number, failure + options_.peer + " over RDMA");
  error.text += address_advice(error_number);
  return StepNext::fail(std::move(error));
}

StepNext RdmaHandshake::end_address(const RdmaOutcome& outcome) {
  return resolved(outcome.error_number, "cannot find the way to ");
}

StepNext RdmaHandshake::end_route(const RdmaOutcome& outcome) {
  return resolved(outcome.error_number, "there is no route to ");
}

StepNext RdmaHandshake::end_queue_pair(const RdmaOutcome& outcome) {
  return outcome.cause ? StepNext::fail(*outcome.cause) : StepNext::next();
}

std::optional<RdmaAction> RdmaHandshake::begin_connect() {
  request_ = {};
  request_.recfmt = spec::kRdmaRecordFormat;
  request_.qid = options_.qid;
  // A queue of n + 1 entries has room for n commands; HSQSIZE is 0's based. [RDMA 1.0 §3.1]
  request_.hrqsize = static_cast<std::uint16_t>(options_.commands + 1);
  request_.hsqsize = static_cast<std::uint16_t>(options_.commands);
  request_.cntlid = options_.qid == 0 ? std::uint16_t{0} : options_.cntlid;
  return RdmaAction::kConnect;
}

StepNext RdmaHandshake::end_connect(const RdmaOutcome& outcome) {
  if (outcome.rejected) {
    if (outcome.reason == kRejectStaleConnection && stale_count_ < kStaleAttempts) {
      stale_count_++;
      stale_ = true;
      return StepNext::jump(kStartOverStep);
    }
    const bool refused = outcome.reason == kRejectInvalidService || outcome.reason == -ECONNREFUSED;
    return StepNext::fail(Error::make(refused ? ErrorCode::kUnreachable : ErrorCode::kNoResources,
                                      options_.peer + " rejected the connection: " +
                                          reject_text(outcome.reason, outcome.event.data())));
  }
  if (outcome.error_number != 0) {
    return resolved(outcome.error_number, "cannot connect to ");
  }
  return check_accept(outcome.event.data());
}

// With RNR retries the controller may have fewer receive buffers than we have commands.
// [RDMA 1.0 §3.1]
StepNext RdmaHandshake::check_accept(std::span<const std::byte> data) const {
  const auto refuse = [this](const std::string& text) {
    return StepNext::fail(Error::make(ErrorCode::kProtocol, options_.peer + ": " + text));
  };
  spec::RdmaAcceptData accept;
  // Some controllers leave the reserved bytes out.
  constexpr std::size_t kNeeded = offsetof(spec::RdmaAcceptData, reserved4);
  if (data.size() < kNeeded) {
    return refuse("it accepted the connection without private data; is it an NVMe/RDMA port?");
  }
  std::memcpy(static_cast<void*>(&accept), data.data(), kNeeded);
  if (accept.recfmt.get() != spec::kRdmaRecordFormat) {
    return refuse("it accepted the connection with private data of the format " +
                  std::to_string(accept.recfmt.get()) + "; only 0 exists here");
  }
  if (accept.crqsize.get() == 0) {
    return refuse("it says that it has no receive buffers (CRQSIZE 0)");
  }
  return StepNext::done();
}

Error RdmaHandshake::explained_error() const {
  Error explained = error();
  if (explained.code == ErrorCode::kTimeout) {
    explained.text += " from " + options_.peer + "; is the address right, and is the network up?";
  }
  return explained;
}

}  // namespace nvublk::nvme::rdma
