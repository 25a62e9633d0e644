#pragma once

// The data of a request on a device with USER_COPY: it stays with the request, in the kernel, and
// is read from and written to it through the device's server node. A copy between memories that
// does not wait for anything. [Documentation/block/ublk.rst]

#include <cstddef>
#include <cstdint>
#include <span>

namespace nvublk::ublk {

/// A request that the kernel has handed over and that is not committed yet.
struct RequestData {
  int char_fd = -1;  ///< /dev/ublkcN
  std::uint16_t queue_id = 0;
  std::uint16_t tag = 0;
};

/// The data of a write or an append into `buffer`; false: not all of it.
bool copy_from_request(const RequestData& request, std::span<std::byte> buffer);
/// `buffer` into a read or a zone report; false: not all of it.
bool copy_to_request(const RequestData& request, std::span<const std::byte> buffer);

}  // namespace nvublk::ublk
