#include "nvme/pcie/vfio_container.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

namespace nvublk::nvme::pcie {

namespace {

constexpr char kContainer[] = "/dev/vfio/vfio";
// What every IOMMU has, where the kernel does not say.
constexpr IovaRange kUsualRange{0x10000, 0xfedfffff};

Result<UniqueFd> open_container() {
  UniqueFd container(::open(kContainer, O_RDWR | O_CLOEXEC));
  if (!container) {
    if (errno == ENOENT || errno == ENODEV) {
      return fail(ErrorCode::kUnsupported,
                  "the kernel has no VFIO: load it with \"modprobe vfio-pci\"");
    }
    return fail_errno(errno, std::string("cannot open ") + kContainer);
  }
  if (::ioctl(container.get(), VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
      ::ioctl(container.get(), VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1) {
    return fail(ErrorCode::kUnsupported,
                "the kernel's VFIO has no support for this IOMMU (type 1): load it with "
                "\"modprobe vfio_iommu_type1\"");
  }
  return container;
}

Error group_error(int error_number, const std::string& path) {
  switch (error_number) {
    case ENOENT:
      return Error::make(ErrorCode::kNotFound, path +
                                                   " is not there: no device of this IOMMU "
                                                   "group is bound to vfio-pci");
    case EBUSY:
      return Error::make(ErrorCode::kBusy, path +
                                               " is in use: another process has a device of "
                                               "this IOMMU group");
    case EACCES:
    case EPERM:
      return Error::make(ErrorCode::kPermission,
                         "no permission to open " + path +
                             ": run nvublkd as root, or give its user access to that file");
    default:
      return Error::from_errno(error_number, "cannot open " + path);
  }
}

Result<UniqueFd> open_group(unsigned group, int container) {
  const std::string path = "/dev/vfio/" + std::to_string(group);
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) {
    return std::unexpected(group_error(errno, path));
  }
  vfio_group_status status{};
  status.argsz = sizeof(status);
  if (::ioctl(fd.get(), VFIO_GROUP_GET_STATUS, &status) != 0) {
    return fail_errno(errno, "cannot ask for the state of " + path);
  }
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
    return fail(ErrorCode::kBusy,
                "other devices of IOMMU group " + std::to_string(group) +
                    " are in use by drivers of the kernel; they have to be unbound too "
                    "(\"nvublk pci list\" shows groups)");
  }
  if (::ioctl(fd.get(), VFIO_GROUP_SET_CONTAINER, &container) != 0) {
    return fail_errno(errno, "cannot put " + path + " into a container");
  }
  if (::ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) != 0) {
    if (errno == EPERM) {
      return fail(ErrorCode::kPermission,
                  "the kernel refuses VFIO: this platform's IOMMU cannot isolate interrupts "
                  "(vfio_iommu_type1.allow_unsafe_interrupts=1 takes that risk)");
    }
    return fail_errno(errno, "cannot use the IOMMU for " + path);
  }
  return fd;
}

// Walks the chain of capabilities behind VFIO_IOMMU_GET_INFO; offsets are the kernel's.
std::vector<IovaRange> ranges_of(const std::vector<std::byte>& info) {
  std::vector<IovaRange> ranges;
  vfio_iommu_type1_info head{};
  std::memcpy(&head, info.data(), sizeof(head));
  std::size_t offset = (head.flags & VFIO_IOMMU_INFO_CAPS) != 0 ? head.cap_offset : 0;
  while (offset != 0 && offset + sizeof(vfio_info_cap_header) <= info.size()) {
    vfio_info_cap_header capability{};
    std::memcpy(&capability, info.data() + offset, sizeof(capability));
    vfio_iommu_type1_info_cap_iova_range list{};
    if (capability.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE &&
        offset + sizeof(list) <= info.size()) {
      std::memcpy(&list, info.data() + offset, sizeof(list));
      std::size_t at = offset + sizeof(list);
      for (std::uint32_t i = 0; i < list.nr_iovas; i++, at += sizeof(vfio_iova_range)) {
        if (at + sizeof(vfio_iova_range) > info.size()) {
          break;
        }
        vfio_iova_range range{};
        std::memcpy(&range, info.data() + at, sizeof(range));
        ranges.push_back({range.start, range.end});
      }
    }
    offset = capability.next;
  }
  return ranges;
}

Result<std::vector<IovaRange>> iova_ranges(int container) {
  vfio_iommu_type1_info head{};
  head.argsz = sizeof(head);
  if (::ioctl(container, VFIO_IOMMU_GET_INFO, &head) != 0) {
    return fail_errno(errno, "cannot ask for the IOMMU's address ranges");
  }
  std::vector<std::byte> info(std::max<std::size_t>(head.argsz, sizeof(head)));
  head = {};
  head.argsz = static_cast<std::uint32_t>(info.size());
  std::memcpy(info.data(), &head, sizeof(head));
  if (::ioctl(container, VFIO_IOMMU_GET_INFO, info.data()) != 0) {
    return fail_errno(errno, "cannot ask for the IOMMU's address ranges");
  }
  std::vector<IovaRange> ranges = ranges_of(info);
  if (ranges.empty()) {
    ranges.push_back(kUsualRange);
  }
  return ranges;
}

}  // namespace

Result<VfioOpened> VfioContainer::open(unsigned group, const std::string& address) {
  auto container = open_container();
  if (!container) {
    return std::unexpected(std::move(container.error()));
  }
  auto group_fd = open_group(group, container->get());
  if (!group_fd) {
    return std::unexpected(std::move(group_fd.error()));
  }
  auto ranges = iova_ranges(container->get());
  if (!ranges) {
    return std::unexpected(std::move(ranges.error()));
  }
  UniqueFd device(::ioctl(group_fd->get(), VFIO_GROUP_GET_DEVICE_FD, address.c_str()));
  if (!device) {
    return fail_errno(errno, "cannot open " + address + " through VFIO");
  }
  return VfioOpened{std::unique_ptr<VfioSpace>(new VfioContainer(
                        std::move(*container), std::move(*group_fd), std::move(*ranges))),
                    std::move(device)};
}

int VfioContainer::map_at(std::span<std::byte> memory, std::uint64_t address) {
  vfio_iommu_type1_dma_map request{};
  request.argsz = sizeof(request);
  request.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  request.vaddr = reinterpret_cast<std::uintptr_t>(memory.data());
  request.iova = address;
  request.size = memory.size();
  return ::ioctl(container_.get(), VFIO_IOMMU_MAP_DMA, &request) == 0 ? 0 : errno;
}

int VfioContainer::unmap_at(std::uint64_t address, std::uint64_t length_bytes) {
  vfio_iommu_type1_dma_unmap request{};
  request.argsz = sizeof(request);
  request.iova = address;
  request.size = length_bytes;
  return ::ioctl(container_.get(), VFIO_IOMMU_UNMAP_DMA, &request) == 0 ? 0 : errno;
}

}  // namespace nvublk::nvme::pcie
