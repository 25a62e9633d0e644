#include "target/logged_storage.h"

#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <isa-l/crc.h>
#include <unistd.h>

namespace nvublk::target {

std::uint32_t crc32(const std::uint8_t* data, std::size_t length) {
  return crc32_gzip_refl(0, data, length);
}

Result<std::unique_ptr<LoggedStorage>> LoggedStorage::open(std::unique_ptr<Storage> below,
                                                           const std::string& path,
                                                           std::uint32_t block_size) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file) return fail_errno(errno, "cannot open the log " + path);
  std::unique_ptr<LoggedStorage> storage(
      new LoggedStorage(std::move(below), std::move(file), block_size));
  if (const int error = storage->append("begin", std::to_string(block_size)); error != 0) {
    return fail_errno(error, "cannot write the log " + path);
  }
  return storage;
}

// In one piece: a target that is killed leaves whole lines, but for the last.
int LoggedStorage::append(const std::string& kind, const std::string& rest) {
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
  std::string line = kind + " " + std::to_string(now.count());
  if (!rest.empty()) line += " " + rest;
  line += "\n";
  const ssize_t written = ::write(file_.get(), line.data(), line.size());
  if (written < 0) return errno;
  return static_cast<std::size_t>(written) == line.size() ? 0 : ENOSPC;
}

int LoggedStorage::write(std::uint64_t offset, const void* data, std::size_t length) {
  std::string blocks = std::to_string(offset / block_size_);
  const auto* bytes = static_cast<const std::uint8_t*>(data);
  for (std::size_t done = 0; done + block_size_ <= length; done += block_size_) {
    blocks += " " + std::to_string(crc32(bytes + done, block_size_));
  }
  const std::lock_guard lock(mutex_);
  if (const int error = below_->write(offset, data, length); error != 0) return error;
  return append("write", blocks);
}

int LoggedStorage::zero(std::uint64_t offset, std::uint64_t length, bool deallocate) {
  const std::lock_guard lock(mutex_);
  if (const int error = below_->zero(offset, length, deallocate); error != 0) return error;
  return append("zero", blocks(offset, length));
}

int LoggedStorage::flush() {
  const std::lock_guard lock(mutex_);
  if (const int error = below_->flush(); error != 0) return error;
  return append("flush", "");
}

int LoggedStorage::persist(std::uint64_t offset, std::uint64_t length) {
  const std::lock_guard lock(mutex_);
  if (const int error = below_->persist(offset, length); error != 0) return error;
  return append("fua", blocks(offset, length));
}

}  // namespace nvublk::target
