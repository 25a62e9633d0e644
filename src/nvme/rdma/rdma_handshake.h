#pragma once

// How a queue pair is connected: address, route, queue pair, connection. A step machine; its owner
// talks to the connection manager. A connection that the target still holds from before is tried
// again. [RDMA 1.0 §3.1]

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "engine/step_machine.h"
#include "nvme/rdma/cm_connection.h"
#include "nvme/spec/rdma_cm.h"

namespace nvublk::nvme::rdma {

enum class RdmaAction : std::uint8_t {
  kResolveAddress,   ///< with a new id
  kResolveRoute,     ///< of the address
  kCreateQueuePair,  ///< on the device that the address belongs to, with its receives posted
  kConnect,          ///< with request() as private data
  kStartOver,        ///< free the id and the queue pair, then wait kStaleDelay
};

struct RdmaOutcome {
  int error_number = 0;        ///< of a call or an event
  bool rejected = false;       ///< then `reason` and `data` are the reject's
  int reason = 0;              ///< as the connection manager has it
  CmEvent event;               ///< kConnect: with the private data of the accept or the reject
  std::optional<Error> cause;  ///< kCreateQueuePair: what failed
  /// Failures are read by the rows, which can say more about them.
  std::optional<Error> error() const { return std::nullopt; }
};

class RdmaHandshake : public StepMachine<RdmaHandshake, RdmaAction, RdmaOutcome> {
 public:
  static constexpr Duration kStaleDelay = milliseconds(10);
  static constexpr unsigned kStaleAttempts = 5;

  struct Options {
    std::string peer;  ///< "192.0.2.1:4420", for messages
    Duration step_timeout = seconds(5);
    std::uint16_t qid = 0;
    std::uint16_t cntlid = 0;
    std::uint32_t commands = 0;  ///< that the queue holds
  };
  explicit RdmaHandshake(Options options) : options_(std::move(options)) {}

  std::span<const Row> rows() const;
  const spec::RdmaRequestData& request() const { return request_; }
  /// error() with what a timeout does not know: which step was silent, and what that may mean.
  Error explained_error() const;

 private:
  Duration limit() const { return options_.step_timeout; }
  std::optional<RdmaAction> begin_again();
  std::optional<RdmaAction> begin_address() { return RdmaAction::kResolveAddress; }
  std::optional<RdmaAction> begin_route() { return RdmaAction::kResolveRoute; }
  std::optional<RdmaAction> begin_queue_pair() { return RdmaAction::kCreateQueuePair; }
  std::optional<RdmaAction> begin_connect();
  StepNext end_again(const RdmaOutcome& outcome);
  StepNext end_address(const RdmaOutcome& outcome);
  StepNext end_route(const RdmaOutcome& outcome);
  StepNext end_queue_pair(const RdmaOutcome& outcome);
  StepNext end_connect(const RdmaOutcome& outcome);
  StepNext resolved(int error_number, const std::string& failure) const;
  StepNext check_accept(std::span<const std::byte> data) const;

  Options options_;
  spec::RdmaRequestData request_;
  bool stale_ = false;
  unsigned stale_count_ = 0;
};

}  // namespace nvublk::nvme::rdma
