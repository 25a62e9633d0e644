#pragma once

// The kernel's iommufd interface as this program uses it, and the part of VFIO's that goes with it,
// independent of the age of the installed headers. [include/uapi/linux/iommufd.h],
// [include/uapi/linux/vfio.h]

#include <cstddef>
#include <cstdint>

#include <linux/ioctl.h>

namespace nvublk::nvme::pcie::abi {

/// struct iommu_ioas_alloc.
struct IoasAlloc {
  std::uint32_t size;
  std::uint32_t flags;
  std::uint32_t out_ioas_id;
};
static_assert(sizeof(IoasAlloc) == 12);

/// struct iommu_iova_range; both ends included.
struct IovaRangeEntry {
  std::uint64_t start;
  std::uint64_t last;
};

/// struct iommu_ioas_iova_ranges.
struct IoasIovaRanges {
  std::uint32_t size;
  std::uint32_t ioas_id;
  std::uint32_t num_iovas;
  std::uint32_t reserved;
  std::uint64_t allowed_iovas;  ///< address of the array
  std::uint64_t out_iova_alignment;
};
static_assert(sizeof(IoasIovaRanges) == 32 && offsetof(IoasIovaRanges, allowed_iovas) == 16);

/// struct iommu_ioas_map.
struct IoasMap {
  std::uint32_t size;
  std::uint32_t flags;  ///< kMap...
  std::uint32_t ioas_id;
  std::uint32_t reserved;
  std::uint64_t user_va;
  std::uint64_t length;
  std::uint64_t iova;
};
static_assert(sizeof(IoasMap) == 40 && offsetof(IoasMap, iova) == 32);
constexpr std::uint32_t kMapFixedIova = 1u << 0;
constexpr std::uint32_t kMapWriteable = 1u << 1;
constexpr std::uint32_t kMapReadable = 1u << 2;

/// struct iommu_ioas_unmap; `length` comes back as how much was.
struct IoasUnmap {
  std::uint32_t size;
  std::uint32_t ioas_id;
  std::uint64_t iova;
  std::uint64_t length;
};
static_assert(sizeof(IoasUnmap) == 24);

constexpr unsigned kIommufdType = ';';
constexpr unsigned long kIoasAlloc = _IO(kIommufdType, 0x81);
constexpr unsigned long kIoasIovaRanges = _IO(kIommufdType, 0x84);
constexpr unsigned long kIoasMap = _IO(kIommufdType, 0x85);
constexpr unsigned long kIoasUnmap = _IO(kIommufdType, 0x86);

/// struct vfio_device_bind_iommufd.
struct BindIommufd {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::int32_t iommufd;
  std::uint32_t out_devid;
};
static_assert(sizeof(BindIommufd) == 16);

/// struct vfio_device_attach_iommufd_pt as it was first; newer ones go on with what is not used.
struct AttachIommufdPt {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::uint32_t pt_id;
};
static_assert(sizeof(AttachIommufdPt) == 12);

constexpr unsigned kVfioType = ';';
constexpr unsigned long kBindIommufd = _IO(kVfioType, 100 + 18);
constexpr unsigned long kAttachIommufdPt = _IO(kVfioType, 100 + 19);

}  // namespace nvublk::nvme::pcie::abi
