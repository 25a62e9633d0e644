#pragma once

// What "list" and "status" say, as JSON: a contract with users' scripts. Names and order of the
// fields do not change.

#include <optional>
#include <string>
#include <vector>

#include "engine/shard.h"
#include "service/attachments.h"
#include "service/json.h"

namespace nvublk::service {

/// {"devices":[...]}; only those of the controller `name` if it is not empty. Only devices that can
/// be opened.
Json list_report(const Attachments& attachments, const std::string& controller = {});

/// What status says of the daemon itself.
struct DaemonFacts {
  std::string version;
  int pid = 0;
  Instant started{};
  std::vector<Shard*> shards;
};

/// {"daemon":{...},"controllers":[...],"devices":[...]}, everything or what `matches` has.
Json status_report(const DaemonFacts& daemon, const Attachments& attachments,
                   const std::optional<std::vector<AttachmentMatch>>& matches, Instant now);

}  // namespace nvublk::service
