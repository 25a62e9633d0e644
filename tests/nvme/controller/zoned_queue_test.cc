// Requests of a zoned namespace: commands, what becomes of their answers, and of a lost connection.

#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/controller/scripted_transport.h"
#include "nvme/namespace_queue.h"
#include "nvme/spec/zoned.h"

namespace nvublk::nvme {
namespace {

using spec::NvmOpcode;

class ZonedQueueTest : public testing::Test, public QueuePairOwner {
 protected:
  static constexpr std::uint64_t kZone = 64;

  void SetUp() override {
    auto shard = Shard::adopt_current_thread({});
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    pair_ = std::make_unique<QueuePair>(*shard_, 1, 4, seconds(1000), *this);
    BlockGeometry geometry;
    geometry.block_size_bytes = 4096;
    geometry.size_blocks = 16 * kZone;
    geometry.zones = {.zone_blocks = kZone, .max_append_bytes = 8 * 4096};
    queue_ = std::make_unique<NamespaceQueue>(*pair_, 1, geometry);
    go_live();
  }
  void TearDown() override {
    pair_->fail_all(EIO);
    pair_->disconnect(Error::make(ErrorCode::kCancelled, "test ends"));
    turn();
    queue_.reset();
    pair_.reset();
    shard_.reset();
  }
  void queue_connected(std::uint16_t) override { pair_->set_live(); }
  void queue_disconnected(std::uint16_t, const Error&) override {}
  void turn() {
    for (int i = 0; i < 3; i++) shard_->reactor().turn(false);
  }
  void go_live() {
    pair_->connect(transport_, {});
    turn();
    ASSERT_EQ(pair_->state(), QueueState::kLive);
  }

  struct Block : BlockRequest {
    int completions = 0;
  };
  Block& submit(BlockOp op, std::uint64_t lba, std::uint32_t blocks = 0) {
    Block& block = blocks_.emplace_back();
    block.op = op;
    block.lba = lba;
    block.blocks = blocks;
    block.data = buffer_.data();
    block.error = -1;
    block.done = [](BlockRequest& request) { static_cast<Block&>(request).completions++; };
    queue_->submit(block);
    return block;
  }
  const spec::SubmissionEntry& last() const { return transport_.submitted.back().sqe; }
  void complete_last(std::uint64_t result = 0) {
    spec::CompletionEntry entry;
    entry.cid = transport_.submitted.back().cid;
    entry.set_result(result);
    transport_.queue->complete(entry);
  }
  // A report as a controller writes it: `count` zones from `first` on.
  void write_report(std::uint64_t count, std::uint64_t first, std::uint64_t step = kZone) {
    spec::ZoneReportHeader head;
    head.zone_count = count;
    std::memcpy(buffer_.data(), &head, sizeof(head));
    for (std::uint64_t i = 0; i < count; i++) {
      spec::ZoneDescriptor zone;
      zone.zslba = first + i * step;
      zone.zcap = 48;
      zone.wp = first + i * step + i;
      zone.set_state(i == 0 ? spec::ZoneState::kEmpty : spec::ZoneState::kImplicitlyOpen);
      std::memcpy(buffer_.data() + (i + 1) * sizeof(zone), &zone, sizeof(zone));
    }
  }
  BlockZone zone(std::size_t i) const {
    BlockZone zone;
    std::memcpy(&zone, buffer_.data() + i * sizeof(zone), sizeof(zone));
    return zone;
  }

