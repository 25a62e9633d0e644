#pragma once

// Internal: the Connect command, which turns a transport's connection into a queue. [Base 2.1 §6.3]

#include <cstdint>

#include "engine/error.h"
#include "nvme/command.h"
#include "nvme/controller_options.h"
#include "nvme/request.h"
#include "nvme/spec/fabrics.h"

namespace nvublk::nvme {

/// Fills `request` and `data`; `data` has to stay until the command has ended. `cntlid` is
/// kCntlidDynamic for the admin queue, for I/O queues what its Connect returned.
void build_fabrics_connect(const command::ConnectArguments& arguments, std::uint16_t cntlid,
                           const ControllerOptions& options, Request& request,
                           spec::ConnectData& data);

/// Why the target refused, in words that say what to do.
Error fabrics_connect_error(spec::NvmeStatus status, const spec::CompletionEntry& entry,
                            const ControllerOptions& options);

}  // namespace nvublk::nvme
