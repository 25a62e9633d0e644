// Commands without an answer and those that are to be tried again, in simulated time.

#include <cerrno>
#include <deque>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/controller/scripted_transport.h"
#include "nvme/namespace_queue.h"
#include "nvme/queue_pair.h"

namespace nvublk::nvme {
namespace {

using spec::GenericStatus;
using spec::NvmeStatus;

class QueuePairRetryTest : public testing::Test, public QueuePairOwner {
 protected:
  void SetUp() override {
    Shard::Options options;
    options.reactor.simulated_time = &now_;
    auto shard = Shard::adopt_current_thread(options);
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    pair_ = std::make_unique<QueuePair>(*shard_, 1, 4, seconds(30), *this);
    pair_->set_retry_delays({milliseconds(200), seconds(1), seconds(5)});
    BlockGeometry geometry;
    geometry.size_blocks = 1000;
    namespace_queue_ = std::make_unique<NamespaceQueue>(*pair_, 1, geometry);
    pair_->connect(transport_, {});
    turn();
    pair_->set_live();
  }
  void TearDown() override {
    pair_->fail_all(EIO);
    pair_->disconnect(Error::make(ErrorCode::kCancelled, "test ends"));
    turn();
    namespace_queue_.reset();
    pair_.reset();
    shard_.reset();
  }
  void queue_connected(std::uint16_t) override {}
  void queue_disconnected(std::uint16_t, const Error& reason) override { reason_ = reason; }
  void command_timed_out(std::uint16_t, std::uint16_t cid) override { timed_out_.push_back(cid); }

  void turn() {
    for (int i = 0; i < 3; i++) shard_->reactor().turn(false);
  }
  void pass(Duration time) {
    now_ += time;
    turn();
  }
  BlockRequest& submit(BlockOp op) {
    BlockRequest& block = blocks_.emplace_back();
    block.op = op;
    block.lba = blocks_.size();
    block.blocks = 1;
    block.data = buffer_.data();
    block.error = -1;
    block.done = [](BlockRequest&) {};
    namespace_queue_->submit(block);
    return block;
  }
  std::size_t sent() const { return transport_.submitted.size(); }
  void complete(std::size_t index, NvmeStatus status = {}) {
    transport_.queue->complete(transport_.submitted[index].cid, status);
  }
  static NvmeStatus later(unsigned crd, GenericStatus code = GenericStatus::kCommandInterrupted) {
    return NvmeStatus::from_bits(
        static_cast<std::uint16_t>(NvmeStatus::make(code).bits() | crd << 11));
  }

