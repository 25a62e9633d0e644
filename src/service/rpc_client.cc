#include "service/rpc_client.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "service/json_rpc.h"
#include "service/run_directory.h"
#include "service/socket_path.h"

namespace nvublk::service {

namespace {

constexpr std::size_t kMaxAnswerBytes = 64u << 20;

Error nobody_answers(const std::string& path) {
  std::string text = "no daemon answers at " + path;
  if (Status startable = check_directories(path); !startable) {
    return Error::make(startable.error().code,
                       text + ", and none can be started: " + startable.error().text);
  }
  return Error::make(ErrorCode::kNotFound, text + "; 'nvublk attach' starts one");
}

Error explain_connect(int error, const std::string& path) {
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
    case ENOTDIR:
      return nobody_answers(path);
    case EACCES:
    case EPERM:
      return Error::make(ErrorCode::kPermission,
                         "no permission to use " + path + "; run it as root, such as with sudo");
    default:
      return Error::from_errno(error, "cannot connect to the daemon at " + path);
  }
}

Error no_daemon(const std::string& path) {
  return Error::make(ErrorCode::kProtocol, "what answers at " + path +
                                               " is not an nvublk daemon; look at --socket and "
                                               "NVUBLK_SOCKET");
}

/// Whether `answer` is what JSON-RPC 2.0 has for the request `id`: an error may be one of a request
/// whose id could not be read.
bool answers(const Json& answer, int id) {
  if (!answer.is_object() || answer.value("jsonrpc", Json()) != "2.0" || !answer.contains("id")) {
    return false;
  }
  const bool failed = answer.contains("error");
  return failed != answer.contains("result") &&
         (answer["id"] == id || (failed && answer["id"].is_null()));
}

bool is_error(const Json& error) {
  return error.is_object() && error.value("code", Json()).is_number_integer() &&
         error.value("message", Json()).is_string();
}

Error daemon_gone(const std::string& path) {
  return Error::make(ErrorCode::kDisconnected,
                     "the daemon at " + path + " ended before it answered; its log says why");
}

int milliseconds_left(Instant deadline) {
  if (deadline == kNever) {
    return -1;
  }
  const std::uint64_t left = milliseconds_between(Clock::now(), deadline);
  constexpr int kMost = std::numeric_limits<int>::max();
  return left < static_cast<std::uint64_t>(kMost) ? static_cast<int>(left) : kMost;
}

}  // namespace

Result<RpcClient> RpcClient::connect(const std::string& socket_path) {
  if (Status right = check_socket_path(socket_path); !right) {
    return std::unexpected(std::move(right.error()));
  }
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) {
    return fail_errno(errno, "cannot make a socket");
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return std::unexpected(explain_connect(errno, socket_path));
  }
  return RpcClient(std::move(fd), socket_path);
}

Status RpcClient::send(const std::string& line) {
  std::size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t count = ::send(fd_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno != EINTR) {
      return std::unexpected(daemon_gone(socket_path_));
    }
    sent += count > 0 ? static_cast<std::size_t>(count) : 0;
  }
  return {};
}

Result<std::string> RpcClient::receive(Instant deadline) {
  LineBuffer lines(kMaxAnswerBytes);
  std::array<char, 65536> chunk{};
  while (true) {
    if (auto line = lines.next()) {
      return *line;
    }
    pollfd readable{fd_.get(), POLLIN, 0};
    const int ready = ::poll(&readable, 1, milliseconds_left(deadline));
    if (ready == 0) {
      return fail(ErrorCode::kTimeout, "the daemon at " + socket_path_ + " does not answer");
    }
    const ssize_t count = ready < 0 ? -1 : ::read(fd_.get(), chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      const std::string_view rest = lines.rest();
      const bool daemons = rest.empty() || rest.front() == '{';
      return std::unexpected(daemons ? daemon_gone(socket_path_) : no_daemon(socket_path_));
    }
    lines.append({chunk.data(), static_cast<std::size_t>(count)});
    if (lines.overflown()) {
      return std::unexpected(no_daemon(socket_path_));
    }
  }
}

Result<Json> RpcClient::call(const std::string& method, const Json& params,
                             std::optional<milliseconds> limit) {
  const int id = next_id_++;
  Json request;
  request["jsonrpc"] = "2.0";
  request["id"] = id;
  request["method"] = method;
  request["params"] = params;
  if (Status sent = send(to_line(request) + "\n"); !sent) {
    return std::unexpected(std::move(sent.error()));
  }
  auto line = receive(limit ? Clock::now() + *limit : kNever);
  if (!line) {
    return std::unexpected(std::move(line.error()));
  }
  const Json answer = Json::parse(*line, nullptr, false);
  if (!answers(answer, id)) {
    return std::unexpected(no_daemon(socket_path_));
  }
  if (answer.contains("result")) {
    return answer["result"];
  }
  const Json& error = answer["error"];
  if (!is_error(error)) {
    return std::unexpected(no_daemon(socket_path_));
  }
  RpcError read;
  read.code = error["code"];
  read.message = error["message"];
  read.data = error.value("data", Json());
  return std::unexpected(read.to_error());
}

}  // namespace nvublk::service
