#pragma once

// A volatile write cache before another storage: what was written stays in this process's memory
// until it is flushed, so that a process which is killed loses it, as a drive does in a power cut.
// Thread-safe.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "target/storage.h"

namespace nvublk::target {

class CachedStorage final : public Storage {
 public:
  explicit CachedStorage(std::unique_ptr<Storage> durable) : durable_(std::move(durable)) {}
  /// Orderly: what is cached is flushed.
  ~CachedStorage() override;

  const std::uint8_t* view(std::uint64_t) const override { return nullptr; }
  int read(std::uint64_t offset, void* data, std::size_t length) override;
  int write(std::uint64_t offset, const void* data, std::size_t length) override;
  int zero(std::uint64_t offset, std::uint64_t length, bool deallocate) override;
  int flush() override;
  int persist(std::uint64_t offset, std::uint64_t length) override;
  Status resize(std::uint64_t size_bytes) override;

 private:
  static constexpr std::size_t kPageBytes = 4096;
  /// More than that is written back without being asked, oldest address first, as caches do.
  static constexpr std::size_t kMostPages = 65536;
  using Page = std::array<std::uint8_t, kPageBytes>;

  int write_back();
  int write_back(std::map<std::uint64_t, std::unique_ptr<Page>>::iterator page);
  template <typename Change>
  int change(std::uint64_t offset, std::uint64_t length, Change change_part);

  std::mutex mutex_;
  std::unique_ptr<Storage> durable_;                      // by mutex_
  std::map<std::uint64_t, std::unique_ptr<Page>> dirty_;  // by mutex_; from page number
};

}  // namespace nvublk::target
