// NVMe status to errno, once. Linux goes two steps: nvme_error_status() (drivers/nvme/host/core.c)
// to a blk_status_t, and blk_errors[] (block/blk-core.c) to an errno; the rows marked "as Linux"
// have the result of both. ublk turns the errno back into the same blk_status_t, so a file system
// sees what it would see on a native device.

#include <cerrno>
#include <cstdint>

#include "nvme/status_text.h"

namespace nvublk::nvme {
namespace {

using spec::GenericStatus;
using spec::MediaStatus;
using spec::NvmeStatus;
using spec::NvmStatusCode;

struct ErrnoRow {
  std::uint16_t code;
  int value;
};

template <typename Code>
constexpr std::uint16_t code_of(Code code) {
  return NvmeStatus::make(code).code();
}

constexpr ErrnoRow kErrnos[] = {
    {code_of(GenericStatus::kSuccess), 0},

    // As Linux, BLK_STS_NOSPC: a thin pool is full; file systems know how to stop writing.
    {code_of(GenericStatus::kCapacityExceeded), ENOSPC},

    // As Linux, BLK_STS_TARGET: the device itself refuses; another path would not help.
    {code_of(GenericStatus::kLbaOutOfRange), EREMOTEIO},
    {code_of(GenericStatus::kCommandInterrupted), EREMOTEIO},
    {code_of(GenericStatus::kNamespaceNotReady), EREMOTEIO},

    // As Linux, BLK_STS_NOTSUPP: the block layer then stops to use the operation (discard, write
    // zeroes) instead of failing the file system.
    {code_of(GenericStatus::kInvalidOpcode), EOPNOTSUPP},
    {code_of(GenericStatus::kInvalidField), EOPNOTSUPP},
    {code_of(GenericStatus::kInvalidNamespaceOrFormat), EOPNOTSUPP},
    {code_of(NvmStatusCode::kConflictingAttributes), EOPNOTSUPP},
    {code_of(NvmStatusCode::kCommandSizeLimitExceeded), EOPNOTSUPP},

    // As Linux, BLK_STS_MEDIUM: this range is bad; a retry gives the same.
    {code_of(MediaStatus::kWriteFault), ENODATA},
    {code_of(MediaStatus::kUnrecoveredReadError), ENODATA},
    {code_of(MediaStatus::kDeallocatedOrUnwritten), ENODATA},
    {code_of(MediaStatus::kAccessDenied), ENODATA},
    {code_of(MediaStatus::kCompareFailure), ENODATA},
    {code_of(NvmStatusCode::kWriteToReadOnlyRange), ENODATA},

    // As Linux, BLK_STS_PROTECTION: the data is not what was written.
    {code_of(MediaStatus::kGuardCheckError), EILSEQ},
    {code_of(MediaStatus::kApplicationTagCheckError), EILSEQ},
    {code_of(MediaStatus::kReferenceTagCheckError), EILSEQ},
    {code_of(NvmStatusCode::kInvalidProtectionInformation), EILSEQ},
    // Linux has no row for it; the same kind of check as the three above.
    {code_of(MediaStatus::kStorageTagCheckError), EILSEQ},

    // As Linux, BLK_STS_RESV_CONFLICT: cluster software reacts to it.
    {code_of(GenericStatus::kReservationConflict), EBADE},

    // As Linux, BLK_STS_ZONE_ACTIVE_RESOURCE and BLK_STS_ZONE_OPEN_RESOURCE.
    {code_of(NvmStatusCode::kTooManyActiveZones), EOVERFLOW},
    {code_of(NvmStatusCode::kTooManyOpenZones), ETOOMANYREFS},

    // Linux makes the disk read-only and fails with EIO; FUSE can say what is wrong, and ublk
    // turns this into EIO as well.
    {code_of(GenericStatus::kNamespaceWriteProtected), EROFS},
};

}  // namespace

int errno_of(NvmeStatus status) {
  for (const ErrnoRow& row : kErrnos) {
    if (row.code == status.code()) return row.value;
  }
  // Linux has BLK_STS_TRANSPORT for Host Path Error and sends the other path errors to another
  // path, if there is one (nvme_is_path_error()); once nobody retries they all mean a lost path.
  if (status.sct() == spec::StatusCodeType::kPath) return ENOLINK;
  return EIO;
}

}  // namespace nvublk::nvme
