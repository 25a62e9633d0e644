#pragma once

// What tests of commands that manage a subsystem share.

#include <cstdint>
#include <vector>

#include "nvme/library/commands_fixture.h"
#include "nvme/management_command.h"
#include "nvme/spec/log_pages.h"

namespace nvublk::nvme {

/// An operation's time, longer than any test: it ends when the target is told so.
inline constexpr std::uint32_t kForEverMs = 3'600'000;

class ManagementTest : public CommandsTest, public ControllerListener {
 protected:
  void controller_state_changed(ControllerState) override {}
  void namespaces_changed(const std::vector<std::uint32_t>&) override {}
  void event_received(const spec::AsyncEvent& event, std::span<const std::byte> log) override {
    events_.push_back(event);
    event_logs_.emplace_back(log.begin(), log.end());
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
