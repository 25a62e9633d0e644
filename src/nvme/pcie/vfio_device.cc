#include "nvme/pcie/vfio_device.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/pcie/bar_guard.h"
#include "nvme/pcie/iommufd_space.h"
#include "nvme/pcie/pci_function.h"
#include "nvme/pcie/vfio_container.h"

namespace nvublk::nvme::pcie {

namespace {

// Of the configuration space of every PCI function.
constexpr off_t kCommandOffset = 4;
constexpr std::uint16_t kCommandMemory = 1u << 1;
constexpr std::uint16_t kCommandBusMaster = 1u << 2;
constexpr std::uint16_t kCommandNoIntx = 1u << 10;

// Admin queue and I/O queues; who has more queues than vectors polls the others.
constexpr unsigned kMaxInterrupts = 129;

// iommufd where the kernel has it; who may not use it may have been given the group.
Result<VfioOpened> open_space(const PciAddress& address) {
  const Result<unsigned> group = vfio_group(address);
  if (!group) {
    return std::unexpected(group.error());
  }
  const std::string node = vfio_node(address);
  if (!node.empty() && ::access(IommufdSpace::kIommu, F_OK) == 0) {
    auto opened = IommufdSpace::open(node);
    if (opened || opened.error().code == ErrorCode::kBusy) {
      return opened;
    }
    log_info("nvme", "VFIO's container interface instead of iommufd: " + opened.error().text);
  }
  return VfioContainer::open(*group, address.to_string());
}

}  // namespace

Result<std::shared_ptr<PcieDevice>> VfioDevice::open(const PciAddress& address) {
  auto opened = open_space(address);
  if (!opened) {
    return std::unexpected(std::move(opened.error()));
  }
  std::shared_ptr<VfioDevice> device(new VfioDevice(address, std::move(*opened)));
  Status status = device->map_registers();
  if (status) {
    status = device->set_command(true);
  }
  if (status) {
    status = device->enable_interrupts();
  }
  if (!status) {
    return std::unexpected(std::move(status.error()));
  }
  device->watch_removal();
  return device;
}

VfioDevice::~VfioDevice() {
  for (const std::span<std::byte> mapped : {bar_, memory_}) {
    if (!mapped.empty()) {
      BarGuard::remove(mapped.data());
      ::munmap(mapped.data(), mapped.size());
    }
  }
}

// `length_bytes` 0: all that there is from `offset` on.
Result<std::span<std::byte>> VfioDevice::map_region(unsigned bar, std::uint64_t offset,
                                                    std::uint64_t length_bytes) {
  const std::string name = "BAR " + std::to_string(bar);
  vfio_region_info region{};
  region.argsz = sizeof(region);
  region.index = VFIO_PCI_BAR0_REGION_INDEX + bar;
  if (bar > 5 || ::ioctl(fd_.get(), VFIO_DEVICE_GET_REGION_INFO, &region) != 0) {
    return fail(ErrorCode::kProtocol, "the device has no " + name);
  }
  if ((region.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0 || offset >= region.size ||
      offset % 4096 != 0 || length_bytes > region.size - offset) {
    return fail(ErrorCode::kUnsupported, name + " of the device cannot be mapped");
  }
  const std::size_t length = length_bytes == 0 ? region.size - offset : length_bytes;
  void* memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(),
                        static_cast<off_t>(region.offset + offset));
  if (memory == MAP_FAILED) {
    return fail_errno(errno, "cannot map " + name + " of the device");
  }
  if (!BarGuard::add(memory, length)) {
    ::munmap(memory, length);
    return fail(ErrorCode::kNoResources, "too many PCIe devices are open");
  }
  return std::span(static_cast<std::byte*>(memory), length);
}

Status VfioDevice::map_registers() {
  const auto mapped = map_region(0, 0, 0);
  if (!mapped) {
    return std::unexpected(mapped.error());
  }
  bar_ = *mapped;
  if (bar_.size() < spec::kDoorbellOffset + 8) {
    return fail(ErrorCode::kUnsupported, "the controller's registers (BAR 0) are too short");
  }
  return {};
}

Result<std::span<std::byte>> VfioDevice::map_bar(unsigned bar, std::uint64_t offset,
                                                 std::uint64_t length_bytes) {
  CHECK(memory_.empty());
  const auto mapped = map_region(bar, offset, length_bytes);
  if (mapped) {
    memory_ = *mapped;
  }
  return mapped;
}

Result<std::uint64_t> VfioDevice::reserve_bar_addresses(unsigned bar, std::uint64_t offset,
                                                        std::uint64_t length_bytes) {
  const auto begin = bar_address(address_, bar);
  if (!begin) {
    return begin;
  }
  if (!space_->reserve_at(*begin + offset, length_bytes)) {
    return fail(ErrorCode::kNoResources,
                "memory of ours is mapped where the controller's own memory lies");
  }
  return *begin + offset;
}

Status VfioDevice::set_command(bool bus_master) {
  vfio_region_info region{};
  region.argsz = sizeof(region);
  region.index = VFIO_PCI_CONFIG_REGION_INDEX;
  if (::ioctl(fd_.get(), VFIO_DEVICE_GET_REGION_INFO, &region) != 0) {
    return fail_errno(errno, "cannot find the device's configuration space");
  }
  const off_t offset = static_cast<off_t>(region.offset) + kCommandOffset;
  std::uint16_t command = 0;
  if (::pread(fd_.get(), &command, sizeof(command), offset) != sizeof(command)) {
    return fail_errno(errno, "cannot read the device's configuration space");
  }
  command = static_cast<std::uint16_t>(command | kCommandMemory | kCommandNoIntx);
  command = static_cast<std::uint16_t>(bus_master ? command | kCommandBusMaster
                                                  : command & ~kCommandBusMaster);
  if (::pwrite(fd_.get(), &command, sizeof(command), offset) != sizeof(command)) {
    return fail_errno(errno, "cannot write the device's configuration space");
  }
  return {};
}

Status VfioDevice::set_eventfds(unsigned index, const std::vector<UniqueFd>& events) {
  std::vector<std::byte> buffer(sizeof(vfio_irq_set) + events.size() * sizeof(std::int32_t));
  vfio_irq_set head{};
  head.argsz = static_cast<std::uint32_t>(buffer.size());
  head.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
  head.index = index;
  head.start = 0;
  head.count = static_cast<std::uint32_t>(events.size());
  std::memcpy(buffer.data(), &head, sizeof(head));
  for (std::size_t i = 0; i < events.size(); i++) {
    const std::int32_t fd = events[i].get();
    std::memcpy(buffer.data() + sizeof(head) + i * sizeof(fd), &fd, sizeof(fd));
  }
  if (::ioctl(fd_.get(), VFIO_DEVICE_SET_IRQS, buffer.data()) != 0) {
    return fail_errno(errno, "cannot set up the device's interrupts");
  }
  return {};
}

Status VfioDevice::enable_interrupts() {
  vfio_irq_info info{};
  info.argsz = sizeof(info);
  info.index = VFIO_PCI_MSIX_IRQ_INDEX;
  if (::ioctl(fd_.get(), VFIO_DEVICE_GET_IRQ_INFO, &info) != 0 || info.count == 0) {
    log_info("nvme", "the device has no MSI-X: its queues are polled");
    return {};
  }
  const long processors = std::max(::sysconf(_SC_NPROCESSORS_CONF), 1L);
  const unsigned wanted =
      std::min({info.count, static_cast<unsigned>(processors) + 16, kMaxInterrupts});
  for (unsigned i = 0; i < wanted; i++) {
    interrupts_.emplace_back(::eventfd(0, EFD_CLOEXEC));
    if (!interrupts_.back()) {
      return fail_errno(errno, "cannot make an eventfd for an interrupt");
    }
  }
  return set_eventfds(VFIO_PCI_MSIX_IRQ_INDEX, interrupts_);
}

// Old kernels cannot ask for a device back: then its removal waits until it is detached.
void VfioDevice::watch_removal() {
  std::vector<UniqueFd> events;
  events.emplace_back(::eventfd(0, EFD_CLOEXEC));
  if (events.front() && set_eventfds(VFIO_PCI_REQ_IRQ_INDEX, events)) {
    removal_ = std::move(events.front());
  }
}

void VfioDevice::stop_dma() {
  if (::ioctl(fd_.get(), VFIO_DEVICE_RESET) != 0) {
    if (Status stopped = set_command(false); !stopped) {
      log_warning("nvme", "the device is gone or does not stop: " + stopped.error().text);
    }
  }
}

}  // namespace nvublk::nvme::pcie
