#include "fuse/file_request.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <linux/falloc.h>

namespace nvublk::fuse {

namespace {

using Verdict = FileRequest::Verdict;
using Bytes = std::span<const std::byte>;

template <typename T>
std::optional<T> parse(Bytes bytes) {
  if (bytes.size() < sizeof(T)) {
    return std::nullopt;
  }
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

FileRequest reply(FileRequest request, int error) {
  request.verdict = Verdict::kReply;
  request.error = error;
  return request;
}

bool aligned(std::uint64_t value, const FileLimits& limits) {
  return value % limits.block_size_bytes == 0;
}

/// `offset` is below the size of the file, or the range is empty.
FileRequest submit(FileRequest request, BlockOp op, std::uint64_t offset, std::uint64_t length,
                   const FileLimits& limits) {
  request.verdict = Verdict::kSubmit;
  request.op = op;
  request.lba = offset / limits.block_size_bytes;
  request.blocks = length / limits.block_size_bytes;
  return request;
}

FileRequest decode_read(FileRequest request, Bytes body, const FileLimits& limits) {
  const auto read = parse<abi::ReadIn>(body);
  if (!read || read->size > limits.max_transfer_bytes || !aligned(read->offset, limits) ||
      !aligned(read->size, limits)) {
    return reply(request, EINVAL);
  }
  if (read->offset >= limits.size_bytes) {
    return submit(request, BlockOp::kRead, 0, 0, limits);
  }
  const std::uint64_t length =
      std::min<std::uint64_t>(read->size, limits.size_bytes - read->offset);
  return submit(request, BlockOp::kRead, read->offset, length, limits);
}

FileRequest decode_write(FileRequest request, Bytes body, const FileLimits& limits) {
  const auto write = parse<abi::WriteIn>(body);
  if (!write || write->size > limits.max_transfer_bytes ||
      body.size() - sizeof(abi::WriteIn) != write->size || !aligned(write->offset, limits) ||
      !aligned(write->size, limits)) {
    return reply(request, EINVAL);
  }
  if (limits.read_only) {
    return reply(request, EROFS);
  }
  if (write->offset > limits.size_bytes || write->size > limits.size_bytes - write->offset) {
    return reply(request, ENOSPC);
  }
  return submit(request, BlockOp::kWrite, write->offset, write->size, limits);
}

// A hole reads as zeroes, and the loop driver relies on it: both its discards and its write zeroes
// (without "no unmap") arrive as PUNCH_HOLE. An NVMe deallocate promises no such thing, so a hole
// is write zeroes that may deallocate.
FileRequest decode_fallocate(FileRequest request, Bytes body, const FileLimits& limits) {
  const auto fallocate = parse<abi::FallocateIn>(body);
  if (!fallocate) {
    return reply(request, EINVAL);
  }
  const std::uint32_t mode = fallocate->mode & ~std::uint32_t{FALLOC_FL_KEEP_SIZE};
  request.punch_hole = mode == FALLOC_FL_PUNCH_HOLE;
  request.no_unmap = mode == FALLOC_FL_ZERO_RANGE;
  if ((!request.punch_hole && !request.no_unmap) || !limits.write_zeroes) {
    return reply(request, EOPNOTSUPP);
  }
  if (!aligned(fallocate->offset, limits) || !aligned(fallocate->length, limits) ||
      fallocate->length == 0) {
    return reply(request, EINVAL);
  }
  if (limits.read_only) {
    return reply(request, EROFS);
  }
  const bool past_end = fallocate->offset > limits.size_bytes ||
                        fallocate->length > limits.size_bytes - fallocate->offset;
  if (past_end && (fallocate->mode & FALLOC_FL_KEEP_SIZE) == 0) {
    return reply(request, ENOSPC);
  }
  const std::uint64_t offset = std::min(fallocate->offset, limits.size_bytes);
  const std::uint64_t length = std::min(fallocate->length, limits.size_bytes - offset);
  return submit(request, BlockOp::kWriteZeroes, offset, length, limits);
}

FileRequest decode_open(FileRequest request, Bytes body, const FileLimits& limits) {
  const auto open = parse<abi::OpenIn>(body);
  if (!open) {
    return reply(request, EINVAL);
  }
  if (limits.read_only && (open->flags & O_ACCMODE) != O_RDONLY) {
    return reply(request, EROFS);
  }
  request.verdict = Verdict::kOpen;
  return request;
}

}  // namespace

FileRequest decode_file_request(Bytes bytes, const FileLimits& limits) {
  FileRequest request;
  const auto header = parse<abi::InHeader>(bytes);
  if (!header) {
    return request;
  }
  request.unique = header->unique;
  if (header->len != bytes.size()) {
    return reply(request, EINVAL);
  }
  const Bytes body = bytes.subspan(sizeof(abi::InHeader));
  const auto opcode = static_cast<abi::Opcode>(header->opcode);
  const bool for_file = header->nodeid == kFileNode;
  switch (opcode) {
    case abi::Opcode::kRead:
      return for_file ? decode_read(request, body, limits) : reply(request, EINVAL);
    case abi::Opcode::kWrite:
      return for_file ? decode_write(request, body, limits) : reply(request, EINVAL);
    case abi::Opcode::kFallocate:
      return for_file ? decode_fallocate(request, body, limits) : reply(request, EINVAL);
    case abi::Opcode::kFsync:
      return for_file ? submit(request, BlockOp::kFlush, 0, 0, limits) : reply(request, EINVAL);
    case abi::Opcode::kOpen:
      return for_file ? decode_open(request, body, limits) : reply(request, EISDIR);
    case abi::Opcode::kInterrupt:
      // Requests end when the device has answered; ENOSYS tells the kernel to send no more of
      // these.
      return reply(request, ENOSYS);
    case abi::Opcode::kForget:
    case abi::Opcode::kBatchForget:
    case abi::Opcode::kNotifyReply:
      request.verdict = Verdict::kIgnore;
      return request;
    case abi::Opcode::kInit:
      break;
  }
  request.verdict = Verdict::kForward;
  return request;
}

}  // namespace nvublk::fuse
