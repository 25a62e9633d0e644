#pragma once

// The part of the kernel's FUSE protocol that we speak ourselves, in host byte order: requests for
// data, and the few replies whose newest fields libfuse 3.14 does not know. Everything else goes
// through libfuse. The source is the kernel's include/uapi/linux/fuse.h, protocol 7.38.

#include <cstddef>
#include <cstdint>

namespace nvublk::fuse::abi {

constexpr std::uint64_t kRootNode = 1;

enum class Opcode : std::uint32_t {
  kForget = 2,
  kOpen = 14,
  kRead = 15,
  kWrite = 16,
  kFsync = 20,
  kInit = 26,
  kInterrupt = 36,
  kNotifyReply = 41,
  kBatchForget = 42,
  kFallocate = 43,
};

struct InHeader {
  std::uint32_t len = 0;
  std::uint32_t opcode = 0;
  std::uint64_t unique = 0;
  std::uint64_t nodeid = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t pid = 0;
  std::uint16_t total_extlen = 0;
  std::uint16_t padding = 0;
};

struct OutHeader {
  std::uint32_t len = 0;
  std::int32_t error = 0;  ///< 0 or a negative errno above -512
  std::uint64_t unique = 0;
};

struct OpenIn {
  std::uint32_t flags = 0;
  std::uint32_t open_flags = 0;
};

constexpr std::uint32_t kOpenDirectIo = 1U << 0;
constexpr std::uint32_t kOpenNoFlush = 1U << 5;
constexpr std::uint32_t kOpenParallelDirectWrites = 1U << 6;  ///< since protocol 7.38

struct OpenOut {
  std::uint64_t fh = 0;
  std::uint32_t open_flags = 0;
  std::uint32_t padding = 0;
};

struct ReadIn {
  std::uint64_t fh = 0;
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
  std::uint32_t read_flags = 0;
  std::uint64_t lock_owner = 0;
  std::uint32_t flags = 0;
  std::uint32_t padding = 0;
};

struct WriteIn {
  std::uint64_t fh = 0;
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
  std::uint32_t write_flags = 0;
  std::uint64_t lock_owner = 0;
  std::uint32_t flags = 0;
  std::uint32_t padding = 0;
};

struct WriteOut {
  std::uint32_t size = 0;
  std::uint32_t padding = 0;
};

struct FsyncIn {
  std::uint64_t fh = 0;
  std::uint32_t fsync_flags = 0;
  std::uint32_t padding = 0;
};

struct FallocateIn {
  std::uint64_t fh = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint32_t mode = 0;
  std::uint32_t padding = 0;
};

struct InitOut {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint32_t max_readahead = 0;
  std::uint32_t flags = 0;
  std::uint16_t max_background = 0;
  std::uint16_t congestion_threshold = 0;
  std::uint32_t max_write = 0;
  std::uint32_t time_gran = 0;
  std::uint16_t max_pages = 0;
  std::uint16_t map_alignment = 0;
  std::uint32_t flags2 = 0;
  std::uint32_t unused[7] = {};
};

/// The kernel refuses to read requests into less.
constexpr std::size_t kMinReadBuffer = 8192;
/// A write's payload follows its two headers.
constexpr std::size_t kWriteHeader = sizeof(InHeader) + sizeof(WriteIn);

static_assert(sizeof(InHeader) == 40 && sizeof(OutHeader) == 16);
static_assert(sizeof(ReadIn) == 40 && sizeof(WriteIn) == 40 && sizeof(WriteOut) == 8);
static_assert(sizeof(OpenIn) == 8 && sizeof(OpenOut) == 16 && sizeof(FsyncIn) == 16);
static_assert(sizeof(FallocateIn) == 32 && sizeof(InitOut) == 64);

}  // namespace nvublk::fuse::abi
