#pragma once

// Discovery logs as JSON, with nvme-cli's names, order and words. Pure; what comes in is a target's
// and may hold anything.

#include <utility>
#include <vector>

#include "nvme/discovery_walk.h"
#include "service/json.h"

namespace nvublk::service {

/// {"genctr","records":[...]} of the first log. When it refers to others, also "referrals": for
/// each
/// {"traddr","trsvcid","subnqn"} and its "genctr" and "records", or why it could not be read as
/// "error".
Json discovery_report(const std::vector<nvme::DiscoveryWalk::Log>& logs,
                      const std::vector<std::pair<nvme::TransportId, Error>>& failures);

/// The log page, header and records, as the controller gave it. [Base 2.1 §5.1.12.3.1]
std::vector<std::byte> discovery_log_bytes(const nvme::DiscoveryWalk::Log& log);

/// One record.
Json discovery_record(const nvme::spec::DiscoveryLogEntry& entry);

}  // namespace nvublk::service
