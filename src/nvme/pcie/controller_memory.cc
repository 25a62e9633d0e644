#include "nvme/pcie/controller_memory.h"

#include <algorithm>
#include <string>

#include "engine/check.h"

namespace nvublk::nvme::pcie {

namespace {

// More than all submission queues need is only addresses lost.
constexpr std::uint64_t kMostBytes = std::uint64_t{64} * 1024 * 1024;
constexpr std::uint64_t kPage = 4096;

struct Place {
  unsigned bar = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

Result<Place> find_place(const Registers& registers) {
  const spec::Cmbsz size{static_cast<std::uint32_t>(registers.read(spec::Property::kCmbsz))};
  const spec::Cmbloc location{static_cast<std::uint32_t>(registers.read(spec::Property::kCmbloc))};
  if (size.size_bytes() == 0) {
    return fail(ErrorCode::kUnsupported, "the controller has no memory of its own (CMB)");
  }
  if (!size.submission_queues()) {
    return fail(ErrorCode::kUnsupported,
                "the controller's own memory (CMB) is not for submission queues");
  }
  const std::uint64_t offset = location.offset_units() * size.unit_bytes();
  return Place{location.bar(), offset, std::min(size.size_bytes(), kMostBytes)};
}

// Since NVMe 1.4 the host says where the controller's memory lies among the addresses that it uses;
// no memory of ours may be there. Before, it is the address that the platform gave it.
Result<std::uint64_t> place(PcieDevice& device, spec::Cap cap, const Place& where) {
  if (!cap.supports_cmb()) {
    return device.reserve_bar_addresses(where.bar, where.offset, where.length);
  }
  const auto address = device.reserve_addresses(where.length);
  if (!address) {
    return address;
  }
  Registers registers = device.registers();
  registers.write(spec::Property::kCmbmsc, spec::Cmbmsc::make(*address, true).raw);
  const auto status = static_cast<std::uint32_t>(registers.read(spec::Property::kCmbsts));
  if ((status & spec::kCmbstsInvalidAddress) != 0) {
    device.release_addresses(*address);
    return fail(ErrorCode::kProtocol, "the controller does not take address " +
                                          std::to_string(*address) +
                                          " for its own memory (CMBSTS.CBAI)");
  }
  return address;
}

}  // namespace

Result<std::unique_ptr<ControllerMemory>> ControllerMemory::open(PcieDevice& device,
                                                                 spec::Cap cap) {
  Registers registers = device.registers();
  if (cap.supports_cmb()) {
    // The registers that say where it is read as zero until then.
    registers.write(spec::Property::kCmbmsc, spec::Cmbmsc::make(0, false).raw);
  }
  const auto where = find_place(registers);
  if (!where) {
    return std::unexpected(where.error());
  }
  const auto memory = device.map_bar(where->bar, where->offset, where->length);
  if (!memory) {
    return std::unexpected(memory.error());
  }
  const auto address = place(device, cap, *where);
  if (!address) {
    return std::unexpected(address.error());
  }
  return std::unique_ptr<ControllerMemory>(new ControllerMemory(device, *memory, *address));
}

ControllerMemory::~ControllerMemory() {
  device_.release_addresses(address_);
}

std::optional<ControllerMemory::Piece> ControllerMemory::allocate(std::size_t length_bytes) {
  CHECK(length_bytes % kPage == 0);
  const std::lock_guard lock(mutex_);
  const auto address = pieces_.allocate(length_bytes);
  if (!address) {
    return std::nullopt;
  }
  return Piece{memory_.data() + (*address - address_), *address};
}

void ControllerMemory::release(const Piece& piece) {
  const std::lock_guard lock(mutex_);
  pieces_.release(piece.address);
}

}  // namespace nvublk::nvme::pcie
