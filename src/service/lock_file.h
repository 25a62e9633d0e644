#pragma once

// A file that one process at a time has locked, with that process's id in it. The kernel lets go of
// the lock of a process that dies; the file stays then, and the next one takes it.

#include <string>

#include "engine/error.h"
#include "engine/fd.h"
#include "engine/time.h"

namespace nvublk::service {

class LockFile {
 public:
  /// Makes the file and locks it. kBusy if another process has it, whose id is in `holder` then;
  /// that is empty if it cannot be told, as in the moment in which the lock is taken.
  static Result<LockFile> take(const std::string& path, std::string& holder);
  /// The id of the process that has the file locked; empty if none has.
  static std::string holder_of(const std::string& path);

  LockFile(LockFile&& other) noexcept = default;
  LockFile& operator=(LockFile&& other) = delete;
  /// As drop().
  ~LockFile();
  /// Removes the file and lets go of the lock.
  void drop();
  /// Neither dropped nor moved from.
  bool held() const { return static_cast<bool>(fd_); }

 private:
  LockFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  UniqueFd fd_;
};

/// Waits, up to `limit`, until process `pid` has ended; kTimeout if it has not.
Status await_end_of_process(const std::string& pid, Duration limit);

}  // namespace nvublk::service
