#include "nvme/quirks.h"

#include <string_view>

#include "nvme/spec/text.h"

namespace nvublk::nvme {

namespace {

constexpr std::uint16_t kAny = 0;

struct Row {
  std::uint16_t vendor = kAny;  ///< of the PCI function, or VID of Identify Controller
  std::uint16_t device = kAny;  ///< of the PCI function
  std::string_view model;       ///< what the model number begins with
  std::string_view firmware;    ///< what the firmware revision begins with
  Quirks quirks;
};

// The facts are those of Linux's and SPDK's tables.
constexpr Row kRows[] = {
    // Intel P3700, P3600, P3500; P3520
    {0x8086, 0x0953, "", "", Quirk::kSlowStart | Quirk::kVendorStripe},
    {0x8086, 0x0a53, "", "", Quirk::kSlowStart | Quirk::kVendorStripe},
    // Intel P4500, P4600; the same as Dell sells them
    {0x8086, 0x0a54, "", "", Quirk::kVendorStripe},
    {0x8086, 0x0a55, "", "", Quirk::kVendorStripe},
    // Intel 600P, P3100
    {0x8086, 0xf1a5, "", "", Quirk::kNoWriteZeroes},
    // QEMU before it had ids of its own
    {0x8086, 0x5845, "", "", Quirk::kNoActiveList | Quirk::kNoWriteZeroes},
    // QEMU with open channels
    {0x1d1d, 0x1f1f, "", "", Quirk::kNoActiveList},
    // HGST SN100, WDC SN200
    {0x1c58, 0x0003, "", "", Quirk::kSlowReady},
    {0x1c58, 0x0023, "", "", Quirk::kSlowReady},
    // Memblaze PBlaze4
    {0x1c5f, 0x0540, "", "", Quirk::kSlowReady},
    // Samsung PM1725, PM1725a
    {0x144d, 0xa821, "", "", Quirk::kSlowReady},
    {0x144d, 0xa822, "", "", Quirk::kSlowReady},
    // Seagate Nytro
    {0x1bb1, 0x0100, "", "", Quirk::kSlowReady | Quirk::kNoDescriptors},
    // Silicon Motion, Lexar with 256 GB
    {0x126f, 0x2263, "", "", Quirk::kNoDescriptors},
    {0x1b4b, 0x1092, "", "", Quirk::kNoDescriptors},
    // SanDisk Skyhawk, Phison E19
    {0x15b7, 0x2001, "", "", Quirk::kNoWriteZeroes},
    {0x1987, 0x5019, "", "", Quirk::kNoWriteZeroes},
    // Apple, in MacBooks of 2015
    {0x106b, 0x2001, "", "", Quirk::kOneCommand},
    // O2 Micro's bridge to eMMC, with one of the memories that it is sold with
    {0x1217, 0x8760, "BAYHUB SanDisk-DA4128", "", Quirk::kOneCommand},
    // VMware Workstation
    {0x15ad, 0x07f0, "", "", Quirk::kNoShutdownStatus},
};

bool same(std::uint16_t wanted, std::uint16_t is) {
  return wanted == kAny || wanted == is;
}

}  // namespace

std::string Quirks::text() const {
  constexpr std::pair<Quirk, std::string_view> kTexts[] = {
      {Quirk::kSlowStart, "waits before it configures the controller"},
      {Quirk::kSlowReady, "waits before it reads CSTS.RDY"},
      {Quirk::kNoActiveList, "takes the namespaces to be 1 to NN"},
      {Quirk::kNoDescriptors, "does not ask for namespace identification descriptors"},
      {Quirk::kVendorStripe, "reads the optimal boundary from the vendor's field"},
      {Quirk::kNoWriteZeroes, "does not use Write Zeroes"},
      {Quirk::kOneCommand, "has one command at a time in an I/O queue"},
      {Quirk::kNoShutdownStatus, "does not wait for the end of a shutdown"},
  };
  std::string text;
  for (const auto& [quirk, what] : kTexts) {
    if (has(quirk)) {
      text += text.empty() ? "" : ", ";
      text += what;
    }
  }
  return text;
}

Quirks quirks_of(const PciIds& ids) {
  Quirks found;
  for (const Row& row : kRows) {
    if (row.model.empty() && row.firmware.empty() && ids.vendor != 0 &&
        same(row.vendor, ids.vendor) && same(row.device, ids.device)) {
      found = found | row.quirks;
    }
  }
  return found;
}

Quirks quirks_of(const PciIds& ids, const spec::IdentifyController& identify) {
  const std::string model = spec::printable_text(identify.mn);
  const std::string firmware = spec::printable_text(identify.fr);
  const std::uint16_t vendor = ids.vendor != 0 ? ids.vendor : identify.vid.get();
  Quirks found = quirks_of(ids);
  for (const Row& row : kRows) {
    const bool by_text = !row.model.empty() || !row.firmware.empty();
    // A fabric does not show the ids of whatever the drive behind it is.
    const bool same_device = ids.vendor == 0 || same(row.device, ids.device);
    if (by_text && same(row.vendor, vendor) && same_device && model.starts_with(row.model) &&
        firmware.starts_with(row.firmware)) {
      found = found | row.quirks;
    }
  }
  return found;
}

}  // namespace nvublk::nvme
