// Namespace commands of the NVM command set over TCP.

#include <cerrno>
#include <cstring>

#include "nvme/command.h"
#include "nvme/library/commands_fixture.h"

namespace nvublk::nvme {
namespace {

using spec::GenericStatus;
using spec::MediaStatus;
using spec::NvmOpcode;
using spec::NvmStatusCode;

class NvmCommandsTest : public CommandsTest {
 protected:
  std::vector<std::byte> nothing_;
};

TEST_F(NvmCommandsTest, CompareTellsWhetherBlocksAreTheSame) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto data = pattern(4096, 1);
  ASSERT_TRUE(write(host, 8, data).ok());
  const auto compare = [&](NamespaceIo& io, Ended& ended) {
    return io.compare(blocks(8, 8, data, ended));
  };
  EXPECT_EQ(host.run(compare).status, good());
  data[4000] ^= std::byte{1};
  EXPECT_TRUE(host.run(compare).status.is(MediaStatus::kCompareFailure));
}

TEST_F(NvmCommandsTest, CompareAndWriteIsOneOperation) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto old = pattern(4096, 1);
  auto other = pattern(4096, 2);
  ASSERT_TRUE(write(host, 0, old).ok());
  iovec expected{old.data(), old.size()};
  iovec wanted{other.data(), other.size()};
  const auto fused = [&](NamespaceIo& io, Ended& ended) {
    BlockIo compare = blocks(0, 8, old, ended);
    BlockIo write = compare;
    compare.data = {&expected, 1};
    write.data = {&wanted, 1};
    return io.compare_and_write(compare, write);
  };
  EXPECT_EQ(host.run(fused).status, good());
  EXPECT_TRUE(host.run(fused).status.is(MediaStatus::kCompareFailure)) << "it is there already";
  std::vector<std::byte> now(4096);
  ASSERT_TRUE(read(host, 0, now).ok());
  EXPECT_EQ(now, other);
}

TEST_F(NvmCommandsTest, CompareAndWriteIsNeverSplit) {
  target::Options options;
  options.max_transfer_bytes = 65536;
  serve("size=4M,bs=512", options);
  Host& host = attach(0);
  auto data = pattern(65536 + 512, 1);
  Ended ended;
  const BlockIo io = blocks(0, 129, data, ended);
  EXPECT_EQ(host.io->compare_and_write(io, io), -EINVAL);
  BlockIo other = io;
  other.lba = 1;
  EXPECT_EQ(host.io->compare_and_write(other, io), -EINVAL) << "not the same blocks";
  EXPECT_EQ(host.queue->free_requests(), host.queue->options().requests);
}

TEST_F(NvmCommandsTest, UncorrectableBlocksCannotBeReadUntilTheyAreWritten) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto data = pattern(4096, 3);
  ASSERT_TRUE(write(host, 0, data).ok());
  const auto spoil = [&](NamespaceIo& io, Ended& ended) {
    return io.write_uncorrectable(blocks(2, 4, nothing_, ended));
  };
  ASSERT_EQ(host.run(spoil).status, good());
  EXPECT_TRUE(read(host, 0, data).is(MediaStatus::kUnrecoveredReadError));
  const auto verify = [&](NamespaceIo& io, Ended& ended) {
    return io.verify(blocks(0, 8, nothing_, ended));
  };
  EXPECT_TRUE(host.run(verify).status.is(MediaStatus::kUnrecoveredReadError));
  std::vector<std::byte> edge(1024);
  EXPECT_TRUE(read(host, 0, edge).ok()) << "the blocks before";
  EXPECT_TRUE(read(host, 6, edge).ok()) << "and after";
  auto fresh = pattern(2048, 4);
  ASSERT_TRUE(write(host, 2, fresh).ok());
  EXPECT_TRUE(read(host, 0, data).ok());
  EXPECT_EQ(host.run(verify).status, good());
}

