#include "engine/dma_memory.h"

#include <cerrno>

#include <sys/mman.h>

namespace nvublk {

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kHugePage = 2 * 1024 * 1024;

constexpr std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// Has all of it in memory before anybody touches it; false if there is none.
bool populate(void* memory, std::size_t size) {
  constexpr int kMadvPopulateWrite = 23;
  if (::madvise(memory, size, kMadvPopulateWrite) == 0) {
    return true;
  }
  if (errno != EINVAL) {
    return false;
  }
  // Before Linux 5.14 a write to each page does it.
  auto* const begin = static_cast<volatile std::byte*>(memory);
  for (std::size_t i = 0; i < size; i += kPage) {
    begin[i] = std::byte{0};
  }
  return true;
}

}  // namespace

Result<DmaRegion> DmaRegion::allocate(std::size_t length_bytes, int numa_node) {
  CHECK(length_bytes > 0);
  DmaRegion region;
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  constexpr int kHugeFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
  // A region much smaller than a huge page would waste one.
  if (length_bytes >= kHugePage / 2) {
    const std::size_t size = round_up(length_bytes, kHugePage);
    void* memory = ::mmap(nullptr, size, kProtection, kHugeFlags, -1, 0);
    if (memory != MAP_FAILED) {
      prefer_numa_node(memory, size, numa_node);
      if (populate(memory, size)) {
        region.data_ = static_cast<std::byte*>(memory);
        region.length_bytes_ = size;
        region.huge_ = true;
        region.locked_ = true;
        return region;
      }
      ::munmap(memory, size);
    }
  }
  const std::size_t size = round_up(length_bytes, kPage);
  void* memory = ::mmap(nullptr, size, kProtection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return fail_errno(errno, "cannot allocate " + std::to_string(size) + " bytes for I/O buffers");
  }
  region.data_ = static_cast<std::byte*>(memory);
  region.length_bytes_ = size;
  prefer_numa_node(memory, size, numa_node);
  // In large pieces where they can be had; kernels without them refuse, and need nothing.
  ::madvise(memory, size, MADV_HUGEPAGE);
  region.locked_ = ::mlock(memory, size) == 0;
  if (!region.locked_ && !populate(memory, size)) {
    return fail_errno(ENOMEM,
                      "there is no memory for " + std::to_string(size) + " bytes of I/O buffers");
  }
  return region;
}

Result<DmaRegion> DmaRegion::reserve(std::size_t length_bytes) {
  CHECK(length_bytes > 0);
  const std::size_t size = round_up(length_bytes, kPage);
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return fail_errno(errno, "cannot reserve " + std::to_string(size) + " bytes for I/O buffers");
  }
  // The first touch would otherwise clear 2 MiB in the middle of an I/O, and a tag that only ever
  // sees 4 KiB would hold all of that. Kernels without huge pages refuse, and need nothing.
  ::madvise(memory, size, MADV_NOHUGEPAGE);
  DmaRegion region;
  region.data_ = static_cast<std::byte*>(memory);
  region.length_bytes_ = size;
  return region;
}

DmaRegion::~DmaRegion() {
  CHECK(uses_ == 0);
  if (data_ != nullptr) {
    ::munmap(data_, length_bytes_);
  }
}

}  // namespace nvublk
