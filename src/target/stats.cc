#include "target/stats.h"

namespace nvublk::target {

void Stats::add(const WorkerStats& worker) {
  connections += worker.connections.get();
  open_connections += worker.connections.get() - worker.closed.get();
  pdus_received += worker.pdus_received.get();
  pdus_sent += worker.pdus_sent.get();
  bytes_received += worker.bytes_received.get();
  bytes_sent += worker.bytes_sent.get();
  receives += worker.receives.get();
  sends += worker.sends.get();
  read_bytes += worker.read_bytes.get();
  written_bytes += worker.written_bytes.get();
  errors += worker.errors.get();
  responses_saved += worker.responses_saved.get();
  terminations_sent += worker.terminations_sent.get();
  terminations_received += worker.terminations_received.get();
  digest_errors += worker.digest_errors.get();
  for (std::size_t i = 0; i < admin_commands.size(); i++) {
    admin_commands[i] += worker.admin_commands[i].get();
    io_commands[i] += worker.io_commands[i].get();
  }
}

}  // namespace nvublk::target
