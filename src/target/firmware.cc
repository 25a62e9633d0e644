#include "target/firmware.h"

#include <algorithm>
#include <cstring>

#include "nvme/spec/text.h"
#include "target/crc32c.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

Firmware::Result failed(CommandStatus status, bool overlapped = false) {
  return {NvmeStatus::make(status, true), overlapped};
}

/// Where a piece may begin, and how much may follow an image.
constexpr std::uint64_t kUnitBytes =
    std::uint64_t{Firmware::kGranularity} * kFirmwareGranularityBytes;

bool printable(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

void Firmware::discard() {
  pieces_.clear();
  image_.clear();
  source_.reset();
  overlapped_ = committed_ = false;
}

// Whether two controllers update at the same time. [Base 2.1 §5.1.8.1]
bool Firmware::note_source(std::uint16_t cntlid) {
  if (source_ && *source_ != cntlid) overlapped_ = true;
  source_ = cntlid;
  return overlapped_;
}

Firmware::Result Firmware::download(std::uint16_t cntlid, std::uint64_t offset,
                                    std::span<const std::uint8_t> data) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t end = offset + data.size();
  if (offset % kUnitBytes != 0 || data.empty() || end > kMaxImageBytes) {
    return {NvmeStatus::make(GenericStatus::kInvalidField, true), overlapped_};
  }
  if (committed_) discard();
  const bool overlapped = note_source(cntlid);
  const auto after = pieces_.lower_bound(offset);
  if ((after != pieces_.end() && after->first < end) ||
      (after != pieces_.begin() && std::prev(after)->second > offset)) {
    return failed(CommandStatus::kOverlappingRange, overlapped);
  }
  pieces_.emplace(offset, end);
  if (image_.size() < end) image_.resize(end);
  std::ranges::copy(data, image_.begin() + static_cast<std::ptrdiff_t>(offset));
  return {{}, overlapped};
}

// The image, if it has no holes and is what its header says.
std::optional<Firmware::Image> Firmware::downloaded() const {
  std::uint64_t covered = 0;
  for (const auto& [begin, end] : pieces_) {
    if (begin != covered) return std::nullopt;
    covered = end;
  }
  FirmwareHeader header;
  if (covered < sizeof(header)) return std::nullopt;
  std::memcpy(&header, image_.data(), sizeof(header));
  const std::string_view magic(header.magic.data(), header.magic.size());
  const std::uint64_t length = header.length_bytes.get();
  // Hosts send whole dwords, or whole units of FWUG.
  if (magic != FirmwareHeader::kMagic || length < sizeof(header) || length > covered ||
      covered - length >= kUnitBytes || (header.flags.get() & ~FirmwareHeader::kNeedsReset) != 0 ||
      header.reserved.get() != 0 ||
      header.crc32c.get() != crc32c(image_.data() + sizeof(header), length - sizeof(header))) {
    return std::nullopt;
  }
  const std::string_view revision = raw_text(header.revision);
  if (!printable(revision)) return std::nullopt;
  return Image{std::string(revision), (header.flags.get() & FirmwareHeader::kNeedsReset) != 0};
}

// A free slot, else one that does not run and is not about to.
std::uint8_t Firmware::choose_slot() const {
  for (std::uint8_t slot = 2; slot <= kSlots; slot++) {
    if (!slots_[slot - 1u]) return slot;
  }
  for (std::uint8_t slot = 2; slot <= kSlots; slot++) {
    if (slot != active_ && slot != next_) return slot;
  }
  return active_ == 2 ? std::uint8_t{3} : std::uint8_t{2};
}

NvmeStatus Firmware::place(std::uint8_t slot) {
  if (slot == 1) return NvmeStatus::make(CommandStatus::kInvalidFirmwareSlot, true);
  auto image = downloaded();
  if (!image) return NvmeStatus::make(CommandStatus::kInvalidFirmwareImage, true);
  slots_[slot - 1u] = std::move(image);
  discard();
  return {};
}

Firmware::Result Firmware::activate(std::uint8_t slot) {
  if (!slots_[slot - 1u]) return failed(CommandStatus::kInvalidFirmwareImage);
  if (slots_[slot - 1u]->needs_reset) {
    next_ = slot;
    return failed(CommandStatus::kFirmwareNeedsControllerReset);
  }
  active_ = slot;
  next_ = 0;
  return {.status = {}, .overlapped = false, .activated = true};
}

Firmware::Result Firmware::commit(std::uint16_t cntlid, FirmwareAction action, std::uint8_t slot) {
  const std::lock_guard lock(mutex_);
  committed_ = true;
  // Boot partitions, which the other actions are for, there are none.
  if (action > FirmwareAction::kReplaceAndActivateNow) {
    return {NvmeStatus::make(GenericStatus::kInvalidField, true)};
  }
  if (slot > kSlots) return failed(CommandStatus::kInvalidFirmwareSlot);
  const bool overlapped = pieces_.empty() ? false : note_source(cntlid);
  const bool replaces = action == FirmwareAction::kReplace ||
                        action == FirmwareAction::kReplaceAndActivateAtReset ||
                        (action == FirmwareAction::kReplaceAndActivateNow && !pieces_.empty());
  if (slot == 0) slot = replaces ? choose_slot() : (next_ != 0 ? next_ : active_);
  // [Base 2.1 §5.1.8.1] There is another slot for it.
  if (action == FirmwareAction::kReplace && slot == active_ && slot != 1) {
    return {NvmeStatus::make(GenericStatus::kCommandSequenceError, true), overlapped};
  }
  if (replaces) {
    if (const NvmeStatus status = place(slot); !status.ok()) return {status, overlapped};
  }
  if (action == FirmwareAction::kReplace) return {{}, overlapped};
  if (action == FirmwareAction::kReplaceAndActivateNow) {
    Result result = activate(slot);
    result.overlapped = overlapped;
    return result;
  }
  if (!slots_[slot - 1u]) return failed(CommandStatus::kInvalidFirmwareImage, overlapped);
  next_ = slot;
  return {{}, overlapped};
}

void Firmware::controller_reset() {
  const std::lock_guard lock(mutex_);
  discard();
  if (next_ != 0) active_ = next_;
  next_ = 0;
}

std::string Firmware::revision() const {
  const std::lock_guard lock(mutex_);
  return slots_[active_ - 1u]->revision;
}

bool Firmware::activation_pending() const {
  const std::lock_guard lock(mutex_);
  return next_ != 0;
}

FirmwareSlotLog Firmware::log() const {
  const std::lock_guard lock(mutex_);
  FirmwareSlotLog log;
  log.afi = static_cast<std::uint8_t>(active_ | (next_ << 4));
  for (std::size_t i = 0; i < slots_.size(); i++) {
    if (slots_[i]) fill_text(log.revision[i], slots_[i]->revision, ' ');
  }
  return log;
}

}  // namespace nvublk::target
