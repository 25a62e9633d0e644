#include "target/storage.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace nvublk::target {

namespace {

constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kReserveBytes = 1ull << 36;

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

Result<std::unique_ptr<MemoryStorage>> MemoryStorage::create(std::uint64_t size_bytes) {
  const std::uint64_t needed = round_up(size_bytes, kPageBytes);
  if (needed < size_bytes || needed > (1ull << 46)) {
    return fail(ErrorCode::kInvalidArgument, "a namespace in memory cannot be that large");
  }
  std::uint64_t reserved = std::max(kReserveBytes, 2 * needed);
  void* base = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) {
    reserved = needed;
    base = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (base == MAP_FAILED) return fail_errno(errno, "cannot reserve memory for a namespace");
  std::unique_ptr<MemoryStorage> storage(
      new MemoryStorage(static_cast<std::uint8_t*>(base), reserved, 0));
  if (auto sized = storage->resize(size_bytes); !sized) return std::unexpected(sized.error());
  return storage;
}

MemoryStorage::~MemoryStorage() {
  munmap(base_, reserved_bytes_);
}

int MemoryStorage::read(std::uint64_t offset, void* data, std::size_t length) {
  std::memcpy(data, base_ + offset, length);
  return 0;
}

int MemoryStorage::write(std::uint64_t offset, const void* data, std::size_t length) {
  std::memcpy(base_ + offset, data, length);
  return 0;
}

int MemoryStorage::zero(std::uint64_t offset, std::uint64_t length, bool deallocate) {
  if (!deallocate) {
    std::memset(base_ + offset, 0, length);
    return 0;
  }
  const std::uint64_t end = offset + length;
  const std::uint64_t first_page = std::min(round_up(offset, kPageBytes), end);
  const std::uint64_t last_page = std::max(end / kPageBytes * kPageBytes, first_page);
  std::memset(base_ + offset, 0, first_page - offset);
  std::memset(base_ + last_page, 0, end - last_page);
  if (last_page > first_page &&
      madvise(base_ + first_page, last_page - first_page, MADV_DONTNEED) != 0) {
    return errno;
  }
  return 0;
}

Status MemoryStorage::resize(std::uint64_t size_bytes) {
  const std::uint64_t needed = round_up(size_bytes, kPageBytes);
  if (needed > reserved_bytes_) {
    return fail(ErrorCode::kNoResources, "a namespace in memory can grow to " +
                                             std::to_string(reserved_bytes_) +
                                             " bytes and no further");
  }
  if (needed > round_up(size_bytes_, kPageBytes)) {
    if (mprotect(base_, needed, PROT_READ | PROT_WRITE) != 0) {
      return fail_errno(errno, "cannot get memory for a namespace");
    }
  }
  // What lies beyond a smaller size stays accessible, since a command that was checked before may
  // still touch it, but it reads as zeros should the namespace grow again.
  if (size_bytes < size_bytes_) {
    if (const int error = zero(size_bytes, size_bytes_ - size_bytes, true); error != 0) {
      return fail_errno(error, "cannot give memory of a namespace back");
    }
  }
  size_bytes_ = size_bytes;
  return {};
}

Result<std::unique_ptr<FileStorage>> FileStorage::open(const std::string& path, bool read_only,
                                                       std::uint64_t& size_bytes) {
  int flags = O_CLOEXEC | (read_only ? O_RDONLY : O_RDWR);
  if (size_bytes != 0 && !read_only) flags |= O_CREAT;
  const int fd = ::open(path.c_str(), flags, 0600);
  if (fd < 0) return fail_errno(errno, "cannot open " + path);
  std::unique_ptr<FileStorage> storage(new FileStorage(fd));
  struct stat info{};
  if (fstat(fd, &info) != 0) return fail_errno(errno, "cannot stat " + path);
  auto found = static_cast<std::uint64_t>(info.st_size);
  if (S_ISBLK(info.st_mode) && ioctl(fd, BLKGETSIZE64, &found) != 0) {
    return fail_errno(errno, "cannot get the size of " + path);
  }
  if (size_bytes == 0) size_bytes = found;
  if (size_bytes > found) {
    if (read_only || !S_ISREG(info.st_mode)) {
      return fail(ErrorCode::kInvalidArgument, path + " is smaller than the size asked for");
    }
    if (auto grown = storage->resize(size_bytes); !grown) return std::unexpected(grown.error());
  }
  return storage;
}

FileStorage::~FileStorage() {
  close(fd_);
}

int FileStorage::read(std::uint64_t offset, void* data, std::size_t length) {
  auto* at = static_cast<std::uint8_t*>(data);
  while (length != 0) {
    const ssize_t got = pread(fd_, at, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) {
      // Someone else cut the file: what is missing reads as zeros.
      std::memset(at, 0, length);
      return 0;
    }
    at += got;
    offset += static_cast<std::uint64_t>(got);
    length -= static_cast<std::size_t>(got);
  }
  return 0;
}

int FileStorage::write(std::uint64_t offset, const void* data, std::size_t length) {
  const auto* at = static_cast<const std::uint8_t*>(data);
  while (length != 0) {
    const ssize_t put = pwrite(fd_, at, length, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    at += put;
    offset += static_cast<std::uint64_t>(put);
    length -= static_cast<std::size_t>(put);
  }
  return 0;
}

int FileStorage::write_zeros(std::uint64_t offset, std::uint64_t length) {
  static constexpr std::array<std::uint8_t, 65536> kZeros{};
  while (length != 0) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(length, kZeros.size()));
    if (const int error = write(offset, kZeros.data(), part); error != 0) return error;
    offset += part;
    length -= part;
  }
  return 0;
}

int FileStorage::zero(std::uint64_t offset, std::uint64_t length, bool deallocate) {
  const int mode = FALLOC_FL_KEEP_SIZE | (deallocate ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
  while (fallocate(fd_, mode, static_cast<off_t>(offset), static_cast<off_t>(length)) != 0) {
    if (errno == EINTR) continue;
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) {
      return write_zeros(offset, length);
    }
    return errno;
  }
  return 0;
}

int FileStorage::flush() {
  return fdatasync(fd_) == 0 ? 0 : errno;
}

Status FileStorage::resize(std::uint64_t size_bytes) {
  if (ftruncate(fd_, static_cast<off_t>(size_bytes)) != 0) {
    return fail_errno(errno, "cannot change the size of the namespace's file");
  }
  return {};
}

}  // namespace nvublk::target
