#include "fuse/file_request.h"

#include <cerrno>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fuse.h>

namespace nvublk::fuse {
namespace {

using Verdict = FileRequest::Verdict;

// The kernel's header is the reference for our own structures.
static_assert(sizeof(abi::InHeader) == sizeof(fuse_in_header));
static_assert(offsetof(abi::InHeader, unique) == offsetof(fuse_in_header, unique));
static_assert(offsetof(abi::InHeader, nodeid) == offsetof(fuse_in_header, nodeid));
static_assert(sizeof(abi::OutHeader) == sizeof(fuse_out_header));
static_assert(offsetof(abi::OutHeader, unique) == offsetof(fuse_out_header, unique));
static_assert(sizeof(abi::ReadIn) == sizeof(fuse_read_in));
static_assert(offsetof(abi::ReadIn, size) == offsetof(fuse_read_in, size));
static_assert(sizeof(abi::WriteIn) == sizeof(fuse_write_in));
static_assert(offsetof(abi::WriteIn, size) == offsetof(fuse_write_in, size));
static_assert(sizeof(abi::FallocateIn) == sizeof(fuse_fallocate_in));
static_assert(offsetof(abi::FallocateIn, mode) == offsetof(fuse_fallocate_in, mode));
static_assert(sizeof(abi::OpenOut) == sizeof(fuse_open_out));
static_assert(sizeof(abi::InitOut) == sizeof(fuse_init_out));
static_assert(offsetof(abi::InitOut, max_pages) == offsetof(fuse_init_out, max_pages));

constexpr std::uint64_t kSize = 1024 * 1024;

FileLimits limits() {
  FileLimits limits;
  limits.block_size_bytes = 4096;
  limits.size_bytes = kSize;
  limits.max_transfer_bytes = 64 * 1024;
  limits.write_zeroes = true;
  return limits;
}

template <typename Body>
std::vector<std::byte> message(std::uint32_t opcode, const Body& body, std::size_t payload = 0,
                               std::uint64_t node = kFileNode) {
  std::vector<std::byte> bytes(sizeof(abi::InHeader) + sizeof(Body) + payload);
  abi::InHeader header;
  header.len = static_cast<std::uint32_t>(bytes.size());
  header.opcode = opcode;
  header.unique = 77;
  header.nodeid = node;
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), &body, sizeof(Body));
  return bytes;
}

std::vector<std::byte> read_message(std::uint64_t offset, std::uint32_t size) {
  abi::ReadIn body;
  body.offset = offset;
  body.size = size;
  return message(FUSE_READ, body);
}

std::vector<std::byte> write_message(std::uint64_t offset, std::uint32_t size,
                                     std::size_t payload) {
  abi::WriteIn body;
  body.offset = offset;
  body.size = size;
  return message(FUSE_WRITE, body, payload);
}

std::vector<std::byte> fallocate_message(std::uint64_t offset, std::uint64_t length,
                                         std::uint32_t mode) {
  abi::FallocateIn body;
  body.offset = offset;
  body.length = length;
  body.mode = mode;
  return message(FUSE_FALLOCATE, body);
}

FileRequest decode(const std::vector<std::byte>& bytes, const FileLimits& with = limits()) {
  return decode_file_request(bytes, with);
}

void expect_error(const FileRequest& request, int error) {
  EXPECT_EQ(request.verdict, Verdict::kReply);
  EXPECT_EQ(request.error, error);
  EXPECT_EQ(request.unique, 77U);
}

void expect_range(const FileRequest& request, BlockOp op, std::uint64_t lba, std::uint64_t blocks) {
  EXPECT_EQ(request.verdict, Verdict::kSubmit);
  EXPECT_EQ(request.op, op);
  EXPECT_EQ(request.lba, lba);
  EXPECT_EQ(request.blocks, blocks);
}

TEST(FileRequest, ReadsBecomeBlocks) {
  expect_range(decode(read_message(8192, 16384)), BlockOp::kRead, 2, 4);
}

