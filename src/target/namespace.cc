#include "target/namespace.h"

#include <algorithm>
#include <bit>

#include "target/cached_storage.h"
#include "target/logged_storage.h"

namespace nvublk::target {

namespace {

bool before(const std::shared_ptr<Namespace>& a, std::uint32_t nsid) {
  return a->nsid() < nsid;
}

NamespaceList::const_iterator position(const NamespaceList& list, std::uint32_t nsid) {
  return std::lower_bound(list.begin(), list.end(), nsid, before);
}

bool holds(const NamespaceList& list, NamespaceList::const_iterator at, std::uint32_t nsid) {
  return at != list.end() && (*at)->nsid() == nsid;
}

std::unexpected<Error> no_namespace(std::uint32_t nsid) {
  return fail(ErrorCode::kNotFound, "there is no namespace " + std::to_string(nsid));
}

std::uint32_t lowest_free_nsid(const NamespaceList& list) {
  std::uint32_t nsid = 1;
  for (const auto& entry : list) {
    if (entry->nsid() != nsid) break;
    nsid++;
  }
  return nsid;
}

}  // namespace

Result<std::shared_ptr<Namespace>> Namespace::create(const NamespaceOptions& options,
                                                     std::string_view identity) {
  if (auto good = options.check(); !good) return std::unexpected(good.error());
  std::uint64_t size = options.size_bytes;
  std::unique_ptr<Storage> storage;
  if (options.path.empty()) {
    auto memory = MemoryStorage::create(size);
    if (!memory) return std::unexpected(memory.error());
    storage = std::move(*memory);
  } else {
    auto file = FileStorage::open(options.path, options.read_only, size);
    if (!file) return std::unexpected(file.error());
    storage = std::move(*file);
    if (options.volatile_cache) storage = std::make_unique<CachedStorage>(std::move(storage));
  }
  if (!options.log_path.empty()) {
    auto logged = LoggedStorage::open(std::move(storage), options.log_path, options.block_size);
    if (!logged) return std::unexpected(logged.error());
    storage = std::move(*logged);
  }
  if (size < options.block_size) {
    return fail(ErrorCode::kInvalidArgument, "a namespace needs a size of at least one block");
  }
  std::shared_ptr<Namespace> result(new Namespace);
  result->nsid_ = options.nsid;
  result->block_shift_ = static_cast<unsigned>(std::countr_zero(options.block_size));
  result->read_only_ = options.read_only;
  result->in_memory_ = options.path.empty();
  result->written_ = !result->in_memory_;
  result->storage_ = std::move(storage);
  result->size_blocks_ = size / options.block_size;
  if (auto set = result->set_format(options); !set) return std::unexpected(set.error());
  const std::string seed = std::string(identity) + "#" + std::to_string(options.nsid);
  result->uuid_ = Uuid::parse(options.uuid).value_or(Uuid::derive(seed));
  result->nguid_ = Uuid::derive("nguid:" + result->uuid_.to_string()).bytes;
  const auto eui = Uuid::derive("eui64:" + result->uuid_.to_string()).bytes;
  std::copy_n(eui.begin(), result->eui64_.size(), result->eui64_.begin());
  return result;
}

Status Namespace::set_format(const NamespaceOptions& options) {
  format_ = {options.block_size, options.metadata_bytes, options.protection_type,
             options.protection_first};
  boundary_blocks_ = options.boundary_blocks;
  if (options.metadata_bytes != 0) {
    auto memory = MemoryStorage::create(size_blocks() * options.metadata_bytes);
    if (!memory) return std::unexpected(memory.error());
    metadata_ = std::move(*memory);
  }
  if (options.zoned()) {
    const std::uint64_t capacity =
        options.zone_capacity_bytes == 0 ? options.zone_bytes : options.zone_capacity_bytes;
    zones_ = std::make_unique<Zones>(
        ZoneOptions{options.zone_bytes >> block_shift_, capacity >> block_shift_,
                    options.max_open_zones, options.max_active_zones},
        size_blocks());
  }
  return {};
}

Status Namespace::resize(std::uint64_t size_bytes) {
  const std::uint64_t blocks = size_bytes >> block_shift_;
  if (blocks == 0) {
    return fail(ErrorCode::kInvalidArgument, "a namespace needs a size of at least one block");
  }
  if (blocks << block_shift_ != size_bytes) {
    return fail(ErrorCode::kInvalidArgument, "the size must be a multiple of the block size");
  }
  if (read_only_) return fail(ErrorCode::kPermission, "the namespace is read-only");
  if (zones_ != nullptr) {
    return fail(ErrorCode::kUnsupported, "a zoned namespace keeps its size; add another one");
  }
  const bool shrinks = blocks < size_blocks();
  if (shrinks) size_blocks_ = blocks;
  if (metadata_ != nullptr) {
    auto resized = metadata_->resize(blocks * format_.metadata_bytes);
    if (!resized) return resized;
  }
  if (auto resized = storage_->resize(blocks << block_shift_); !resized) return resized;
  size_blocks_ = blocks;
  return {};
}

Result<std::uint32_t> NamespaceTable::add(NamespaceOptions options) {
  const std::lock_guard lock(mutex_);
  if (options.nsid == 0) options.nsid = lowest_free_nsid(*list_);
  if (options.nsid > kMaxNsid) {
    return fail(ErrorCode::kInvalidArgument, "NSIDs go to " + std::to_string(kMaxNsid));
  }
  const auto at = position(*list_, options.nsid);
  if (holds(*list_, at, options.nsid)) {
    return fail(ErrorCode::kAlreadyExists,
                "namespace " + std::to_string(options.nsid) + " exists already");
  }
  auto created = Namespace::create(options, identity_);
  if (!created) return std::unexpected(created.error());
  auto next = std::make_shared<NamespaceList>(*list_);
  next->insert(next->begin() + (at - list_->begin()), std::move(*created));
  list_ = std::move(next);
  generation_.fetch_add(1, std::memory_order_release);
  return options.nsid;
}

Status NamespaceTable::remove(std::uint32_t nsid) {
  const std::lock_guard lock(mutex_);
  const auto at = position(*list_, nsid);
  if (!holds(*list_, at, nsid)) return no_namespace(nsid);
  auto next = std::make_shared<NamespaceList>(*list_);
  next->erase(next->begin() + (at - list_->begin()));
  list_ = std::move(next);
  generation_.fetch_add(1, std::memory_order_release);
  return {};
}

Status NamespaceTable::resize(std::uint32_t nsid, std::uint64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  const auto at = position(*list_, nsid);
  if (!holds(*list_, at, nsid)) return no_namespace(nsid);
  return (*at)->resize(size_bytes);
}

std::shared_ptr<const NamespaceList> NamespaceTable::list() const {
  const std::lock_guard lock(mutex_);
  return list_;
}

std::shared_ptr<Namespace> NamespaceTable::find(std::uint32_t nsid) const {
  const auto all = list();
  const auto at = position(*all, nsid);
  return holds(*all, at, nsid) ? *at : nullptr;
}

const std::shared_ptr<Namespace>* NamespaceCache::find(std::uint32_t nsid) {
  if (const std::uint64_t generation = table_.generation(); generation != generation_) {
    list_ = table_.list();
    generation_ = generation;
  }
  const auto at = position(*list_, nsid);
  return holds(*list_, at, nsid) ? &*at : nullptr;
}

}  // namespace nvublk::target
