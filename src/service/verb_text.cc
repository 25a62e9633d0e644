#include "service/verb_text.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "nvme/base64.h"
#include "nvme/status_text.h"
#include "service/feature_bits.h"
#include "service/field_bits.h"

namespace nvublk::service {

namespace {

[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...) {
  std::array<char, 512> text{};
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text.data(), text.size(), pattern, arguments);
  va_end(arguments);
  return text.data();
}

std::uint64_t number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<std::uint64_t>() : 0;
}

/// A number in decimal, also one of 128 bits; a text as it is.
std::string word(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string word(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? std::string() : word(*found);
}

/// As printf's %#x.
std::string hex(const Json& value) {
  return format("%#llx", static_cast<unsigned long long>(value.get<std::uint64_t>()));
}

bool is_hex_field(const std::string& key) {
  static const std::set<std::string, std::less<>> fields = {
      "vid",   "ssvid", "cmic", "cntlid", "ver",    "rtd3r", "rtd3e",   "oaes", "ctratt", "rrls",
      "oacs",  "frmw",  "lpa",  "avscc",  "apsta",  "hctma", "sanicap", "sqes", "cqes",   "oncs",
      "fuses", "fna",   "vwc",  "ocfs",   "sgls",   "nsze",  "ncap",    "nuse", "nsfeat", "flbas",
      "mc",    "dpc",   "dps",  "nmic",   "rescap", "fpi",   "rpmbs",   "fcatt"};
  return fields.contains(key);
}

std::string field_value(const std::string& key, const Json& value) {
  if (key == "ieee") {
    return format("%06llx", static_cast<unsigned long long>(value.get<std::uint64_t>()));
  }
  return value.is_number() && is_hex_field(key) ? hex(value) : word(value);
}

std::string watts_text(std::uint64_t value, std::uint64_t scale) {
  return scale == 1 ? format("%.4fW", static_cast<double>(value) / 10000)
                    : format("%.2fW", static_cast<double>(value) / 100);
}

/// Watts of a power state; "-" if it reports none.
std::string watts(std::uint64_t value, std::uint64_t scale) {
  return value == 0 || scale == 0 ? "-" : watts_text(value, scale);
}

std::string power_state(std::size_t index, const Json& state) {
  const bool fine = number(state, "max_power_scale") == 1;
  const std::uint64_t active_scale = number(state, "active_scale");
  return format("ps %6zu : mp:%s %s enlat:%s exlat:%s rrt:%s rrl:%s\n", index,
                watts_text(number(state, "max_power"), fine ? 1 : 2).c_str(),
                number(state, "non-operational_state") != 0 ? "non-operational" : "operational",
                word(state, "entry_lat").c_str(), word(state, "exit_lat").c_str(),
                word(state, "read_tput").c_str(), word(state, "read_lat").c_str()) +
         format("            rwt:%s rwl:%s idle_power:%s active_power:%s\n",
                word(state, "write_tput").c_str(), word(state, "write_lat").c_str(),
                watts(number(state, "idle_power"), number(state, "idle_scale")).c_str(),
                watts(number(state, "active_power"), active_scale).c_str()) +
         format("            active_power_workload:%s\n",
                active_scale == 0 ? "-" : word(state, "active_power_work").c_str());
}

/// The vendor's part of a structure, if it was asked for.
std::string vendor_text(const Json& report) {
  const auto data = nvme::from_base64(word(report, "vs"));
  return data && !data->empty() ? "vs[]:\n" + hex_dump(*data) : "";
}

std::string id_ctrl_text(const Json& report, bool human) {
  std::string text = "NVME Identify Controller:\n";
  for (const auto& [key, value] : report.items()) {
    if (!value.is_array() && key != "vs") {
      text += format("%-9s : ", key.c_str()) + field_value(key, value) + "\n";
      text += human ? controller_field_bits(key, value) : "";
    }
  }
  const Json& states = report.at("psds");
  for (std::size_t i = 0; i < states.size(); i++) {
    text += power_state(i, states[i]);
  }
  return text + vendor_text(report);
}

std::string human_lba_format(const Json& each) {
  constexpr std::array<const char*, 4> kPerformance = {"Best", "Better", "Good", "Degraded"};
  const std::uint64_t performance = number(each, "rp");
  return format("Metadata Size: %-3s bytes - Data Size: %-2llu bytes - Relative Performance: ",
                word(each, "ms").c_str(), 1ull << std::min<std::uint64_t>(number(each, "ds"), 63)) +
         hex(performance) + " " + kPerformance[performance & 3];
}

std::string id_ns_text(const Json& report, bool human) {
  std::string text = "NVME Identify Namespace " + word(report, "nsid") + ":\n";
  std::string eui64;  // in JSON before the NGUID, in text behind it: as nvme-cli has them
  for (const auto& [key, value] : report.items()) {
    if (value.is_array() || key == "nsid" || key == "vs") {
      continue;
    }
    std::string& where = key == "eui64" ? eui64 : text;
    where += format(key == "nsattr" ? "%s\t: " : "%-8s: ", key.c_str());
    where += field_value(key, value) + "\n";
    text += human ? namespace_field_bits(key, value) : "";
  }
  text += eui64;
  const std::uint64_t flbas = number(report, "flbas");
  const Json& formats = report.at("lbafs");
  const std::uint64_t used =
      formats.size() > 16 ? (flbas & 0xf) | (flbas & 0x60) >> 1 : flbas & 0xf;
  for (std::size_t i = 0; i < formats.size(); i++) {
    if (human) {
      text += format("LBA Format %2zu : ", i) + human_lba_format(formats[i]) +
              (i == used ? " (in use)\n" : " \n");
      continue;
    }
    text += format("lbaf %2zu : ms:%-3s lbads:%-2s rp:%s%s\n", i, word(formats[i], "ms").c_str(),
                   word(formats[i], "ds").c_str(), hex(formats[i].at("rp")).c_str(),
                   i == used ? " (in use)" : "");
  }
  return text + vendor_text(report);
}

std::string list_ns_text(const Json& report) {
  std::string text;
  const Json& list = report.at("nsid_list");
  for (std::size_t i = 0; i < list.size(); i++) {
    text += format("[%4zu]:", i) + hex(list[i].at("nsid")) + "\n";
  }
  return text;
}

std::string temperature(std::uint64_t kelvin) {
  return format("%lld°C (%llu Kelvin)", static_cast<long long>(kelvin) - 273,
                static_cast<unsigned long long>(kelvin));
}

/// Thousands of 512 bytes, as a number that people read.
std::string data_units(const std::string& units) {
  constexpr std::array<const char*, 11> kUnits = {"B",  "kB", "MB", "GB", "TB", "PB",
                                                  "EB", "ZB", "YB", "RB", "QB"};
  double value = std::strtod(units.c_str(), nullptr) * 512000;
  std::size_t unit = 0;
  while (value >= 999.995 && unit + 1 < kUnits.size()) {
    value /= 1000;
    unit++;
  }
  return units + format(" (%.2f %s)", value, kUnits[unit]);
}

/// The bits of the critical warning. [Base 2.1 §5.1.12.1.3]
std::string warning_bits(std::uint64_t warning) {
  constexpr std::array<const char*, 6> kBits = {"Available Spare[0]",
                                                "Temp. Threshold[1]",
                                                "NVM subsystem Reliability[2]",
                                                "Read-only[3]",
                                                "Volatile mem. backup failed[4]",
                                                "Persistent Mem. RO[5]"};
  std::string text;
  for (std::size_t bit = 0; bit < kBits.size(); bit++) {
    text += format("      %-31s: %u\n", kBits.at(bit), static_cast<unsigned>(warning >> bit & 1));
  }
  return text;
}

std::string smart_log_text(const std::string& target, const Json& report, bool human,
                           std::uint32_t nsid) {
  std::string text =
      "Smart Log for NVME device:" + target + " namespace-id:" + format("%x", nsid) + "\n";
  const auto line = [&text](const std::string& label, const std::string& value) {
    text += format("%-40s: ", label.c_str()) + value + "\n";
  };
  line("critical_warning", hex(report.at("critical_warning")));
  text += human ? warning_bits(number(report, "critical_warning")) : "";
  line("temperature", temperature(number(report, "temperature")));
  line("available_spare", word(report, "avail_spare") + "%");
  line("available_spare_threshold", word(report, "spare_thresh") + "%");
  line("percentage_used", word(report, "percent_used") + "%");
  line("endurance group critical warning summary",
       hex(report.at("endurance_grp_critical_warning_summary")));
  line("Data Units Read", data_units(word(report, "data_units_read")));
  line("Data Units Written", data_units(word(report, "data_units_written")));
  for (const char* key :
       {"host_read_commands", "host_write_commands", "controller_busy_time", "power_cycles",
        "power_on_hours", "unsafe_shutdowns", "media_errors", "num_err_log_entries"}) {
    line(key, word(report, key));
  }
  line("Warning Temperature Time", word(report, "warning_temp_time"));
  line("Critical Composite Temperature Time", word(report, "critical_comp_time"));
  for (int sensor = 1; sensor <= 8; sensor++) {
    const std::string key = "temperature_sensor_" + std::to_string(sensor);
    if (report.contains(key)) {
      line("Temperature Sensor " + std::to_string(sensor),
           temperature(number(report, key.c_str())));
    }
  }
  line("Thermal Management T1 Trans Count", word(report, "thm_temp1_trans_count"));
  line("Thermal Management T2 Trans Count", word(report, "thm_temp2_trans_count"));
  line("Thermal Management T1 Total Time", word(report, "thm_temp1_total_time"));
  line("Thermal Management T2 Total Time", word(report, "thm_temp2_total_time"));
  return text;
}

const char* error_transport(std::uint64_t trtype) {
  switch (trtype) {
    case 0:
      return "The transport type is not indicated or the error is not transport related.";
    case 1:
      return "RDMA Transport error.";
    case 2:
      return "Fibre Channel Transport error.";
    case 3:
      return "TCP Transport error.";
    case 254:
      return "Intra-host Transport error.";
    default:
      return "Reserved";
  }
}

std::string error_log_value(const std::string& key, const Json& value) {
  static const std::set<std::string, std::less<>> in_hex = {
      "cmdid", "status_field", "phase_tag", "parm_error_location", "lba",
      "nsid",  "opcode",       "cs",        "trtype_spec_info"};
  if (key == "status_field") {
    const auto status = nvme::spec::NvmeStatus::from_bits(value.get<std::uint16_t>());
    const std::string_view name = nvme::status_name(status);
    return hex(value) + "(" + (name.empty() ? "Unknown" : std::string(name)) + ")";
  }
  if (key == "trtype") {
    return error_transport(value.get<std::uint64_t>());
  }
  return in_hex.contains(key) ? hex(value) : word(value);
}

std::string error_log_text(const std::string& target, const Json& report) {
  const Json& errors = report.at("errors");
  const std::string rule = ".................\n";
  std::string text =
      "Error Log Entries for device:" + target + " entries:" + std::to_string(errors.size()) + "\n";
  for (std::size_t i = 0; i < errors.size(); i++) {
    text += rule + format(" Entry[%2zu]   \n", i) + rule;
    for (const auto& [key, value] : errors[i].items()) {
      const char* label = key == "parm_error_location" ? "parm_err_loc" : key.c_str();
      text += format("%-16s: ", label) + error_log_value(key, value) + "\n";
    }
  }
  return text + rule;
}

std::string ana_log_text(const Json& report) {
  std::string text = "Asymmetric Namespace Access Log for NVMe device: " +
                     word(report, "Asymmetric Namespace Access Log for NVMe device") +
                     "\nANA LOG HEADER :-\nchgcnt\t:\t" + word(report, "chgcnt") + "\nngrps\t:\t" +
                     word(report, "ngrps") + "\nANA Log Desc :-\n";
  for (const Json& group : report.at("ANA DESC LIST ")) {
    for (const char* key : {"grpid", "nnsids", "chgcnt", "state"}) {
      text += std::string(key) + "\t:\t" + word(group, key) + "\n";
    }
    for (const Json& block : group.at("NSIDS")) {
      text += "\tnsid\t:\t" + word(block, "nsid") + "\n";
    }
    text += "\n";
  }
  return text;
}

std::string feature_text(const Json& report, bool human) {
  if (!report.value("changed", true)) {
    return {};
  }
  std::string text =
      "get-feature:" + format("%#04x", static_cast<unsigned>(number(report, "feature"))) + " (" +
      word(report, "name") + "), " + word(report, "select") +
      " value:" + format("0x%08x", static_cast<unsigned>(number(report, "value"))) + "\n";
  for (const Json& capability : report.value("capabilities", Json::array())) {
    text += "  Feature is " + word(capability) + "\n";
  }
  const auto data = nvme::from_base64(word(report, "data")).value_or(std::vector<std::byte>());
  const std::string meaning =
      human && !report.contains("capabilities")
          ? feature_bits(report.at("feature").get<std::uint8_t>(),
                         static_cast<std::uint32_t>(number(report, "value")), data)
          : "";
  return text + (meaning.empty() && !data.empty() ? hex_dump(data) : meaning);
}

std::string discovery_log_text(const Json& log) {
  const Json& records = log.at("records");
  std::string text = "\nDiscovery Log Number of Records " + std::to_string(records.size()) +
                     ", Generation counter " + word(log, "genctr") + "\n";
  for (std::size_t i = 0; i < records.size(); i++) {
    text += format("=====Discovery Log Entry %zu======\n", i);
    for (const auto& [key, value] : records[i].items()) {
      const std::string shown =
          key == "rdma_pkey" ? format("0x%04x", value.get<unsigned>()) : word(value);
      text += key.size() < 8 ? format("%-9s", (key + ":").c_str()) : key + ": ";
      text += shown + "\n";
    }
  }
  return text;
}

}  // namespace

