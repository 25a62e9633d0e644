#include "service/run_directory.h"

#include <cerrno>
#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

#include "service/socket_path.h"

namespace nvublk::service {

namespace {

std::string parent_of(const std::string& path) {
  return std::filesystem::path(path).parent_path();
}

bool is_directory(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Error missing(const std::string& directory, const char* option) {
  return Error::make(ErrorCode::kInvalidArgument,
                     "there is no directory " + directory + "; make it, or give another " + option);
}

Error forbidden(const std::string& directory) {
  return Error::make(ErrorCode::kPermission, "no permission to write to " + directory +
                                                 "; run it as root, such as with sudo");
}

Status make_directory(const std::string& path, const char* option) {
  if (::mkdir(path.c_str(), 0755) == 0 || (errno == EEXIST && is_directory(path))) {
    return {};
  }
  if (errno == ENOENT || errno == ENOTDIR) {
    return std::unexpected(missing(parent_of(path), option));
  }
  if (errno == EACCES || errno == EPERM) {
    return std::unexpected(forbidden(parent_of(path)));
  }
  return fail_errno(errno, "cannot make the directory " + path);
}

Status check_writable(const std::string& directory) {
  if (::access(directory.c_str(), W_OK | X_OK) == 0) {
    return {};
  }
  if (errno == EACCES || errno == EPERM) {
    return std::unexpected(forbidden(directory));
  }
  return fail_errno(errno, "cannot write to " + directory);
}

constexpr char kSocketOption[] = "--socket";
constexpr char kRunDirOption[] = "--run-dir";

}  // namespace

Status make_socket_directory(const std::string& socket_path) {
  return make_directory(parent_of(socket_path), kSocketOption);
}

Status make_run_directory(const std::string& run_directory) {
  return make_directory(run_directory, kRunDirOption);
}

Status check_directories(const std::string& socket_path) {
  const std::string beside = parent_of(socket_path);
  if (!is_directory(beside)) {
    const std::string above = parent_of(beside);
    return is_directory(above) ? check_writable(above)
                               : std::unexpected(missing(above, kSocketOption));
  }
  const std::string own = run_directory_of(socket_path);
  Status writable = check_writable(beside);
  return writable && is_directory(own) ? check_writable(own) : writable;
}

}  // namespace nvublk::service
