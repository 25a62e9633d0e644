#include "target/zones.h"

#include <cstring>

namespace nvublk::target {

using namespace nvme::spec;

namespace {

NvmeStatus refused(NvmStatusCode code) {
  return NvmeStatus::make(code, true);
}

NvmeStatus invalid_field() {
  return NvmeStatus::make(GenericStatus::kInvalidField, true);
}

bool selected(ZoneState state, ZoneReportOption option) {
  switch (option) {
    case ZoneReportOption::kAll:
      return true;
    case ZoneReportOption::kEmpty:
      return state == ZoneState::kEmpty;
    case ZoneReportOption::kImplicitlyOpen:
      return state == ZoneState::kImplicitlyOpen;
    case ZoneReportOption::kExplicitlyOpen:
      return state == ZoneState::kExplicitlyOpen;
    case ZoneReportOption::kClosed:
      return state == ZoneState::kClosed;
    case ZoneReportOption::kFull:
      return state == ZoneState::kFull;
    case ZoneReportOption::kReadOnly:
      return state == ZoneState::kReadOnly;
    case ZoneReportOption::kOffline:
      return state == ZoneState::kOffline;
  }
  return false;
}

template <typename T>
void append_bytes(std::vector<std::uint8_t>& out, const T& value) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof(T));
}

}  // namespace

Zones::Zones(const ZoneOptions& options, std::uint64_t size_blocks)
    : options_(options), zones_(size_blocks / options.zone_blocks) {}

bool Zones::is_open(State state) {
  return state == State::kImplicitlyOpen || state == State::kExplicitlyOpen;
}

bool Zones::is_active(State state) {
  return is_open(state) || state == State::kClosed;
}

std::uint64_t Zones::first_block(const Zone& zone) const {
  return static_cast<std::uint64_t>(&zone - zones_.data()) * options_.zone_blocks;
}

void Zones::set_state(Zone& zone, State state) {
  open_ = open_ - (is_open(zone.state) ? 1 : 0) + (is_open(state) ? 1 : 0);
  active_ = active_ - (is_active(zone.state) ? 1 : 0) + (is_active(state) ? 1 : 0);
  zone.state = state;
}

// A closed zone was written to, or has an extension; else it is empty.
void Zones::close(Zone& zone) {
  const bool untouched = zone.written_blocks == 0 && !zone.has_extension;
  set_state(zone, untouched ? State::kEmpty : State::kClosed);
}

NvmeStatus Zones::make_room(bool becomes_active) {
  if (becomes_active && options_.max_active != 0 && active_ >= options_.max_active) {
    return refused(NvmStatusCode::kTooManyActiveZones);
  }
  if (options_.max_open == 0 || open_ < options_.max_open) return {};
  // One that was opened implicitly may be closed for another. [ZNS 1.2 §2.1.1.4]
  for (Zone& zone : zones_) {
    if (zone.state == State::kImplicitlyOpen) {
      close(zone);
      return {};
    }
  }
  return refused(NvmStatusCode::kTooManyOpenZones);
}

NvmeStatus Zones::open(Zone& zone, State as) {
  switch (zone.state) {
    case State::kEmpty:
    case State::kClosed:
      if (const NvmeStatus full = make_room(zone.state == State::kEmpty); !full.ok()) return full;
      set_state(zone, as);
      return {};
    case State::kImplicitlyOpen:
    case State::kExplicitlyOpen:
      if (as == State::kExplicitlyOpen) set_state(zone, as);
      return {};
    case State::kReadOnly:
    case State::kFull:
    case State::kOffline:
      break;
  }
  return refused(NvmStatusCode::kInvalidZoneTransition);
}

NvmeStatus Zones::check_write(const Zone& zone, std::uint64_t offset, std::uint64_t blocks) const {
  if (zone.state == State::kFull) return refused(NvmStatusCode::kZoneFull);
  if (zone.state == State::kReadOnly) return refused(NvmStatusCode::kZoneReadOnly);
  if (zone.state == State::kOffline) return refused(NvmStatusCode::kZoneOffline);
  if (offset + blocks > options_.capacity_blocks) return refused(NvmStatusCode::kZoneBoundaryError);
  return offset == zone.written_blocks ? NvmeStatus{} : refused(NvmStatusCode::kZoneInvalidWrite);
}

