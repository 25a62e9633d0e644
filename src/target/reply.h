#pragma once

// What executing a command gives.

#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "nvme/spec/sqe.h"
#include "nvme/spec/status.h"

namespace nvublk::target {

using nvme::spec::NvmeStatus;

struct Reply {
  NvmeStatus status;
  std::uint64_t result = 0;            ///< DW0 and DW1 of the completion
  const std::uint8_t* data = nullptr;  ///< to the host; `owner` keeps it
  std::uint32_t data_length = 0;
  std::shared_ptr<const void> owner;
  bool shared_data = false;  ///< others may write to `data` while it is being sent
  /// How the first of two fused commands ended, which completes first.
  std::shared_ptr<const std::pair<nvme::spec::SubmissionEntry, NvmeStatus>> first;
  bool held = false;  ///< no completion now, but from elsewhere

  static Reply success(std::uint64_t result = 0) {
    Reply reply;
    reply.result = result;
    return reply;
  }
  template <typename Code>
  static Reply error(Code code, bool dnr = true) {
    return with_status(NvmeStatus::make(code, dnr));
  }
  static Reply with_status(NvmeStatus status) {
    Reply reply;
    reply.status = status;
    return reply;
  }
  /// The first `length` bytes of `bytes`, and zeros if it has fewer.
  static Reply with_data(std::vector<std::uint8_t> bytes, std::uint32_t length) {
    bytes.resize(length);
    auto owned = std::make_shared<const std::vector<std::uint8_t>>(std::move(bytes));
    Reply reply;
    reply.data = owned->data();
    reply.data_length = length;
    reply.owner = std::move(owned);
    return reply;
  }
};

/// The bytes of a structure of the specification.
template <typename T>
  requires std::is_trivially_copyable_v<T>
std::vector<std::uint8_t> bytes_of(const T& value) {
  std::vector<std::uint8_t> bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

}  // namespace nvublk::target
