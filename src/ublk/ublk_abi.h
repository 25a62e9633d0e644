#pragma once

// The kernel's ublk interface as this program uses it, independent of the age of the installed
// <linux/ublk_cmd.h>. Field and command names are the kernel's.
// [include/uapi/linux/ublk_cmd.h], [Documentation/block/ublk.rst]

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <linux/ioctl.h>

namespace nvublk::ublk::abi {

/// Carried in the SQE of a control command (needs 128-byte SQEs): struct ublksrv_ctrl_cmd.
struct ControlCommand {
  std::uint32_t dev_id;
  std::uint16_t queue_id;  ///< kNoQueue but for queue commands
  std::uint16_t len;       ///< bytes at `addr`
  std::uint64_t addr;      ///< in or out buffer
  std::uint64_t data;      ///< one inline argument
  std::uint16_t dev_path_len;
  std::uint16_t pad;
  std::uint32_t reserved;
};
static_assert(sizeof(ControlCommand) == 32 && offsetof(ControlCommand, data) == 16);

constexpr std::uint32_t kAnyDevice = ~std::uint32_t{0};
constexpr std::uint16_t kNoQueue = 0xffff;

/// struct ublksrv_ctrl_dev_info.
struct DeviceInfo {
  std::uint16_t nr_hw_queues;
  std::uint16_t queue_depth;
  std::uint16_t state;
  std::uint16_t pad0;
  std::uint32_t max_io_buf_bytes;
  std::uint32_t dev_id;
  std::int32_t ublksrv_pid;
  std::uint32_t pad1;
  std::uint64_t flags;          ///< kFeature...
  std::uint64_t ublksrv_flags;  ///< the server's own, kept by the kernel
  std::uint32_t owner_uid;
  std::uint32_t owner_gid;
  std::uint64_t reserved1;
  std::uint64_t reserved2;
};
static_assert(sizeof(DeviceInfo) == 64 && offsetof(DeviceInfo, flags) == 24);

/// DeviceInfo::state.
constexpr std::uint16_t kStateDead = 0;
constexpr std::uint16_t kStateLive = 1;
constexpr std::uint16_t kStateQuiesced = 2;
constexpr std::uint16_t kStateFailIo = 3;

/// Carried in the SQE of an I/O command: struct ublksrv_io_cmd.
struct IoCommand {
  std::uint16_t q_id;
  std::uint16_t tag;
  std::int32_t result;  ///< of the request that is committed: bytes or -errno
  /// The tag's buffer. With USER_COPY 0, but for an append the sector at which its data is.
  std::uint64_t addr;
};
static_assert(sizeof(IoCommand) == 16 && offsetof(IoCommand, addr) == 8);

/// What the kernel wants done, one per tag, in memory that it shares: struct ublksrv_io_desc.
struct IoDescriptor {
  std::uint32_t op_flags;    ///< bits 7:0 kOp..., the rest kIoFlag... (not shifted)
  std::uint32_t nr_sectors;  ///< of 512 bytes; of a zone report: zones
  std::uint64_t start_sector;
  std::uint64_t addr;
};
static_assert(sizeof(IoDescriptor) == 24 && offsetof(IoDescriptor, start_sector) == 8);

constexpr std::uint32_t kSectorBytes = 512;

/// IoDescriptor::op_flags bits 7:0.
constexpr std::uint32_t kOpMask = 0xff;
constexpr std::uint32_t kOpRead = 0;
constexpr std::uint32_t kOpWrite = 1;
constexpr std::uint32_t kOpFlush = 2;
constexpr std::uint32_t kOpDiscard = 3;
constexpr std::uint32_t kOpWriteSame = 4;
constexpr std::uint32_t kOpWriteZeroes = 5;
constexpr std::uint32_t kOpZoneOpen = 10;
constexpr std::uint32_t kOpZoneClose = 11;
constexpr std::uint32_t kOpZoneFinish = 12;
constexpr std::uint32_t kOpZoneAppend = 13;
constexpr std::uint32_t kOpZoneResetAll = 14;
constexpr std::uint32_t kOpZoneReset = 15;
constexpr std::uint32_t kOpReportZones = 18;

/// IoDescriptor::op_flags, positions in the 32-bit word itself.
constexpr std::uint32_t kIoFlagFua = 1U << 13;
constexpr std::uint32_t kIoFlagNoUnmap = 1U << 15;

/// Results of FETCH_REQ and COMMIT_AND_FETCH_REQ.
constexpr std::int32_t kResultOk = 0;
constexpr std::int32_t kResultAbort = -ENODEV;  ///< the tag is taken back, do not fetch again

constexpr std::uint32_t kMaxQueueDepth = 4096;
constexpr std::uint64_t kCommandBufferOffset = 0;  ///< of queue 0's descriptors, for mmap
/// With USER_COPY: where in the server node a request's data is.
constexpr std::uint64_t kRequestDataOffset = 0x80000000;
constexpr unsigned kRequestDataTagShift = 25;
constexpr unsigned kRequestDataQueueShift = 41;

/// What a zone report is made of, in sectors: struct blk_zone. [include/uapi/linux/blkzoned.h]
struct Zone {
  std::uint64_t start;
  std::uint64_t len;
  std::uint64_t wp;
  std::uint8_t type;  ///< kZoneSequentialWriteRequired
  std::uint8_t cond;  ///< as BlockZoneState
  std::uint8_t non_seq;
  std::uint8_t reset;
  std::uint8_t resv[4];
  std::uint64_t capacity;
  std::uint8_t reserved[24];
};
static_assert(sizeof(Zone) == 64 && offsetof(Zone, capacity) == 32);
constexpr std::uint8_t kZoneSequentialWriteRequired = 2;

/// struct ublk_params and its parts.
struct ParamBasic {
  std::uint32_t attrs;  ///< kAttr...
  std::uint8_t logical_bs_shift;
  std::uint8_t physical_bs_shift;
  std::uint8_t io_opt_shift;
  std::uint8_t io_min_shift;
  std::uint32_t max_sectors;
  std::uint32_t chunk_sectors;
  std::uint64_t dev_sectors;
  std::uint64_t virt_boundary_mask;
};
static_assert(sizeof(ParamBasic) == 32 && offsetof(ParamBasic, dev_sectors) == 16);

struct ParamDiscard {
  std::uint32_t discard_alignment;
  std::uint32_t discard_granularity;
  std::uint32_t max_discard_sectors;
  std::uint32_t max_write_zeroes_sectors;
  std::uint16_t max_discard_segments;
  std::uint16_t reserved0;
};
static_assert(sizeof(ParamDiscard) == 20);

/// Only read; the kernel's to fill.
struct ParamDevt {
  std::uint32_t char_major;
  std::uint32_t char_minor;
  std::uint32_t disk_major;
  std::uint32_t disk_minor;
};

struct ParamZoned {
  std::uint32_t max_open_zones;
  std::uint32_t max_active_zones;
  std::uint32_t max_zone_append_sectors;
  std::uint8_t reserved[20];
};
static_assert(sizeof(ParamZoned) == 32);

struct Params {
  std::uint32_t len;    ///< bytes of this structure that are filled in
  std::uint32_t types;  ///< kParam...
  ParamBasic basic;
  ParamDiscard discard;
  ParamDevt devt;
  ParamZoned zoned;
  std::uint32_t pad;
};
static_assert(sizeof(Params) == 112 && offsetof(Params, discard) == 40 &&
              offsetof(Params, zoned) == 76);
/// The kernel's structure goes on after `zoned`. What we send ends with what the device needs, so
/// that drivers without zones take it.
constexpr std::uint32_t kParamsLength = 60;
constexpr std::uint32_t kZonedParamsLength = 108;

constexpr std::uint32_t kParamBasic = 1U << 0;
constexpr std::uint32_t kParamDiscard = 1U << 1;
constexpr std::uint32_t kParamZoned = 1U << 3;

constexpr std::uint32_t kAttrReadOnly = 1U << 0;
constexpr std::uint32_t kAttrRotational = 1U << 1;
constexpr std::uint32_t kAttrVolatileCache = 1U << 2;
constexpr std::uint32_t kAttrFua = 1U << 3;

/// Features, as GET_FEATURES offers them and ADD_DEV negotiates them.
constexpr std::uint64_t kFeatureUserRecovery = 1ULL << 3;
constexpr std::uint64_t kFeatureUserRecoveryReissue = 1ULL << 4;
constexpr std::uint64_t kFeatureCmdIoctlEncode = 1ULL << 6;
constexpr std::uint64_t kFeatureUserCopy = 1ULL << 7;
constexpr std::uint64_t kFeatureZoned = 1ULL << 8;
constexpr std::uint64_t kFeatureUpdateSize = 1ULL << 10;
constexpr std::uint64_t kFeatureQuiesce = 1ULL << 12;
constexpr std::uint64_t kFeatureSafeStopDev = 1ULL << 17;
constexpr std::uint16_t kFeaturesLength = 8;

namespace detail {
template <unsigned kDirection, unsigned kNumber, typename Argument>
constexpr std::uint32_t command() {
  return static_cast<std::uint32_t>(_IOC(kDirection, 'u', kNumber, sizeof(Argument)));
}
constexpr unsigned kIn = _IOC_READ;
constexpr unsigned kBoth = _IOC_READ | _IOC_WRITE;
}  // namespace detail

/// Control commands, on /dev/ublk-control.
constexpr std::uint32_t kGetDevInfo = detail::command<detail::kIn, 0x02, ControlCommand>();
constexpr std::uint32_t kAddDev = detail::command<detail::kBoth, 0x04, ControlCommand>();
constexpr std::uint32_t kDelDev = detail::command<detail::kBoth, 0x05, ControlCommand>();
constexpr std::uint32_t kStartDev = detail::command<detail::kBoth, 0x06, ControlCommand>();
constexpr std::uint32_t kStopDev = detail::command<detail::kBoth, 0x07, ControlCommand>();
constexpr std::uint32_t kSetParams = detail::command<detail::kBoth, 0x08, ControlCommand>();
constexpr std::uint32_t kGetParams = detail::command<detail::kIn, 0x09, ControlCommand>();
constexpr std::uint32_t kStartUserRecovery = detail::command<detail::kBoth, 0x10, ControlCommand>();
constexpr std::uint32_t kEndUserRecovery = detail::command<detail::kBoth, 0x11, ControlCommand>();
constexpr std::uint32_t kGetDevInfo2 = detail::command<detail::kIn, 0x12, ControlCommand>();
constexpr std::uint32_t kGetFeatures = detail::command<detail::kIn, 0x13, ControlCommand>();
constexpr std::uint32_t kDelDevAsync = detail::command<detail::kIn, 0x14, ControlCommand>();
constexpr std::uint32_t kUpdateSize = detail::command<detail::kBoth, 0x15, ControlCommand>();
constexpr std::uint32_t kQuiesceDev = detail::command<detail::kBoth, 0x16, ControlCommand>();
constexpr std::uint32_t kTryStopDev = detail::command<detail::kBoth, 0x17, ControlCommand>();
static_assert(kAddDev == 0xc0207504 && kGetFeatures == 0x80207513);

/// I/O commands, on /dev/ublkcN.
constexpr std::uint32_t kFetchReq = detail::command<detail::kBoth, 0x20, IoCommand>();
constexpr std::uint32_t kCommitAndFetchReq = detail::command<detail::kBoth, 0x21, IoCommand>();
static_assert(kFetchReq == 0xc0107520);

}  // namespace nvublk::ublk::abi
