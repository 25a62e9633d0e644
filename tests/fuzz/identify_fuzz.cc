// Any bytes as each of the structures that Identify returns: decoders and accessors stay within
// them.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "engine/check.h"
#include "nvme/identify_decode.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/text.h"

namespace {

using nvublk::nvme::spec::kIdentifyBytes;

template <typename T>
T view(const std::uint8_t* data, std::size_t size) {
  T value;
  std::memcpy(&value, data, std::min(size, sizeof(T)));
  return value;
}

void read_controller(const nvublk::nvme::spec::IdentifyController& id) {
  for (const char c : nvublk::nvme::spec::printable_text(id.mn)) CHECK(c >= ' ' && c <= '~');
  CHECK(nvublk::nvme::spec::printable_text(id.sn).size() <= id.sn.size());
  CHECK(id.max_transfer_bytes(4096) >= 4096);
  CHECK(id.in_capsule_data_bytes() <= 0xffffffffull * 16);
  CHECK(id.async_event_limit_count() >= 1 && id.async_event_limit_count() <= 256);
}

void read_namespace(const nvublk::nvme::spec::IdentifyNamespace& id) {
  CHECK(id.lba_format_index() < nvublk::nvme::spec::kMaxLbaFormats);
  const std::uint32_t block = id.block_bytes();
  CHECK(block == 0 || (block >= 512 && (block & (block - 1)) == 0));
  CHECK(id.preferred_deallocate_block_count() >= 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  size = std::min(size, kIdentifyBytes);
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto ids = nvublk::nvme::decode_namespace_ids(bytes)) {
    CHECK(ids->uuid.empty() || ids->uuid.size() == 36);
    CHECK(ids->nguid.empty() || ids->nguid.size() == 32);
    CHECK(ids->eui64.empty() || ids->eui64.size() == 16);
  }
  std::vector<std::uint32_t> nsids;
  (void)nvublk::nvme::append_namespace_list(bytes, 0, nsids);
  CHECK(std::ranges::is_sorted(nsids) && nsids.size() <= size / 4);
  read_controller(view<nvublk::nvme::spec::IdentifyController>(data, size));
  read_namespace(view<nvublk::nvme::spec::IdentifyNamespace>(data, size));
  CHECK(view<nvublk::nvme::spec::IdentifyControllerNvm>(data, size).deallocate_range_count() >= 1);
  return 0;
}