NvmeStatus Zones::advance(Zone& zone, std::uint64_t blocks) {
  const bool fills = zone.written_blocks + blocks == options_.capacity_blocks;
  if (const NvmeStatus opened = open(zone, State::kImplicitlyOpen); !opened.ok()) return opened;
  zone.written_blocks += blocks;
  if (fills) set_state(zone, State::kFull);
  return {};
}

NvmeStatus Zones::write(std::uint64_t lba, std::uint64_t blocks) {
  const std::lock_guard lock(mutex_);
  Zone& zone = zone_of(lba);
  const NvmeStatus status = check_write(zone, lba % options_.zone_blocks, blocks);
  return status.ok() ? advance(zone, blocks) : status;
}

NvmeStatus Zones::append(std::uint64_t zone_lba, std::uint64_t blocks, std::uint64_t& lba) {
  const std::lock_guard lock(mutex_);
  if (zone_lba % options_.zone_blocks != 0) return invalid_field();
  Zone& zone = zone_of(zone_lba);
  const std::uint64_t offset = zone.written_blocks;
  const NvmeStatus status = check_write(zone, offset, blocks);
  if (!status.ok()) return status;
  lba = zone_lba + offset;
  return advance(zone, blocks);
}

NvmeStatus Zones::read(std::uint64_t lba, std::uint64_t blocks) const {
  const std::lock_guard lock(mutex_);
  const std::uint64_t last = (lba + blocks - 1) / options_.zone_blocks;
  for (std::uint64_t i = lba / options_.zone_blocks; i <= last; i++) {
    if (zones_[i].state == State::kOffline) return refused(NvmStatusCode::kZoneOffline);
  }
  return {};
}

NvmeStatus Zones::apply(Zone& zone, Action action, Sent& sent) {
  const State state = zone.state;
  const bool dead = state == State::kOffline || state == State::kReadOnly;
  switch (action) {
    case Action::kOpen:
      return open(zone, State::kExplicitlyOpen);
    case Action::kClose:
      if (state == State::kClosed) return {};
      if (!is_open(state)) return refused(NvmStatusCode::kInvalidZoneTransition);
      close(zone);
      return {};
    case Action::kFinish:
      if (state == State::kFull) return {};
      if (dead) return refused(NvmStatusCode::kInvalidZoneTransition);
      // An empty or closed zone passes through an open state. [ZNS 1.2 §3.4.3.1.2]
      if (const NvmeStatus opened = open(zone, State::kImplicitlyOpen); !opened.ok()) {
        return opened;
      }
      set_state(zone, State::kFull);
      return {};
    case Action::kReset:
      if (state == State::kEmpty) return {};
      if (dead) return refused(NvmStatusCode::kInvalidZoneTransition);
      set_state(zone, State::kEmpty);
      zone.written_blocks = 0;
      zone.has_extension = false;
      sent.emptied.push_back(first_block(zone));
      return {};
    case Action::kOffline:
      if (state == State::kOffline) return {};
      if (state != State::kReadOnly) return refused(NvmStatusCode::kInvalidZoneTransition);
      set_state(zone, State::kOffline);
      return {};
    case Action::kSetExtension:
      break;
  }
  return invalid_field();
}

// With Select All, only zones that the action makes sense for. [ZNS 1.2 §3.4.3]
bool Zones::affected_by_all(State state, Action action) {
  switch (action) {
    case Action::kOpen:
      return state == State::kClosed;
    case Action::kClose:
      return is_open(state);
    case Action::kFinish:
      return is_active(state);
    case Action::kReset:
      return is_active(state) || state == State::kFull;
    case Action::kOffline:
      return state == State::kReadOnly;
    case Action::kSetExtension:
      break;
  }
  return false;
}

