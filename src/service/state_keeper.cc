#include "service/state_keeper.h"

#include <utility>

#include "engine/log.h"

namespace nvublk::service {

StateKeeper::StateKeeper(Shard& control, std::string path, std::function<SavedState()> snapshot)
    : path_(std::move(path)), snapshot_(std::move(snapshot)), writing_(control) {}

void StateKeeper::changed() {
  dirty_ = true;
  write();
}

void StateKeeper::when_saved(std::function<void()> then) {
  if (!dirty_ && !writing_.busy()) {
    then();
    return;
  }
  // A write that runs may have been begun before the last change.
  dirty_ = true;
  waiting_.push_back(std::move(then));
  write();
}

void StateKeeper::write() {
  if (writing_.busy()) {
    return;
  }
  dirty_ = false;
  writing_.start([path = path_, state = snapshot_()] { return write_state_file(path, state); },
                 [this, told = std::exchange(waiting_, {})](const Status& written) {
                   if (!written && !failing_) {
                     log_error("service", written.error().text +
                                              "; devices cannot be resumed if the daemon dies now");
                   }
                   failing_ = !written;
                   for (const std::function<void()>& then : told) {
                     then();
                   }
                   if (dirty_) {
                     write();
                   }
                 });
}

}  // namespace nvublk::service
