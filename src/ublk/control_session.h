#pragma once

// Control commands one after the other, waiting for each: for probing and for cleaning up outside
// of any shard. Not thread safe.

#include <memory>

#include "engine/time.h"
#include "engine/uring.h"
#include "ublk/control.h"
#include "ublk/features.h"

namespace nvublk::ublk {

class ControlSession {
 public:
  /// Loads the driver if need be; see open_control().
  static Result<std::unique_ptr<ControlSession>> open();

  /// The driver's result, 0 or a negative errno; `request` has what it filled in. An error if it
  /// has not answered within `limit`.
  Result<std::int32_t> run(ControlRequest& request, Duration limit);
  Result<Features> get_features();

 private:
  ControlSession(UniqueFd fd, std::unique_ptr<Uring> ring)
      : fd_(std::move(fd)), ring_(std::move(ring)) {}

  UniqueFd fd_;
  std::unique_ptr<Uring> ring_;
};

}  // namespace nvublk::ublk
