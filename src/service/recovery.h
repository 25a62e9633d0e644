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
  /// Gives recovery_report(), of what begin() has found and cleaned and of what there is now. With
  /// `clean` what still waits is tried to be resumed at once, and the orphans are taken away first;
  /// without, nothing is changed.
  void report(bool clean, std::function<void(Result<Json>)> done);
  bool idle() const { return !looking_.busy(); }

 private:
  void clean_mounts();
  void give_back_drives(const std::vector<PciOrigin>& drives);
  void resume(const SavedState& state);
  Json devices_json() const;

  Attachments& attachments_;
  const std::string run_directory_;
  BlockingCall looking_;
  /// Devices of the state that were not there, and what begin() has cleaned; until a report that
  /// cleans has told them.
  std::vector<Orphan> noted_;
  std::vector<std::string> problems_;  ///< sentences, as long
};

}  // namespace nvublk::service