  std::unique_ptr<Shard> shard_;
  std::unique_ptr<QueuePair> pair_;
  std::unique_ptr<NamespaceQueue> queue_;
  ScriptedTransport transport_;
  std::deque<Block> blocks_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(32768);
};

TEST_F(ZonedQueueTest, EachChangeOfAZoneIsOneCommand) {
  struct Case {
    BlockOp op;
    std::uint32_t cdw13;
  };
  for (const Case& c :
       {Case{BlockOp::kZoneClose, 1}, Case{BlockOp::kZoneFinish, 2}, Case{BlockOp::kZoneOpen, 3},
        Case{BlockOp::kZoneReset, 4}, Case{BlockOp::kZoneResetAll, 0x104}}) {
    const Block& block = submit(c.op, 2 * kZone);
    EXPECT_EQ(last().nvm_opcode(), NvmOpcode::kZoneManagementSend);
    EXPECT_EQ(last().cdw13.get(), c.cdw13);
    EXPECT_EQ(last().cdw10.get(), c.op == BlockOp::kZoneResetAll ? 0 : 2 * kZone);
    complete_last();
    EXPECT_EQ(block.error, 0);
  }
  const std::size_t sent = transport_.submitted.size();
  EXPECT_EQ(submit(BlockOp::kZoneOpen, 2 * kZone + 1).error, EINVAL);
  EXPECT_EQ(submit(BlockOp::kZoneOpen, 16 * kZone).error, EINVAL);
  EXPECT_EQ(submit(BlockOp::kZoneAppend, 0, 9).error, EINVAL);
  EXPECT_EQ(submit(BlockOp::kZoneAppend, 1, 1).error, EINVAL);
  EXPECT_EQ(submit(BlockOp::kZoneReport, 0, 0).error, EINVAL);
  EXPECT_EQ(submit(BlockOp::kZoneReport, 0, 128 * 1024 / 64).error, EINVAL);
  EXPECT_EQ(transport_.submitted.size(), sent);
}

TEST_F(ZonedQueueTest, AnAppendSaysWhereItsDataIs) {
  const Block& block = submit(BlockOp::kZoneAppend, 2 * kZone, 8);
  EXPECT_EQ(last().nvm_opcode(), NvmOpcode::kZoneAppend);
  EXPECT_EQ(transport_.submitted.back().length_bytes, 8 * 4096u);
  complete_last(2 * kZone + 5);
  EXPECT_EQ(block.error, 0);
  EXPECT_EQ(block.lba, 2 * kZone + 5);
  for (const std::uint64_t wrong : {2 * kZone - 1, 3 * kZone - 7, 3 * kZone, ~std::uint64_t{0}}) {
    const Block& elsewhere = submit(BlockOp::kZoneAppend, 2 * kZone, 8);
    complete_last(wrong);
    EXPECT_EQ(elsewhere.error, EIO) << wrong;
  }
}

TEST_F(ZonedQueueTest, AReportIsChecked) {
  Block& block = submit(BlockOp::kZoneReport, 3 * kZone + 9, 4);
  EXPECT_EQ(last().nvm_opcode(), NvmOpcode::kZoneManagementReceive);
  EXPECT_EQ(transport_.submitted.back().length_bytes, 5 * 64u);
  EXPECT_EQ(last().cdw12.get(), 5 * 16 - 1u);
  EXPECT_EQ(last().cdw13.get(), 1u << 16) << "no more than fits";
  write_report(3, 3 * kZone);
  complete_last();
  EXPECT_EQ(block.error, 0);
  EXPECT_EQ(block.blocks, 3u);
  EXPECT_EQ(zone(0).state, BlockZoneState::kEmpty);
  EXPECT_EQ(zone(2).lba, 5 * kZone);
  EXPECT_EQ(zone(2).capacity_blocks, 48u);
  EXPECT_EQ(zone(2).write_pointer, 5 * kZone + 2);

  Block& more = submit(BlockOp::kZoneReport, 0, 4);
  write_report(9, 0);
  complete_last();
  EXPECT_EQ(more.blocks, 4u) << "what was asked for";
  const Block& other = submit(BlockOp::kZoneReport, kZone, 4);
  write_report(2, 0);
  complete_last();
  EXPECT_EQ(other.error, EIO);
  const Block& odd = submit(BlockOp::kZoneReport, 0, 4);
  write_report(2, 0, kZone + 1);
  complete_last();
  EXPECT_EQ(odd.error, EIO);
  const Block& beyond = submit(BlockOp::kZoneReport, 15 * kZone, 4);
  write_report(2, 15 * kZone);
  complete_last();
  EXPECT_EQ(beyond.error, EIO);
}

TEST_F(ZonedQueueTest, AnAppendIsNotSentTwice) {
  const Block& append = submit(BlockOp::kZoneAppend, 0, 1);
  const Block& reset = submit(BlockOp::kZoneReset, kZone);
  transport_.queue->disconnect(Error::make(ErrorCode::kDisconnected, "lost"));
  turn();
  EXPECT_EQ(append.completions, 1);
  EXPECT_EQ(append.error, ENOLINK);
  EXPECT_EQ(reset.completions, 0);
  go_live();
  ASSERT_EQ(transport_.submitted.size(), 1u);
  EXPECT_EQ(last().nvm_opcode(), NvmOpcode::kZoneManagementSend);
  complete_last();
  EXPECT_EQ(reset.error, 0);

  const Block& again = submit(BlockOp::kZoneAppend, 0, 1);
  transport_.queue->complete(transport_.submitted.back().cid,
                             spec::NvmeStatus::make(spec::GenericStatus::kTransientTransportError));
  EXPECT_EQ(again.completions, 1);
  EXPECT_NE(again.error, 0);
}

}  // namespace
}  // namespace nvublk::nvme
