#include "nvme/queue_pair.h"

#include <cerrno>
#include <deque>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/controller/scripted_transport.h"
#include "nvme/namespace_queue.h"

namespace nvublk::nvme {
namespace {

using spec::GenericStatus;
using spec::NvmeStatus;

class QueuePairTest : public testing::Test, public QueuePairOwner {
 protected:
  static constexpr std::uint32_t kDepth = 4;

  void SetUp() override {
    auto shard = Shard::adopt_current_thread({});
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    make({});
  }

  void make(const QueuePairPolicy& policy) {
    namespace_queue_.reset();
    pair_ = std::make_unique<QueuePair>(*shard_, 1, kDepth, io_timeout_, *this, policy);
    namespace_queue_ = std::make_unique<NamespaceQueue>(*pair_, 1, geometry());
  }
  static BlockGeometry geometry() {
    BlockGeometry geometry;
    geometry.size_blocks = 1000;
    geometry.max_discard_blocks = 100;
    geometry.max_write_zeroes_blocks = 100;
    return geometry;
  }

  void TearDown() override {
    if (pair_->state() != QueueState::kDisconnected) {
      pair_->fail_all(EIO);
      pair_->disconnect(Error::make(ErrorCode::kCancelled, "test ends"));
      turn();
    } else {
      pair_->fail_all(EIO);
    }
    namespace_queue_.reset();
    pair_.reset();
    shard_.reset();
  }

  void queue_connected(std::uint16_t) override { connected_++; }
  void queue_disconnected(std::uint16_t, const Error& reason) override {
    disconnected_++;
    reason_ = reason;
  }

  void turn(int times = 3) {
    for (int i = 0; i < times; i++) shard_->reactor().turn(false);
  }
  void go_live() {
    pair_->connect(transport_, {});
    turn();
    ASSERT_EQ(connected_, 1);
    pair_->set_live();
    connected_ = 0;
  }

  struct Block : BlockRequest {
    int completions = 0;
    Block* next = nullptr;  ///< submitted by the completion of this one
  };
  Block& read(std::uint64_t lba) { return read(lba, *namespace_queue_); }
  Block& read(std::uint64_t lba, NamespaceQueue& queue) {
    Block& block = blocks_.emplace_back();
    block.op = BlockOp::kRead;
    block.lba = lba;
    block.blocks = 1;
    block.data = buffer_.data();
    block.error = -1;
    block.done = [](BlockRequest& request) { static_cast<Block&>(request).completions++; };
    queue.submit(block);
    return block;
  }
  std::vector<std::uint64_t> submitted_lbas() const {
    std::vector<std::uint64_t> lbas;
    for (const SubmittedCommand& command : transport_.submitted) {
      lbas.push_back(command.sqe.cdw10.get());
    }
    return lbas;
  }
  void complete(std::size_t index, NvmeStatus status = {}) {
    transport_.queue->complete(transport_.submitted[index].cid, status);
  }