TEST_F(NvmCommandsTest, CopyTakesRangesToOnePlace) {
  serve("size=8M,bs=512");
  Host& host = attach(0);
  auto data = pattern(16 * 512, 5);
  ASSERT_TRUE(write(host, 0, data).ok());
  std::vector<spec::CopyRange> ranges(2);
  ranges[0].slba = std::uint64_t{12};
  ranges[0].set_block_count(4);
  ranges[1].slba = std::uint64_t{0};
  ranges[1].set_block_count(3);
  NamespaceIo::Copy copy;
  copy.range_memory = {ranges.data(), ranges.size() * sizeof(spec::CopyRange)};
  copy.destination_lba = 1000;
  const auto call = [&](NamespaceIo& io, Ended& ended) {
    return io.copy(copy, &Ended::record, &ended);
  };
  ASSERT_EQ(host.run(call).status, good());
  std::vector<std::byte> copied(7 * 512);
  ASSERT_TRUE(read(host, 1000, copied).ok());
  EXPECT_EQ(std::memcmp(copied.data(), data.data() + 12 * 512, 4 * 512), 0);
  EXPECT_EQ(std::memcmp(copied.data() + 4 * 512, data.data(), 3 * 512), 0);

  Ended ended;
  ranges[0].slba = std::uint64_t{16384 - 2};
  EXPECT_EQ(call(*host.io, ended), -EINVAL) << "beyond the end";
  ranges[0].slba = std::uint64_t{0};
  ranges[0].set_block_count(5000);
  EXPECT_EQ(call(*host.io, ended), -EINVAL) << "more than MSSRL";
  ranges.assign(129, spec::CopyRange{});
  copy.range_memory = {ranges.data(), ranges.size() * sizeof(spec::CopyRange)};
  EXPECT_EQ(call(*host.io, ended), -EINVAL) << "more than MSRC";
  ranges.resize(128);
  copy.range_memory.iov_len = 128 * sizeof(spec::CopyRange);
  EXPECT_EQ(host.run(call).status, good());
}

TEST_F(NvmCommandsTest, DatasetManagementOf256Ranges) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto data = pattern(512 * 512, 6);
  ASSERT_TRUE(write(host, 0, data).ok());
  std::vector<spec::DsmRange> ranges(256);
  for (std::size_t i = 0; i < ranges.size(); i++) {
    ranges[i].slba = i * 2;
    ranges[i].nlb = 1u;
  }
  const iovec memory{ranges.data(), ranges.size() * sizeof(spec::DsmRange)};
  ASSERT_EQ(host.run([&](NamespaceIo& io, Ended& ended) {
                  return io.dataset_management(memory, spec::kDsmDeallocate, &Ended::record,
                                               &ended);
                })
                .status,
            good());
  std::vector<std::byte> now(512 * 512);
  ASSERT_TRUE(read(host, 0, now).ok());
  for (std::size_t i = 0; i < 512; i++) {
    const bool same = std::memcmp(now.data() + i * 512, data.data() + i * 512, 512) == 0;
    EXPECT_EQ(same, i % 2 == 1) << i;
  }
}

TEST_F(NvmCommandsTest, WriteZeroesFlushAndForcedUnitAccess) {
  serve("size=4M,bs=4096");
  Host& host = attach(0);
  auto data = pattern(8192, 7);
  ASSERT_EQ(host.run([&](NamespaceIo& io, Ended& ended) {
                  BlockIo fua = blocks(0, 2, data, ended);
                  fua.io_flags = command::kIoForceUnitAccess;
                  return io.write(fua);
                })
                .status,
            good());
  ASSERT_EQ(host.run([&](NamespaceIo& io, Ended& ended) {
                  BlockIo zero = blocks(1, 1, nothing_, ended);
                  zero.io_flags = command::kIoDeallocate;
                  return io.write_zeroes(zero);
                })
                .status,
            good());
  ASSERT_EQ(host.run([](NamespaceIo& io, Ended& ended) { return io.flush(&Ended::record, &ended); })
                .status,
            good());
  std::vector<std::byte> now(8192);
  ASSERT_TRUE(read(host, 0, now).ok());
  std::fill(data.begin() + 4096, data.end(), std::byte{0});
  EXPECT_EQ(now, data);
}

