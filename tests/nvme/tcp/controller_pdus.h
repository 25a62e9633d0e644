#pragma once

// PDUs as a controller sends them, made by hand; and CRC32C as its definition says, bit by bit.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <sys/uio.h>

#include "nvme/spec/cqe.h"
#include "nvme/spec/tcp_pdu.h"

namespace nvublk::nvme::tcp {

using Bytes = std::vector<std::byte>;

inline std::uint32_t plain_crc32c(std::span<const std::byte> data) {
  std::uint32_t crc = 0xffffffff;
  for (const std::byte byte : data) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; bit++) {
      crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
    }
  }
  return ~crc;
}

template <typename T>
void append(Bytes& bytes, const T& value) {
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof(value));
}
inline void append(Bytes& bytes, const Bytes& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

template <typename T>
T take(std::span<const std::byte> bytes, std::size_t offset = 0) {
  T value;
  std::memcpy(&value, bytes.subspan(offset).first(sizeof(value)).data(), sizeof(value));
  return value;
}

/// Bytes that tell where they belong.
inline Bytes pattern(std::size_t length, unsigned seed) {
  Bytes bytes(length);
  for (std::size_t i = 0; i < length; i++) {
    bytes[i] = static_cast<std::byte>(seed + i * 7 + (i >> 8) * 13);
  }
  return bytes;
}

/// Makes PDUs with the digests and the data offset of one connection.
struct ControllerPdus {
  bool header_digest = false;
  bool data_digest = false;
  std::uint8_t pad = 0;  ///< bytes between header and data

  template <typename Pdu>
  Bytes finish(Pdu pdu) const {
    if (header_digest) {
      pdu.ch.flags |= spec::kPduHdgstf;
      pdu.ch.plen = static_cast<std::uint32_t>(pdu.ch.plen.get() + spec::kDigestBytes);
    }
    return with_header_digest(pdu);
  }
  /// `pdu` as it is, and its digest if there are digests.
  template <typename Pdu>
  Bytes with_header_digest(const Pdu& pdu) const {
    Bytes bytes;
    append(bytes, pdu);
    if (header_digest) {
      append(bytes, Le32{plain_crc32c(bytes)});
    }
    return bytes;
  }

  Bytes response(std::uint16_t cid, spec::NvmeStatus status = {}, std::uint64_t result = 0) const {
    spec::CapsuleResp pdu;
    pdu.cqe.cid = cid;
    pdu.cqe.set_status(status);
    pdu.cqe.set_result(result);
    return finish(pdu);
  }
  Bytes r2t(std::uint16_t cid, std::uint16_t ttag, std::uint32_t offset,
            std::uint32_t length) const {
    spec::R2t pdu;
    pdu.cccid = cid;
    pdu.ttag = ttag;
    pdu.r2to = offset;
    pdu.r2tl = length;
    return finish(pdu);
  }
  spec::C2hData data_header(std::uint16_t cid, std::uint32_t offset, std::uint32_t length,
                            std::uint8_t flags) const {
    spec::C2hData pdu;
    pdu.cccid = cid;
    pdu.datao = offset;
    pdu.datal = length;
    pdu.ch.flags = flags;
    std::uint32_t at = sizeof(pdu) + pad;
    if (header_digest) {
      pdu.ch.flags |= spec::kPduHdgstf;
      at += 4;
    }
    pdu.ch.pdo = static_cast<std::uint8_t>(at);
    if (data_digest) {
      pdu.ch.flags |= spec::kPduDdgstf;
      at += 4;
    }
    pdu.ch.plen = at + length;
    return pdu;
  }
  Bytes data(std::uint16_t cid, std::uint32_t offset, const Bytes& payload, std::uint8_t flags,
             bool spoil_digest = false) const {
    Bytes bytes = with_header_digest(
        data_header(cid, offset, static_cast<std::uint32_t>(payload.size()), flags));
    bytes.insert(bytes.end(), pad, std::byte{0xee});
    append(bytes, payload);
    if (data_digest) {
      append(bytes, Le32{plain_crc32c(payload) ^ (spoil_digest ? 1u : 0u)});
    }
    return bytes;
  }
  static Bytes termination(spec::FatalErrorStatus fes, std::uint32_t fei, std::size_t extra = 24) {
    spec::TermReq pdu;
    pdu.ch.pdu_type = static_cast<std::uint8_t>(spec::PduType::kC2hTermReq);
    pdu.ch.hlen = sizeof(pdu);
    pdu.ch.plen = static_cast<std::uint32_t>(sizeof(pdu) + extra);
    pdu.fes = static_cast<std::uint16_t>(fes);
    pdu.fei = fei;
    Bytes bytes;
    append(bytes, pdu);
    bytes.resize(sizeof(pdu) + extra);
    return bytes;
  }
};

/// Copies up to bytes.size() bytes into the slices, as the kernel would; returns how many fitted.
inline std::size_t fill_slices(std::span<const iovec> slices, std::span<const std::byte> bytes) {
  std::size_t done = 0;
  for (const iovec& slice : slices) {
    const std::size_t step = std::min(slice.iov_len, bytes.size() - done);
    std::memcpy(slice.iov_base, bytes.data() + done, step);
    done += step;
  }
  return done;
}

}  // namespace nvublk::nvme::tcp
