#pragma once

// What the sequences that start and stop a ublk device ask their owner to do, and what they are
// told about it.

#include <cstdint>
#include <optional>

#include "engine/error.h"
#include "ublk/control.h"

namespace nvublk::ublk {

struct DeviceAction {
  enum class Kind : std::uint8_t {
    kOpenControl,      ///< load the driver if need be, open /dev/ublk-control
    kControl,          ///< send `request`
    kOpenServerNode,   ///< open /dev/ublkc`device`
    kMakeQueues,       ///< `queues` of `depth` with buffers of `buffer_bytes`, mapped
    kFetch,            ///< every queue offers its tags to the kernel
    kTryBlockNode,     ///< open and close /dev/ublkb`device`
    kCheckUnused,      ///< an error if somebody uses /dev/ublkb`device`
    kWindUp,           ///< end the control command that is under way, if there is one
    kRefuseRequests,   ///< every queue fails what the kernel hands it from now on
    kTakeBack,         ///< wait until every tag of every queue is back
    kCloseServerNode,  ///< destroy the queues, close /dev/ublkc`device`
  };
  Kind kind = Kind::kControl;
  ControlRequest request;
  std::uint32_t device = abi::kAnyDevice;
  std::uint16_t queues = 0;
  std::uint16_t depth = 0;
  std::uint32_t buffer_bytes = 0;
  bool user_copy = false;  ///< kMakeQueues: data is copied by us
};

struct DeviceOutcome {
  std::optional<Error> failure;
  std::int32_t result = 0;  ///< kControl, kOpenServerNode, kTryBlockNode: 0 or a negative errno
  ControlRequest request;   ///< kControl: with what the driver filled in

  std::optional<Error> error() const { return failure; }

  static DeviceOutcome of(std::int32_t result) { return {std::nullopt, result, {}}; }
  static DeviceOutcome failed(Error error) { return {std::move(error), 0, {}}; }
  static DeviceOutcome of(Status status) {
    return status ? DeviceOutcome{} : failed(std::move(status.error()));
  }
};

}  // namespace nvublk::ublk
