#pragma once

// The zones of a zoned namespace and their state machine. Thread-safe. [ZNS 1.2 §2.1.1]

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "nvme/spec/status.h"
#include "nvme/spec/zoned.h"

namespace nvublk::target {

struct ZoneOptions {
  std::uint64_t zone_blocks = 0;      ///< from one zone to the next
  std::uint64_t capacity_blocks = 0;  ///< of each that can be written
  std::uint32_t max_open = 0;         ///< 0: no limit
  std::uint32_t max_active = 0;       ///< 0: no limit
};

class Zones {
 public:
  using NvmeStatus = nvme::spec::NvmeStatus;
  /// Zone descriptor extensions have one unit of 64 bytes.
  static constexpr std::size_t kExtensionBytes = 64;
  using Extension = std::array<std::uint8_t, kExtensionBytes>;

  struct Report {
    nvme::spec::ZoneReceiveAction action = nvme::spec::ZoneReceiveAction::kReport;
    nvme::spec::ZoneReportOption option = nvme::spec::ZoneReportOption::kAll;
    std::uint64_t lba = 0;
    std::size_t length_bytes = 0;
    bool partial = false;
  };

  Zones(const ZoneOptions& options, std::uint64_t size_blocks);

  const ZoneOptions& options() const { return options_; }
  std::uint64_t count() const { return zones_.size(); }

  /// Lets a write of blocks that exist through and moves the write pointer, or says why not.
  NvmeStatus write(std::uint64_t lba, std::uint64_t blocks);
  /// The same at the write pointer, which was at `lba` then.
  NvmeStatus append(std::uint64_t zone_lba, std::uint64_t blocks, std::uint64_t& lba);
  /// Blocks of offline zones cannot be read.
  NvmeStatus read(std::uint64_t lba, std::uint64_t blocks) const;

  /// What a Zone Send Action did: zones that were reset are to be emptied.
  struct Sent {
    NvmeStatus status;
    std::vector<std::uint64_t> emptied;  ///< first blocks of zones
  };
  Sent send(nvme::spec::ZoneSendAction action, std::uint64_t zone_lba, bool all);
  NvmeStatus set_extension(std::uint64_t zone_lba, const Extension& extension);
  /// The zone report, or nothing for what cannot be reported.
  std::optional<std::vector<std::uint8_t>> report(const Report& request) const;

  /// Puts a zone into a state that no command leads to, as if the media had failed.
  bool fail_zone(std::uint64_t zone_lba, nvme::spec::ZoneState state);

 private:
  using State = nvme::spec::ZoneState;
  using Action = nvme::spec::ZoneSendAction;
  struct Zone {
    State state = State::kEmpty;
    std::uint64_t written_blocks = 0;
    bool has_extension = false;
    Extension extension{};
  };

  // All with mutex_ held.
  Zone& zone_of(std::uint64_t lba) { return zones_[lba / options_.zone_blocks]; }
  std::uint64_t first_block(const Zone& zone) const;
  NvmeStatus check_write(const Zone& zone, std::uint64_t offset, std::uint64_t blocks) const;
  NvmeStatus advance(Zone& zone, std::uint64_t blocks);
  NvmeStatus make_room(bool becomes_active);
  NvmeStatus open(Zone& zone, State as);
  NvmeStatus apply(Zone& zone, Action action, Sent& sent);
  void set_state(Zone& zone, State state);
  void close(Zone& zone);
  static bool is_open(State state);
  static bool is_active(State state);
  static bool affected_by_all(State state, Action action);
  nvme::spec::ZoneDescriptor describe(const Zone& zone) const;

  const ZoneOptions options_;
  mutable std::mutex mutex_;
  std::vector<Zone> zones_;
  std::uint32_t open_ = 0;
  std::uint32_t active_ = 0;
};

}  // namespace nvublk::target
