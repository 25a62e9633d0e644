#pragma once

// Scatter gather list descriptors. [Base 2.1 §4.3.2]

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"

namespace nvublk::nvme::spec {

/// Bits 7:4 of the identifier byte. [Base 2.1 §4.3.2]
enum class SglType : std::uint8_t {
  kDataBlock = 0x0,
  kBitBucket = 0x1,
  kSegment = 0x2,
  kLastSegment = 0x3,
  kKeyedDataBlock = 0x4,
  kTransportDataBlock = 0x5,
  kVendorSpecific = 0xf,
};

/// Bits 3:0 of the identifier byte. [Base 2.1 §4.3.2]
enum class SglSubtype : std::uint8_t {
  kAddress = 0x0,
  kOffset = 0x1,
  kTransportA = 0xa,
  kInvalidateKey = 0xf,  ///< keyed data blocks of RDMA: the controller invalidates the key
};

/// A descriptor of 16 bytes in the form of all types but the keyed one. `length` is in bytes; the
/// meaning of `address` follows from the subtype: an address, or an offset into the capsule's data.
struct SglDescriptor {
  Le64 address;  ///< by the subtype
  Le32 length;   ///< bytes
  std::array<std::uint8_t, 3> reserved12{};
  std::uint8_t identifier = 0;  ///< type in bits 7:4, subtype in bits 3:0

  ///@{
  /// Its two halves.
  constexpr SglType type() const { return static_cast<SglType>(identifier >> 4); }
  constexpr SglSubtype subtype() const { return static_cast<SglSubtype>(identifier & 0xf); }
  ///@}

  /// The identifier byte of the two.
  static constexpr std::uint8_t make_identifier(SglType type, SglSubtype subtype) {
    return static_cast<std::uint8_t>((static_cast<unsigned>(type) << 4) |
                                     static_cast<unsigned>(subtype));
  }

  /// Data inside the command capsule, `offset` bytes after the start of its data (ICDOFF counts
  /// from there too). [Base 2.1 §4.3.2] [TCP 1.1 §3.3]
  static constexpr SglDescriptor in_capsule(std::uint64_t offset, std::uint32_t length_bytes) {
    SglDescriptor sgl;
    sgl.address = offset;
    sgl.length = length_bytes;
    sgl.identifier = make_identifier(SglType::kDataBlock, SglSubtype::kOffset);
    return sgl;
  }

  /// Data that the TCP transport moves by R2T/H2CData or C2HData. [TCP 1.1 §3.3]
  static constexpr SglDescriptor transport(std::uint32_t length_bytes) {
    SglDescriptor sgl;
    sgl.length = length_bytes;
    sgl.identifier = make_identifier(SglType::kTransportDataBlock, SglSubtype::kTransportA);
    return sgl;
  }

  /// Descriptors inside the command capsule, `offset` bytes after the start of its data, which is
  /// where RDMA has lists of them. [RDMA 1.0 §3.3]
  static constexpr SglDescriptor last_segment_in_capsule(std::uint64_t offset,
                                                         std::uint32_t length_bytes) {
    SglDescriptor sgl;
    sgl.address = offset;
    sgl.length = length_bytes;
    sgl.identifier = make_identifier(SglType::kLastSegment, SglSubtype::kOffset);
    return sgl;
  }

  /// Host memory at `address`, for transports that address it (PCIe).
  static constexpr SglDescriptor data_block(std::uint64_t address, std::uint32_t length_bytes) {
    SglDescriptor sgl;
    sgl.address = address;
    sgl.length = length_bytes;
    sgl.identifier = make_identifier(SglType::kDataBlock, SglSubtype::kAddress);
    return sgl;
  }

  friend constexpr bool operator==(const SglDescriptor&, const SglDescriptor&) = default;
};

static_assert(sizeof(SglDescriptor) == 16);
static_assert(offsetof(SglDescriptor, length) == 8);
static_assert(offsetof(SglDescriptor, identifier) == 15);
static_assert(std::is_trivially_copyable_v<SglDescriptor>);

/// A keyed descriptor: remote memory named by an RDMA key. The length has 24 bits only.
/// [Base 2.1 §4.3.2]
struct KeyedSglDescriptor {
  Le64 address;                 ///< of remote memory
  Le24 length;                  ///< bytes, at most kMaxLength
  Le32 key;                     ///< RKEY: what its owner's network card knows it by
  std::uint8_t identifier = 0;  ///< type in bits 7:4, subtype in bits 3:0

  /// A descriptor cannot name more.
  static constexpr std::uint32_t kMaxLength = (1u << 24) - 1;

  ///@{
  /// The two halves of `identifier`.
  constexpr SglType type() const { return static_cast<SglType>(identifier >> 4); }
  constexpr SglSubtype subtype() const { return static_cast<SglSubtype>(identifier & 0xf); }
  ///@}

  /// Host memory at `address` that the controller may reach with `key`; up to kMaxLength bytes.
  static constexpr KeyedSglDescriptor data_block(std::uint64_t address, std::uint32_t length_bytes,
                                                 std::uint32_t key) {
    KeyedSglDescriptor sgl;
    sgl.address = address;
    sgl.length = length_bytes;
    sgl.key = key;
    sgl.identifier = SglDescriptor::make_identifier(SglType::kKeyedDataBlock, SglSubtype::kAddress);
    return sgl;
  }

  friend constexpr bool operator==(const KeyedSglDescriptor&, const KeyedSglDescriptor&) = default;
};

static_assert(sizeof(KeyedSglDescriptor) == 16);
static_assert(offsetof(KeyedSglDescriptor, length) == 8);
static_assert(offsetof(KeyedSglDescriptor, key) == 11);
static_assert(offsetof(KeyedSglDescriptor, identifier) == 15);
static_assert(std::is_trivially_copyable_v<KeyedSglDescriptor>);

}  // namespace nvublk::nvme::spec
