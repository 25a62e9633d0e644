#include "target/block_data.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace nvublk::target {

using namespace nvme::spec;

namespace {

NvmeStatus media_error(int errno_value, MediaStatus status) {
  return errno_value == ENOSPC ? NvmeStatus::make(GenericStatus::kCapacityExceeded)
                               : NvmeStatus::make(status);
}

// To and from the stored form.
void complement_protection(const BlockFormat& format, std::uint8_t* metadata) {
  if (format.protection_type == 0) return;
  std::uint8_t* at = metadata + format.protection_offset();
  std::transform(at, at + kProtectionBytes, at,
                 [](std::uint8_t byte) { return static_cast<std::uint8_t>(~byte); });
}

std::uint64_t metadata_offset(const Namespace& ns, std::uint64_t lba) {
  return lba * ns.format().metadata_bytes;
}

// The stored metadata of a range, as hosts see it.
int load_metadata(const Namespace& ns, const BlockRange& range, std::vector<std::uint8_t>& all) {
  const BlockFormat& format = ns.format();
  all.resize(std::size_t{range.blocks} * format.metadata_bytes);
  const int error = ns.metadata()->read(metadata_offset(ns, range.lba), all.data(), all.size());
  for (std::size_t at = 0; at < all.size(); at += format.metadata_bytes) {
    complement_protection(format, all.data() + at);
  }
  return error;
}

int store_metadata(const Namespace& ns, const BlockRange& range, std::vector<std::uint8_t>& all) {
  const BlockFormat& format = ns.format();
  for (std::size_t at = 0; at < all.size(); at += format.metadata_bytes) {
    complement_protection(format, all.data() + at);
  }
  return ns.metadata()->write(metadata_offset(ns, range.lba), all.data(), all.size());
}

NvmeStatus read_with_metadata(const Namespace& ns, const BlockRange& range,
                              const ProtectionControl& control, std::uint8_t* wire) {
  const BlockFormat& format = ns.format();
  const std::size_t length = std::size_t{range.blocks} << ns.block_shift();
  std::vector<std::uint8_t> data(length);
  std::vector<std::uint8_t> metadata;
  int error = ns.storage().read(range.lba << ns.block_shift(), data.data(), length);
  if (error == 0) error = load_metadata(ns, range, metadata);
  if (error != 0) return media_error(error, MediaStatus::kUnrecoveredReadError);
  const std::uint32_t sent_bytes = wire_metadata_bytes(format, control);
  for (std::uint32_t i = 0; i < range.blocks; i++) {
    const std::uint8_t* from = data.data() + (std::size_t{i} << ns.block_shift());
    std::uint8_t* extra = metadata.data() + std::size_t{i} * format.metadata_bytes;
    if (format.protection_type != 0) {
      const auto wrong = check_protection(format, control, {{from, format.data_bytes}, extra, i});
      if (wrong) return NvmeStatus::make(*wrong, true);
    }
    std::memcpy(wire, from, format.data_bytes);
    wire += format.data_bytes;
    std::memcpy(wire, extra, sent_bytes);
    wire += sent_bytes;
  }
  return {};
}

// Takes the wire apart; checks what the host sent, or makes what it did not.
NvmeStatus unpack(const BlockFormat& format, const ProtectionControl& control,
                  std::span<const std::uint8_t> wire, std::vector<std::uint8_t>& data,
                  std::vector<std::uint8_t>& metadata) {
  const std::uint32_t received_bytes = wire_metadata_bytes(format, control);
  const std::size_t blocks = wire.size() / (format.data_bytes + received_bytes);
  data.resize(blocks * format.data_bytes);
  metadata.resize(blocks * format.metadata_bytes);
  for (std::uint32_t i = 0; i < blocks; i++) {
    std::uint8_t* to = data.data() + std::size_t{i} * format.data_bytes;
    std::uint8_t* extra = metadata.data() + std::size_t{i} * format.metadata_bytes;
    std::memcpy(to, wire.data(), format.data_bytes);
    std::memcpy(extra, wire.data() + format.data_bytes, received_bytes);
    wire = wire.subspan(format.data_bytes + received_bytes);
    if (format.protection_type == 0) continue;
    const ProtectedBlock block{{to, format.data_bytes}, extra, i};
    if (control.action) {
      insert_protection(format, control, block);
    } else if (const auto wrong = check_protection(format, control, block)) {
      return NvmeStatus::make(*wrong, true);
    }
  }
  return {};
}

}  // namespace

