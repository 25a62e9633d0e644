#pragma once

// Failures of the control path. `Result<T>` is std::expected with an `Error` whose text is a
// sentence that a user can act on. The data path uses statuses, not this.

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace nvublk {

/// What kind of failure it is, for programs; people read Error::text.
enum class ErrorCode : std::uint8_t {
  kInvalidArgument,  ///< what the caller passed cannot be right
  kNotFound,         ///< the thing named does not exist
  kAlreadyExists,    ///< the thing to be made exists
  kBusy,             ///< in use; try again when it is free
  kPermission,       ///< the operating system or the target refused us
  kUnsupported,      ///< this kernel, device or target cannot do it
  kUnreachable,      ///< no route, refused, or no such host
  kDisconnected,     ///< the peer closed the connection, or the device is gone
  kTimeout,          ///< a deadline passed
  kProtocol,         ///< the peer or device broke the specification
  kNvmeStatus,       ///< a command completed with an error; see Error::nvme_status
  kNoResources,      ///< memory, descriptors, queue entries
  kCancelled,        ///< stopped because its owner goes away
  kSystem,           ///< a system call failed for another reason
};

/// The name of `code` as JSON and the logs show it, such as "timeout".
std::string_view error_code_name(ErrorCode code);

/// Why something on the control path failed.
struct Error {
  ErrorCode code = ErrorCode::kSystem;  ///< what programs look at
  std::string text;                     ///< what failed and what to try, one sentence, no full stop
  std::string step;                     ///< which step of which sequence, or empty
  std::uint16_t nvme_status = 0;  ///< the 15 status bits (SC, SCT, CRD, M, DNR) for kNvmeStatus

  /// An error without a step and an NVMe status.
  static Error make(ErrorCode code, std::string text) {
    return Error{code, std::move(text), {}, 0};
  }
  /// `what` failed with `errno_value`; the code follows from the number.
  static Error from_errno(int errno_value, std::string_view what);
};

/// A value, or why there is none.
template <typename T>
using Result = std::expected<T, Error>;
/// Success, or why not.
using Status = std::expected<void, Error>;

/// A Result or Status that is this error.
inline std::unexpected<Error> fail(ErrorCode code, std::string text) {
  return std::unexpected(Error::make(code, std::move(text)));
}
/// The same for Error::from_errno().
inline std::unexpected<Error> fail_errno(int errno_value, std::string_view what) {
  return std::unexpected(Error::from_errno(errno_value, what));
}

}  // namespace nvublk
