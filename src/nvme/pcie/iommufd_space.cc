#include "nvme/pcie/iommufd_space.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/ioctl.h>

#include "nvme/pcie/iommufd_abi.h"

namespace nvublk::nvme::pcie {

namespace {

Result<UniqueFd> open_node(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd && (errno == EACCES || errno == EPERM)) {
    return fail(ErrorCode::kPermission,
                "no permission to open " + path +
                    ": run nvublkd as root, or give its user access to that file");
  }
  if (!fd) {
    return fail_errno(errno, "cannot open " + path);
  }
  return fd;
}

// The device does not reach any memory before it is in an address space.
Status bind(int device, int iommu, std::uint32_t ioas, const std::string& node) {
  abi::BindIommufd binding{};
  binding.argsz = sizeof(binding);
  binding.iommufd = iommu;
  if (::ioctl(device, abi::kBindIommufd, &binding) != 0) {
    if (errno == EBUSY) {
      return fail(ErrorCode::kBusy,
                  node + " is in use: another process has the device, or one of its IOMMU group");
    }
    return fail_errno(errno, "cannot bind " + node + " to iommufd");
  }
  abi::AttachIommufdPt attachment{};
  attachment.argsz = sizeof(attachment);
  attachment.pt_id = ioas;
  if (::ioctl(device, abi::kAttachIommufdPt, &attachment) != 0) {
    return fail_errno(errno, "cannot give " + node + " an address space");
  }
  return {};
}

// What the IOMMU and the device can both do, once it is attached.
Result<std::vector<IovaRange>> ranges_of(int iommu, std::uint32_t ioas) {
  std::vector<abi::IovaRangeEntry> entries(16);
  abi::IoasIovaRanges request{};
  while (true) {
    request = {};
    request.size = sizeof(request);
    request.ioas_id = ioas;
    request.num_iovas = static_cast<std::uint32_t>(entries.size());
    request.allowed_iovas = reinterpret_cast<std::uintptr_t>(entries.data());
    if (::ioctl(iommu, abi::kIoasIovaRanges, &request) == 0) {
      break;
    }
    if (errno != EMSGSIZE || request.num_iovas <= entries.size()) {
      return fail_errno(errno, "cannot ask for the IOMMU's address ranges");
    }
    entries.resize(request.num_iovas);
  }
  std::vector<IovaRange> ranges;
  for (std::uint32_t i = 0; i < request.num_iovas && i < entries.size(); i++) {
    ranges.push_back({entries[i].start, entries[i].last});
  }
  return ranges;
}

}  // namespace

Result<VfioOpened> IommufdSpace::open(const std::string& node) {
  auto iommu = open_node(kIommu);
  if (!iommu) {
    return std::unexpected(std::move(iommu.error()));
  }
  auto device = open_node(node);
  if (!device) {
    return std::unexpected(std::move(device.error()));
  }
  abi::IoasAlloc space{};
  space.size = sizeof(space);
  if (::ioctl(iommu->get(), abi::kIoasAlloc, &space) != 0) {
    return fail_errno(errno, "cannot make an address space of iommufd");
  }
  if (Status bound = bind(device->get(), iommu->get(), space.out_ioas_id, node); !bound) {
    return std::unexpected(std::move(bound.error()));
  }
  auto ranges = ranges_of(iommu->get(), space.out_ioas_id);
  if (!ranges) {
    return std::unexpected(std::move(ranges.error()));
  }
  return VfioOpened{std::unique_ptr<VfioSpace>(
                        new IommufdSpace(std::move(*iommu), space.out_ioas_id, std::move(*ranges))),
                    std::move(*device)};
}

int IommufdSpace::map_at(std::span<std::byte> memory, std::uint64_t address) {
  abi::IoasMap request{};
  request.size = sizeof(request);
  request.flags = abi::kMapFixedIova | abi::kMapWriteable | abi::kMapReadable;
  request.ioas_id = ioas_;
  request.user_va = reinterpret_cast<std::uintptr_t>(memory.data());
  request.length = memory.size();
  request.iova = address;
  return ::ioctl(iommu_.get(), abi::kIoasMap, &request) == 0 ? 0 : errno;
}

int IommufdSpace::unmap_at(std::uint64_t address, std::uint64_t length_bytes) {
  abi::IoasUnmap request{};
  request.size = sizeof(request);
  request.ioas_id = ioas_;
  request.iova = address;
  request.length = length_bytes;
  return ::ioctl(iommu_.get(), abi::kIoasUnmap, &request) == 0 ? 0 : errno;
}

}  // namespace nvublk::nvme::pcie
