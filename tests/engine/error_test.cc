#include "engine/error.h"

#include <cerrno>
#include <set>

#include <gtest/gtest.h>

namespace nvublk {
namespace {

TEST(Error, TheCodeFollowsFromErrno) {
  const struct {
    int number;
    ErrorCode code;
  } kCases[] = {
      {EINVAL, ErrorCode::kInvalidArgument},
      {ENOENT, ErrorCode::kNotFound},
      {ENODEV, ErrorCode::kNotFound},
      {ENXIO, ErrorCode::kNotFound},
      {EEXIST, ErrorCode::kAlreadyExists},
      {EBUSY, ErrorCode::kBusy},
      {EPERM, ErrorCode::kPermission},
      {EACCES, ErrorCode::kPermission},
      {EOPNOTSUPP, ErrorCode::kUnsupported},
      {ENOSYS, ErrorCode::kUnsupported},
      {EAFNOSUPPORT, ErrorCode::kUnsupported},
      {ECONNREFUSED, ErrorCode::kUnreachable},
      {EHOSTUNREACH, ErrorCode::kUnreachable},
      {ENETUNREACH, ErrorCode::kUnreachable},
      {EADDRNOTAVAIL, ErrorCode::kUnreachable},
      {ECONNRESET, ErrorCode::kDisconnected},
      {EPIPE, ErrorCode::kDisconnected},
      {ENOTCONN, ErrorCode::kDisconnected},
      {ECONNABORTED, ErrorCode::kDisconnected},
      {ETIMEDOUT, ErrorCode::kTimeout},
      {EPROTO, ErrorCode::kProtocol},
      {EBADMSG, ErrorCode::kProtocol},
      {ENOMEM, ErrorCode::kNoResources},
      {EMFILE, ErrorCode::kNoResources},
      {ENFILE, ErrorCode::kNoResources},
      {ENOSPC, ErrorCode::kNoResources},
      {ECANCELED, ErrorCode::kCancelled},
      {EIO, ErrorCode::kSystem},
      {12345, ErrorCode::kSystem},
  };
  for (const auto& expected : kCases) {
    EXPECT_EQ(Error::from_errno(expected.number, "open").code, expected.code) << expected.number;
  }
}

TEST(Error, TheTextSaysWhatAndWhy) {
  const Error error = Error::from_errno(ENOENT, "cannot open /dev/x");
  EXPECT_EQ(error.text, "cannot open /dev/x: No such file or directory");
  EXPECT_TRUE(error.step.empty());
}

TEST(Error, EveryCodeHasItsOwnName) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::kSystem); code++) {
    const std::string_view name = error_code_name(static_cast<ErrorCode>(code));
    EXPECT_NE(name, "unknown");
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

TEST(Error, FailMakesAnUnexpectedResult) {
  const Result<int> result = fail(ErrorCode::kBusy, "in use");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kBusy);
  const Status status = fail_errno(EPERM, "mount");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kPermission);
}

}  // namespace
}  // namespace nvublk
