#pragma once

#include <cstdint>

#include "nvme/spec/tcp_pdu.h"

namespace nvublk::nvme::tcp {

/// What ICReq and ICResp settled for a connection. [TCP 1.1 §3.6.2.2, §3.6.2.3]
struct ConnectionParameters {
  bool header_digest = false;
  bool data_digest = false;
  std::uint32_t data_alignment_bytes = 4;  ///< of data that we send, from the start of its PDU
  std::uint32_t max_h2c_data_bytes = spec::kMinMaxH2cData;  ///< data in one H2CData PDU
};

}  // namespace nvublk::nvme::tcp
