#pragma once

// The regions whose memory I/O on one shard uses for its data. Front-ends add theirs; a transport
// whose device must know memory beforehand registers a region when I/O first uses it, and keeps
// that until the region is taken away. Shard-affine.

#include <cstddef>

#include "engine/dma_memory.h"
#include "engine/intrusive_list.h"

namespace nvublk {

struct DmaListenerTag;

/// Somebody who has registered regions of a catalog with a device.
class DmaListener : public ListHook<DmaListenerTag> {
 public:
  /// The region goes away: no I/O uses it any more, and from here on no device may.
  virtual void region_removed(const DmaRegion& region) = 0;

 protected:
  ~DmaListener() = default;
};

/// A region in a DmaCatalog.
class DmaEntry : public ListHook<DmaEntry> {
 public:
  /// `region` outlives the entry.
  explicit DmaEntry(DmaRegion& region) : region_(region) {}
  /// The region that was given.
  DmaRegion& region() const { return region_; }

 private:
  DmaRegion& region_;
};

/// The regions that I/O on one shard may use. Shard-affine.
class DmaCatalog {
 public:
  /// `entry` and its region stay where they are until remove().
  void add(DmaEntry& entry) { entries_.push_back(entry); }
  /// Harmless if it was not added.
  void remove(DmaEntry& entry);
  /// The region that holds all of `data`, null if none does.
  DmaRegion* find(const std::byte* data, std::size_t length_bytes);

  /// Tells `listener` of regions that go away, until remove_listener().
  void add_listener(DmaListener& listener) { listeners_.push_back(listener); }
  /// `listener` was added.
  static void remove_listener(DmaListener& listener) {
    IntrusiveList<DmaListener, DmaListenerTag>::remove(listener);
  }

 private:
  IntrusiveList<DmaEntry, DmaEntry> entries_;
  IntrusiveList<DmaListener, DmaListenerTag> listeners_;
};

}  // namespace nvublk
