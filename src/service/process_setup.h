#pragma once

// What a process that serves block devices asks of the kernel before it starts threads: limits,
// memory that stays, signals.

#include <csignal>

namespace nvublk::service {

/// Blocks the signals that the daemon reads through a signalfd (and SIGPIPE, for good) in this
/// thread and all that it starts; returns those to be read.
sigset_t block_signals();

/// Raises the limits for locked memory and descriptors as far as we may, keeps our pages in memory
/// and our allocations from waiting for I/O on our own devices. What the kernel does not grant is
/// logged and lived without.
void prepare_process();

}  // namespace nvublk::service