TEST_F(NvmCommandsTest, ScatteredMemoryIsSplitByLimitAndBoundary) {
  target::Options options;
  options.max_transfer_bytes = 16384;  // 32 blocks
  serve("size=4M,bs=512,noiob=40", options);
  Host& host = attach(0);
  auto data = pattern(100 * 512, 8);
  std::vector<iovec> pieces;
  for (std::size_t at = 0; at < data.size(); at += 2560) {
    pieces.push_back({data.data() + at, std::min<std::size_t>(2560, data.size() - at)});
  }
  const auto scattered = [&](Ended& ended) {
    BlockIo io = blocks(10, 100, data, ended);
    io.data = pieces;
    return io;
  };
  ASSERT_EQ(
      host.run([&](NamespaceIo& io, Ended& ended) { return io.write(scattered(ended)); }).status,
      good());
  // 30 blocks to the boundary at 40, then 32, 8 to the next boundary, and the rest; see IoSplit for
  // the rules one by one.
  IoSplitter splitter(host.io->limits(), 10, 100, pieces);
  std::uint64_t expected = 0;
  while (const auto piece = splitter.next()) {
    EXPECT_EQ(piece->lba / 40, (piece->lba + piece->blocks - 1) / 40) << "crosses a boundary";
    EXPECT_LE(piece->blocks, 32u);
    expected++;
  }
  EXPECT_EQ(expected, 4u);
  EXPECT_EQ(commands(NvmOpcode::kWrite), expected);
  const auto written = data;
  std::ranges::fill(data, std::byte{0});
  ASSERT_EQ(
      host.run([&](NamespaceIo& io, Ended& ended) { return io.read(scattered(ended)); }).status,
      good());
  EXPECT_EQ(data, written);
}

TEST_F(NvmCommandsTest, TheFirstErrorOfAllPiecesIsReported) {
  target::Options options;
  options.max_transfer_bytes = 8192;
  serve("size=4M,bs=512", options);
  Host& host = attach(0);
  target::Fault fault;
  fault.kind = target::FaultKind::kStatus;
  fault.opcode = static_cast<std::uint8_t>(NvmOpcode::kRead);
  fault.queues = target::FaultQueues::kIo;
  fault.skip = 2;
  fault.count = 1;
  fault.status = spec::NvmeStatus::make(MediaStatus::kAccessDenied, true);
  target_->inject(fault);
  fault.skip = 4;
  fault.status = spec::NvmeStatus::make(GenericStatus::kInternalError, true);
  target_->inject(fault);
  std::vector<std::byte> data(128 * 512);
  EXPECT_TRUE(read(host, 0, data).is(MediaStatus::kAccessDenied));
  EXPECT_EQ(commands(NvmOpcode::kRead), 8u) << "the others are not held back";
}

// --- protection information ----------------------------------------------------------------------

struct Protected {
  unsigned type;
  unsigned metadata_bytes;
  bool first;
};
void PrintTo(const Protected& p, std::ostream* out) {
  *out << "type " << p.type << ", " << p.metadata_bytes << (p.first ? " first" : " last");
}

constexpr std::uint32_t kCheckAll =
    command::kIoCheckGuard | command::kIoCheckApplicationTag | command::kIoCheckReferenceTag;

class ProtectionTest : public NvmCommandsTest, public testing::WithParamInterface<Protected> {
 protected:
  static constexpr std::uint64_t kBlocks = 40;

  void SetUp() override {
    NvmCommandsTest::SetUp();
    const Protected& p = GetParam();
    target::Options options;
    options.max_transfer_bytes = 8192;  // so that all is split
    serve("size=1M,bs=512,ms=" + std::to_string(p.metadata_bytes) +
              ",pi=" + std::to_string(p.type) + (p.first ? ",pi-first" : ""),
          options);
    host_ = &attach(0);
    // Type 3 has no reference tag to check.
    checks_ = p.type == 3 ? kCheckAll & ~command::kIoCheckReferenceTag : kCheckAll;
  }
  std::size_t step() const { return 512 + GetParam().metadata_bytes; }
  BlockIo checked(std::vector<std::byte>& memory, Ended& ended, std::uint32_t flags) {
    BlockIo io = blocks(20, kBlocks, memory, ended);
    io.io_flags = flags;
    io.application_tag = 0x1234;
    io.application_tag_mask = 0xffff;
    return io;
  }
  spec::NvmeStatus write_with_host(std::vector<std::byte>& memory) {
    return host_
        ->run([&](NamespaceIo& io, Ended& ended) {
          BlockIo write = checked(memory, ended, checks_);
          write.host_protection = true;
          return io.write(write);
        })
        .status;
  }
  spec::NvmeStatus read_back(std::vector<std::byte>& memory, std::uint16_t tag = 0x1234,
                             bool host = true) {
    return host_
        ->run([&](NamespaceIo& io, Ended& ended) {
          BlockIo read = checked(memory, ended, checks_);
          read.application_tag = tag;
          read.host_protection = host;
          return io.read(read);
        })
        .status;
  }

