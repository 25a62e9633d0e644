#pragma once

// What is done about the rests of a daemon that has died, or has left its devices to us: devices
// are resumed, the rest is reported and, when asked for, cleaned. Control-shard-affine.

#include <functional>
#include <string>
#include <vector>

#include "engine/blocking_call.h"
#include "service/attachments.h"
#include "service/json.h"
#include "service/recovery_plan.h"

namespace nvublk::service {

class Recovery {
 public:
  Recovery(Shard& control, Attachments& attachments, std::string run_directory);

  /// Reads the state, cleans dead FUSE mounts, begins to resume devices. Blocks for a moment:
  /// before the daemon serves anybody.
  void begin();
  /// Tries at once to resume what still waits, and gives
  /// {"devices":[...],"orphans":[...],"problems":[...]}; with `clean` the orphans are taken away
  /// first.
  void report(bool clean, std::function<void(Result<Json>)> done);
  bool idle() const { return !looking_.busy(); }

 private:
  void resume(const SavedState& state);
  Json devices_json() const;

  Attachments& attachments_;
  const std::string run_directory_;
  BlockingCall looking_;
  std::vector<Orphan> lost_;           ///< devices of the state that were not there
  std::vector<std::string> problems_;  ///< sentences
};

}  // namespace nvublk::service
