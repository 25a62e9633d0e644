#pragma once

// What the control sequences of a controller (initialization, shutdown) ask their owner to do, and
// how it went.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "engine/error.h"
#include "engine/time.h"
#include "nvme/spec/properties.h"
#include "nvme/spec/sqe.h"

namespace nvublk::nvme {

/// A step has the deadline, so that the user reads that nothing answered. A command with one of the
/// same length would race it, and end with a path error; it only has to end the connection later.
inline constexpr Duration kBeyondStep = seconds(1);

struct ControlAction {
  enum class Kind : std::uint8_t {
    kConnectAdminQueue,   ///< the transport's connection
    kFabricsConnect,      ///< the Connect command on the admin queue; outcome.value is its DW0
    kAuthenticate,        ///< on the admin queue
    kGetProperty,         ///< outcome.value is the property
    kSetProperty,         ///< `property` to `value`
    kAdminCommand,        ///< `sqe` with `data`
    kConnectIoQueues,     ///< all that the controller grants
    kDisconnectIoQueues,  ///< all that there are
  };
  Kind kind = Kind::kConnectAdminQueue;
  spec::Property property = spec::Property::kCap;
  std::uint64_t value = 0;
  spec::SubmissionEntry sqe{};
  std::span<std::byte> data{};
};

struct ControlOutcome {
  std::uint64_t value = 0;         ///< the property, or DW0 and DW1 of the completion
  std::optional<Error> failure{};  ///< why it did not work
  std::optional<Error> error() const { return failure; }
};

}  // namespace nvublk::nvme
