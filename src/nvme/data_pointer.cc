#include "nvme/data_pointer.h"

#include <algorithm>
#include <limits>

#include "engine/check.h"

namespace nvublk::nvme {

namespace {

// Walks over the pages of segments, and refuses those that do not line up.
class PageWalk {
 public:
  PageWalk(std::span<const DmaSegment> segments, std::uint32_t page_bytes)
      : segments_(segments), page_bytes_(page_bytes) {}

  bool aligned() const {
    bool first = true;
    bool ended_at_page = true;
    for (const DmaSegment& segment : segments_) {
      if (segment.length_bytes == 0) {
        continue;
      }
      const bool begins_at_page = segment.address % page_bytes_ == 0;
      if (segment.address % 4 != 0 || !ended_at_page || (!first && !begins_at_page)) {
        return false;
      }
      first = false;
      ended_at_page = (segment.address + segment.length_bytes) % page_bytes_ == 0;
    }
    return true;
  }
  std::size_t count() const {
    std::size_t pages = 0;
    for (const DmaSegment& segment : segments_) {
      if (segment.length_bytes > 0) {
        const std::uint64_t first = segment.address / page_bytes_;
        const std::uint64_t last = (segment.address + segment.length_bytes - 1) / page_bytes_;
        pages += last - first + 1;
      }
    }
    return pages;
  }
  template <typename Visit>
  void each(Visit visit) const {
    for (const DmaSegment& segment : segments_) {
      const std::uint64_t end = segment.address + segment.length_bytes;
      for (std::uint64_t at = segment.address; at < end;
           at = (at / page_bytes_ + 1) * page_bytes_) {
        visit(at);
      }
    }
  }

 private:
  std::span<const DmaSegment> segments_;
  const std::uint64_t page_bytes_;
};

// List entries for `pages` addresses; every full page gives one entry up to point to the next.
std::size_t list_entries(std::size_t pages, std::size_t entries_per_page) {
  if (pages <= entries_per_page) {
    return pages;
  }
  const std::size_t chained = (pages - 2) / (entries_per_page - 1);
  return pages + chained;
}

}  // namespace

std::expected<PrpPointers, DataPointerError> build_prps(std::span<const DmaSegment> segments,
                                                        std::uint32_t page_bytes,
                                                        std::span<std::uint64_t> list,
                                                        std::uint64_t list_address) {
  CHECK(page_bytes >= 16 && list_address % page_bytes == 0);
  const PageWalk walk(segments, page_bytes);
  const std::size_t pages = walk.count();
  if (pages == 0) {
    return std::unexpected(DataPointerError::kEmpty);
  }
  if (!walk.aligned()) {
    return std::unexpected(DataPointerError::kAlignment);
  }
  const std::size_t per_page = page_bytes / sizeof(std::uint64_t);
  PrpPointers result;
  result.list_entries = pages > 2 ? list_entries(pages - 1, per_page) : 0;
  if (result.list_entries > list.size()) {
    return std::unexpected(DataPointerError::kTooLong);
  }
  std::size_t page = 0;
  std::size_t entry = 0;
  walk.each([&](std::uint64_t address) {
    if (page == 0) {
      result.prp1 = address;
    } else if (pages == 2) {
      result.prp2 = address;
    } else {
      // The last entry of a list page points on, unless it is the last one of all.
      if (entry % per_page == per_page - 1 && page + 1 < pages) {
        list[entry] = list_address + (entry + 1) * sizeof(std::uint64_t);
        entry++;
      }
      list[entry++] = address;
    }
    page++;
  });
  if (pages > 2) {
    result.prp2 = list_address;
    CHECK(entry == result.list_entries);
  }
  return result;
}

std::expected<SglPointer, DataPointerError> build_sgl(std::span<const DmaSegment> segments,
                                                      std::span<spec::SglDescriptor> list,
                                                      std::uint64_t list_address,
                                                      bool dword_aligned) {
  constexpr std::uint64_t kMaxLength = std::numeric_limits<std::uint32_t>::max();
  SglPointer result;
  spec::SglDescriptor last;
  std::size_t count = 0;
  for (const DmaSegment& segment : segments) {
    if (segment.length_bytes == 0) {
      continue;
    }
    if (dword_aligned && (segment.address % 4 != 0 || segment.length_bytes % 4 != 0)) {
      return std::unexpected(DataPointerError::kAlignment);
    }
    if (segment.length_bytes > kMaxLength) {
      return std::unexpected(DataPointerError::kTooLong);
    }
    const auto length = static_cast<std::uint32_t>(segment.length_bytes);
    const bool neighbour = count > 0 && last.address.get() + last.length.get() == segment.address &&
                           std::uint64_t{last.length.get()} + length <= kMaxLength;
    if (neighbour) {
      last.length = last.length.get() + length;
    } else {
      last = spec::SglDescriptor::data_block(segment.address, length);
      count++;
    }
    if (count <= list.size()) {
      list[count - 1] = last;
    } else if (count > 1) {
      return std::unexpected(DataPointerError::kTooLong);
    }
  }
  if (count == 0) {
    return std::unexpected(DataPointerError::kEmpty);
  }
  if (count == 1) {
    result.sgl1 = last;
    return result;
  }
  result.list_entries = count;
  result.sgl1.address = list_address;
  result.sgl1.length = static_cast<std::uint32_t>(count * sizeof(spec::SglDescriptor));
  result.sgl1.identifier =
      spec::SglDescriptor::make_identifier(spec::SglType::kLastSegment, spec::SglSubtype::kAddress);
  return result;
}

}  // namespace nvublk::nvme
