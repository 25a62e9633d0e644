#include "engine/error.h"

#include <cerrno>
#include <cstring>

namespace nvublk {

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kAlreadyExists:
      return "already_exists";
    case ErrorCode::kBusy:
      return "busy";
    case ErrorCode::kPermission:
      return "permission";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kUnreachable:
      return "unreachable";
    case ErrorCode::kDisconnected:
      return "disconnected";
    case ErrorCode::kTimeout:
      return "timeout";
    case ErrorCode::kProtocol:
      return "protocol";
    case ErrorCode::kNvmeStatus:
      return "nvme_status";
    case ErrorCode::kNoResources:
      return "no_resources";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kSystem:
      return "system";
  }
  return "unknown";
}

namespace {

ErrorCode code_of_errno(int errno_value) {
  switch (errno_value) {
    case EINVAL:
      return ErrorCode::kInvalidArgument;
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return ErrorCode::kNotFound;
    case EEXIST:
      return ErrorCode::kAlreadyExists;
    case EBUSY:
      return ErrorCode::kBusy;
    case EPERM:
    case EACCES:
      return ErrorCode::kPermission;
    case EOPNOTSUPP:
    case ENOSYS:
    case EAFNOSUPPORT:
      return ErrorCode::kUnsupported;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
      return ErrorCode::kUnreachable;
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case ECONNABORTED:
      return ErrorCode::kDisconnected;
    case ETIMEDOUT:
      return ErrorCode::kTimeout;
    case EPROTO:
    case EBADMSG:
      return ErrorCode::kProtocol;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOSPC:
      return ErrorCode::kNoResources;
    case ECANCELED:
      return ErrorCode::kCancelled;
    default:
      return ErrorCode::kSystem;
  }
}

}  // namespace

Error Error::from_errno(int errno_value, std::string_view what) {
  std::string text{what};
  text += ": ";
  text += std::strerror(errno_value);
  return Error::make(code_of_errno(errno_value), std::move(text));
}

}  // namespace nvublk