  Duration io_timeout_ = seconds(1000);
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<QueuePair> pair_;
  std::unique_ptr<NamespaceQueue> namespace_queue_;
  ScriptedTransport transport_;
  std::deque<Block> blocks_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(4096);
  int connected_ = 0;
  int disconnected_ = 0;
  Error reason_;
};

TEST_F(QueuePairTest, CompletionsMayComeInAnyOrder) {
  go_live();
  Block& first = read(1);
  Block& second = read(2);
  complete(1);
  EXPECT_EQ(first.completions, 0);
  EXPECT_EQ(second.completions, 1);
  complete(0);
  EXPECT_EQ(first.completions, 1);
  EXPECT_EQ(first.error, 0);
}

TEST_F(QueuePairTest, BeyondTheDepthRequestsWaitInOrder) {
  go_live();
  for (std::uint64_t lba = 0; lba < 7; lba++) read(lba);
  EXPECT_EQ(submitted_lbas(), (std::vector<std::uint64_t>{0, 1, 2, 3}));
  complete(2);
  complete(0);
  EXPECT_EQ(submitted_lbas(), (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(pair_->status().outstanding, 4u);
}

// The user's own command among those of a block device that never pauses.
struct Waiter final : SlotWaiter {
  explicit Waiter(QueuePair& queue) : pair(queue) {}
  void slot_free(Request& request) override {
    request.sqe = {};
    request.sqe.cdw10 = std::uint32_t{99};
    request.set_no_data();
    request.context = this;
    request.done = [](void* self, NvmeStatus, const spec::CompletionEntry&) {
      static_cast<Waiter*>(self)->completions++;
    };
    pair.submit(request, seconds(1000));
  }
  void no_slot() override { refusals++; }
  QueuePair& pair;
  int completions = 0;
  int refusals = 0;
};

TEST_F(QueuePairTest, WhoWaitsForASlotComesBeforeBlockRequests) {
  go_live();
  for (std::uint64_t lba = 0; lba < 5; lba++) read(lba);
  Waiter waiter(*pair_);
  pair_->wait_for_slot(waiter);
  read(5);
  complete(1);
  EXPECT_EQ(submitted_lbas(), (std::vector<std::uint64_t>{0, 1, 2, 3, 99}));
  complete(4);
  EXPECT_EQ(waiter.completions, 1);
  EXPECT_EQ(submitted_lbas(), (std::vector<std::uint64_t>{0, 1, 2, 3, 99, 4}));
}

TEST_F(QueuePairTest, ABlockRequestMadeByACompletionDoesNotOvertakeWhoWaits) {
  go_live();
  for (std::uint64_t lba = 0; lba < kDepth; lba++) read(lba);
  Block next;
  next.op = BlockOp::kRead;
  next.lba = 50;
  next.blocks = 1;
  next.data = buffer_.data();
  next.done = blocks_[0].done;
  blocks_[0].next = &next;
  blocks_[0].done = [](BlockRequest& request) {
    Block& again = *static_cast<Block&>(request).next;
    static_cast<NamespaceQueue*>(request.queue)->submit(again);
  };
  Waiter waiter(*pair_);
  pair_->wait_for_slot(waiter);
  complete(0);
  EXPECT_EQ(submitted_lbas().back(), 99u);
  complete(4);
  EXPECT_EQ(submitted_lbas().back(), 50u);
  complete(5);
  EXPECT_EQ(next.completions, 1);
}

TEST_F(QueuePairTest, WhoWaitsForASlotIsToldWhenThereWillBeNone) {
  Waiter waiter(*pair_);
  pair_->wait_for_slot(waiter);
  EXPECT_EQ(waiter.refusals, 1) << "not live yet";
  go_live();
  for (std::uint64_t lba = 0; lba < kDepth; lba++) read(lba);
  pair_->wait_for_slot(waiter);
  pair_->disconnect(Error::make(ErrorCode::kCancelled, "test"));
  turn();
  EXPECT_EQ(waiter.refusals, 2);
  EXPECT_EQ(waiter.completions, 0);
}

TEST_F(QueuePairTest, RequestsBeforeTheConnectionWait) {
  Block& block = read(5);
  turn();
  EXPECT_EQ(block.completions, 0);
  go_live();
  ASSERT_EQ(transport_.submitted.size(), 1u);
  complete(0);
  EXPECT_EQ(block.completions, 1);
}

TEST_F(QueuePairTest, ACompletionOfAnUnknownCommandClosesTheQueue) {
  for (const std::uint16_t bad : {std::uint16_t{3}, std::uint16_t{0xffff}, std::uint16_t{0x7ffe}}) {
    disconnected_ = 0;
    go_live();
    Block& block = read(1);
    transport_.queue->complete(bad);
    turn();
    EXPECT_EQ(disconnected_, 1);
    EXPECT_EQ(reason_.code, ErrorCode::kProtocol);
    EXPECT_EQ(block.completions, 0) << "it waits for the next connection";
  }
}

TEST_F(QueuePairTest, ASecondCompletionOfACommandClosesTheQueue) {
  go_live();
  Block& block = read(1);
  const std::uint16_t cid = transport_.submitted[0].cid;
  transport_.queue->complete(cid);
  transport_.queue->complete(cid);
  turn();
  EXPECT_EQ(block.completions, 1);
  EXPECT_EQ(disconnected_, 1);
}

TEST_F(QueuePairTest, ALateCompletionDoesNotHitTheSlotsNextUser) {
  go_live();
  read(1);
  const std::uint16_t old_cid = transport_.submitted[0].cid;
  complete(0);
  Block& second = read(2);
  EXPECT_EQ(transport_.submitted[1].slot, transport_.submitted[0].slot);
  transport_.queue->complete(old_cid);
  EXPECT_EQ(second.completions, 0);
}

TEST_F(QueuePairTest, AfterALossEverythingGoesOutAgainInOrder) {
  go_live();
  for (std::uint64_t lba = 0; lba < 6; lba++) read(lba);
  complete(1);
  pair_->disconnect(Error::make(ErrorCode::kDisconnected, "lost"));
  turn();
  EXPECT_EQ(disconnected_, 1);
  EXPECT_EQ(pair_->status().outstanding, 0u);
  go_live();
  EXPECT_EQ(submitted_lbas(), (std::vector<std::uint64_t>{0, 2, 3, 4}));
  for (std::size_t i = 0; i < 5; i++) complete(i);
  for (const Block& block : blocks_) {
    EXPECT_EQ(block.completions, 1);
    EXPECT_EQ(block.error, 0);
  }
}

TEST_F(QueuePairTest, FailWaitingFailsWhatWaitsOnlyWhileDisconnected) {
  go_live();
  Block& held = read(1);
  pair_->disconnect(Error::make(ErrorCode::kDisconnected, "lost"));
  turn();
  EXPECT_EQ(held.completions, 0);
  pair_->fail_waiting(EIO);
  EXPECT_EQ(held.error, EIO);
  Block& fresh = read(2);
  EXPECT_EQ(fresh.error, EIO);
  pair_->fail_waiting(0);
  Block& waits = read(3);
  EXPECT_EQ(waits.completions, 0);
  go_live();
  complete(0);
  EXPECT_EQ(waits.error, 0);
}

TEST_F(QueuePairTest, FailAllFailsNewRequestsAlsoWhileLive) {
  go_live();
  Block& outstanding = read(1);
  pair_->fail_all(ENXIO);
  EXPECT_EQ(read(2).error, ENXIO);
  complete(0);
  EXPECT_EQ(outstanding.error, 0) << "what the device answers still counts";
}

TEST_F(QueuePairTest, AnAbandonedNamespacesRequestsFailAndTheOthersGoOn) {
  NamespaceQueue other(*pair_, 2, geometry());
  Block& held = read(1);
  Block& kept = read(2, other);
  other.abandon(ENODEV);
  turn();
  EXPECT_EQ(kept.error, ENODEV);
  EXPECT_EQ(held.completions, 0);
  EXPECT_EQ(read(3, other).error, ENODEV);
  go_live();
  EXPECT_EQ(submitted_lbas(), std::vector<std::uint64_t>({1}));
  EXPECT_EQ(disconnected_, 0);
}

TEST_F(QueuePairTest, WhatAnAbandonedNamespaceHasNoAnswerToEndsWithTheConnection) {
  NamespaceQueue other(*pair_, 2, geometry());
  go_live();
  Block& hangs = read(1, other);
  Block& goes_on = read(2);
  other.abandon(EIO);
  turn();
  EXPECT_EQ(disconnected_, 1);
  EXPECT_EQ(reason_.code, ErrorCode::kCancelled);
  EXPECT_EQ(hangs.error, EIO);
  EXPECT_EQ(hangs.completions, 1);
  EXPECT_EQ(goes_on.completions, 0);
  transport_.submitted.clear();
  go_live();
  EXPECT_EQ(submitted_lbas(), std::vector<std::uint64_t>({2}));
}

TEST_F(QueuePairTest, CommandsThatAreNotTheBlockLayersEndWithAPathError) {
  go_live();
  Request* request = pair_->acquire();
  static NvmeStatus seen;
  seen = {};
  request->done = [](void*, NvmeStatus status, const spec::CompletionEntry&) { seen = status; };
  pair_->submit(*request, seconds(10));
  pair_->disconnect(Error::make(ErrorCode::kDisconnected, "lost"));
  turn();
  EXPECT_TRUE(seen.is(spec::PathStatus::kHostPathError));
}

TEST_F(QueuePairTest, ATransientErrorIsTriedAgainAFewTimes) {
  go_live();
  Block& block = read(1);
  std::size_t tries = 0;
  while (block.completions == 0 && tries < 100) {
    complete(tries++, NvmeStatus::make(GenericStatus::kTransientTransportError));
  }
  EXPECT_EQ(block.completions, 1);
  EXPECT_NE(block.error, 0);
  EXPECT_EQ(tries, 5u) << "once, and four times again";
}

TEST_F(QueuePairTest, HowOftenItIsTriedAgainIsAnOption) {
  make({.retries = 0});
  go_live();
  Block& block = read(1);
  complete(0, NvmeStatus::make(GenericStatus::kTransientTransportError));
  EXPECT_EQ(block.completions, 1);
  EXPECT_NE(block.error, 0);
}

TEST_F(QueuePairTest, DoNotRetryIsObeyed) {
  go_live();
  Block& block = read(1);
  complete(0, NvmeStatus::make(GenericStatus::kTransientTransportError, true));
  EXPECT_EQ(block.completions, 1);
  EXPECT_NE(block.error, 0);
}

TEST_F(QueuePairTest, ACommandWithoutAnAnswerClosesTheQueueAtItsDeadline) {
  go_live();
  Request* request = pair_->acquire();
  request->sqe = {};
  request->done = [](void*, NvmeStatus, const spec::CompletionEntry&) {};
  pair_->submit(*request, Duration(1));
  turn();
  EXPECT_EQ(disconnected_, 1);
  EXPECT_EQ(reason_.code, ErrorCode::kTimeout);
}

TEST_F(QueuePairTest, RequestsOutsideOfTheGeometryFail) {
  go_live();
  EXPECT_EQ(read(1000).error, EINVAL);
  EXPECT_EQ(read(~0ull).error, EINVAL);
  Block& discard = blocks_.emplace_back();
  discard.op = BlockOp::kDiscard;
  discard.blocks = 101;
  discard.done = [](BlockRequest&) {};
  namespace_queue_->submit(discard);
  EXPECT_EQ(discard.error, EINVAL);
  EXPECT_TRUE(transport_.submitted.empty());
}

TEST_F(QueuePairTest, CommandsCarryWhatTheRequestSays) {
  go_live();
  Block& zeroes = blocks_.emplace_back();
  zeroes.op = BlockOp::kWriteZeroes;
  zeroes.lba = 0x10;
  zeroes.blocks = 16;
  zeroes.no_unmap = true;
  zeroes.done = [](BlockRequest&) {};
  namespace_queue_->submit(zeroes);
  const spec::SubmissionEntry& sqe = transport_.submitted[0].sqe;
  EXPECT_EQ(sqe.nvm_opcode(), spec::NvmOpcode::kWriteZeroes);
  EXPECT_EQ(sqe.cdw12.get(), 15u) << "no deallocate, NLB 0's based";

  Block& write = blocks_.emplace_back();
  write.op = BlockOp::kWrite;
  write.fua = true;
  write.blocks = 2;
  write.data = buffer_.data();
  write.done = [](BlockRequest&) {};
  namespace_queue_->submit(write);
  EXPECT_EQ(transport_.submitted[1].sqe.cdw12.get(), (1u << 30) | 1u);
  EXPECT_EQ(transport_.submitted[1].length_bytes, 1024u);

  Block& discard = blocks_.emplace_back();
  discard.op = BlockOp::kDiscard;
  discard.lba = 8;
  discard.blocks = 4;
  discard.done = [](BlockRequest&) {};
  namespace_queue_->submit(discard);
  EXPECT_EQ(transport_.submitted[2].length_bytes, 16u);
  EXPECT_EQ(transport_.submitted[2].sqe.cdw11.get(), 4u);
}

}  // namespace
}  // namespace nvublk::nvme
