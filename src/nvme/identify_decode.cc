#include "nvme/identify_decode.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "nvme/spec/identify.h"
#include "nvme/uuid.h"

namespace nvublk::nvme {
namespace {

std::optional<std::size_t> length_of(std::uint8_t nidt) {
  switch (static_cast<spec::NamespaceIdType>(nidt)) {
    case spec::NamespaceIdType::kEui64:
      return 8;
    case spec::NamespaceIdType::kNguid:
    case spec::NamespaceIdType::kUuid:
      return 16;
    case spec::NamespaceIdType::kCsi:
      return 1;
  }
  return std::nullopt;
}

// `id` has the length of its type.
void store(spec::NamespaceIdType type, std::span<const std::uint8_t> id, NamespaceIds& ids) {
  switch (type) {
    case spec::NamespaceIdType::kEui64:
      ids.eui64 = hex_unless_zero(id);
      break;
    case spec::NamespaceIdType::kNguid:
      ids.nguid = hex_unless_zero(id);
      break;
    case spec::NamespaceIdType::kUuid: {
      Uuid uuid;
      std::ranges::copy(id, uuid.bytes.begin());
      ids.uuid = uuid.is_zero() ? std::string{} : uuid.to_string();
      break;
    }
    case spec::NamespaceIdType::kCsi:
      ids.csi = id[0];
      break;
  }
}

}  // namespace

std::string hex_unless_zero(std::span<const std::uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  bool any = false;
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 0xf];
    any = any || byte != 0;
  }
  return any ? text : std::string{};
}

Result<NamespaceIds> decode_namespace_ids(std::span<const std::byte> data) {
  NamespaceIds ids;
  while (data.size() >= sizeof(spec::NamespaceIdDescriptor)) {
    spec::NamespaceIdDescriptor head;
    std::memcpy(&head, data.data(), sizeof(head));
    if (head.nidl == 0) break;
    data = data.subspan(sizeof(head));
    const std::optional<std::size_t> length = length_of(head.nidt);
    if (head.nidl > data.size() || (length && *length != head.nidl)) {
      return fail(ErrorCode::kProtocol,
                  "the controller sent a namespace identification descriptor of type " +
                      std::to_string(head.nidt) + " with the wrong length " +
                      std::to_string(head.nidl));
    }
    if (length) {
      std::array<std::uint8_t, 16> id{};
      std::memcpy(id.data(), data.data(), *length);
      store(static_cast<spec::NamespaceIdType>(head.nidt), std::span(id).first(*length), ids);
    }
    data = data.subspan(head.nidl);
  }
  return ids;
}

Result<bool> append_namespace_list(std::span<const std::byte> page, std::uint32_t after,
                                   std::vector<std::uint32_t>& nsids) {
  while (page.size() >= sizeof(Le32)) {
    Le32 entry;
    std::memcpy(&entry, page.data(), sizeof(entry));
    const std::uint32_t nsid = entry.get();
    if (nsid == 0) return false;
    if (nsid <= after || nsid == spec::kNsidBroadcast) {
      return fail(ErrorCode::kProtocol,
                  "the controller sent a namespace list that is not in order");
    }
    nsids.push_back(nsid);
    after = nsid;
    page = page.subspan(sizeof(entry));
  }
  return true;
}

}  // namespace nvublk::nvme
