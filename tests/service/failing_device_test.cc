// A device without a disk, and one that gets its disk back.

#include "service/failing_device.h"

#include <cerrno>

#include <gtest/gtest.h>

#include "support/memory_device.h"
#include "support/shard_pool.h"

namespace nvublk::service {
namespace {

constexpr std::uint64_t kBytes = 1 << 20;

class FailingDeviceTest : public ::testing::Test {
 protected:
  /// How a read on queue `index` ends.
  int read(FailingDevice& device, unsigned index) {
    struct Read : BlockRequest {
      Shard* control = nullptr;
      bool ended = false;
    } request;
    std::vector<std::byte> data(4096);
    request.op = BlockOp::kRead;
    request.blocks = 1;
    request.data = data.data();
    request.control = &pool_.control();
    request.error = -1;
    request.done = [](BlockRequest& done) {
      auto& self = static_cast<Read&>(done);
      self.control->post([&self] { self.ended = true; });
    };
    pool_.shards().io[device.queue_shard(index)]->post(
        [&] { device.queue(index).submit(request); });
    EXPECT_TRUE(pool_.run_until([&] { return request.ended; }));
    return request.error;
  }
  test::MemoryDevice disk(std::size_t queues) {
    test::MemoryDevice::Options options;
    options.geometry.block_size_bytes = options.geometry.physical_block_size_bytes = 4096;
    options.geometry.size_blocks = kBytes / 4096;
    return {options, std::span(pool_.shards().io).first(queues)};
  }

  test::ShardPool pool_{2, IdleMode::kInterrupt};
};

TEST_F(FailingDeviceTest, FailsEverythingOnEveryThread) {
  FailingDevice device(pool_.shards(), kBytes, 4096);
  EXPECT_EQ(device.geometry().size_bytes(), kBytes);
  ASSERT_EQ(device.queue_count(), 2U);
  EXPECT_EQ(read(device, 0), EIO);
  EXPECT_EQ(read(device, 1), EIO);
}

TEST_F(FailingDeviceTest, HandsRequestsToTheDiskOnceItIsThere) {
  test::MemoryDevice memory = disk(2);
  FailingDevice device(pool_.shards(), kBytes, 4096);
  EXPECT_EQ(read(device, 1), EIO);
  ASSERT_TRUE(device.become(memory));
  EXPECT_EQ(read(device, 0), 0);
  EXPECT_EQ(read(device, 1), 0);
  EXPECT_EQ(memory.counts().of(BlockOp::kRead), 2U);
}

TEST_F(FailingDeviceTest, ADiskWithoutAQueueForEachThreadIsRefused) {
  test::MemoryDevice memory = disk(1);
  FailingDevice device(pool_.shards(), kBytes, 4096);
  const Status status = device.become(memory);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().text.find("1 of 2"), std::string::npos) << status.error().text;
  EXPECT_EQ(read(device, 0), EIO);
  ShardSet one = pool_.shards();
  one.io.resize(1);
  FailingDevice narrow(one, kBytes, 4096);
  ASSERT_EQ(narrow.queue_count(), 1U);
  ASSERT_TRUE(narrow.become(memory));
  EXPECT_EQ(read(narrow, 0), 0);
}

}  // namespace
}  // namespace nvublk::service
