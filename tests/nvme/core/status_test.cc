#include <cerrno>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "nvme/status_text.h"

namespace nvublk::nvme {
namespace {

using spec::CommandStatus;
using spec::FabricsStatus;
using spec::GenericStatus;
using spec::MediaStatus;
using spec::NvmeStatus;
using spec::NvmStatusCode;
using spec::PathStatus;

TEST(StatusText, SaysWhatHappenedWithNameAndNumbers) {
  EXPECT_EQ(status_text(NvmeStatus::success()), "success");
  EXPECT_EQ(status_text(NvmeStatus::make(GenericStatus::kLbaOutOfRange, true)),
            "the LBA is beyond the end of the namespace (LBA_OUT_OF_RANGE, type 0h code 80h, "
            "do not retry)");
  EXPECT_EQ(status_text(NvmeStatus::make(MediaStatus::kUnrecoveredReadError)),
            "the data could not be read from the media (UNRECOVERED_READ_ERROR, type 2h code 81h)");
  EXPECT_EQ(status_text(NvmeStatus::from_bits(0x7c5)),
            "the controller reported an unknown error (type 7h code c5h)");
}

TEST(StatusText, CodesThatCommandSetsShareDependOnTheCommand) {
  const NvmeStatus shared = NvmeStatus::make(FabricsStatus::kInvalidHost);
  EXPECT_EQ(status_name(shared, StatusOf::kFabricsCommand), "CONNECT_INVALID_HOST");
  EXPECT_EQ(status_name(shared), "");
  const NvmeStatus parameters = NvmeStatus::make(FabricsStatus::kInvalidParameters);
  EXPECT_EQ(status_name(parameters, StatusOf::kFabricsCommand), "CONNECT_INVALID_PARAMETERS");
  EXPECT_EQ(status_name(parameters), "WRITE_TO_READ_ONLY_RANGE");
  EXPECT_EQ(status_name(NvmeStatus::make(GenericStatus::kInvalidField), StatusOf::kFabricsCommand),
            "INVALID_FIELD");
  EXPECT_EQ(status_name(NvmeStatus::make(FabricsStatus::kAuthenticationRequired),
                        StatusOf::kFabricsCommand),
            "AUTHENTICATION_REQUIRED");
}

TEST(StatusText, EveryCodeHasItsOwnNameAndDnrDoesNotMatter) {
  for (const StatusOf of : {StatusOf::kCommand, StatusOf::kFabricsCommand}) {
    std::set<std::string_view> names;
    for (unsigned code = 0; code < 0x800; code++) {
      const auto status = NvmeStatus::from_bits(static_cast<std::uint16_t>(code));
      const std::string_view name = status_name(status, of);
      if (!name.empty()) {
        EXPECT_TRUE(names.insert(name).second) << name;
      }
      EXPECT_EQ(status_name(NvmeStatus::from_bits(static_cast<std::uint16_t>(code | 0x7800)), of),
                name);
    }
    EXPECT_GT(names.size(), 110u);
  }
}

struct Expected {
  NvmeStatus status;
  int value;
};

// What nvme_error_status() and blk_errors[] of Linux give together, and our few additions.
TEST(ErrnoOf, IsWhatLinuxWouldSay) {
  const Expected table[] = {
      {NvmeStatus::success(), 0},
      {NvmeStatus::make(GenericStatus::kCapacityExceeded), ENOSPC},
      {NvmeStatus::make(GenericStatus::kLbaOutOfRange), EREMOTEIO},
      {NvmeStatus::make(GenericStatus::kCommandInterrupted), EREMOTEIO},
      {NvmeStatus::make(GenericStatus::kNamespaceNotReady), EREMOTEIO},
      {NvmeStatus::make(GenericStatus::kInvalidOpcode), EOPNOTSUPP},
      {NvmeStatus::make(GenericStatus::kInvalidField), EOPNOTSUPP},
      {NvmeStatus::make(GenericStatus::kInvalidNamespaceOrFormat), EOPNOTSUPP},
      {NvmeStatus::make(NvmStatusCode::kConflictingAttributes), EOPNOTSUPP},
      {NvmeStatus::make(NvmStatusCode::kCommandSizeLimitExceeded), EOPNOTSUPP},
      {NvmeStatus::make(MediaStatus::kWriteFault), ENODATA},
      {NvmeStatus::make(MediaStatus::kUnrecoveredReadError), ENODATA},
      {NvmeStatus::make(MediaStatus::kDeallocatedOrUnwritten), ENODATA},
      {NvmeStatus::make(MediaStatus::kAccessDenied), ENODATA},
      {NvmeStatus::make(MediaStatus::kCompareFailure), ENODATA},
      {NvmeStatus::make(NvmStatusCode::kWriteToReadOnlyRange), ENODATA},
      {NvmeStatus::make(MediaStatus::kGuardCheckError), EILSEQ},
      {NvmeStatus::make(MediaStatus::kApplicationTagCheckError), EILSEQ},
      {NvmeStatus::make(MediaStatus::kReferenceTagCheckError), EILSEQ},
      {NvmeStatus::make(MediaStatus::kStorageTagCheckError), EILSEQ},
      {NvmeStatus::make(NvmStatusCode::kInvalidProtectionInformation), EILSEQ},
      {NvmeStatus::make(GenericStatus::kReservationConflict), EBADE},
      {NvmeStatus::make(PathStatus::kHostPathError), ENOLINK},
      {NvmeStatus::make(PathStatus::kInternalPathError), ENOLINK},
      {NvmeStatus::make(PathStatus::kAnaInaccessible), ENOLINK},
      {NvmeStatus::make(PathStatus::kAbortedByHost), ENOLINK},
      {NvmeStatus::make(NvmStatusCode::kTooManyActiveZones), EOVERFLOW},
      {NvmeStatus::make(NvmStatusCode::kTooManyOpenZones), ETOOMANYREFS},
      {NvmeStatus::make(GenericStatus::kNamespaceWriteProtected), EROFS},
      {NvmeStatus::make(GenericStatus::kInternalError), EIO},
      {NvmeStatus::make(GenericStatus::kTransientTransportError), EIO},
      {NvmeStatus::make(GenericStatus::kAbortedSqDeletion), EIO},
      {NvmeStatus::from_bits(0x7c5), EIO},
  };
  for (const Expected& row : table) {
    EXPECT_EQ(errno_of(row.status), row.value) << status_text(row.status);
    EXPECT_EQ(errno_of(NvmeStatus::from_bits(row.status.bits() | 0x7800)), row.value)
        << "CRD, M and DNR change nothing: " << status_text(row.status);
  }
}

TEST(ErrnoOf, OnlySuccessIsZero) {
  for (unsigned code = 1; code < 0x800; code++) {
    EXPECT_GT(errno_of(NvmeStatus::from_bits(static_cast<std::uint16_t>(code))), 0) << code;
  }
}

}  // namespace
}  // namespace nvublk::nvme
