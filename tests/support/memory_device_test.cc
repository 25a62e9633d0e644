#include "support/memory_device.h"

#include <cerrno>
#include <cstring>

#include <gtest/gtest.h>

namespace nvublk::test {
namespace {

class MemoryDeviceTest : public testing::Test {
 protected:
  MemoryDeviceTest() {
    shard_ = std::move(*Shard::adopt_current_thread({}));
    options_.geometry.size_blocks = 64;
    options_.geometry.max_transfer_bytes = 8 * 512;
    options_.geometry.max_discard_blocks = 16;
  }
  MemoryDevice& device() {
    if (!device_) {
      shards_[0] = shard_.get();
      device_ = std::make_unique<MemoryDevice>(options_, shards_);
    }
    return *device_;
  }
  BlockRequest& request(BlockOp op, std::uint64_t lba, std::uint32_t blocks) {
    request_.op = op;
    request_.lba = lba;
    request_.blocks = blocks;
    request_.data = buffer_.data();
    request_.error = -1;
    request_.done = [](BlockRequest& done) { done.tag = 1; };
    request_.tag = 0;
    return request_;
  }
  int run(BlockOp op, std::uint64_t lba, std::uint32_t blocks) {
    device().queue(0).submit(request(op, lba, blocks));
    return request_.error;
  }

  std::unique_ptr<Shard> shard_;
  std::array<Shard*, 1> shards_{};
  MemoryDevice::Options options_;
  std::array<std::byte, 16 * 512> buffer_{};
  BlockRequest request_;
  std::unique_ptr<MemoryDevice> device_;
};

TEST_F(MemoryDeviceTest, ReadsBackWhatWasWritten) {
  buffer_[512] = std::byte{0x5a};
  EXPECT_EQ(run(BlockOp::kWrite, 10, 2), 0);
  buffer_.fill(std::byte{0});
  EXPECT_EQ(run(BlockOp::kRead, 11, 1), 0);
  EXPECT_EQ(buffer_[0], std::byte{0x5a});
  EXPECT_EQ(run(BlockOp::kDiscard, 11, 1), 0);
  EXPECT_EQ(run(BlockOp::kRead, 11, 1), 0);
  EXPECT_EQ(buffer_[0], std::byte{0});
  EXPECT_EQ(device().counts().of(BlockOp::kRead), 2U);
}

TEST_F(MemoryDeviceTest, RefusesWhatBreaksTheGeometry) {
  EXPECT_EQ(run(BlockOp::kRead, 63, 2), EINVAL);
  EXPECT_EQ(run(BlockOp::kRead, ~std::uint64_t{0}, 2), EINVAL);
  EXPECT_EQ(run(BlockOp::kWrite, 0, 9), EINVAL);
  EXPECT_EQ(run(BlockOp::kDiscard, 0, 17), EINVAL);
  EXPECT_EQ(run(BlockOp::kWriteZeroes, 0, 1), EINVAL);
  EXPECT_EQ(device().counts().invalid, 5U);
}

TEST_F(MemoryDeviceTest, LateRequestsCompleteInALaterPhase) {
  options_.late = true;
  EXPECT_EQ(run(BlockOp::kFlush, 0, 0), -1);
  shard_->reactor().turn(false);
  EXPECT_EQ(request_.error, 0);
}

TEST_F(MemoryDeviceTest, HeldRequestsWaitForReleaseAndThenFailAsTold) {
  device().hold();
  EXPECT_EQ(run(BlockOp::kFlush, 0, 0), -1);
  shard_->reactor().turn(false);
  EXPECT_EQ(request_.error, -1);
  device().fail_with(EIO);
  device().release();
  shard_->reactor().turn(false);
  EXPECT_EQ(request_.error, EIO);
}

}  // namespace
}  // namespace nvublk::test