Zones::Sent Zones::send(Action action, std::uint64_t zone_lba, bool all) {
  const std::lock_guard lock(mutex_);
  Sent sent;
  if (!all) {
    const bool good =
        zone_lba % options_.zone_blocks == 0 && zone_lba / options_.zone_blocks < zones_.size();
    sent.status = good ? apply(zone_of(zone_lba), action, sent) : invalid_field();
    return sent;
  }
  if (action < Action::kClose || action > Action::kOffline) {
    sent.status = invalid_field();
    return sent;
  }
  std::uint32_t closed = 0;
  for (const Zone& zone : zones_) closed += zone.state == State::kClosed ? 1 : 0;
  if (action == Action::kOpen && options_.max_open != 0 && open_ + closed > options_.max_open) {
    sent.status = refused(NvmStatusCode::kTooManyOpenZones);
    return sent;
  }
  for (Zone& zone : zones_) {
    if (!affected_by_all(zone.state, action)) continue;
    sent.status = apply(zone, action, sent);
    if (!sent.status.ok()) break;
  }
  return sent;
}

NvmeStatus Zones::set_extension(std::uint64_t zone_lba, const Extension& extension) {
  const std::lock_guard lock(mutex_);
  if (zone_lba % options_.zone_blocks != 0) return invalid_field();
  Zone& zone = zone_of(zone_lba);
  if (zone.state != State::kEmpty) return refused(NvmStatusCode::kInvalidZoneTransition);
  if (options_.max_active != 0 && active_ >= options_.max_active) {
    return refused(NvmStatusCode::kTooManyActiveZones);
  }
  zone.extension = extension;
  zone.has_extension = true;
  set_state(zone, State::kClosed);
  return {};
}

ZoneDescriptor Zones::describe(const Zone& zone) const {
  ZoneDescriptor descriptor;
  descriptor.zt = kSequentialWriteRequired;
  descriptor.set_state(zone.state);
  descriptor.za = zone.has_extension ? kZoneExtensionValid : std::uint8_t{0};
  descriptor.zcap = options_.capacity_blocks;
  descriptor.zslba = first_block(zone);
  const bool has_pointer = zone.state == State::kEmpty || is_active(zone.state);
  descriptor.wp = has_pointer ? first_block(zone) + zone.written_blocks : ~std::uint64_t{0};
  return descriptor;
}

std::optional<std::vector<std::uint8_t>> Zones::report(const Report& request) const {
  const bool extended = request.action == ZoneReceiveAction::kExtendedReport;
  if ((!extended && request.action != ZoneReceiveAction::kReport) ||
      request.option > ZoneReportOption::kOffline ||
      request.length_bytes < sizeof(ZoneReportHeader)) {
    return std::nullopt;
  }
  const std::size_t entry_bytes = sizeof(ZoneDescriptor) + (extended ? kExtensionBytes : 0);
  const std::uint64_t room = (request.length_bytes - sizeof(ZoneReportHeader)) / entry_bytes;
  const std::lock_guard lock(mutex_);
  std::vector<std::uint8_t> bytes(sizeof(ZoneReportHeader));
  std::uint64_t matching = 0;
  for (std::uint64_t i = request.lba / options_.zone_blocks; i < zones_.size(); i++) {
    const Zone& zone = zones_[i];
    if (!selected(zone.state, request.option)) continue;
    matching++;
    if (matching > room) continue;
    append_bytes(bytes, describe(zone));
    if (extended) append_bytes(bytes, zone.has_extension ? zone.extension : Extension{});
  }
  ZoneReportHeader head;
  head.zone_count = request.partial && matching > room ? room : matching;
  std::memcpy(bytes.data(), &head, sizeof(head));
  return bytes;
}

bool Zones::fail_zone(std::uint64_t zone_lba, State state) {
  const std::lock_guard lock(mutex_);
  const bool possible = state == State::kReadOnly || state == State::kOffline;
  if (!possible || zone_lba / options_.zone_blocks >= zones_.size()) return false;
  set_state(zone_of(zone_lba), state);
  return true;
}

}  // namespace nvublk::target
