// Any text is either refused with a sentence or becomes an id that is written and read back to
// itself.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/check.h"
#include "nvme/ip_address.h"
#include "nvme/transport_id.h"

using nvublk::Result;
using nvublk::nvme::TransportId;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<TransportId> id = TransportId::parse(text);
  if (!id) {
    CHECK(!id.error().text.empty());
    return 0;
  }
  // A URI cannot say which family a host name should resolve to.
  const Result<TransportId> uri = TransportId::parse(id->to_uri());
  CHECK(uri);
  TransportId expected = *id;
  if (!nvublk::nvme::IpAddress::parse(id->traddr)) expected.adrfam = uri->adrfam;
  CHECK(*uri == expected && uri->subnqn == id->subnqn);
  CHECK(uri->to_uri() == id->to_uri());
  if (id->subnqn.find(' ') == std::string::npos) {
    const Result<TransportId> pairs = TransportId::parse(id->to_string());
    CHECK(pairs && *pairs == *id && pairs->to_string() == id->to_string());
  }
  return 0;
}
