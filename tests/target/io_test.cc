// I/O commands on memory and on files.

#include <cstdlib>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nvme/spec/dsm.h"
#include "nvme/spec/features.h"
#include "target/target_fixture.h"

namespace nvublk::target {
namespace {

using namespace nvme::spec;

/// What a namespace is made of; the commands behave the same.
enum class Backing { kMemory, kFile };

class IoTest : public TargetTest, public ::testing::WithParamInterface<Backing> {
 protected:
  void TearDown() override {
    target_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  /// 1 MiB of 512-byte blocks, a controller, and I/O queue 1.
  void begin(Options options = defaults()) {
    NamespaceOptions ns = memory(1 << 20, 512);
    if (GetParam() == Backing::kFile) {
      std::string pattern = std::filesystem::temp_directory_path() / "target-XXXXXX";
      ASSERT_NE(mkdtemp(pattern.data()), nullptr);
      folder_ = pattern;
      ns.path = path();
    }
    options.namespaces = {ns};
    start(options);
    admin_ = admin();
    io_ = queue();
  }

  std::string path() const { return folder_ / "disk"; }

  Outcome write(std::uint64_t lba, const ByteVector& data, bool in_capsule = false) {
    const auto length = static_cast<std::uint32_t>(data.size());
    return io_->run(io_->io(NvmOpcode::kWrite, 1, lba, length / 512, length), data, in_capsule);
  }
  ByteVector read(std::uint64_t lba, std::uint32_t blocks) {
    const Outcome outcome = io_->run(io_->io(NvmOpcode::kRead, 1, lba, blocks, blocks * 512));
    EXPECT_TRUE(outcome.status().ok());
    return outcome.data;
  }

  std::filesystem::path folder_;
  std::unique_ptr<WireClient> admin_;
  std::unique_ptr<WireClient> io_;
};

INSTANTIATE_TEST_SUITE_P(Backings, IoTest, ::testing::Values(Backing::kMemory, Backing::kFile),
                         [](const auto& param) {
                           return param.param == Backing::kMemory ? "Memory" : "File";
                         });

TEST_P(IoTest, WhatIsWrittenIsRead) {
  begin();
  const ByteVector small = pattern(512, 1);
  const ByteVector middle = pattern(8192, 2);
  const ByteVector large = pattern(512 << 10, 3);
  EXPECT_TRUE(write(0, small, true).status().ok());
  const Outcome in_capsule = write(1, middle, true);
  EXPECT_TRUE(in_capsule.status().ok());
  EXPECT_EQ(in_capsule.r2ts, 0u);
  const Outcome solicited = write(1024, large);
  EXPECT_TRUE(solicited.status().ok());
  EXPECT_EQ(solicited.r2ts, 1u);
  EXPECT_EQ(read(0, 1), small);
  EXPECT_EQ(read(1, 16), middle);
  EXPECT_EQ(read(1024, 1024), large);
  EXPECT_EQ(read(500, 3), ByteVector(1536, 0));
}

TEST_P(IoTest, ManyCommandsAtOnceAllEnd) {
  begin();
  for (std::uint16_t i = 0; i < 31; i++) {
    SubmissionEntry sqe = io_->io(NvmOpcode::kWrite, 1, i * 8u, 8, 4096);
    const ByteVector data = pattern(4096, static_cast<std::uint8_t>(i));
    sqe.set_sgl(SglDescriptor::in_capsule(0, 4096));
    io_->send_command(sqe, data);
  }
  for (int i = 0; i < 31; i++) EXPECT_TRUE(io_->receive_response().status().ok());
  for (std::uint16_t i = 0; i < 31; i++) {
    io_->send_command(io_->io(NvmOpcode::kRead, 1, i * 8u, 8, 4096));
  }
  for (int i = 0; i < 31; i++) {
    const Outcome outcome = io_->finish();
    EXPECT_EQ(outcome.data, pattern(4096, static_cast<std::uint8_t>(i)));
  }
}

TEST_P(IoTest, OffsetsAndLengthsThatAreWrongAreRefused) {
  begin();
  const auto status = [&](SubmissionEntry sqe) { return io_->run(sqe).status(); };
  EXPECT_TRUE(status(io_->io(NvmOpcode::kRead, 1, 2048, 1, 512)).is(GenericStatus::kLbaOutOfRange));
  EXPECT_TRUE(
      status(io_->io(NvmOpcode::kRead, 1, 2047, 2, 1024)).is(GenericStatus::kLbaOutOfRange));
  EXPECT_TRUE(
      status(io_->io(NvmOpcode::kRead, 1, ~0ull, 1, 512)).is(GenericStatus::kLbaOutOfRange));
  EXPECT_TRUE(
      status(io_->io(NvmOpcode::kRead, 1, 0, 1, 1024)).is(GenericStatus::kDataSglLengthInvalid));
  EXPECT_TRUE(
      status(io_->io(NvmOpcode::kWrite, 1, 0, 2, 512)).is(GenericStatus::kDataSglLengthInvalid));
  EXPECT_TRUE(
      status(io_->io(NvmOpcode::kRead, 1, 0, 4096, 2 << 20)).is(GenericStatus::kInvalidField))
      << "beyond MDTS";
  for (const std::uint32_t nsid : {0u, 2u, 0xffffffffu}) {
    EXPECT_TRUE(status(io_->io(NvmOpcode::kRead, nsid, 0, 1, 512))
                    .is(GenericStatus::kInvalidNamespaceOrFormat));
    EXPECT_TRUE(status(io_->io(NvmOpcode::kWrite, nsid, 0, 1, 512))
                    .is(GenericStatus::kInvalidNamespaceOrFormat));
  }
  EXPECT_TRUE(
      status(io_->io(NvmOpcode::kIoManagementSend, 1, 0, 1, 0)).is(GenericStatus::kInvalidOpcode));
  SubmissionEntry sqe = io_->io(NvmOpcode::kWrite, 1, 0, 1, 512);
  sqe.set_sgl(SglDescriptor::in_capsule(256, 512));
  const ByteVector data(512);
  io_->send_command(sqe, data);
  EXPECT_TRUE(io_->receive_response().status().is(GenericStatus::kDataSglLengthInvalid));
  sqe.set_sgl(SglDescriptor::in_capsule(1024, 512));
  io_->send_command(sqe, data);
  EXPECT_TRUE(io_->receive_response().status().is(GenericStatus::kSglOffsetInvalid));
}

TEST_P(IoTest, WriteZeroesAndDeallocateReadAsZeros) {
  begin();
  const ByteVector data = pattern(64 << 10, 7);
  ASSERT_TRUE(write(0, data).status().ok());
  EXPECT_TRUE(io_->run(io_->io(NvmOpcode::kWriteZeroes, 1, 3, 10, 0)).status().ok());
  SubmissionEntry deallocating = io_->io(NvmOpcode::kWriteZeroes, 1, 40, 20, 0);
  deallocating.cdw12 = 19u | (1u << 25);
  EXPECT_TRUE(io_->run(deallocating).status().ok());
  std::vector<DsmRange> ranges(2);
  ranges[0].slba = std::uint64_t{70};
  ranges[0].nlb = 1u;
  ranges[1].slba = std::uint64_t{80};
  ranges[1].nlb = 32u;
  ByteVector bytes(32);
  std::memcpy(bytes.data(), ranges.data(), 32);
  SubmissionEntry dsm = io_->command(static_cast<std::uint8_t>(NvmOpcode::kDatasetManagement), 1);
  dsm.cdw10 = 1u;
  dsm.cdw11 = kDsmDeallocate;
  EXPECT_TRUE(io_->run(dsm, bytes, true).status().ok());
  ByteVector expected = data;
  const auto zero = [&](std::size_t lba, std::size_t blocks) {
    std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(lba * 512), blocks * 512, 0);
  };
  zero(3, 10);
  zero(40, 20);
  zero(70, 1);
  zero(80, 32);
  EXPECT_EQ(read(0, 128), expected);
  ranges[1].nlb = 5000u;
  std::memcpy(bytes.data(), ranges.data(), 32);
  EXPECT_TRUE(io_->run(dsm, bytes, true).status().is(GenericStatus::kLbaOutOfRange));
}

TEST_P(IoTest, CompareTellsTheDifference) {
  begin();
  ByteVector data = pattern(1024, 5);
  ASSERT_TRUE(write(8, data).status().ok());
  const auto compare = [&] {
    return io_->run(io_->io(NvmOpcode::kCompare, 1, 8, 2, 1024), data).status();
  };
  EXPECT_TRUE(compare().ok());
  data[1023] ^= 1;
  EXPECT_TRUE(compare().is(MediaStatus::kCompareFailure));
}

TEST_P(IoTest, FlushAndForcedUnitAccess) {
  begin();
  EXPECT_TRUE(
      io_->run(io_->command(static_cast<std::uint8_t>(NvmOpcode::kFlush), 1)).status().ok());
  EXPECT_TRUE(io_->run(io_->command(static_cast<std::uint8_t>(NvmOpcode::kFlush), 0xffffffff))
                  .status()
                  .ok());
  EXPECT_TRUE(io_->run(io_->command(static_cast<std::uint8_t>(NvmOpcode::kFlush), 7))
                  .status()
                  .is(GenericStatus::kInvalidNamespaceOrFormat));
  SubmissionEntry sqe = io_->io(NvmOpcode::kWrite, 1, 0, 1, 512);
  sqe.cdw12 = 1u << 30;
  EXPECT_TRUE(io_->run(sqe, pattern(512, 1)).status().ok());
  EXPECT_EQ(read(0, 1), pattern(512, 1));
}

TEST_P(IoTest, ANamespaceGrowsAndShrinks) {
  begin();
  ASSERT_TRUE(write(2047, pattern(512, 1)).status().ok());
  ASSERT_TRUE(target_->resize_namespace(1, 2 << 20));
  EXPECT_EQ(read(2047, 1), pattern(512, 1));
  EXPECT_EQ(read(4095, 1), ByteVector(512, 0));
  ASSERT_TRUE(target_->resize_namespace(1, 512 << 10));
  EXPECT_TRUE(io_->run(io_->io(NvmOpcode::kRead, 1, 1024, 1, 512))
                  .status()
                  .is(GenericStatus::kLbaOutOfRange));
  ASSERT_TRUE(target_->resize_namespace(1, 1 << 20));
  EXPECT_EQ(read(2047, 1), ByteVector(512, 0)) << "what was cut off is gone";
}

TEST_P(IoTest, ARemovedNamespaceIsGoneForConnectedHosts) {
  begin();
  ASSERT_TRUE(target_->remove_namespace(1));
  EXPECT_TRUE(io_->run(io_->io(NvmOpcode::kRead, 1, 0, 1, 512))
                  .status()
                  .is(GenericStatus::kInvalidNamespaceOrFormat));
}

TEST_P(IoTest, DataComesInPiecesWhenAskedFor) {
  Options options = defaults();
  options.c2h_pdu_bytes = 4096;
  options.success_flag = false;
  begin(options);
  const ByteVector data = pattern(10240, 77);
  ASSERT_TRUE(write(4, data).status().ok());
  const Outcome outcome = io_->run(io_->io(NvmOpcode::kRead, 1, 4, 20, 10240));
  EXPECT_EQ(outcome.data, data);
  EXPECT_EQ(outcome.data_pdus, 3u);
  EXPECT_FALSE(outcome.success_flag);
}

using FileTest = TargetTest;

TEST_F(FileTest, AFileKeepsItsBlocksAndGivesBackSpace) {
  std::string name = std::filesystem::temp_directory_path() / "target-XXXXXX";
  const int fd = mkstemp(name.data());
  ASSERT_GE(fd, 0);
  close(fd);
  const ByteVector data = pattern(64 << 10, 9);
  for (int round = 0; round < 2; round++) {
    Options options = defaults();
    NamespaceOptions ns = memory(round == 0 ? 1 << 20 : 0, 512);
    ns.path = name;
    options.namespaces = {ns};
    start(options);
    auto control = admin();
    auto host = queue();
    if (round == 0) {
      EXPECT_TRUE(host->run(host->io(NvmOpcode::kWrite, 1, 0, 128, 64 << 10), data).status().ok());
    } else {
      EXPECT_EQ(target_->namespaces()[0].size_blocks, 2048u);
      EXPECT_EQ(host->run(host->io(NvmOpcode::kRead, 1, 0, 128, 64 << 10)).data, data);
    }
  }
  target_.reset();
  std::filesystem::remove(name);
}

TEST_F(FileTest, AReadOnlyNamespaceTakesNoWrites) {
  Options options = defaults();
  options.namespaces[0].read_only = true;
  start(options);
  auto control = admin();
  auto host = queue();
  EXPECT_TRUE(host->run(host->io(NvmOpcode::kWrite, 1, 0, 1, 4096), ByteVector(4096))
                  .status()
                  .is(GenericStatus::kNamespaceWriteProtected));
  EXPECT_TRUE(host->run(host->io(NvmOpcode::kWriteZeroes, 1, 0, 1, 0))
                  .status()
                  .is(GenericStatus::kNamespaceWriteProtected));
  EXPECT_TRUE(host->run(host->io(NvmOpcode::kRead, 1, 0, 1, 4096)).status().ok());
}

}  // namespace
}  // namespace nvublk::target
