#pragma once

// A record of what becomes of a storage, before the host hears of it: a line of text for every
// write and every flush that went well, in their order. What is on the file is there also when this
// process is killed; who has the log and what is left of the storage can tell whether anything is
// missing. Thread-safe; one change at a time, so that the order is the true one.
//
//   begin MICROSECONDS BLOCK_SIZE        the target starts
//   write MICROSECONDS BLOCK CRC...      a CRC-32 for each block from BLOCK on
//   zero MICROSECONDS BLOCK BLOCKS
//   flush MICROSECONDS                   everything above is durable
//   fua MICROSECONDS BLOCK BLOCKS        what is above of these blocks is durable
//
// The time is the monotonic clock's, when the change was done.

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "engine/fd.h"
#include "target/storage.h"

namespace nvublk::target {

class LoggedStorage final : public Storage {
 public:
  /// Appends to the file at `path`, which is created if there is none.
  static Result<std::unique_ptr<LoggedStorage>> open(std::unique_ptr<Storage> below,
                                                     const std::string& path,
                                                     std::uint32_t block_size);

  const std::uint8_t* view(std::uint64_t) const override { return nullptr; }
  int read(std::uint64_t offset, void* data, std::size_t length) override {
    return below_->read(offset, data, length);
  }
  int write(std::uint64_t offset, const void* data, std::size_t length) override;
  int zero(std::uint64_t offset, std::uint64_t length, bool deallocate) override;
  int flush() override;
  int persist(std::uint64_t offset, std::uint64_t length) override;
  Status resize(std::uint64_t size_bytes) override { return below_->resize(size_bytes); }

 private:
  LoggedStorage(std::unique_ptr<Storage> below, UniqueFd file, std::uint32_t block_size)
      : below_(std::move(below)), file_(std::move(file)), block_size_(block_size) {}
  int append(const std::string& kind, const std::string& rest);
  std::string blocks(std::uint64_t offset, std::uint64_t length) const {
    return std::to_string(offset / block_size_) + " " + std::to_string(length / block_size_);
  }

  std::mutex mutex_;
  const std::unique_ptr<Storage> below_;
  const UniqueFd file_;
  const std::uint32_t block_size_;
};

/// CRC-32 as Ethernet and zlib have it.
std::uint32_t crc32(const std::uint8_t* data, std::size_t length);

}  // namespace nvublk::target
