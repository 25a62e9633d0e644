#pragma once

// Log pages as JSON, with nvme-cli's names and order. Pure; what comes in is a device's and is
// checked.

#include <cstddef>
#include <span>
#include <string>

#include "engine/error.h"
#include "nvme/spec/log_pages.h"
#include "service/json.h"

namespace nvublk::service {

Json smart_log_report(const nvme::spec::SmartLog& log);
/// {"errors":[...]}; `data` is a number of whole entries.
Json error_log_report(std::span<const std::byte> data);
/// `device`: the name that the log is shown with. Fails when a group reaches beyond `data`.
Result<Json> ana_log_report(std::span<const std::byte> data, const std::string& device);

}  // namespace nvublk::service
