#pragma once

// The control socket of a running target: one JSON request per line, one JSON response per line.
//
//   request  := {"method": NAME, "params": {...}}
//   response := {"result": ...} | {"error": {"message": TEXT}}
//
// The methods are in control_methods.cc, and in the manual page nvublk-target(1).

#include <atomic>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include <sys/types.h>

#include "engine/error.h"

namespace nvublk::target {

class Target;

/// One line of JSON for one line of JSON; never throws.
std::string handle_control_request(Target& target, std::string_view line);

/// Sends one request to the control socket at `path`, and returns the response's line.
Result<std::string> call_control(const std::string& path, std::string_view method,
                                 std::string_view params_json);

class ControlServer {
 public:
  explicit ControlServer(Target& target) : target_(target) {}
  ~ControlServer() { stop(); }

  /// Listens at `path` with mode 0600. A socket there that nobody listens on is replaced; anything
  /// else is an error.
  Status start(const std::string& path);
  void stop();

 private:
  void run();
  /// False when the client is gone or misbehaves.
  bool serve(int fd, std::string& pending);

  Target& target_;
  std::string path_;  ///< of the socket that was made; empty: none
  dev_t device_ = 0;  ///< which socket that is
  ino_t inode_ = 0;
  int listen_fd_ = -1;
  int wake_fd_ = -1;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
  std::unordered_map<int, std::string> clients_;  ///< what each has sent of its next line
};

}  // namespace nvublk::target