  Host* host_ = nullptr;
  std::uint32_t checks_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Formats, ProtectionTest,
                         testing::Values(Protected{1, 8, false}, Protected{2, 8, false},
                                         Protected{3, 8, false}, Protected{1, 8, true},
                                         Protected{1, 16, false}, Protected{2, 16, true},
                                         Protected{3, 64, false}, Protected{3, 16, true}),
                         [](const auto& each) {
                           const Protected& p = each.param;
                           return "Type" + std::to_string(p.type) + "Bytes" +
                                  std::to_string(p.metadata_bytes) + (p.first ? "First" : "Last");
                         });

TEST_P(ProtectionTest, TheHostMakesItAndTheControllerChecksIt) {
  EXPECT_EQ(host_->io->format().metadata_bytes, GetParam().metadata_bytes);
  EXPECT_TRUE(host_->io->format().extends_block);
  auto memory = pattern(kBlocks * step(), 1);
  ASSERT_EQ(write_with_host(memory), good());
  std::vector<std::byte> back(memory.size());
  ASSERT_EQ(read_back(back), good());
  EXPECT_EQ(back, memory) << "metadata comes back too";
  EXPECT_TRUE(read_back(back, 0x1235, false).is(MediaStatus::kApplicationTagCheckError));
}

TEST_P(ProtectionTest, WhatTheHostGotWrongTheControllerFinds) {
  auto memory = pattern(kBlocks * step(), 2);
  ASSERT_EQ(write_with_host(memory), good());
  const auto write = [&](std::uint32_t flags) {
    return host_
        ->run(
            [&](NamespaceIo& io, Ended& ended) { return io.write(checked(memory, ended, flags)); })
        .status;
  };
  memory[step() + 17] ^= std::byte{0x40};
  EXPECT_TRUE(write(checks_).is(MediaStatus::kGuardCheckError));
  EXPECT_EQ(write(0), good()) << "nobody asked";
  std::vector<std::byte> back(memory.size());
  EXPECT_TRUE(read_back(back, 0x1234, false).is(MediaStatus::kGuardCheckError));
  const auto unchecked =
      host_->run([&](NamespaceIo& io, Ended& ended) { return io.read(checked(back, ended, 0)); });
  EXPECT_EQ(unchecked.status, good());
}

TEST_P(ProtectionTest, TheHostFindsWhatTheControllerDoesNotCheck) {
  auto memory = pattern(kBlocks * step(), 3);
  ASSERT_EQ(write_with_host(memory), good());
  // Type 2 lets the host check against tags that the controller was not told of.
  std::vector<std::byte> back(memory.size());
  ASSERT_EQ(read_back(back), good());
  back[5] ^= std::byte{1};
  const iovec all{back.data(), back.size()};
  const auto wrong = check_protection(host_->io->format(), {{&all, 1}, nullptr, kBlocks},
                                      {20, 0x1234, 0xffff}, command::kIoCheckGuard);
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->block, 0u);
}

TEST_P(ProtectionTest, TheControllerInsertsAndStripsIt) {
  const bool strips = GetParam().metadata_bytes == 8;
  auto memory = pattern(kBlocks * (strips ? 512 : step()), 4);
  ASSERT_EQ(host_
                ->run([&](NamespaceIo& io, Ended& ended) {
                  return io.write(checked(memory, ended, command::kIoProtectionAction));
                })
                .status,
            good());
  // What it inserted is what the host would have made.
  std::vector<std::byte> whole(kBlocks * step());
  ASSERT_EQ(read_back(whole), good());
  for (std::size_t i = 0; i < kBlocks; i++) {
    EXPECT_EQ(
        std::memcmp(whole.data() + i * step(), memory.data() + i * (strips ? 512 : step()), 512),
        0);
  }
  std::vector<std::byte> back(memory.size());
  ASSERT_EQ(host_
                ->run([&](NamespaceIo& io, Ended& ended) {
                  return io.read(checked(back, ended, command::kIoProtectionAction | checks_));
                })
                .status,
            good());
  EXPECT_EQ(std::memcmp(back.data(), memory.data(), 512), 0);
  if (strips) {
    EXPECT_EQ(back, memory);
  }
}

