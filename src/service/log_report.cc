#include "service/log_report.h"

#include <cstring>

#include "nvme/ana_log.h"
#include "service/wide_number.h"

namespace nvublk::service {

namespace {

std::string ana_state_name(nvme::spec::AnaState state) {
  switch (state) {
    case nvme::spec::AnaState::kOptimized:
      return "optimized";
    case nvme::spec::AnaState::kNonOptimized:
      return "non-optimized";
    case nvme::spec::AnaState::kInaccessible:
      return "inaccessible";
    case nvme::spec::AnaState::kPersistentLoss:
      return "persistent-loss";
    case nvme::spec::AnaState::kChange:
      return "change";
  }
  return "invalid state";
}

}  // namespace

Json smart_log_report(const nvme::spec::SmartLog& log) {
  Json json;
  json["critical_warning"] = log.critical_warning;
  json["temperature"] = log.composite_temperature_kelvin.get();
  json["avail_spare"] = log.available_spare_percent;
  json["spare_thresh"] = log.available_spare_threshold_percent;
  json["percent_used"] = log.percentage_used;
  json["endurance_grp_critical_warning_summary"] = log.endurance_group_critical_warning;
  json["data_units_read"] = wide_number(log.data_units_read);
  json["data_units_written"] = wide_number(log.data_units_written);
  json["host_read_commands"] = wide_number(log.host_read_commands);
  json["host_write_commands"] = wide_number(log.host_write_commands);
  json["controller_busy_time"] = wide_number(log.controller_busy_time_minutes);
  json["power_cycles"] = wide_number(log.power_cycles);
  json["power_on_hours"] = wide_number(log.power_on_hours);
  json["unsafe_shutdowns"] = wide_number(log.unsafe_shutdowns);
  json["media_errors"] = wide_number(log.media_errors);
  json["num_err_log_entries"] = wide_number(log.error_log_entries);
  json["warning_temp_time"] = log.warning_temperature_minutes.get();
  json["critical_comp_time"] = log.critical_temperature_minutes.get();
  for (std::size_t i = 0; i < log.temperature_sensor_kelvin.size(); i++) {
    if (const unsigned kelvin = log.temperature_sensor_kelvin[i].get(); kelvin != 0) {
      json["temperature_sensor_" + std::to_string(i + 1)] = kelvin;
    }
  }
  json["thm_temp1_trans_count"] = log.thermal_transition_1_count.get();
  json["thm_temp2_trans_count"] = log.thermal_transition_2_count.get();
  json["thm_temp1_total_time"] = log.thermal_transition_1_seconds.get();
  json["thm_temp2_total_time"] = log.thermal_transition_2_seconds.get();
  return json;
}

Json error_log_report(std::span<const std::byte> data) {
  Json json;
  json["errors"] = Json::array();
  nvme::spec::ErrorLogEntry entry;
  for (std::size_t at = 0; at + sizeof(entry) <= data.size(); at += sizeof(entry)) {
    std::memcpy(&entry, data.data() + at, sizeof(entry));
    Json error;
    error["error_count"] = entry.error_count.get();
    error["sqid"] = entry.sqid.get();
    error["cmdid"] = entry.cid.get();
    error["status_field"] = entry.status_field.get() >> 1;
    error["phase_tag"] = entry.status_field.get() & 1;
    error["parm_error_location"] = entry.parameter_error_location.get();
    error["lba"] = entry.lba.get();
    error["nsid"] = entry.nsid.get();
    error["vs"] = entry.vendor_information;
    error["trtype"] = entry.trtype;
    error["csi"] = entry.csi;
    error["opcode"] = entry.opcode;
    error["cs"] = entry.command_specific.get();
    error["trtype_spec_info"] = entry.transport_information.get();
    error["log_page_version"] = entry.log_page_version;
    json["errors"].push_back(std::move(error));
  }
  return json;
}

Result<Json> ana_log_report(std::span<const std::byte> data, const std::string& device) {
  const auto groups = nvme::decode_ana_log(data);
  if (!groups) {
    return std::unexpected(groups.error());
  }
  nvme::spec::AnaLogHeader header;
  std::memcpy(&header, data.data(), sizeof(header));
  Json json;
  json["Asymmetric Namespace Access Log for NVMe device"] = device;
  json["chgcnt"] = header.change_count.get();
  json["ngrps"] = header.ngrps.get();
  Json list = Json::array();
  for (const nvme::AnaGroup& group : *groups) {
    Json entry;
    entry["grpid"] = group.id;
    entry["nnsids"] = group.nsids.size();
    entry["chgcnt"] = group.change_count;
    entry["state"] = ana_state_name(group.state);
    entry["NSIDS"] = Json::array();
    for (const std::uint32_t nsid : group.nsids) {
      entry["NSIDS"].push_back(Json{{"nsid", nsid}});
    }
    list.push_back(std::move(entry));
  }
  json["ANA DESC LIST "] = std::move(list);  // the blank is nvme-cli's
  return json;
}

}  // namespace nvublk::service
