#include "target/faults.h"

#include <algorithm>
#include <array>
#include <utility>

#include "nvme/spec/opcodes.h"

namespace nvublk::target {

namespace {

constexpr std::array<std::pair<FaultKind, std::string_view>, 11> kNames{{
    {FaultKind::kDrop, "drop"},
    {FaultKind::kDelay, "delay"},
    {FaultKind::kStuck, "stuck"},
    {FaultKind::kStatus, "status"},
    {FaultKind::kBlackHole, "black_hole"},
    {FaultKind::kRefuse, "refuse"},
    {FaultKind::kCorruptHeaderDigest, "corrupt_header_digest"},
    {FaultKind::kCorruptDataDigest, "corrupt_data_digest"},
    {FaultKind::kFatalStatus, "fatal_status"},
    {FaultKind::kWrongIdentity, "wrong_identity"},
    {FaultKind::kSanitizeFails, "sanitize_fails"},
}};

bool of_commands(const Fault& fault) {
  return fault.kind == FaultKind::kDelay || fault.kind == FaultKind::kStuck ||
         fault.kind == FaultKind::kStatus || fault.kind == FaultKind::kFatalStatus ||
         (fault.kind == FaultKind::kDrop && fault.at_byte == 0);
}

}  // namespace

std::string_view fault_kind_name(FaultKind kind) {
  for (const auto& [value, name] : kNames) {
    if (value == kind) return name;
  }
  return "unknown";
}

std::optional<FaultKind> fault_kind_from_name(std::string_view name) {
  for (const auto& [value, text] : kNames) {
    if (text == name) return value;
  }
  return std::nullopt;
}

void FaultTable::add(const Fault& fault) {
  const std::lock_guard lock(mutex_);
  entries_.push_back({fault});
  active_.store(true, std::memory_order_relaxed);
}

void FaultTable::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
  active_.store(false, std::memory_order_relaxed);
}

std::vector<Fault> FaultTable::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<Fault> faults;
  for (const Entry& entry : entries_) faults.push_back(entry.fault);
  return faults;
}

bool FaultTable::matches(const Fault& fault, bool admin) {
  return fault.queues == FaultQueues::kAny || (fault.queues == FaultQueues::kAdmin) == admin;
}

bool FaultTable::use(Entry& entry) {
  if (entry.skipped < entry.fault.skip) {
    entry.skipped++;
    return false;
  }
  if (entry.fault.count != 0 && entry.used == entry.fault.count) return false;
  entry.used++;
  return true;
}

void FaultTable::drop_spent() {
  std::erase_if(entries_, [](const Entry& entry) {
    return entry.fault.count != 0 && entry.used == entry.fault.count;
  });
  active_.store(!entries_.empty(), std::memory_order_relaxed);
}

FaultVerdict FaultTable::on_command(bool admin, std::uint8_t opcode, std::uint8_t fctype) {
  FaultVerdict verdict;
  const std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    const Fault& fault = entry.fault;
    if (!of_commands(fault) || !matches(fault, admin)) continue;
    if (fault.opcode && *fault.opcode != opcode) continue;
    if (fault.fctype && *fault.fctype != fctype) continue;
    if (fault.kind == FaultKind::kFatalStatus) {
      verdict.stuck = verdict.stuck || opcode != nvme::spec::kFabricsOpcode;
      continue;
    }
    if (!use(entry)) continue;
    if (fault.kind == FaultKind::kDrop) verdict.drop = true;
    if (fault.kind == FaultKind::kStuck) verdict.stuck = verdict.abortable = true;
    if (fault.kind == FaultKind::kDelay) {
      verdict.delay_ms = std::max(verdict.delay_ms, fault.delay_ms);
    }
    if (fault.kind == FaultKind::kStatus) verdict.status = fault.status;
  }
  drop_spent();
  return verdict;
}

bool FaultTable::take(FaultKind kind, bool admin) {
  if (!active()) return false;
  const std::lock_guard lock(mutex_);
  bool found = false;
  for (Entry& entry : entries_) {
    if (entry.fault.kind == kind && matches(entry.fault, admin) && use(entry)) {
      found = true;
      break;
    }
  }
  drop_spent();
  return found;
}

bool FaultTable::present(FaultKind kind, bool admin) const {
  if (!active()) return false;
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(entries_, [&](const Entry& entry) {
    return entry.fault.kind == kind && matches(entry.fault, admin);
  });
}

std::optional<std::uint64_t> FaultTable::take_byte_limit(bool admin) {
  if (!active()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  std::optional<std::uint64_t> limit;
  for (Entry& entry : entries_) {
    if (entry.fault.kind == FaultKind::kDrop && entry.fault.at_byte != 0 &&
        matches(entry.fault, admin) && use(entry)) {
      limit = entry.fault.at_byte;
      break;
    }
  }
  drop_spent();
  return limit;
}

}  // namespace nvublk::target
