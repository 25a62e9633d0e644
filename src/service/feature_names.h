#pragma once

// Features by name, and what Get Features returned as JSON. Pure.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "service/json.h"

namespace nvublk::service {

/// "Number of Queues"; "Unknown" for one that is not defined.
std::string_view feature_name(std::uint8_t feature);
/// SEL: "Current", "Default", "Saved", "Supported capabilities".
std::string_view feature_select_name(std::uint8_t select);
/// How much data comes with a feature, 0 for most. [Base 2.1 §5.1.25]
std::size_t feature_data_bytes(std::uint8_t feature, std::uint32_t cdw11);

/// {"feature","name","select","value"}, with "capabilities" for SEL 3 and "data" when there is
/// some.
Json feature_report(std::uint8_t feature, std::uint8_t select, std::uint32_t value,
                    std::span<const std::byte> data);

}  // namespace nvublk::service
