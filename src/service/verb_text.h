#pragma once

// Answers of the methods that are nvme-cli's commands as text, in nvme-cli's manner. Pure.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "nvme/spec/opcodes.h"
#include "service/json.h"

namespace nvublk::service {

/// `target` is what the user named. `human`: also what the bits of Identify fields mean. `nsid`:
/// whose log it is.
std::string verb_text(const std::string& command, const std::string& target, const Json& report,
                      bool human = false, std::uint32_t nsid = nvme::spec::kNsidBroadcast);
std::string discovery_text(const Json& report);

/// Rows of 16 bytes with their offsets, in hex and as characters.
std::string hex_dump(std::span<const std::byte> data);

}  // namespace nvublk::service
