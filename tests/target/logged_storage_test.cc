// The log of writes and flushes.

#include "target/logged_storage.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <regex>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

namespace nvublk::target {
namespace {

class LoggedStorageTest : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void TearDown() override { std::filesystem::remove(path_); }
  void open() {
    storage_.reset();
    auto memory = MemoryStorage::create(std::uint64_t{16} * 4096);
    ASSERT_TRUE(memory) << memory.error().text;
    auto made = LoggedStorage::open(std::move(*memory), path_, 4096);
    ASSERT_TRUE(made) << made.error().text;
    storage_ = std::move(*made);
  }
  /// The lines without their times, which never go back.
  std::vector<std::string> lines() const {
    std::ifstream file(path_);
    std::vector<std::string> found;
    std::uint64_t before = 0;
    for (std::string line; std::getline(file, line);) {
      std::smatch parts;
      EXPECT_TRUE(std::regex_match(line, parts, std::regex("(\\w+) (\\d+)(.*)"))) << line;
      EXPECT_GE(std::stoull(parts[2]), before);
      before = std::stoull(parts[2]);
      found.push_back(parts[1].str() + parts[3].str());
    }
    return found;
  }

  const std::string path_ =
      std::filesystem::temp_directory_path() / ("nvublk-log-" + std::to_string(::getpid()));
  std::unique_ptr<LoggedStorage> storage_;
};

TEST(Crc32, IsThatOfZlib) {
  const char* text = "123456789";
  EXPECT_EQ(crc32(reinterpret_cast<const std::uint8_t*>(text), std::strlen(text)), 0xcbf43926U);
}

TEST_F(LoggedStorageTest, SaysWhatWasDoneInItsOrder) {
  const std::vector<std::uint8_t> data(8192, 7);
  const std::string crc = std::to_string(crc32(data.data(), 4096));
  EXPECT_EQ(storage_->write(3 * 4096, data.data(), data.size()), 0);
  EXPECT_EQ(storage_->flush(), 0);
  EXPECT_EQ(storage_->zero(4 * 4096, 2 * 4096, true), 0);
  EXPECT_EQ(storage_->persist(4 * 4096, 4096), 0);
  std::vector<std::uint8_t> read(8192, 1);
  EXPECT_EQ(storage_->read(3 * 4096, read.data(), read.size()), 0);
  EXPECT_EQ(read[4095], 7);
  EXPECT_EQ(read[4096], 0);
  open();
  EXPECT_EQ(lines(), (std::vector<std::string>{"begin 4096", "write 3 " + crc + " " + crc, "flush",
                                               "zero 4 2", "fua 4 1", "begin 4096"}));
}

TEST_F(LoggedStorageTest, SaysWhereItCannotWrite) {
  auto memory = MemoryStorage::create(4096);
  const auto made = LoggedStorage::open(std::move(*memory), "/no/such/log", 4096);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().text.find("/no/such/log"), std::string::npos);
}

}  // namespace
}  // namespace nvublk::target
