#include "fuse/receive_ring.h"

#include <bit>
#include <cerrno>
#include <cstdlib>

#include "engine/check.h"

namespace nvublk::fuse {

namespace {

constexpr std::size_t kPage = 4096;
/// Groups are chosen from here on, so that others on the same ring can choose from 0 on.
constexpr std::uint16_t kFirstGroup = 0x4000;
constexpr std::uint16_t kGroups = 0x4000;

}  // namespace

ReceiveRing::~ReceiveRing() {
  CHECK(!is_open());
}

Status ReceiveRing::open(Uring& uring, unsigned entries) {
  CHECK(!is_open());
  entries_ = std::bit_ceil(entries);
  void* memory = nullptr;
  if (::posix_memalign(&memory, kPage, entries_ * sizeof(io_uring_buf)) != 0) {
    return fail(ErrorCode::kNoResources, "no memory for a ring of receive buffers");
  }
  auto* buffers = static_cast<io_uring_buf_ring*>(memory);
  io_uring_buf_ring_init(buffers);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uint64_t>(memory);
  registration.ring_entries = entries_;
  int status = -EEXIST;
  for (std::uint16_t i = 0; i < kGroups && status == -EEXIST; i++) {
    registration.bgid = static_cast<std::uint16_t>(kFirstGroup + i);
    status = io_uring_register_buf_ring(&uring.raw(), &registration, 0);
  }
  if (status != 0) {
    std::free(memory);
    return fail_errno(-status, "cannot register receive buffers");
  }
  uring_ = &uring;
  buffers_ = buffers;
  group_ = registration.bgid;
  return {};
}

void ReceiveRing::close() {
  if (!is_open()) {
    return;
  }
  CHECK(io_uring_unregister_buf_ring(&uring_->raw(), group_) == 0);
  std::free(buffers_);
  buffers_ = nullptr;
  uring_ = nullptr;
}

void ReceiveRing::offer(std::byte* data, std::uint32_t length_bytes, std::uint16_t id) {
  io_uring_buf_ring_add(buffers_, data, length_bytes, id, io_uring_buf_ring_mask(entries_),
                        offered_);
  offered_++;
}

void ReceiveRing::publish() {
  if (offered_ > 0) {
    io_uring_buf_ring_advance(buffers_, offered_);
    offered_ = 0;
  }
}

}  // namespace nvublk::fuse
