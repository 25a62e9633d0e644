#pragma once

// What tests of commands that manage a subsystem share.

#include <cstring>
#include <vector>

#include "nvme/library/commands_fixture.h"
#include "nvme/management_command.h"
#include "nvme/spec/log_pages.h"

namespace nvublk::nvme {

class ManagementTest : public CommandsTest, public ControllerListener {
 protected:
  void controller_state_changed(ControllerState) override {}
  void namespaces_changed(const std::vector<std::uint32_t>&) override {}
  void event_received(const spec::AsyncEvent& event, std::span<const std::byte> log) override {
    events_.push_back(event);
    event_logs_.emplace_back(log.begin(), log.end());
  }

  spec::NvmeStatus write(Host& host, std::uint64_t lba, std::vector<std::byte>& data) {
    return host
        .run([&](NamespaceIo& io, Ended& ended) {
          return io.write(blocks(lba, data.size() / io.limits().block_bytes, data, ended));
        })
        .status;
  }
  spec::NvmeStatus read(Host& host, std::uint64_t lba, std::vector<std::byte>& data) {
    return host
        .run([&](NamespaceIo& io, Ended& ended) {
          return io.read(blocks(lba, data.size() / io.limits().block_bytes, data, ended));
        })
        .status;
  }
  /// Whether all of `data` is `value`, over and over, least significant byte first.
  static bool all(const std::vector<std::byte>& data, std::uint32_t value) {
    for (std::size_t i = 0; i < data.size(); i++) {
      if (data[i] != static_cast<std::byte>(value >> (8 * (i % 4)))) return false;
    }
    return true;
  }

  std::vector<spec::AsyncEvent> events_;
  std::vector<std::vector<std::byte>> event_logs_;
};

}  // namespace nvublk::nvme