TEST(FileRequest, ReadsEndAtTheEndOfTheFile) {
  expect_range(decode(read_message(kSize - 4096, 65536)), BlockOp::kRead, kSize / 4096 - 1, 1);
  expect_range(decode(read_message(kSize, 4096)), BlockOp::kRead, 0, 0);
  const std::uint64_t far = std::numeric_limits<std::uint64_t>::max() - 4095;
  expect_range(decode(read_message(far, 4096)), BlockOp::kRead, 0, 0);
}

TEST(FileRequest, RefusesWhatIsNotWholeBlocks) {
  expect_error(decode(read_message(512, 4096)), EINVAL);
  expect_error(decode(read_message(0, 512)), EINVAL);
  expect_error(decode(write_message(512, 4096, 4096)), EINVAL);
  expect_error(decode(write_message(0, 100, 100)), EINVAL);
  expect_error(decode(fallocate_message(0, 512, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)),
               EINVAL);
}

TEST(FileRequest, RefusesMoreThanItsBufferHolds) {
  expect_error(decode(read_message(0, 68 * 1024)), EINVAL);
  expect_error(decode(read_message(0, 0xfffff000)), EINVAL);
  expect_error(decode(write_message(0, 68 * 1024, 68 * 1024)), EINVAL);
}

TEST(FileRequest, RefusesWritesWhoseSizeIsNotTheirPayloads) {
  expect_error(decode(write_message(0, 8192, 4096)), EINVAL);
  expect_error(decode(write_message(0, 4096, 8192)), EINVAL);
  expect_error(decode(write_message(0, 0xfffff000, 4096)), EINVAL);
  expect_range(decode(write_message(4096, 8192, 8192)), BlockOp::kWrite, 1, 2);
}

TEST(FileRequest, WritesStayInTheFile) {
  expect_error(decode(write_message(kSize, 4096, 4096)), ENOSPC);
  expect_error(decode(write_message(kSize - 4096, 8192, 8192)), ENOSPC);
  const std::uint64_t far = std::numeric_limits<std::uint64_t>::max() - 4095;
  expect_error(decode(write_message(far, 8192, 8192)), ENOSPC);
  expect_range(decode(write_message(kSize - 4096, 4096, 4096)), BlockOp::kWrite, 255, 1);
}

TEST(FileRequest, ReadOnlyFilesAreNotWritten) {
  FileLimits read_only = limits();
  read_only.read_only = true;
  expect_error(decode(write_message(0, 4096, 4096), read_only), EROFS);
  expect_error(
      decode(fallocate_message(0, 4096, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), read_only),
      EROFS);
  abi::OpenIn open;
  open.flags = O_RDWR;
  expect_error(decode(message(FUSE_OPEN, open), read_only), EROFS);
  open.flags = O_RDONLY;
  EXPECT_EQ(decode(message(FUSE_OPEN, open), read_only).verdict, Verdict::kOpen);
  EXPECT_EQ(decode(read_message(0, 4096), read_only).verdict, Verdict::kSubmit);
}

TEST(FileRequest, HolesReadAsZeroes) {
  const FileRequest hole =
      decode(fallocate_message(4096, 8192, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE));
  expect_range(hole, BlockOp::kWriteZeroes, 1, 2);
  EXPECT_TRUE(hole.punch_hole);
  EXPECT_FALSE(hole.no_unmap);
}

TEST(FileRequest, ZeroedRangesStayAllocated) {
  const FileRequest zero = decode(fallocate_message(0, 4096, FALLOC_FL_ZERO_RANGE));
  expect_range(zero, BlockOp::kWriteZeroes, 0, 1);
  EXPECT_TRUE(zero.no_unmap);
  EXPECT_FALSE(zero.punch_hole);
}

TEST(FileRequest, FallocateIsClippedToTheFile) {
  const std::uint32_t punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() - 4095;
  expect_range(decode(fallocate_message(kSize - 4096, most, punch)), BlockOp::kWriteZeroes, 255, 1);
  expect_range(decode(fallocate_message(most, most, punch)), BlockOp::kWriteZeroes, 256, 0);
  expect_error(decode(fallocate_message(kSize, 4096, FALLOC_FL_ZERO_RANGE)), ENOSPC);
  expect_error(decode(fallocate_message(0, 0, punch)), EINVAL);
}

