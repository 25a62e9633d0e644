#pragma once

// Reads the log of a discovery controller in pieces, again from the start when it changed
// meanwhile. Pure: its owner reads what it asks for. [Base 2.1 §5.1.12]

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/step_machine.h"
#include "nvme/discovery_log.h"

namespace nvublk::nvme {

/// Fill `data` with the log from `offset_bytes` on.
struct DiscoveryRead {
  std::uint64_t offset_bytes = 0;
  std::span<std::byte> data{};
};

struct DiscoveryOutcome {
  std::optional<Error> failure{};
  std::optional<Error> error() const { return failure; }
};

class DiscoveryReader : public StepMachine<DiscoveryReader, DiscoveryRead, DiscoveryOutcome> {
 public:
  /// How often the log may change while it is read.
  static constexpr unsigned kMaxRestarts = 8;
  static constexpr std::size_t kPieceBytes = 4096;

  static std::span<const Row> rows();
  /// Once it is done.
  const DiscoveryLog& log() const { return log_; }

 private:
  Duration command_limit() const { return seconds(15); }
  Duration records_limit() const { return seconds(60); }
  std::optional<DiscoveryRead> read_header();
  StepNext keep_header(const DiscoveryOutcome& outcome);
  std::optional<DiscoveryRead> read_piece();
  StepNext next_piece(const DiscoveryOutcome& outcome);
  StepNext check_generation(const DiscoveryOutcome& outcome);

  std::vector<std::byte> header_ = std::vector<std::byte>(sizeof(spec::DiscoveryLogHeader));
  std::vector<std::byte> data_;
  std::uint64_t genctr_ = 0;
  std::size_t filled_ = 0;
  unsigned restarts_ = 0;
  DiscoveryLog log_;
};

}  // namespace nvublk::nvme
