// The volatile write cache: what is read back, and what is left when its process is gone.

#include "target/cached_storage.h"

#include <filesystem>
#include <vector>

#include <gtest/gtest.h>

namespace nvublk::target {
namespace {

using Bytes = std::vector<std::uint8_t>;

class CachedStorageTest : public testing::Test {
 protected:
  void SetUp() override {
    auto memory = MemoryStorage::create(kBytes);
    ASSERT_TRUE(memory) << memory.error().text;
    durable_ = memory->get();
    cache_ = std::make_unique<CachedStorage>(std::move(*memory));
  }
  void write(std::uint64_t offset, std::size_t length, std::uint8_t value) {
    const Bytes bytes(length, value);
    ASSERT_EQ(cache_->write(offset, bytes.data(), length), 0);
  }
  static Bytes read(Storage& storage, std::uint64_t offset, std::size_t length) {
    Bytes bytes(length, 0xee);
    EXPECT_EQ(storage.read(offset, bytes.data(), length), 0);
    return bytes;
  }

  static constexpr std::uint64_t kBytes = 64 * 4096;
  MemoryStorage* durable_ = nullptr;
  std::unique_ptr<CachedStorage> cache_;
};

TEST_F(CachedStorageTest, WhatIsWrittenIsReadAndNotDurable) {
  write(512, 8192, 7);
  EXPECT_EQ(read(*cache_, 512, 8192), Bytes(8192, 7));
  EXPECT_EQ(read(*cache_, 0, 512), Bytes(512, 0));
  EXPECT_EQ(read(*cache_, 512 + 8192, 512), Bytes(512, 0));
  EXPECT_EQ(read(*durable_, 0, kBytes), Bytes(kBytes, 0));
}

TEST_F(CachedStorageTest, AFlushMakesAllOfItDurable) {
  write(512, 512, 1);
  write(9 * 4096, 4096, 2);
  ASSERT_EQ(cache_->flush(), 0);
  write(512, 512, 3);
  EXPECT_EQ(read(*durable_, 512, 512), Bytes(512, 1));
  EXPECT_EQ(read(*durable_, 9 * 4096, 4096), Bytes(4096, 2));
  EXPECT_EQ(read(*cache_, 512, 512), Bytes(512, 3));
}

TEST_F(CachedStorageTest, WhatIsPersistedIsDurableAndNothingElse) {
  write(512, 512, 1);
  write(9 * 4096, 4096, 2);
  ASSERT_EQ(cache_->persist(9 * 4096, 512), 0);
  EXPECT_EQ(read(*durable_, 9 * 4096, 512), Bytes(512, 2));
  EXPECT_EQ(read(*durable_, 512, 512), Bytes(512, 0));
  ASSERT_EQ(cache_->persist(0, 1024), 0);
  EXPECT_EQ(read(*durable_, 512, 512), Bytes(512, 1));
}

TEST_F(CachedStorageTest, ZeroesAreCachedToo) {
  write(0, 8192, 5);
  ASSERT_EQ(cache_->flush(), 0);
  ASSERT_EQ(cache_->zero(4096, 4096, true), 0);
  EXPECT_EQ(read(*cache_, 4096, 4096), Bytes(4096, 0));
  EXPECT_EQ(read(*durable_, 4096, 4096), Bytes(4096, 5));
}

TEST_F(CachedStorageTest, AnOrderlyEndFlushes) {
  const std::string path = testing::TempDir() + "cached_storage_test.img";
  std::uint64_t size = kBytes;
  auto file = FileStorage::open(path, false, size);
  ASSERT_TRUE(file) << file.error().text;
  cache_ = std::make_unique<CachedStorage>(std::move(*file));
  write(4096, 4096, 9);
  cache_.reset();
  auto again = FileStorage::open(path, false, size);
  ASSERT_TRUE(again) << again.error().text;
  EXPECT_EQ(read(**again, 4096, 4096), Bytes(4096, 9));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace nvublk::target
