#include "service/socket_path.h"

#include <cstdlib>
#include <filesystem>

#include <sys/un.h>

namespace nvublk::service {

std::string default_socket_path() {
  const char* path = std::getenv("NVUBLK_SOCKET");
  return path != nullptr && *path != '\0' ? path : kDefaultSocket;
}

std::string run_directory_of(const std::string& socket_path) {
  if (socket_path == kDefaultSocket) {
    return std::filesystem::path(socket_path).parent_path();
  }
  return socket_path + ".d";
}

std::string absolute_path(const std::string& path) {
  std::error_code failure;
  const std::filesystem::path absolute = std::filesystem::absolute(path, failure);
  return failure ? path : absolute.lexically_normal().string();
}

Status check_socket_path(const std::string& path) {
  if (path.empty() || path.front() != '/') {
    return fail(ErrorCode::kInvalidArgument,
                "the socket's path '" + path + "' has to begin with '/'");
  }
  constexpr std::size_t kLimit = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > kLimit) {
    return fail(ErrorCode::kInvalidArgument, "the socket's path is longer than " +
                                                 std::to_string(kLimit) + " characters: " + path);
  }
  return {};
}

}  // namespace nvublk::service
