#pragma once

// Keeps the state file up to date. Writing is done by a thread of its own, because the file may be
// on a device that we serve. Control-shard-affine.

#include <functional>
#include <string>
#include <vector>

#include "engine/blocking_call.h"
#include "service/state_file.h"

namespace nvublk::service {

class StateKeeper {
 public:
  /// `snapshot` gives the state of the moment.
  StateKeeper(Shard& control, std::string path, std::function<SavedState()> snapshot);

  /// Something has changed: the file follows.
  void changed();
  /// Runs `then` once the file has what there is now, or, after logging why, could not be written.
  void when_saved(std::function<void()> then);
  bool idle() const { return !writing_.busy(); }

 private:
  void write();

  std::string path_;
  std::function<SavedState()> snapshot_;
  BlockingCall writing_;
  bool dirty_ = false;
  bool failing_ = false;                        ///< the last write failed
  std::vector<std::function<void()>> waiting_;  ///< for the next write
};

}  // namespace nvublk::service
