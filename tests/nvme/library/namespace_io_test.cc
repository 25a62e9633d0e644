#include "nvme/namespace_io.h"

#include <cerrno>
#include <cstring>

#include "nvme/library/library_fixture.h"

namespace nvublk::nvme {
namespace {

using spec::GenericStatus;

// Blocks of 4096 bytes, MDTS of 32 blocks, a queue of 4 commands and 16 requests.
class NamespaceIoTest : public LibraryTest {
 protected:
  void start() {
    attach();
    queue_ = allocate();
    io_ = std::make_unique<NamespaceIo>(*controller_, *controller_->find_namespace(1), *queue_);
  }
  void TearDown() override {
    queue_.reset();
    io_.reset();
    LibraryTest::TearDown();
  }
  BlockIo blocks(std::uint64_t lba, std::uint64_t count, Outcome& outcome, bool data = true) {
    memory_.resize(count * 4096);
    segment_ = {memory_.data(), memory_.size()};
    BlockIo io;
    io.lba = lba;
    io.blocks = count;
    if (data) io.data = {&segment_, 1};
    io.done = &Outcome::record;
    io.context = &outcome;
    return io;
  }
  bool finish(const Outcome& outcome) {
    return poll_until([&] {
      queue_->process_completions();
      return outcome.done;
    });
  }