TEST_P(ProtectionTest, BlocksThatWereNeverWrittenAreNotChecked) {
  std::vector<std::byte> memory(kBlocks * step());
  EXPECT_EQ(read_back(memory), good());
  EXPECT_EQ(memory[0], std::byte{0});
}

TEST_P(ProtectionTest, TheReferenceTagFollowsTheType) {
  auto memory = pattern(kBlocks * step(), 5);
  Ended ended;
  BlockIo io = checked(memory, ended, command::kIoCheckReferenceTag);
  io.reference_tag = 7;
  io.host_protection = true;
  if (GetParam().type != 2) {
    EXPECT_EQ(host_->io->write(io), -EINVAL) << "type 1 has the LBA, type 3 none";
    return;
  }
  ASSERT_EQ(host_->io->write(io), 0);
  host_->finish(ended);
  EXPECT_EQ(ended.status, good());
  Ended again;
  io.context = &again;
  ASSERT_EQ(host_->io->read(io), 0);
  host_->finish(again);
  EXPECT_EQ(again.status, good()) << "split, and each piece has its own";
  EXPECT_TRUE(read_back(memory, 0x1234, false).is(MediaStatus::kReferenceTagCheckError));
}

TEST_P(ProtectionTest, VerifyAndCopyCheckIt) {
  auto memory = pattern(kBlocks * step(), 6);
  ASSERT_EQ(write_with_host(memory), good());
  const auto verify = [&](std::uint16_t tag) {
    return host_
        ->run([&](NamespaceIo& io, Ended& ended) {
          BlockIo what = checked(nothing_, ended, checks_);
          what.application_tag = tag;
          return io.verify(what);
        })
        .status;
  };
  EXPECT_EQ(verify(0x1234), good());
  EXPECT_TRUE(verify(0x4321).is(MediaStatus::kApplicationTagCheckError));
  spec::CopyRange range;
  range.slba = std::uint64_t{20};
  range.set_block_count(kBlocks);
  NamespaceIo::Copy copy;
  copy.range_memory = {&range, sizeof(range)};
  copy.destination_lba = 500;
  copy.io_flags = command::kIoProtectionAction;  // new reference tags
  copy.tags = {500, 0x1234, 0xffff};
  ASSERT_EQ(host_
                ->run([&](NamespaceIo& io, Ended& ended) {
                  return io.copy(copy, &Ended::record, &ended);
                })
                .status,
            good());
  std::vector<std::byte> back(kBlocks * step());
  ASSERT_EQ(host_
                ->run([&](NamespaceIo& io, Ended& ended) {
                  BlockIo read = checked(back, ended, checks_);
                  read.lba = 500;
                  if (GetParam().type != 1) read.reference_tag = 500;
                  read.host_protection = true;
                  return io.read(read);
                })
                .status,
            good());
}

TEST_F(NvmCommandsTest, MetadataWithoutProtectionIsPartOfTheBlock) {
  serve("size=1M,bs=4096,ms=24");
  Host& host = attach(0);
  ASSERT_EQ(host.io->limits().block_bytes, 4120u);
  auto memory = pattern(4120 * 3, 9);
  ASSERT_EQ(write(host, 5, memory), good());
  std::vector<std::byte> back(memory.size());
  ASSERT_EQ(read(host, 5, back), good());
  EXPECT_EQ(back, memory);
  Ended ended;
  BlockIo io = blocks(5, 3, memory, ended);
  io.host_protection = true;
  EXPECT_EQ(host.io->write(io), -ENOTSUP);
  io.host_protection = false;
  io.metadata = std::span(memory).first(72);
  EXPECT_EQ(host.io->write(io), -EINVAL) << "there is no separate metadata";
  io.metadata = {};
  io.io_flags = command::kIoProtectionAction;
  EXPECT_EQ(host.io->write(io), -EINVAL) << "there is nothing to insert";
}

}  // namespace
}  // namespace nvublk::nvme