  Instant now_ = Instant{} + seconds(1000);
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<QueuePair> pair_;
  std::unique_ptr<NamespaceQueue> namespace_queue_;
  ScriptedTransport transport_;
  std::deque<BlockRequest> blocks_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(4096);
  std::vector<std::uint16_t> timed_out_;
  std::optional<Error> reason_;
};

TEST_F(QueuePairRetryTest, TheRetryDelayIsKept) {
  BlockRequest& block = submit(BlockOp::kRead);
  complete(0, later(2));
  pass(milliseconds(999));
  EXPECT_EQ(sent(), 1u);
  pass(milliseconds(1));
  ASSERT_EQ(sent(), 2u);
  complete(1);
  EXPECT_EQ(block.error, 0);
}

TEST_F(QueuePairRetryTest, AStatusWithADelayIsTriedAgainWhateverItIs) {
  BlockRequest& block = submit(BlockOp::kRead);
  complete(0, later(1, GenericStatus::kInternalError));
  EXPECT_EQ(block.error, -1);
  pass(milliseconds(200));
  EXPECT_EQ(sent(), 2u);
}

TEST_F(QueuePairRetryTest, DoNotRetryBeatsTheDelay) {
  BlockRequest& block = submit(BlockOp::kRead);
  complete(0, NvmeStatus::from_bits(static_cast<std::uint16_t>(later(1).bits() | 1u << 14)));
  EXPECT_GT(block.error, 0);
}

TEST_F(QueuePairRetryTest, OthersGoOnMeanwhileAndDelaysEndInTheirOrder) {
  submit(BlockOp::kRead);
  submit(BlockOp::kRead);
  complete(0, later(3));
  complete(1, later(1));
  BlockRequest& other = submit(BlockOp::kRead);
  ASSERT_EQ(sent(), 3u);
  complete(2);
  EXPECT_EQ(other.error, 0);
  pass(milliseconds(200));
  ASSERT_EQ(sent(), 4u);
  EXPECT_EQ(transport_.submitted[3].sqe.cdw10.get(), 2u);
  pass(seconds(5));
  ASSERT_EQ(sent(), 5u);
  EXPECT_EQ(transport_.submitted[4].sqe.cdw10.get(), 1u);
}

TEST_F(QueuePairRetryTest, WhatIsDelayedFailsWithTheQueue) {
  BlockRequest& block = submit(BlockOp::kRead);
  complete(0, later(3));
  pair_->fail_all(EIO);
  EXPECT_EQ(block.error, EIO);
}

TEST_F(QueuePairRetryTest, AResetFollowsTheDeadline) {
  submit(BlockOp::kRead);
  pass(seconds(29));
  EXPECT_FALSE(reason_);
  pass(seconds(1));
  ASSERT_TRUE(reason_);
  EXPECT_EQ(reason_->code, ErrorCode::kTimeout);
  EXPECT_FALSE(pair_->cut_off_writes());
}

TEST_F(QueuePairRetryTest, AnAbortComesFirstAndTheRequestIsTriedAgain) {
  pair_->set_timeouts({seconds(30), TimeoutAction::kAbort, seconds(10)});
  BlockRequest& block = submit(BlockOp::kRead);
  pass(seconds(30));
  ASSERT_EQ(timed_out_, std::vector<std::uint16_t>{transport_.submitted[0].cid});
  EXPECT_FALSE(reason_);
  complete(0, NvmeStatus::make(GenericStatus::kAbortRequested));
  ASSERT_EQ(sent(), 2u);
  complete(1);
  EXPECT_EQ(block.error, 0);
}

TEST_F(QueuePairRetryTest, AnAbortThatDoesNotHelpEndsInAReset) {
  pair_->set_timeouts({seconds(30), TimeoutAction::kAbort, seconds(10)});
  submit(BlockOp::kWrite);
  pass(seconds(30));
  pass(seconds(9));
  EXPECT_FALSE(reason_);
  pass(seconds(1));
  ASSERT_TRUE(reason_);
  EXPECT_TRUE(pair_->cut_off_writes());
  EXPECT_EQ(timed_out_.size(), 1u);
}

TEST_F(QueuePairRetryTest, AnAbortOfSomebodyElseIsNoReasonToTryAgain) {
  BlockRequest& block = submit(BlockOp::kRead);
  complete(0, NvmeStatus::make(GenericStatus::kAbortRequested));
  EXPECT_GT(block.error, 0);
}

TEST_F(QueuePairRetryTest, WithNoActionACommandMayTakeForEver) {
  pair_->set_timeouts({seconds(30), TimeoutAction::kNone, seconds(10)});
  BlockRequest& block = submit(BlockOp::kRead);
  pass(std::chrono::hours(24));
  EXPECT_FALSE(reason_);
  complete(0);
  EXPECT_EQ(block.error, 0);
}

TEST_F(QueuePairRetryTest, AHeldQueueSendsNothingOfTheBlockLayers) {
  pair_->hold();
  BlockRequest& block = submit(BlockOp::kRead);
  turn();
  EXPECT_EQ(sent(), 0u);
  pair_->release();
  ASSERT_EQ(sent(), 1u);
  complete(0);
  EXPECT_EQ(block.error, 0);
}

}  // namespace
}  // namespace nvublk::nvme
