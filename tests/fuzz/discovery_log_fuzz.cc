// Any bytes as a discovery log: what is accepted is within what was given.

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/check.h"
#include "nvme/discovery_log.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto log = nvublk::nvme::decode_discovery_log(std::as_bytes(std::span(data, size)));
  if (!log) {
    CHECK(!log.error().text.empty());
    return 0;
  }
  CHECK((log->records.size() + log->skipped.size() + 1) * 1024 <= size);
  for (const nvublk::nvme::DiscoveryRecord& record : log->records) {
    // Fibre Channel has only the form in which an NQN cannot have a space.
    if (record.id.trtype == nvublk::nvme::Trtype::kFibreChannel) continue;
    CHECK(nvublk::nvme::TransportId::parse(record.id.to_uri()));
  }
  return 0;
}
