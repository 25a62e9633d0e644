#include "nvme/reservation_report.h"

#include <algorithm>
#include <cstring>

namespace nvublk::nvme {

namespace {

template <typename T>
T load(std::span<const std::byte> data) {
  T value;
  std::memcpy(static_cast<void*>(&value), data.data(), sizeof(T));
  return value;
}

ReservationReport::Registrant decode_registrant(std::span<const std::byte> data, bool extended) {
  ReservationReport::Registrant result;
  if (extended) {
    const auto entry = load<spec::RegisteredControllerExtended>(data);
    result.cntlid = entry.cntlid.get();
    result.holds_reservation = (entry.rcsts & spec::kHoldsReservation) != 0;
    result.key = entry.rkey.get();
    result.hostid = entry.hostid;
    return result;
  }
  const auto entry = load<spec::RegisteredController>(data);
  result.cntlid = entry.cntlid.get();
  result.holds_reservation = (entry.rcsts & spec::kHoldsReservation) != 0;
  result.key = entry.rkey.get();
  std::memcpy(result.hostid.data(), &entry.hostid, sizeof(entry.hostid));
  return result;
}

}  // namespace

Result<ReservationReport> decode_reservation_report(std::span<const std::byte> data,
                                                    bool extended) {
  if (data.size() < sizeof(spec::ReservationStatus)) {
    return fail(ErrorCode::kProtocol, "a reservation report of " + std::to_string(data.size()) +
                                          " bytes is too short for its head");
  }
  const auto head = load<spec::ReservationStatus>(data);
  ReservationReport report;
  report.generation = head.gen.get();
  report.type = static_cast<spec::ReservationType>(head.rtype);
  report.persistent = (head.ptpls & 1) != 0;
  report.registrant_count = head.regctl.get();
  const std::size_t begin =
      extended ? spec::kReservationStatusExtendedBytes : sizeof(spec::ReservationStatus);
  const std::size_t step =
      extended ? sizeof(spec::RegisteredControllerExtended) : sizeof(spec::RegisteredController);
  const std::size_t room = data.size() < begin ? 0 : (data.size() - begin) / step;
  const std::size_t count = std::min<std::size_t>(room, report.registrant_count);
  for (std::size_t i = 0; i < count; i++) {
    report.registrants.push_back(decode_registrant(data.subspan(begin + i * step, step), extended));
  }
  return report;
}

}  // namespace nvublk::nvme
