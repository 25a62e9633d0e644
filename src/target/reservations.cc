#include "target/reservations.h"

#include <algorithm>

namespace nvublk::target {

using namespace nvme::spec;

namespace {

NvmeStatus conflict() {
  return NvmeStatus::make(GenericStatus::kReservationConflict, true);
}

NvmeStatus invalid() {
  return NvmeStatus::make(GenericStatus::kInvalidField, true);
}

bool valid(ReservationType type) {
  return type >= ReservationType::kWriteExclusive &&
         type <= ReservationType::kExclusiveAccessAllRegistrants;
}

}  // namespace

Reservations::Registrant* Reservations::find(const HostId& host) {
  const auto found = std::ranges::find(registrants_, host, &Registrant::host);
  return found == registrants_.end() ? nullptr : &*found;
}

bool Reservations::is_holder(const Registrant& registrant) const {
  return type_ != Type::kNone && (all_registrants(type_) || registrant.host == holder_);
}

void Reservations::take(const HostId& host, Type type) {
  type_ = type;
  holder_ = host;
  reserved_.store(type != Type::kNone, std::memory_order_release);
}

// A reservation ends with its only holder, or with the last of them.
void Reservations::remove(const HostId& host) {
  const bool held = type_ != Type::kNone && !all_registrants(type_) && host == holder_;
  std::erase_if(registrants_, [&host](const Registrant& each) { return each.host == host; });
  if (held || registrants_.empty()) take({}, Type::kNone);
}

unsigned Reservations::remove_others_with(const HostId& host, std::uint64_t key) {
  std::vector<HostId> hosts;
  for (const Registrant& each : registrants_) {
    if (each.key == key && each.host != host) hosts.push_back(each.host);
  }
  for (const HostId& each : hosts) remove(each);
  return static_cast<unsigned>(hosts.size());
}

NvmeStatus Reservations::change_registration(const HostId& host, RegisterAction action,
                                             std::uint64_t current_key, std::uint64_t new_key,
                                             bool ignore_key) {
  const std::lock_guard lock(mutex_);
  Registrant* registrant = find(host);
  if (action == RegisterAction::kRegister) {
    if (registrant != nullptr) return registrant->key == new_key ? NvmeStatus{} : conflict();
    registrants_.push_back({host, new_key, false});
    generation_++;
    return {};
  }
  if (action != RegisterAction::kUnregister && action != RegisterAction::kReplace) return invalid();
  if (registrant == nullptr || (!ignore_key && registrant->key != current_key)) return conflict();
  if (action == RegisterAction::kReplace) {
    registrant->key = new_key;
  } else {
    remove(host);
  }
  generation_++;
  return {};
}

NvmeStatus Reservations::acquire(const HostId& host, Type type, std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  if (!valid(type)) return invalid();
  const Registrant* registrant = find(host);
  if (registrant == nullptr || registrant->key != key) return conflict();
  if (type_ == Type::kNone) {
    take(host, type);
    return {};
  }
  return is_holder(*registrant) && type == type_ ? NvmeStatus{} : conflict();
}

NvmeStatus Reservations::preempt(const HostId& host, Type type, std::uint64_t key,
                                 std::uint64_t preempted) {
  const std::lock_guard lock(mutex_);
  if (!valid(type)) return invalid();
  const Registrant* registrant = find(host);
  if (registrant == nullptr || registrant->key != key) return conflict();
  const Registrant* holder =
      type_ == Type::kNone || all_registrants(type_) ? nullptr : find(holder_);
  if (all_registrants(type_) && preempted == 0) {
    std::erase_if(registrants_, [&host](const Registrant& each) { return each.host != host; });
    take(host, type);
  } else if (holder != nullptr && holder->key == preempted) {
    take(host, type);
    remove_others_with(host, preempted);
  } else if (holder != nullptr && preempted == 0) {
    return invalid();
  } else if (remove_others_with(host, preempted) == 0) {
    return conflict();
  }
  generation_++;
  return {};
}

NvmeStatus Reservations::release(const HostId& host, Type type, std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  const Registrant* registrant = find(host);
  if (registrant == nullptr || registrant->key != key) return conflict();
  if (!is_holder(*registrant)) return {};
  if (type != type_) return invalid();
  take({}, Type::kNone);
  return {};
}

NvmeStatus Reservations::clear(const HostId& host, std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  const Registrant* registrant = find(host);
  if (registrant == nullptr || registrant->key != key) return conflict();
  registrants_.clear();
  take({}, Type::kNone);
  generation_++;
  return {};
}

bool Reservations::permits(const HostId& host, bool writes) const {
  if (!reserved_.load(std::memory_order_acquire)) return true;
  const std::lock_guard lock(mutex_);
  const bool registered =
      std::ranges::find(registrants_, host, &Registrant::host) != registrants_.end();
  switch (type_) {
    case Type::kNone:
      return true;
    case Type::kWriteExclusive:
      return !writes || host == holder_;
    case Type::kExclusiveAccess:
      return host == holder_;
    case Type::kWriteExclusiveRegistrants:
    case Type::kWriteExclusiveAllRegistrants:
      return !writes || registered;
    case Type::kExclusiveAccessRegistrants:
    case Type::kExclusiveAccessAllRegistrants:
      return registered;
  }
  return false;
}

Reservations::State Reservations::state() const {
  const std::lock_guard lock(mutex_);
  State state{generation_, type_, registrants_};
  for (Registrant& each : state.registrants) each.holder = is_holder(each);
  return state;
}

}  // namespace nvublk::target
