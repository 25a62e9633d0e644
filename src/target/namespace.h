#pragma once

// A namespace and the table of all namespaces of the subsystem.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/error.h"
#include "nvme/spec/opcodes.h"
#include "target/bad_blocks.h"
#include "target/options.h"
#include "target/protection.h"
#include "target/reservations.h"
#include "target/storage.h"
#include "target/uuid.h"
#include "target/zones.h"

namespace nvublk::target {

/// Immutable after construction but for its size, and for what locks itself. Used from all workers.
class Namespace {
 public:
  /// `identity` is what the identifiers derive from, so that they stay the same over restarts.
  static Result<std::shared_ptr<Namespace>> create(const NamespaceOptions& options,
                                                   std::string_view identity);

  std::uint32_t nsid() const { return nsid_; }
  std::uint32_t block_size() const { return 1u << block_shift_; }
  unsigned block_shift() const { return block_shift_; }
  std::uint64_t size_blocks() const { return size_blocks_.load(std::memory_order_relaxed); }
  bool read_only() const { return read_only_; }
  bool in_memory() const { return in_memory_; }
  const Uuid& uuid() const { return uuid_; }
  const std::array<std::uint8_t, 16>& nguid() const { return nguid_; }
  const std::array<std::uint8_t, 8>& eui64() const { return eui64_; }
  Storage& storage() const { return *storage_; }
  const BlockFormat& format() const { return format_; }
  /// All blocks' metadata, one after the other; protection information is complemented, so that a
  /// block that was never written to has the escape. Null without metadata.
  Storage* metadata() const { return metadata_.get(); }
  std::uint16_t boundary_blocks() const { return boundary_blocks_; }
  nvme::spec::CommandSetIdentifier command_set() const {
    return zones_ == nullptr ? nvme::spec::CommandSetIdentifier::kNvm
                             : nvme::spec::CommandSetIdentifier::kZonedNamespace;
  }
  /// Null when it is not zoned.
  Zones* zones() const { return zones_.get(); }
  /// What its zones, if any, say of reading blocks that exist.
  nvme::spec::NvmeStatus admit_read(std::uint64_t lba, std::uint64_t blocks) const {
    return zones_ == nullptr ? nvme::spec::NvmeStatus{} : zones_->read(lba, blocks);
  }
  /// The same of writing; moves the write pointer.
  nvme::spec::NvmeStatus admit_write(std::uint64_t lba, std::uint64_t blocks) const {
    return zones_ == nullptr ? nvme::spec::NvmeStatus{} : zones_->write(lba, blocks);
  }
  Reservations& reservations() const { return *reservations_; }
  BadBlocks& bad_blocks() const { return *bad_blocks_; }
  /// Whether it may have user data: blocks were written, or were there before the target.
  bool written() const { return written_.load(std::memory_order_relaxed); }
  void set_written(bool written) const {
    if (written_.load(std::memory_order_relaxed) != written) {
      written_.store(written, std::memory_order_relaxed);
    }
  }

  /// Whether `count` blocks from `lba` exist.
  bool contains(std::uint64_t lba, std::uint64_t count) const {
    const std::uint64_t size = size_blocks();
    return lba <= size && count <= size - lba;
  }
  Status resize(std::uint64_t size_bytes);

 private:
  Namespace() = default;
  Status set_format(const NamespaceOptions& options);

  std::uint32_t nsid_ = 0;
  unsigned block_shift_ = 0;
  bool read_only_ = false;
  bool in_memory_ = false;
  Uuid uuid_;
  std::array<std::uint8_t, 16> nguid_{};
  std::array<std::uint8_t, 8> eui64_{};
  std::unique_ptr<Storage> storage_;
  BlockFormat format_;
  std::unique_ptr<Storage> metadata_;
  std::uint16_t boundary_blocks_ = 0;
  std::unique_ptr<Zones> zones_;
  std::unique_ptr<Reservations> reservations_ = std::make_unique<Reservations>();
  std::unique_ptr<BadBlocks> bad_blocks_ = std::make_unique<BadBlocks>();
  mutable std::atomic<bool> written_{false};
  std::atomic<std::uint64_t> size_blocks_{0};
};

/// A list of namespaces at one moment, sorted by NSID.
using NamespaceList = std::vector<std::shared_ptr<Namespace>>;

/// Thread-safe.
class NamespaceTable {
 public:
  static constexpr std::uint32_t kMaxNsid = 16384;

  explicit NamespaceTable(std::string identity) : identity_(std::move(identity)) {}

  /// Returns the NSID.
  Result<std::uint32_t> add(NamespaceOptions options);
  Status remove(std::uint32_t nsid);
  Status resize(std::uint32_t nsid, std::uint64_t size_bytes);

  std::shared_ptr<const NamespaceList> list() const;
  std::shared_ptr<Namespace> find(std::uint32_t nsid) const;
  /// Changes whenever list() does.
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

 private:
  const std::string identity_;
  mutable std::mutex mutex_;
  std::shared_ptr<const NamespaceList> list_ = std::make_shared<NamespaceList>();  // by mutex_
  std::atomic<std::uint64_t> generation_{1};
};

/// A worker's own copy of the table: finding a namespace takes no lock. Worker-affine.
class NamespaceCache {
 public:
  explicit NamespaceCache(const NamespaceTable& table) : table_(table) {}
  /// The namespace, or nullptr. Valid until the next call.
  const std::shared_ptr<Namespace>* find(std::uint32_t nsid);

 private:
  const NamespaceTable& table_;
  std::uint64_t generation_ = 0;
  std::shared_ptr<const NamespaceList> list_;
};

}  // namespace nvublk::target