std::string hex_dump(std::span<const std::byte> data) {
  std::string text = "       0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f\n";
  for (std::size_t row = 0; row < data.size(); row += 16) {
    const std::size_t count = std::min<std::size_t>(16, data.size() - row);
    text += format("%04zx:", row);
    std::string characters;
    for (std::size_t i = 0; i < 16; i++) {
      if (i >= count) {
        text += "   ";
        continue;
      }
      const auto value = std::to_integer<unsigned char>(data[row + i]);
      text += format(" %02x", value);
      characters += value >= '!' && value <= '~' ? static_cast<char>(value) : '.';
    }
    text += " \"" + characters + "\"\n";
  }
  return text;
}

std::string verb_text(const std::string& command, const std::string& target, const Json& report,
                      bool human, std::uint32_t nsid) {
  if (command == "id-ctrl") {
    return id_ctrl_text(report, human);
  }
  if (command == "id-ns") {
    return id_ns_text(report, human);
  }
  if (command == "list-ns") {
    return list_ns_text(report);
  }
  if (command == "smart-log") {
    return smart_log_text(target, report, human, nsid);
  }
  if (command == "error-log") {
    return error_log_text(target, report);
  }
  if (command == "ana-log") {
    return ana_log_text(report);
  }
  return command == "get-feature" ? feature_text(report, human) : "";
}

std::string discovery_text(const Json& report) {
  std::string text = discovery_log_text(report);
  for (const Json& referral : report.value("referrals", Json::array())) {
    text += "\nReferral to " + word(referral, "traddr") + " port " + word(referral, "trsvcid") +
            ", " + word(referral, "subnqn");
    text += referral.contains("error") ? ": " + word(referral, "error") + "\n"
                                       : "\n" + discovery_log_text(referral);
  }
  return text;
}

}  // namespace nvublk::service
