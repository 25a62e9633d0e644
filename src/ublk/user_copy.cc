#include "ublk/user_copy.h"

#include <unistd.h>

#include "ublk/ublk_abi.h"

namespace nvublk::ublk {

namespace {

off_t offset_of(const RequestData& request) {
  return static_cast<off_t>(abi::kRequestDataOffset +
                            (std::uint64_t{request.queue_id} << abi::kRequestDataQueueShift) +
                            (std::uint64_t{request.tag} << abi::kRequestDataTagShift));
}

}  // namespace

bool copy_from_request(const RequestData& request, std::span<std::byte> buffer) {
  const ssize_t copied = ::pread(request.char_fd, buffer.data(), buffer.size(), offset_of(request));
  return copied >= 0 && static_cast<std::size_t>(copied) == buffer.size();
}

bool copy_to_request(const RequestData& request, std::span<const std::byte> buffer) {
  const ssize_t copied =
      ::pwrite(request.char_fd, buffer.data(), buffer.size(), offset_of(request));
  return copied >= 0 && static_cast<std::size_t>(copied) == buffer.size();
}

}  // namespace nvublk::ublk
