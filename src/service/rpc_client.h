#pragma once

// The command line's end of the control socket: one blocking call after the other.

#include <optional>
#include <string>

#include "engine/error.h"
#include "engine/fd.h"
#include "engine/time.h"
#include "service/json.h"

namespace nvublk::service {

class RpcClient {
 public:
  /// Fails with kNotFound when no daemon listens at `socket_path`, with kPermission when we may not
  /// talk to it.
  static Result<RpcClient> connect(const std::string& socket_path);

  /// The method's result, or its failure as the daemon reported it. Without a limit it waits as
  /// long as the daemon lives.
  Result<Json> call(const std::string& method, const Json& params,
                    std::optional<milliseconds> limit);

 private:
  RpcClient(UniqueFd fd, std::string socket_path)
      : fd_(std::move(fd)), socket_path_(std::move(socket_path)) {}
  Status send(const std::string& line);
  Result<std::string> receive(Instant deadline);

  UniqueFd fd_;
  std::string socket_path_;
  int next_id_ = 1;
};

}  // namespace nvublk::service
