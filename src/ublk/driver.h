#pragma once

// The ublk driver's presence: loading the module and opening /dev/ublk-control.

#include "engine/error.h"
#include "engine/fd.h"
#include "engine/time.h"

namespace nvublk::ublk {

/// Opens /dev/ublk-control, running `modprobe ublk_drv` first if it is missing. The error says what
/// to do. May block for `load_limit`: never on a shard.
Result<UniqueFd> open_control(Duration load_limit = seconds(10));

/// Runs a program with arguments (argv[0] is searched in PATH and in /usr/sbin and /sbin), output
/// discarded; returns its exit status, or an error after `limit`, when it is killed.
Result<int> run_program(const char* const* argv, Duration limit);

}  // namespace nvublk::ublk
