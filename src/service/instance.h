#pragma once

// A daemon's claim on its socket and its run directory: one daemon per path of each, stale sockets
// of dead ones replaced.

#include <string>

#include <sys/types.h>

#include "engine/error.h"
#include "engine/fd.h"
#include "engine/time.h"
#include "service/lock_file.h"

namespace nvublk::service {

class Instance {
 public:
  /// Makes the directories (run_directory.h), takes the locks, and listens on `socket_path`
  /// (mode 0600). Refused when another daemon serves it, or still has the run directory after
  /// `patience`; the text names its process.
  static Result<Instance> claim(const std::string& socket_path, const std::string& run_directory,
                                Duration patience = seconds(5));

  /// Whether a daemon has claimed `socket_path`; it may not listen yet, or have been killed.
  static bool claimed(const std::string& socket_path);
  /// Waits, up to `limit`, until the daemon that serves `socket_path`, if one does, has ended.
  static Status await_end(const std::string& socket_path, Duration limit);

  Instance(Instance&& other) noexcept = default;
  Instance& operator=(Instance&& other) = delete;
  /// As give_up().
  ~Instance();
  /// Removes the socket, unless another one is in its place by now, the locks, and the directory if
  /// nothing is left in it.
  void give_up();

  /// The listening socket; for one caller.
  UniqueFd take_listener() { return std::move(listener_); }

 private:
  struct Locks {
    LockFile socket;
    LockFile directory;
  };

  Instance(std::string socket_path, std::string run_directory, Locks locks, UniqueFd listener);
  /// Whether the socket at the path is the one that was made here.
  bool owns_socket() const;

  std::string socket_path_;
  std::string run_directory_;
  Locks locks_;
  UniqueFd listener_;
  dev_t device_ = 0;  ///< of the socket's file
  ino_t inode_ = 0;   ///< of the socket's file; 0: it is not known
};

}  // namespace nvublk::service
