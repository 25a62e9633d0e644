#include "service/state_file.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/fd.h"

namespace nvublk::service {

namespace {

constexpr off_t kMaxFile = 16 * 1024 * 1024;

Result<std::string> read_all(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) {
    return fail_errno(errno, "it cannot be read");
  }
  if (!S_ISREG(status.st_mode) || status.st_size > kMaxFile) {
    return fail(ErrorCode::kInvalidArgument, "it is no file of a sensible size");
  }
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t got = ::read(fd, text.data() + have, text.size() - have);
    if (got < 0 && errno != EINTR) {
      return fail_errno(errno, "it cannot be read");
    }
    if (got == 0) {
      break;
    }
    have += got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  text.resize(have);
  return text;
}

Status write_all(int fd, const std::string& text, const std::string& path) {
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t put = ::write(fd, text.data() + written, text.size() - written);
    if (put < 0 && errno != EINTR) {
      return fail_errno(errno, "cannot write " + path);
    }
    written += put > 0 ? static_cast<std::size_t>(put) : 0;
  }
  if (::fsync(fd) != 0) {
    return fail_errno(errno, "cannot write " + path);
  }
  return {};
}

void sync_directory_of(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path();
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) {
    ::fsync(fd.get());
  }
}

}  // namespace

std::string state_path_of(const std::string& run_directory) {
  return run_directory + "/state.json";
}

FoundState read_state_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd && errno == ENOENT) {
    return {};
  }
  FoundState found;
  Result<std::string> text = fd ? read_all(fd.get()) : fail_errno(errno, "it cannot be opened");
  if (text) {
    auto state = SavedState::from_text(*text);
    if (state) {
      found.state = std::move(*state);
      return found;
    }
    text = std::unexpected(std::move(state.error()));
  }
  found.problem = path + " cannot be used: " + text.error().text;
  return found;
}

void keep_aside(const std::string& path, std::string& problem) {
  const std::string aside = path + ".damaged";
  if (::rename(path.c_str(), aside.c_str()) == 0) {
    problem += "; it is kept as " + aside;
  }
}

Status write_state_file(const std::string& path, const SavedState& state) {
  if (state.attachments.empty()) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return fail_errno(errno, "cannot remove " + path);
    }
    return {};
  }
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const UniqueFd fd(
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) {
    return fail_errno(errno, "cannot make " + fresh);
  }
  if (Status written = write_all(fd.get(), state.to_text(), fresh); !written) {
    ::unlink(fresh.c_str());
    return written;
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    return fail_errno(errno, "cannot replace " + path);
  }
  sync_directory_of(path);
  return {};
}

}  // namespace nvublk::service
