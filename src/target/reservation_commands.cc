// The reservation commands of Queue. [Base 2.1 §7.5, §7.6, §7.7, §7.8]

#include <algorithm>
#include <cstring>

#include "nvme/spec/reservation.h"
#include "target/queue.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

constexpr std::uint16_t kNoController = 0xffff;

}  // namespace

Reply Queue::execute_reservation(const Sqe& sqe, Bytes data) {
  const auto* found = namespaces_.find(sqe.nsid.get());
  if (found == nullptr) return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  const Namespace& ns = **found;
  if (sqe.nvm_opcode() == NvmOpcode::kReservationReport) return reservation_report(sqe, ns);
  const bool release = sqe.nvm_opcode() == NvmOpcode::kReservationRelease;
  ReservationKeys keys;
  if (data.size() != (release ? sizeof(Le64) : sizeof(keys))) {
    return Reply::error(GenericStatus::kDataSglLengthInvalid);
  }
  std::memcpy(&keys, data.data(), data.size());
  const std::uint32_t flags = sqe.cdw10.get();
  const std::uint32_t action = flags & 0x7;
  const bool ignore_key = (flags & (1u << 3)) != 0;
  const auto type = static_cast<ReservationType>((flags >> 8) & 0xff);
  const HostId& host = controller_->identity().hostid;
  Reservations& reservations = ns.reservations();
  if (sqe.nvm_opcode() == NvmOpcode::kReservationRegister) {
    // Nothing here outlives the target.
    if ((flags >> 30) == 1 || (flags >> 30) == 3) return Reply::error(GenericStatus::kInvalidField);
    return Reply::with_status(
        reservations.change_registration(host, static_cast<RegisterAction>(action),
                                         keys.current.get(), keys.other.get(), ignore_key));
  }
  if (ignore_key || action > 2) return Reply::error(GenericStatus::kInvalidField);
  const std::uint64_t key = keys.current.get();
  if (release) {
    if (action > 1) return Reply::error(GenericStatus::kInvalidField);
    return Reply::with_status(action == 0 ? reservations.release(host, type, key)
                                          : reservations.clear(host, key));
  }
  return Reply::with_status(action == 0 ? reservations.acquire(host, type, key)
                                        : reservations.preempt(host, type, key, keys.other.get()));
}

Reply Queue::reservation_report(const Sqe& sqe, const Namespace& ns) {
  const std::uint64_t length = (std::uint64_t{sqe.cdw10.get()} + 1) * 4;
  // Hosts of fabrics have identifiers of 128 bits, which only extended descriptors hold.
  if ((sqe.cdw11.get() & 1) == 0) return Reply::error(GenericStatus::kHostIdInconsistent);
  if (length < sizeof(ReservationStatus) || length > subsystem_.options().max_transfer_bytes) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  const Reservations::State state = ns.reservations().state();
  std::vector<RegisteredControllerExtended> entries;
  const auto controllers = subsystem_.controllers();
  for (const Reservations::Registrant& each : state.registrants) {
    RegisteredControllerExtended entry;
    entry.rcsts = each.holder ? kHoldsReservation : std::uint8_t{0};
    entry.rkey = each.key;
    entry.hostid = each.host;
    const std::size_t before = entries.size();
    for (const auto& controller : controllers) {
      if (controller->identity().hostid != each.host || controller->identity().discovery) continue;
      entry.cntlid = controller->identity().cntlid;
      entries.push_back(entry);
    }
    if (entries.size() == before) {
      entry.cntlid = kNoController;
      entries.push_back(entry);
    }
  }
  ReservationStatus head;
  head.gen = state.generation;
  head.rtype = static_cast<std::uint8_t>(state.type);
  head.regctl = static_cast<std::uint16_t>(entries.size());
  auto bytes = bytes_of(head);
  bytes.resize(kReservationStatusExtendedBytes);
  for (const RegisteredControllerExtended& entry : entries) {
    const auto more = bytes_of(entry);
    bytes.insert(bytes.end(), more.begin(), more.end());
  }
  return Reply::with_data(std::move(bytes), static_cast<std::uint32_t>(length));
}

}  // namespace nvublk::target
