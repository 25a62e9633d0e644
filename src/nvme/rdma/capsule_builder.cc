#include "nvme/rdma/capsule_builder.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "nvme/spec/rdma_cm.h"

namespace nvublk::nvme::rdma {

namespace {

using spec::DataDirection;
using spec::KeyedSglDescriptor;

static_assert(offsetof(Capsule, descriptors) == spec::kRdmaCommandCapsuleBytes);

std::uint64_t address_of(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data);
}

std::byte* bytes_of(const iovec& piece) {
  return static_cast<std::byte*>(piece.iov_base);
}

}  // namespace

CapsuleLimits capsule_limits(const QueueTransportOptions& options, int max_pieces) {
  CapsuleLimits limits;
  if (options.qid == 0) {  // [RDMA 1.0 §3.3]
    return limits;
  }
  limits.in_capsule_bytes = max_pieces >= 2 ? options.in_capsule_bytes : 0;
  // A list of descriptors lies where the data would.
  const std::uint32_t room = options.in_capsule_bytes / sizeof(KeyedSglDescriptor);
  limits.max_descriptors = std::clamp<std::uint32_t>(std::min(room, options.max_descriptors), 1,
                                                     Capsule::kMaxDescriptors);
  return limits;
}

void CapsuleBuilder::set_capsule_length(RdmaCommand& command, Capsule& capsule, std::size_t bytes) {
  command.pieces[0].addr = address_of(&capsule);
  command.pieces[0].length = static_cast<std::uint32_t>(bytes);
  command.work.num_sge = 1;
}

bool CapsuleBuilder::build(const Request& request, Capsule& capsule, RdmaCommand& command) {
  capsule.sqe = request.sqe;
  command.direction = request.length_bytes > 0 ? request.sqe.direction() : DataDirection::kNone;
  set_capsule_length(command, capsule, sizeof(capsule.sqe));
  if (command.direction == DataDirection::kNone) {
    // A descriptor of nothing: commands without data have one too. [Base 2.1 §4.3.2]
    capsule.sqe.set_sgl(KeyedSglDescriptor::data_block(0, 0, 0));
    return true;
  }
  const bool in_capsule = command.direction == DataDirection::kHostToController &&
                          request.length_bytes <= limits_.in_capsule_bytes &&
                          !request.sqe.is_fabrics();
  if (in_capsule) {
    return add_in_capsule(request, capsule, command);
  }
  const std::uint32_t count = name_pieces(request, capsule);
  if (count == 0) {
    if (!copy_in(request, command)) {
      return false;
    }
    capsule.sqe.set_sgl(KeyedSglDescriptor::data_block(
        address_of(command.bounce->data), request.length_bytes, command.bounce->keys.remote_key));
  } else if (count == 1) {
    capsule.sqe.set_sgl(capsule.descriptors[0]);
  } else {
    const std::uint32_t bytes = count * static_cast<std::uint32_t>(sizeof(KeyedSglDescriptor));
    capsule.sqe.set_sgl(spec::SglDescriptor::last_segment_in_capsule(0, bytes));
    set_capsule_length(command, capsule, sizeof(capsule.sqe) + bytes);
  }
  return true;
}

// Descriptors of the data where it is; 0 if its memory is not registered, or it is in more pieces
// than the controller takes.
std::uint32_t CapsuleBuilder::name_pieces(const Request& request, Capsule& capsule) {
  std::uint32_t count = 0;
  const std::uint32_t limit = request.sqe.is_fabrics() ? 1 : limits_.max_descriptors;
  for (const iovec& piece : std::span(request.iov, request.iov_count)) {
    if (piece.iov_len == 0) {
      continue;
    }
    const MemoryKeys* keys = memory_.find(bytes_of(piece), piece.iov_len);
    if (keys == nullptr || piece.iov_len > KeyedSglDescriptor::kMaxLength) {
      return 0;
    }
    if (count > 0) {
      KeyedSglDescriptor& last = capsule.descriptors[count - 1];
      const std::uint64_t length = last.length.get() + std::uint64_t{piece.iov_len};
      if (last.address.get() + last.length.get() == address_of(piece.iov_base) &&
          last.key.get() == keys->remote_key && length <= KeyedSglDescriptor::kMaxLength) {
        last.length = static_cast<std::uint32_t>(length);
        continue;
      }
    }
    if (count == limit) {
      return 0;
    }
    capsule.descriptors[count++] = KeyedSglDescriptor::data_block(
        address_of(piece.iov_base), static_cast<std::uint32_t>(piece.iov_len), keys->remote_key);
  }
  return count;
}

bool CapsuleBuilder::copy_in(const Request& request, RdmaCommand& command) {
  BounceBuffer* bounce = pool_.acquire(request.length_bytes);
  if (bounce == nullptr) {
    return false;
  }
  counters_.copies.add();
  command.bounce = bounce;
  if (command.direction != DataDirection::kControllerToHost) {
    std::byte* to = bounce->data;
    for (const iovec& piece : std::span(request.iov, request.iov_count)) {
      std::memcpy(to, piece.iov_base, piece.iov_len);
      to += piece.iov_len;
    }
  }
  return true;
}

bool CapsuleBuilder::add_in_capsule(const Request& request, Capsule& capsule,
                                    RdmaCommand& command) {
  ibv_sge& data = command.pieces[1];
  const MemoryKeys* keys = request.iov_count == 1
                               ? memory_.find(bytes_of(request.iov[0]), request.length_bytes)
                               : nullptr;
  if (keys != nullptr) {
    data.addr = address_of(request.iov[0].iov_base);
    data.lkey = keys->local_key;
  } else {
    if (!copy_in(request, command)) {
      return false;
    }
    data.addr = address_of(command.bounce->data);
    data.lkey = command.bounce->keys.local_key;
  }
  data.length = request.length_bytes;
  command.work.num_sge = 2;
  capsule.sqe.set_sgl(spec::SglDescriptor::in_capsule(0, request.length_bytes));
  return true;
}

void CapsuleBuilder::finish(RdmaCommand& command, bool good) {
  BounceBuffer* bounce = std::exchange(command.bounce, nullptr);
  if (bounce == nullptr) {
    return;
  }
  if (good && command.direction == DataDirection::kControllerToHost) {
    const std::byte* from = bounce->data;
    for (const iovec& piece : std::span(command.request->iov, command.request->iov_count)) {
      std::memcpy(piece.iov_base, from, piece.iov_len);
      from += piece.iov_len;
    }
  }
  pool_.release(*bounce);
}

}  // namespace nvublk::nvme::rdma
