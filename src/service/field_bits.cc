#include "service/field_bits.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <span>

namespace nvublk::service {

namespace {

struct Bits {
  std::string_view key;
  unsigned high;
  unsigned low;
  /// '@' stands for "Not " when the bits are 0. Empty: reserved, shown only when they are not 0.
  std::string_view text;
  std::string_view zero_text = {};  ///< instead of `text` when they are 0; empty: `text`
  std::string_view shape = "  [%u:%u] : ";
};

constexpr std::string_view kOut = " [%u:%u] : ";
constexpr std::string_view kTight = " [%u:%u]: ";
constexpr std::string_view kIn = "    [%u:%u] : ";

// In nvme-cli's order, words and spacing.
constexpr Bits kControllerBits[] = {
    {"cmic", 7, 4, ""},
    {"cmic", 3, 3, "ANA supported", "ANA not supported"},
    {"cmic", 2, 2, "SR-IOV", "PCI"},
    {"cmic", 1, 1, "Multi Controller", "Single Controller"},
    {"cmic", 0, 0, "Multi Port", "Single Port"},
    {"oaes", 31, 31, "Discovery Log Change Notice @Supported"},
    {"oaes", 30, 28, ""},
    {"oaes", 27, 27, "Zone Descriptor Changed Notices @Supported"},
    {"oaes", 26, 16, ""},
    {"oaes", 15, 15, "Normal NSS Shutdown Event @Supported"},
    {"oaes", 14, 14, "Endurance Group Event Aggregate Log Page Change Notice @Supported"},
    {"oaes", 13, 13, "LBA Status Information Notices @Supported"},
    {"oaes", 12, 12, "Predictable Latency Event Aggregate Log Change Notices @Supported"},
    {"oaes", 11, 11, "Asymmetric Namespace Access Change Notices @Supported"},
    {"oaes", 10, 10, ""},
    {"oaes", 9, 9, "Firmware Activation Notices @Supported"},
    {"oaes", 8, 8, "Namespace Attribute Changed Event @Supported"},
    {"oaes", 7, 0, ""},
    {"ctratt", 31, 20, "", "", kOut},
    {"ctratt", 19, 19, "Flexible Data Placement @Supported"},
    {"ctratt", 18, 16, ""},
    {"ctratt", 15, 15, "Extended LBA Formats @Supported"},
    {"ctratt", 14, 14, "Delete NVM Set @Supported"},
    {"ctratt", 13, 13, "Delete Endurance Group @Supported"},
    {"ctratt", 12, 12, "Variable Capacity Management @Supported"},
    {"ctratt", 11, 11, "Fixed Capacity Management @Supported"},
    {"ctratt", 10, 10, "Multi Domain Subsystem @Supported"},
    {"ctratt", 9, 9, "UUID List @Supported"},
    {"ctratt", 8, 8, "SQ Associations @Supported"},
    {"ctratt", 7, 7, "Namespace Granularity @Supported"},
    {"ctratt", 6, 6, "Traffic Based Keep Alive @Supported"},
    {"ctratt", 5, 5, "Predictable Latency Mode @Supported"},
    {"ctratt", 4, 4, "Endurance Groups @Supported"},
    {"ctratt", 3, 3, "Read Recovery Levels @Supported"},
    {"ctratt", 2, 2, "NVM Sets @Supported"},
    {"ctratt", 1, 1, "Non-Operational Power State Permissive @Supported"},
    {"ctratt", 0, 0, "128-bit Host Identifier @Supported"},
    {"nvmsr", 7, 2, "", "", kOut},
    {"nvmsr", 1, 1, "NVM subsystem @part of an Enclosure"},
    {"nvmsr", 0, 0, "NVM subsystem @part of an Storage Device"},
    {"vwci", 7, 7, "VPD Write Cycles Remaining field is @valid."},
    {"vwci", 6, 0, "VPD Write Cycles Remaining "},
    {"mec", 7, 2, "", "", kOut},
    {"mec", 1, 1, "NVM subsystem @contains a Management Endpoint on a PCIe port"},
    {"mec", 0, 0, "NVM subsystem @contains a Management Endpoint on an SMBus/I2C port"},
    {"oacs", 15, 11, "", "", kOut},
    {"oacs", 10, 10, "Lockdown Command and Feature @Supported"},
    {"oacs", 9, 9, "Get LBA Status Capability @Supported"},
    {"oacs", 8, 8, "Doorbell Buffer Config @Supported"},
    {"oacs", 7, 7, "Virtualization Management @Supported"},
    {"oacs", 6, 6, "NVMe-MI Send and Receive @Supported"},
    {"oacs", 5, 5, "Directives @Supported"},
    {"oacs", 4, 4, "Device Self-test @Supported"},
    {"oacs", 3, 3, "NS Management and Attachment @Supported"},
    {"oacs", 2, 2, "FW Commit and Download @Supported"},
    {"oacs", 1, 1, "Format NVM @Supported"},
    {"oacs", 0, 0, "Security Send and Receive @Supported"},
    {"frmw", 7, 6, ""},
    {"frmw", 5, 5, "Multiple FW or Boot Update Detection @Supported"},
    {"frmw", 4, 4, "Firmware Activate Without Reset @Supported"},
    {"frmw", 3, 1, "Number of Firmware Slots"},
    {"frmw", 0, 0, "Firmware Slot 1 Read-Only", "Firmware Slot 1 Read/Write"},
    {"lpa", 7, 7, ""},
    {"lpa", 6, 6, "Telemetry Log Data Area 4 @Supported"},
    {"lpa", 5, 5, "LID 0x0, Scope of each command in LID 0x5, 0x12, 0x13 @Supported"},
    {"lpa", 4, 4, "Persistent Event log @Supported"},
    {"lpa", 3, 3, "Telemetry host/controller initiated log page @Supported"},
    {"lpa", 2, 2, "Extended data for Get Log Page @Supported"},
    {"lpa", 1, 1, "Command Effects Log Page @Supported"},
    {"lpa", 0, 0, "SMART/Health Log Page per NS @Supported"},
    {"avscc", 7, 1, ""},
    {"avscc", 0, 0, "Admin Vendor Specific Commands uses NVMe Format",
     "Admin Vendor Specific Commands uses Vendor Specific Format"},
    {"apsta", 7, 1, ""},
    {"apsta", 0, 0, "Autonomous Power State Transitions @Supported"},
    {"rpmbs", 31, 24, "Access Size", "", kTight},
    {"rpmbs", 23, 16, "Total Size", "", kTight},
    {"rpmbs", 15, 6, "", "", kOut},
    {"rpmbs", 5, 3, "Authentication Method"},
    {"rpmbs", 2, 0, "Number of RPMB Units"},
    {"hctma", 15, 1, "", "", kOut},
    {"hctma", 0, 0, "Host Controlled Thermal Management @Supported"},
    {"sanicap", 29, 29, "No-Deallocate After Sanitize bit in Sanitize command Not Supported",
     "No-Deallocate After Sanitize bit in Sanitize command Supported"},
    {"sanicap", 28, 3, ""},
    {"sanicap", 2, 2, "Overwrite Sanitize Operation @Supported", "", kIn},
    {"sanicap", 1, 1, "Block Erase Sanitize Operation @Supported", "", kIn},
    {"sanicap", 0, 0, "Crypto Erase Sanitize Operation @Supported", "", kIn},
    {"anacap", 7, 7, "Non-zero group ID @Supported"},
    {"anacap", 6, 6, "Group ID does not change", "Group ID does change"},
    {"anacap", 5, 5, "", "", kOut},
    {"anacap", 4, 4, "ANA Change state @Supported"},
    {"anacap", 3, 3, "ANA Persistent Loss state @Supported"},
    {"anacap", 2, 2, "ANA Inaccessible state @Supported"},
    {"anacap", 1, 1, "ANA Non-optimized state @Supported"},
    {"anacap", 0, 0, "ANA Optimized state @Supported"},
    {"oncs", 15, 9, "", "", kOut},
    {"oncs", 8, 8, "Copy @Supported"},
    {"oncs", 7, 7, "Verify @Supported"},
    {"oncs", 6, 6, "Timestamp @Supported"},
    {"oncs", 5, 5, "Reservations @Supported"},
    {"oncs", 4, 4, "Save and Select @Supported"},
    {"oncs", 3, 3, "Write Zeroes @Supported"},
    {"oncs", 2, 2, "Data Set Management @Supported"},
    {"oncs", 1, 1, "Write Uncorrectable @Supported"},
    {"oncs", 0, 0, "Compare @Supported"},
    {"fuses", 15, 1, "", "", kOut},
    {"fuses", 0, 0, "Fused Compare and Write @Supported"},
    {"fna", 7, 4, ""},
    {"fna", 3, 3, "Format NVM Broadcast NSID (FFFFFFFFh) Not Supported",
     "Format NVM Broadcast NSID (FFFFFFFFh) Supported"},
    {"fna", 2, 2, "Crypto Erase @Supported as part of Secure Erase"},
    {"fna", 1, 1, "Crypto Erase Applies to All Namespace(s)",
     "Crypto Erase Applies to Single Namespace(s)"},
    {"fna", 0, 0, "Format Applies to All Namespace(s)", "Format Applies to Single Namespace(s)"},
    {"icsvscc", 7, 1, ""},
    {"icsvscc", 0, 0, "NVM Vendor Specific Commands uses NVMe Format",
     "NVM Vendor Specific Commands uses Vendor Specific Format"},
    {"nwpc", 7, 3, ""},
    {"nwpc", 2, 2, "Permanent Write Protect @Supported"},
    {"nwpc", 1, 1, "Write Protect Until Power Supply @Supported"},
    {"nwpc", 0, 0, "No Write Protect and Write Protect Namespace @Supported"},
    {"ocfs", 15, 2, ""},
    {"ocfs", 1, 1, "Controller Copy Format 1h @Supported"},
    {"ocfs", 0, 0, "Controller Copy Format 0h @Supported"},
    {"fcatt", 7, 1, ""},
    {"fcatt", 0, 0, "Static Controller Model", "Dynamic Controller Model"},
    {"ofcs", 15, 1, ""},
    {"ofcs", 0, 0, "Disconnect command  Supported", "Disconnect command Not Supported"},
};

constexpr Bits kSglBits[] = {
    {"sgls", 31, 22, "", "", kTight},
    {"sgls", 21, 21, "Transport SGL Data Block Descriptor @Supported", "", kTight},
    {"sgls", 20, 20, "Address Offsets @Supported", "", kTight},
    {"sgls", 19, 19, "Metadata Pointer Containing SGL Descriptor is @Supported", "", kTight},
    {"sgls", 18, 18, "SGL Length Larger than Buffer @Supported", "", kTight},
    {"sgls", 17, 17, "Byte-Aligned Contig. MD Buffer @Supported", "", kTight},
    {"sgls", 16, 16, "SGL Bit-Bucket @Supported", "", kTight},
};

constexpr Bits kNamespaceBits[] = {
    {"nsfeat", 7, 5, ""},
    {"nsfeat", 4, 4, "NPWG, NPWA, NPDG, NPDA, and NOWS are @Supported"},
    {"nsfeat", 3, 3, "NGUID and EUI64 fields if non-zero, Never Reused",
     "NGUID and EUI64 fields if non-zero, Reused"},
    {"nsfeat", 2, 2, "Deallocated or Unwritten Logical Block error @Supported"},
    {"nsfeat", 1, 1, "Namespace uses NAWUN, NAWUPF, and NACWU",
     "Namespace uses AWUN, AWUPF, and ACWU"},
    {"nsfeat", 0, 0, "Thin Provisioning @Supported"},
    {"flbas", 7, 7, ""},
    {"flbas", 6, 5, "Most significant 2 bits of Current LBA Format Selected"},
    {"flbas", 4, 4, "Metadata Transferred at End of Data LBA",
     "Metadata Transferred in Separate Contiguous Buffer"},
    {"flbas", 3, 0, "Least significant 4 bits of Current LBA Format Selected"},
    {"mc", 7, 2, ""},
    {"mc", 1, 1, "Metadata Pointer @Supported"},
    {"mc", 0, 0, "Metadata as Part of Extended Data LBA @Supported"},
    {"dpc", 7, 5, ""},
    {"dpc", 4, 4, "Protection Information Transferred as Last 8 Bytes of Metadata @Supported"},
    {"dpc", 3, 3, "Protection Information Transferred as First 8 Bytes of Metadata @Supported"},
    {"dpc", 2, 2, "Protection Information Type 3 @Supported"},
    {"dpc", 1, 1, "Protection Information Type 2 @Supported"},
    {"dpc", 0, 0, "Protection Information Type 1 @Supported"},
    {"dps", 7, 4, ""},
    {"dps", 3, 3, "Protection Information is Transferred as First 8 Bytes of Metadata",
     "Protection Information is Transferred as Last 8 Bytes of Metadata"},
    {"nmic", 7, 1, ""},
    {"nmic", 0, 0, "Namespace Multipath @Capable"},
    {"rescap", 7, 7, "Ignore Existing Key - Used as defined in revision 1.3 or later",
     "Ignore Existing Key - Used as defined in revision 1.2.1 or earlier"},
    {"rescap", 6, 6, "Exclusive Access - All Registrants @Supported"},
    {"rescap", 5, 5, "Write Exclusive - All Registrants @Supported"},
    {"rescap", 4, 4, "Exclusive Access - Registrants Only @Supported"},
    {"rescap", 3, 3, "Write Exclusive - Registrants Only @Supported"},
    {"rescap", 2, 2, "Exclusive Access @Supported"},
    {"rescap", 1, 1, "Write Exclusive @Supported"},
    {"rescap", 0, 0, "Persist Through Power Loss @Supported"},
    {"dlfeat", 7, 5, ""},
    {"dlfeat", 4, 4, "Guard Field of Deallocated Logical Blocks is set to CRC of The Value Read",
     "Guard Field of Deallocated Logical Blocks is set to 0xFFFF"},
    {"dlfeat", 3, 3, "Deallocate Bit in the Write Zeroes Command is @Supported"},
};

[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...) {
  std::array<char, 200> text{};
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text.data(), text.size(), pattern, arguments);
  va_end(arguments);
  return text.data();
}

std::uint64_t bits_of(std::uint64_t value, unsigned high, unsigned low) {
  return (value >> low) & ((std::uint64_t{1} << (high - low + 1)) - 1);
}

/// "  [7:4] : 0x3<tab>TEXT"; 0 is written without 0x.
std::string line(std::string_view shape, unsigned high, unsigned low, std::uint64_t bits,
                 std::string_view text) {
  std::string label(shape);
  for (const unsigned number : {high, low}) {
    label.replace(label.find("%u"), 2, std::to_string(number));
  }
  return label + format("%#llx\t", static_cast<unsigned long long>(bits)) + std::string(text) +
         "\n";
}

std::string rows(std::span<const Bits> table, std::string_view key, std::uint64_t value) {
  std::string text;
  for (const Bits& row : table) {
    const std::uint64_t bits = bits_of(value, row.high, row.low);
    if (row.key != key || (row.text.empty() && bits == 0)) {
      continue;
    }
    std::string meaning(bits == 0 && !row.zero_text.empty() ? row.zero_text : row.text);
    if (row.text.empty()) {
      meaning = "Reserved";
    }
    if (const std::size_t at = meaning.find('@'); at != std::string::npos) {
      meaning.replace(at, 1, bits == 0 ? "Not " : "");
    }
    text += line(row.shape, row.high, row.low, bits, meaning);
  }
  return text;
}

std::string controller_type(std::uint64_t value) {
  constexpr std::string_view kTypes[] = {"Controller type not reported", "I/O Controller",
                                         "Discovery Controller", "Administrative Controller"};
  return line("  [%u:%u] : ", 7, 2, bits_of(value, 7, 2), "Reserved") +
         line("  [%u:%u] : ", 1, 0, value, kTypes[value & 3]);
}

std::string zero_based(std::uint64_t value, const char* what) {
  return format("  [7:0] : %llu (0's based)\t%s\n", static_cast<unsigned long long>(value), what);
}

std::string temperature(std::uint64_t kelvin, const char* what) {
  return format(" [15:0] : %lld°C (%llu Kelvin)\t%s\n", static_cast<long long>(kelvin) - 273,
                static_cast<unsigned long long>(kelvin), what);
}

std::string entry_sizes(std::uint64_t value, const char* queue) {
  std::string text;
  for (const auto& [high, low, which] : {std::tuple{7u, 4u, "Max"}, std::tuple{3u, 0u, "Min"}}) {
    const std::uint64_t bits = bits_of(value, high, low);
    text += line("  [%u:%u] : ", high, low, bits,
                 format("%s %s Entry Size (%u)", which, queue, 1u << bits));
  }
  return text;
}

std::string sanitize(std::uint64_t value) {
  constexpr std::string_view kChanges[] = {
      "Additional media modification after sanitize operation completes successfully is not "
      "defined",
      "Media is not additionally modified after sanitize operation completes successfully",
      "Media is additionally modified after sanitize operation completes successfully", "Reserved"};
  const std::uint64_t change = bits_of(value, 31, 30);
  return line("  [%u:%u] : ", 31, 30, change, kChanges[change]) +
         rows(kControllerBits, "sanicap", value);
}

std::string write_cache(std::uint64_t value) {
  constexpr std::string_view kFlush[] = {
      "Support for the NSID field set to FFFFFFFFh is not indicated", "Reserved",
      "The Flush command does not support NSID set to FFFFFFFFh",
      "The Flush command supports NSID set to FFFFFFFFh"};
  const std::uint64_t reserved = bits_of(value, 7, 3);
  const std::uint64_t flush = bits_of(value, 2, 1);
  return (reserved == 0 ? "" : line("  [%u:%u] : ", 7, 3, reserved, "Reserved")) +
         line("  [%u:%u] : ", 2, 1, flush, kFlush[flush]) +
         line("  [%u:%u] : ", 0, 0, value & 1,
              (value & 1) != 0 ? "Volatile Write Cache Present"
                               : "Volatile Write Cache Not Present");
}

std::string scatter_gather(std::uint64_t value) {
  const std::uint64_t supported = value & 3;
  std::string text;
  for (const Bits& row : kSglBits) {
    if (supported != 0 || bits_of(value, row.high, row.low) != 0) {
      text += rows(std::span(&row, 1), "sgls", value);
    }
  }
  text += line(" [%u:%u] : ", 15, 8, bits_of(value, 15, 8), "SGL Descriptor Threshold");
  if (const std::uint64_t reserved = bits_of(value, 7, 3); reserved != 0) {
    text += line(" [%u:%u] : ", 7, 3, reserved, "Reserved");
  }
  const std::uint64_t keyed = bits_of(value, 2, 2);
  if (supported != 0 || keyed != 0) {
    text += line("  [%u:%u] : ", 2, 2, keyed,
                 keyed != 0 ? "Keyed SGL Data Block descriptor Supported"
                            : "Keyed SGL Data Block descriptor Not Supported");
  }
  if (supported == 0) {
    return text + line(" [%u:%u]  : ", 1, 0, 0, "Scatter-Gather Lists Not Supported");
  }
  constexpr std::string_view kAlignment[] = {
      "", "Scatter-Gather Lists Supported. No Dword alignment required.",
      "Scatter-Gather Lists Supported. Dword alignment required.", "Reserved"};
  return text + line("  [%u:%u] : ", 1, 0, supported, kAlignment[supported]);
}

std::string special_controller_field(std::string_view key, std::uint64_t value) {
  if (key == "elpe") return zero_based(value, "Error Log Page Entries (ELPE)");
  if (key == "npss") return zero_based(value, "Number of Power States Support (NPSS)");
  if (key == "wctemp") {
    return temperature(value, "Warning Composite Temperature Threshold (WCTEMP)");
  }
  if (key == "cctemp") {
    return temperature(value, "Critical Composite Temperature Threshold (CCTEMP)");
  }
  if (key == "mntmt") {
    return temperature(value, "Minimum Thermal Management Temperature (MNTMT)");
  }
  if (key == "mxtmt") {
    return temperature(value, "Maximum Thermal Management Temperature (MXTMT)");
  }
  if (key == "sqes") return entry_sizes(value, "SQ");
  if (key == "cqes") return entry_sizes(value, "CQ");
  if (key == "sanicap") return sanitize(value);
  if (key == "vwc") return write_cache(value);
  return key == "sgls" ? scatter_gather(value) : "";
}

std::string protection(std::uint64_t value) {
  constexpr std::string_view kTypes[] = {"Disabled",         "Type 1 Enabled",   "Type 2 Enabled",
                                         "Type 3 Enabled",   "Reserved Enabled", "Reserved Enabled",
                                         "Reserved Enabled", "Reserved Enabled"};
  const std::uint64_t type = value & 7;
  return line("  [%u:%u] : ", 2, 0, type, "Protection Information " + std::string(kTypes[type]));
}

std::string format_progress(std::uint64_t value) {
  const std::uint64_t left = value & 0x7f;
  if ((value & 0x80) == 0 && left == 0) {
    return line("  [%u:%u] : ", 7, 7, 0, "Format Progress Indicator Not Supported");
  }
  return line("  [%u:%u] : ", 7, 7, value >> 7,
              (value & 0x80) != 0 ? "Format Progress Indicator Supported"
                                  : "Format Progress Indicator Not Supported") +
         line("  [%u:%u] : ", 6, 0, left,
              format("Format Progress Indicator (Remaining %u%%)", static_cast<unsigned>(left)));
}

std::string deallocated(std::uint64_t value) {
  constexpr std::string_view kValues[] = {"Not Reported",   "0x00",           "0xFF",
                                          "Reserved Value", "Reserved Value", "Reserved Value",
                                          "Reserved Value", "Reserved Value"};
  return line("  [%u:%u] : ", 2, 0, value & 7,
              "Bytes Read From a Deallocated Logical Block and its Metadata are " +
                  std::string(kValues[value & 7]));
}

}  // namespace

std::string controller_field_bits(std::string_view key, const Json& value) {
  if (key == "tnvmcap" || key == "unvmcap") {
    const std::string number = value.is_string() ? value.get<std::string>() : value.dump();
    return "[127:0] : " + number + "\n\t" +
           (key == "tnvmcap" ? "Total NVM Capacity (TNVMCAP)"
                             : "Unallocated NVM Capacity (UNVMCAP)") +
           "\n\n";
  }
  if (!value.is_number()) {
    return "";
  }
  const auto number = value.get<std::uint64_t>();
  if (key == "cntrltype") {
    return controller_type(number);
  }
  std::string text = special_controller_field(key, number);
  if (text.empty()) {
    text = rows(kControllerBits, key, number);
  }
  return text.empty() ? text : text + "\n";
}

std::string namespace_field_bits(std::string_view key, const Json& value) {
  if (!value.is_number()) {
    return "";
  }
  const auto number = value.get<std::uint64_t>();
  std::string text = rows(kNamespaceBits, key, number);
  if (key == "dps") text += protection(number);
  if (key == "fpi") text += format_progress(number);
  if (key == "dlfeat") text += deallocated(number);
  return text.empty() ? text : text + "\n";
}

}  // namespace nvublk::service