  IoQueuePair::Pointer queue_;
  std::unique_ptr<NamespaceIo> io_;
  std::vector<std::byte> memory_;
  iovec segment_{};
};

TEST_F(NamespaceIoTest, ALargeReadIsSplitAndReportedOnce) {
  start();
  Outcome outcome;
  ASSERT_EQ(io_->read(blocks(10, 100, outcome)), 0);
  ASSERT_TRUE(finish(outcome));
  EXPECT_TRUE(outcome.status.ok());
  ASSERT_EQ(simulation_.io_seen.size(), 4u);
  EXPECT_EQ(simulation_.io_seen[1].cdw10.get(), 42u);
  EXPECT_EQ(simulation_.io_seen[3].cdw12.get() & 0xffff, 3u) << "4 blocks, 0's based";
}

TEST_F(NamespaceIoTest, TheParentReportsTheFirstError) {
  start();
  simulation_.script = [](const Request& request, spec::CompletionEntry& entry) {
    if (request.sqe.cdw10.get() == 32) {
      entry.set_status(spec::NvmeStatus::make(GenericStatus::kLbaOutOfRange));
    } else if (request.sqe.cdw10.get() == 64) {
      entry.set_status(spec::NvmeStatus::make(GenericStatus::kInternalError));
    }
    return true;
  };
  Outcome outcome;
  ASSERT_EQ(io_->write(blocks(0, 128, outcome)), 0);
  ASSERT_TRUE(finish(outcome));
  EXPECT_TRUE(outcome.status.is(GenericStatus::kLbaOutOfRange));
  EXPECT_EQ(simulation_.io_seen.size(), 4u) << "the others are not held back";
}

TEST_F(NamespaceIoTest, PiecesAreSplitByWhatTheControllerTakesInACapsule) {
  struct Case {
    std::uint32_t sgls;
    std::uint8_t msdbd;
    std::uint32_t transport;
    std::uint32_t expected;
  };
  constexpr std::uint32_t kOffset = 1 | 1u << 20;
  for (const Case& each :
       {Case{kOffset, 4, 16, 4}, Case{kOffset, 0, 16, 16}, Case{kOffset, 64, 16, 16},
        Case{kOffset, 4, 0, 0}, Case{1, 4, 16, 0}, Case{kOffset, 1, 16, 0}}) {
    SCOPED_TRACE(testing::Message() << each.sgls << " " << int{each.msdbd});
    simulation_.io_seen.clear();
    simulation_.controller.sgls = each.sgls;
    simulation_.controller.max_descriptors = each.msdbd;
    simulation_.limits.max_segments = each.transport;
    start();
    EXPECT_EQ(io_->limits().max_segments, each.expected);
    Outcome outcome;
    BlockIo io = blocks(0, 20, outcome);
    std::vector<iovec> pieces;
    for (std::size_t i = 0; i < 20; i++) pieces.push_back({memory_.data() + i * 4096, 4096});
    io.data = pieces;
    ASSERT_EQ(io_->read(io), 0);
    ASSERT_TRUE(finish(outcome));
    EXPECT_EQ(simulation_.io_seen.size(),
              each.expected == 0 ? 1u : (20 + each.expected - 1) / each.expected);
    queue_.reset();
    io_.reset();
    detach();
  }
}

TEST_F(NamespaceIoTest, WhatCannotBeRightIsRefused) {
  start();
  Outcome outcome;
  EXPECT_EQ(io_->read(blocks(990, 11, outcome)), -EINVAL) << "beyond the end";
  EXPECT_EQ(io_->read(blocks(~0ull, 2, outcome)), -EINVAL) << "an overflow";
  EXPECT_EQ(io_->read(blocks(0, 0, outcome)), -EINVAL);
  BlockIo wrong = blocks(0, 2, outcome);
  wrong.blocks = 3;
  EXPECT_EQ(io_->read(wrong), -EINVAL) << "data for two blocks only";
  EXPECT_EQ(io_->write_zeroes(blocks(0, 1, outcome)), -EINVAL) << "it takes no data";
  EXPECT_EQ(io_->compare(blocks(0, 1, outcome)), -ENOTSUP);
  EXPECT_EQ(io_->verify(blocks(0, 1, outcome, false)), -ENOTSUP);
  EXPECT_EQ(io_->read(blocks(0, 900, outcome)), -EINVAL) << "more pieces than requests: never";
  EXPECT_FALSE(outcome.done);
}

TEST_F(NamespaceIoTest, WithoutRoomForAllPiecesNothingIsSubmitted) {
  start();
  simulation_.hold_io = true;
  Outcome first;
  Outcome second;
  ASSERT_EQ(io_->read(blocks(0, 320, first)), 0);
  EXPECT_EQ(queue_->free_requests(), 6u);
  const BlockIo large = blocks(0, 320, second);
  EXPECT_EQ(io_->read(large), -ENOMEM);
  EXPECT_EQ(queue_->free_requests(), 6u);
  simulation_.hold_io = false;
  ASSERT_TRUE(finish(first));
  EXPECT_EQ(io_->read(large), 0);
  ASSERT_TRUE(finish(second));
}

TEST_F(NamespaceIoTest, SeparateMetadataFollowsItsPiece) {
  simulation_.limits.separate_metadata = true;
  simulation_.controller.metadata_bytes = 8;
  start();
  struct Seen {
    void* metadata;
    std::uint32_t bytes;
    std::uint32_t reference_tag;
  };
  std::vector<Seen> seen;
  simulation_.script = [&seen](const Request& request, spec::CompletionEntry&) {
    seen.push_back({request.metadata, request.metadata_bytes, request.sqe.cdw14.get()});
    return true;
  };
  Outcome outcome;
  std::vector<std::byte> metadata(100 * 8);
  BlockIo io = blocks(10, 100, outcome);
  EXPECT_EQ(io_->write(io), -EINVAL) << "there is nowhere to take it from";
  io.metadata = metadata;
  io.host_protection = true;
  io.io_flags = command::kIoCheckGuard | command::kIoCheckReferenceTag;
  ASSERT_EQ(io_->write(io), 0);
  ASSERT_TRUE(finish(outcome));
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[0].bytes, 32u * 8);
  EXPECT_EQ(seen[1].metadata, metadata.data() + 32 * 8);
  EXPECT_EQ(seen[1].reference_tag, 42u);
  EXPECT_EQ(seen[3].bytes, 4u * 8);
  spec::ProtectionInformation last;
  std::memcpy(&last, metadata.data() + 99 * 8, sizeof(last));
  EXPECT_EQ(last.reference_tag(), 109u);
  // What comes back is checked here.
  Outcome good;
  io.context = &good;
  ASSERT_EQ(io_->read(io), 0);
  ASSERT_TRUE(finish(good));
  EXPECT_TRUE(good.status.ok());
  memory_[50 * 4096] ^= std::byte{1};
  Outcome bad;
  io.context = &bad;
  ASSERT_EQ(io_->read(io), 0);
  ASSERT_TRUE(finish(bad));
  EXPECT_TRUE(bad.status.is(spec::MediaStatus::kGuardCheckError));
  EXPECT_EQ(bad.entry.status(), bad.status);
  // With PRACT none of it is transferred.
  Outcome inserted;
  io.context = &inserted;
  io.metadata = {};
  io.host_protection = false;
  io.io_flags = command::kIoProtectionAction;
  ASSERT_EQ(io_->write(io), 0);
  ASSERT_TRUE(finish(inserted));
  EXPECT_EQ(seen.back().metadata, nullptr);
}

TEST_F(NamespaceIoTest, SeparateMetadataNeedsATransportThatHasIt) {
  simulation_.controller.metadata_bytes = 8;
  start();
  Outcome outcome;
  std::vector<std::byte> metadata(8);
  BlockIo io = blocks(0, 1, outcome);
  io.metadata = metadata;
  EXPECT_EQ(io_->read(io), -ENOTSUP);
}

TEST_F(NamespaceIoTest, CommandsWithoutDataAndFlush) {
  start();
  Outcome zeroes;
  ASSERT_EQ(io_->write_zeroes(blocks(0, 1000, zeroes, false)), 0);
  ASSERT_TRUE(finish(zeroes));
  Outcome flush;
  ASSERT_EQ(io_->flush(&Outcome::record, &flush), 0);
  ASSERT_TRUE(finish(flush));
  EXPECT_EQ(simulation_.io_seen.back().nvm_opcode(), spec::NvmOpcode::kFlush);
}

TEST_F(NamespaceIoTest, DatasetManagementTakesUpTo256Ranges) {
  start();
  std::vector<spec::DsmRange> ranges(257);
  Outcome outcome;
  iovec memory{ranges.data(), ranges.size() * sizeof(spec::DsmRange)};
  EXPECT_EQ(io_->dataset_management(memory, spec::kDsmDeallocate, &Outcome::record, &outcome),
            -EINVAL);
  memory.iov_len = 256 * sizeof(spec::DsmRange);
  EXPECT_EQ(io_->dataset_management(memory, spec::kDsmDeallocate, &Outcome::record, &outcome), 0);
  ASSERT_TRUE(finish(outcome));
  EXPECT_EQ(simulation_.io_seen.back().cdw10.get(), 255u);
}

TEST_F(NamespaceIoTest, AbortFindsTheChildrenByTheParentsArgument) {
  start();
  simulation_.hold_io = true;
  Outcome outcome;
  ASSERT_EQ(io_->read(blocks(0, 256, outcome)), 0);  // 8 pieces, 4 of which wait
  poll(2);
  EXPECT_EQ(controller_->abort_tagged(*queue_, &outcome), 0);
  simulation_.hold_io = false;
  ASSERT_TRUE(finish(outcome));
  EXPECT_TRUE(outcome.status.is(GenericStatus::kAbortRequested));
}

TEST_F(NamespaceIoTest, FreeingTheQueuePairEndsAllPieces) {
  start();
  simulation_.hold_io = true;
  Outcome outcome;
  ASSERT_EQ(io_->read(blocks(0, 256, outcome)), 0);
  poll(2);
  queue_.reset();
  EXPECT_TRUE(outcome.done);
  EXPECT_TRUE(outcome.status.is(GenericStatus::kAbortedSqDeletion));
}

TEST_F(NamespaceIoTest, ANamespaceIsNoBlockDeviceAndMayVanish) {
  start();
  simulation_.controller.nsids = {3};
  ASSERT_TRUE(reset());
  queue_->process_completions();
  ASSERT_EQ(queue_->reconnect(), 0);
  ASSERT_TRUE(queue_->wait_connected());
  Outcome outcome;
  EXPECT_EQ(io_->read(blocks(0, 1, outcome)), -ENXIO);
}

}  // namespace
}  // namespace nvublk::nvme
