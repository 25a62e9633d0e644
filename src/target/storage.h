#pragma once

// Where the blocks of a namespace are: memory or a file. All methods may be called from any thread;
// offsets and lengths are in bytes and were checked against the namespace's size by the caller.
// Methods that return int return 0 or an errno.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/error.h"

namespace nvublk::target {

class Storage {
 public:
  Storage() = default;
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  virtual ~Storage() = default;

  /// The bytes themselves, for sending in place, or nullptr when they must be read. The pointer
  /// is good for as long as the storage lives, also while it is resized.
  virtual const std::uint8_t* view(std::uint64_t offset) const = 0;
  virtual int read(std::uint64_t offset, void* data, std::size_t length) = 0;
  virtual int write(std::uint64_t offset, const void* data, std::size_t length) = 0;
  /// Makes the range read as zeros, and gives its space back when `deallocate`.
  virtual int zero(std::uint64_t offset, std::uint64_t length, bool deallocate) = 0;
  /// Makes all completed writes durable.
  virtual int flush() = 0;
  /// The same for those to this range (FUA); others may stay as they are.
  virtual int persist(std::uint64_t offset, std::uint64_t length) = 0;
  virtual Status resize(std::uint64_t size_bytes) = 0;
};

/// Anonymous memory. Address space is reserved beyond the size, so that it can grow in place.
class MemoryStorage final : public Storage {
 public:
  static Result<std::unique_ptr<MemoryStorage>> create(std::uint64_t size_bytes);
  ~MemoryStorage() override;

  const std::uint8_t* view(std::uint64_t offset) const override { return base_ + offset; }
  int read(std::uint64_t offset, void* data, std::size_t length) override;
  int write(std::uint64_t offset, const void* data, std::size_t length) override;
  int zero(std::uint64_t offset, std::uint64_t length, bool deallocate) override;
  int flush() override { return 0; }
  int persist(std::uint64_t, std::uint64_t) override { return 0; }
  Status resize(std::uint64_t size_bytes) override;

 private:
  MemoryStorage(std::uint8_t* base, std::uint64_t reserved_bytes, std::uint64_t size_bytes)
      : base_(base), reserved_bytes_(reserved_bytes), size_bytes_(size_bytes) {}

  std::uint8_t* const base_;
  const std::uint64_t reserved_bytes_;
  std::uint64_t size_bytes_;  ///< what is accessible; changed by resize() only
};

/// A regular file or a block device.
class FileStorage final : public Storage {
 public:
  /// Opens `path`. A regular file that is missing is created and one that is short is grown, when
  /// `size_bytes` is not 0; else the size found is written to `size_bytes`.
  static Result<std::unique_ptr<FileStorage>> open(const std::string& path, bool read_only,
                                                   std::uint64_t& size_bytes);
  ~FileStorage() override;

  const std::uint8_t* view(std::uint64_t) const override { return nullptr; }
  int read(std::uint64_t offset, void* data, std::size_t length) override;
  int write(std::uint64_t offset, const void* data, std::size_t length) override;
  int zero(std::uint64_t offset, std::uint64_t length, bool deallocate) override;
  int flush() override;
  int persist(std::uint64_t, std::uint64_t) override { return flush(); }
  Status resize(std::uint64_t size_bytes) override;

 private:
  explicit FileStorage(int fd) : fd_(fd) {}
  int write_zeros(std::uint64_t offset, std::uint64_t length);

  const int fd_;
};

}  // namespace nvublk::target