std::uint32_t wire_block_bytes(const BlockFormat& format, const ProtectionControl& control) {
  return format.data_bytes + wire_metadata_bytes(format, control);
}

NvmeStatus read_blocks(const Namespace& ns, const BlockRange& range,
                       const ProtectionControl& control, std::uint8_t* wire) {
  if (ns.bad_blocks().any(range.lba, range.blocks)) {
    return NvmeStatus::make(MediaStatus::kUnrecoveredReadError, true);
  }
  if (ns.format().metadata_bytes != 0) return read_with_metadata(ns, range, control, wire);
  const int error = ns.storage().read(range.lba << ns.block_shift(), wire,
                                      std::size_t{range.blocks} << ns.block_shift());
  return error == 0 ? NvmeStatus{} : media_error(error, MediaStatus::kUnrecoveredReadError);
}

NvmeStatus write_blocks(const Namespace& ns, const BlockRange& range,
                        const ProtectionControl& control, std::span<const std::uint8_t> wire) {
  const std::uint64_t offset = range.lba << ns.block_shift();
  int error = 0;
  ns.set_written(true);
  if (ns.format().metadata_bytes == 0) {
    error = ns.storage().write(offset, wire.data(), wire.size());
  } else {
    std::vector<std::uint8_t> data;
    std::vector<std::uint8_t> metadata;
    const NvmeStatus status = unpack(ns.format(), control, wire, data, metadata);
    if (!status.ok()) return status;
    error = ns.storage().write(offset, data.data(), data.size());
    if (error == 0) error = store_metadata(ns, range, metadata);
  }
  if (error != 0) return media_error(error, MediaStatus::kWriteFault);
  ns.bad_blocks().remove(range.lba, range.blocks);
  return {};
}

NvmeStatus compare_blocks(const Namespace& ns, const BlockRange& range,
                          const ProtectionControl& control, std::span<const std::uint8_t> wire) {
  std::vector<std::uint8_t> stored(wire.size());
  const NvmeStatus status = read_blocks(ns, range, control, stored.data());
  if (!status.ok()) return status;
  const BlockFormat& format = ns.format();
  // Protection information is checked, not compared. [NVM 1.1 §3.3.1]
  if (format.protection_type != 0) {
    std::vector<std::uint8_t> data;
    std::vector<std::uint8_t> metadata;
    ProtectionControl check = control;
    check.action = false;
    if (wire_metadata_bytes(format, control) != 0) {
      const NvmeStatus bad = unpack(format, check, wire, data, metadata);
      if (!bad.ok()) return bad;
    }
  }
  const std::size_t step = wire_block_bytes(format, control);
  const bool has_protection =
      format.protection_type != 0 && wire_metadata_bytes(format, control) != 0;
  for (std::size_t at = 0; at < wire.size(); at += step) {
    if (has_protection) {
      std::memcpy(stored.data() + at + format.data_bytes + format.protection_offset(),
                  wire.data() + at + format.data_bytes + format.protection_offset(),
                  kProtectionBytes);
    }
    if (std::memcmp(stored.data() + at, wire.data() + at, step) != 0) {
      return NvmeStatus::make(MediaStatus::kCompareFailure, true);
    }
  }
  return {};
}

NvmeStatus zero_blocks(const Namespace& ns, std::uint64_t lba, std::uint64_t blocks,
                       const ProtectionControl& control, bool deallocate) {
  const BlockFormat& format = ns.format();
  int error = ns.storage().zero(lba << ns.block_shift(), blocks << ns.block_shift(), deallocate);
  if (error == 0 && format.metadata_bytes != 0) {
    error = ns.metadata()->zero(metadata_offset(ns, lba), blocks * format.metadata_bytes, true);
  }
  // With PRACT the zeros are protected like other data. [NVM 1.1 §3.3.8]
  if (error == 0 && format.protection_type != 0 && control.action) {
    const std::vector<std::uint8_t> zeros(format.data_bytes);
    for (std::uint64_t i = 0; i < blocks && error == 0; i++) {
      std::vector<std::uint8_t> metadata(format.metadata_bytes);
      insert_protection(format, control, {zeros, metadata.data(), static_cast<std::uint32_t>(i)});
      error = store_metadata(ns, {lba + i, 1}, metadata);
    }
  }
  if (error != 0) return media_error(error, MediaStatus::kWriteFault);
  ns.bad_blocks().remove(lba, blocks);
  return {};
}

}  // namespace nvublk::target
