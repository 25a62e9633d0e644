#pragma once

// Who may use a namespace: registrations and the reservation. Thread-safe. [Base 2.1 §8.1.22]

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "nvme/spec/reservation.h"
#include "nvme/spec/status.h"

namespace nvublk::target {

using HostId = std::array<std::uint8_t, 16>;

class Reservations {
 public:
  using Type = nvme::spec::ReservationType;
  struct Registrant {
    HostId host{};
    std::uint64_t key = 0;
    bool holder = false;
  };
  struct State {
    std::uint32_t generation = 0;
    Type type = Type::kNone;
    std::vector<Registrant> registrants;
  };

  nvme::spec::NvmeStatus change_registration(const HostId& host, nvme::spec::RegisterAction action,
                                             std::uint64_t current_key, std::uint64_t new_key,
                                             bool ignore_key);
  nvme::spec::NvmeStatus acquire(const HostId& host, Type type, std::uint64_t key);
  /// Takes the registrations with `preempted` away, and the reservation with its holder's.
  nvme::spec::NvmeStatus preempt(const HostId& host, Type type, std::uint64_t key,
                                 std::uint64_t preempted);
  nvme::spec::NvmeStatus release(const HostId& host, Type type, std::uint64_t key);
  nvme::spec::NvmeStatus clear(const HostId& host, std::uint64_t key);

  /// Whether commands of `host` that read, or that write, are let through.
  bool permits(const HostId& host, bool writes) const;
  State state() const;

 private:
  // All with mutex_ held.
  Registrant* find(const HostId& host);
  bool is_holder(const Registrant& registrant) const;
  void remove(const HostId& host);
  unsigned remove_others_with(const HostId& host, std::uint64_t key);
  void take(const HostId& host, Type type);

  mutable std::mutex mutex_;
  std::atomic<bool> reserved_{false};  ///< so that I/O without a reservation takes no lock
  std::uint32_t generation_ = 0;
  Type type_ = Type::kNone;
  HostId holder_{};  ///< unless all registrants are
  std::vector<Registrant> registrants_;
};

}  // namespace nvublk::target