TEST(FileRequest, OtherFallocatesAreNotSupported) {
  for (const std::uint32_t mode :
       {0U, unsigned{FALLOC_FL_KEEP_SIZE}, unsigned{FALLOC_FL_COLLAPSE_RANGE}, ~0U,
        unsigned{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE}}) {
    expect_error(decode(fallocate_message(0, 4096, mode)), EOPNOTSUPP);
  }
  FileLimits no_zeroes = limits();
  no_zeroes.write_zeroes = false;
  const std::uint32_t punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  expect_error(decode(fallocate_message(0, 4096, punch), no_zeroes), EOPNOTSUPP);
}

TEST(FileRequest, SyncsBecomeFlushes) {
  expect_range(decode(message(FUSE_FSYNC, abi::FsyncIn{})), BlockOp::kFlush, 0, 0);
}

TEST(FileRequest, DataRequestsForTheDirectoryAreRefused) {
  expect_error(decode(message(FUSE_READ, abi::ReadIn{}, 0, abi::kRootNode)), EINVAL);
  expect_error(decode(message(FUSE_WRITE, abi::WriteIn{}, 0, abi::kRootNode)), EINVAL);
  expect_error(decode(message(FUSE_FALLOCATE, abi::FallocateIn{}, 0, 0)), EINVAL);
  expect_error(decode(message(FUSE_FSYNC, abi::FsyncIn{}, 0, 99)), EINVAL);
  expect_error(decode(message(FUSE_OPEN, abi::OpenIn{}, 0, abi::kRootNode)), EISDIR);
}

TEST(FileRequest, TheRestGoesToLibfuseOrNeedsNoReply) {
  for (const std::uint32_t opcode : {FUSE_INIT, FUSE_LOOKUP, FUSE_GETATTR, FUSE_STATFS,
                                     FUSE_RELEASE, FUSE_DESTROY, FUSE_IOCTL}) {
    EXPECT_EQ(decode(message(opcode, abi::OpenIn{})).verdict, Verdict::kForward) << opcode;
  }
  EXPECT_EQ(decode(message(99999, abi::OpenIn{})).verdict, Verdict::kForward);
  EXPECT_EQ(decode(message(FUSE_FORGET, abi::OpenIn{})).verdict, Verdict::kIgnore);
  EXPECT_EQ(decode(message(FUSE_BATCH_FORGET, abi::OpenIn{})).verdict, Verdict::kIgnore);
  expect_error(decode(message(FUSE_INTERRUPT, abi::OpenIn{})), ENOSYS);
}

TEST(FileRequest, EveryTruncationIsRefused) {
  for (const auto& whole : {read_message(0, 4096), write_message(0, 4096, 4096),
                            fallocate_message(0, 4096, FALLOC_FL_ZERO_RANGE)}) {
    for (std::size_t length = 0; length < whole.size(); length++) {
      std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<long>(length));
      // Both as the kernel would never send it, and with a length field that agrees.
      EXPECT_NE(decode(cut).verdict, Verdict::kSubmit) << length;
      if (length >= sizeof(abi::InHeader)) {
        const auto len = static_cast<std::uint32_t>(length);
        std::memcpy(cut.data(), &len, sizeof(len));
        EXPECT_NE(decode(cut).verdict, Verdict::kSubmit) << length;
      }
    }
  }
}

TEST(FileRequest, NoiseNeverLeavesTheFile) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200000; round++) {
    std::vector<std::byte> noise(random() % 160);
    for (std::byte& byte : noise) {
      byte = static_cast<std::byte>(random() % 4 == 0 ? random() : 0);
    }
    if (noise.size() >= sizeof(abi::InHeader)) {
      abi::InHeader header;
      std::memcpy(&header, noise.data(), sizeof(header));
      header.len = static_cast<std::uint32_t>(noise.size());
      header.opcode = static_cast<std::uint32_t>(random() % 52);
      header.nodeid = kFileNode;
      std::memcpy(noise.data(), &header, sizeof(header));
    }
    const FileRequest request = decode(noise);
    if (request.verdict == Verdict::kSubmit) {
      ASSERT_LE(request.lba, kSize / 4096);
      ASSERT_LE(request.blocks, kSize / 4096 - request.lba);
    }
  }
}

}  // namespace
}  // namespace nvublk::fuse
