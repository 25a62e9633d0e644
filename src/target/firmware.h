#pragma once

// Firmware slots, and the image that is being downloaded. No code is run: what an image has is its
// revision, and whether it needs a reset. Thread-safe. [Base 2.1 §3.11, §5.1.8, §5.1.9]

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/endian.h"
#include "nvme/spec/firmware.h"
#include "nvme/spec/log_pages.h"
#include "nvme/spec/status.h"

namespace nvublk::target {

/// What an image begins with; anything may follow.
struct FirmwareHeader {
  std::array<char, 8> magic{};     ///< kMagic
  std::array<char, 8> revision{};  ///< printable ASCII, padded with spaces
  Le32 length_bytes;               ///< of the whole image
  Le32 crc32c;                     ///< of all that follows the header
  Le32 flags;                      ///< see kNeedsReset; the others are 0
  Le32 reserved;                   ///< 0

  static constexpr std::string_view kMagic = "NVUBLKFW";
  /// It cannot be activated without a Controller Level Reset.
  static constexpr std::uint32_t kNeedsReset = 1;
};
static_assert(sizeof(FirmwareHeader) == 32);

class Firmware {
 public:
  using NvmeStatus = nvme::spec::NvmeStatus;
  static constexpr std::uint8_t kSlots = 3;        ///< the first is read only
  static constexpr std::uint8_t kGranularity = 1;  ///< FWUG
  static constexpr std::uint32_t kMaxImageBytes = 4u << 20;

  /// How a command ended, and what it says of updates that overlapped.
  struct Result {
    NvmeStatus status;
    bool overlapped = false;  ///< MUD
    bool activated = false;   ///< another image runs than before
  };

  /// A piece of an image, from the controller `cntlid`.
  Result download(std::uint16_t cntlid, std::uint64_t offset, std::span<const std::uint8_t> data);
  Result commit(std::uint16_t cntlid, nvme::spec::FirmwareAction action, std::uint8_t slot);
  /// A Controller Level Reset: what was downloaded is gone, and what was to be activated runs.
  void controller_reset();

  /// Of what runs.
  std::string revision() const;
  bool activation_pending() const;
  nvme::spec::FirmwareSlotLog log() const;

 private:
  struct Image {
    std::string revision;
    bool needs_reset = false;
  };

  // All with mutex_ held.
  void discard();
  bool note_source(std::uint16_t cntlid);
  std::optional<Image> downloaded() const;
  std::uint8_t choose_slot() const;
  NvmeStatus place(std::uint8_t slot);
  Result activate(std::uint8_t slot);

  mutable std::mutex mutex_;
  // All below by mutex_.
  std::array<std::optional<Image>, kSlots> slots_{Image{"1"}};
  std::uint8_t active_ = 1;
  std::uint8_t next_ = 0;                          ///< of the next reset; 0: the same
  std::map<std::uint64_t, std::uint64_t> pieces_;  ///< begin to end, in bytes
  std::vector<std::uint8_t> image_;
  std::optional<std::uint16_t> source_;  ///< who downloads
  bool overlapped_ = false;
  bool committed_ = false;  ///< the next download begins anew
};

}  // namespace nvublk::target
