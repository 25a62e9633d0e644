#include "engine/dma_catalog.h"

#include <vector>

#include <gtest/gtest.h>

namespace nvublk {
namespace {

class Listener final : public DmaListener {
 public:
  void region_removed(const DmaRegion& region) override { removed.push_back(&region); }
  std::vector<const DmaRegion*> removed;
};

TEST(DmaCatalog, FindsTheRegionThatHoldsAllOfTheData) {
  DmaRegion first = DmaRegion::reserve(8192).value();
  DmaRegion second = DmaRegion::reserve(4096).value();
  DmaEntry first_entry(first);
  DmaEntry second_entry(second);
  DmaCatalog catalog;
  EXPECT_EQ(catalog.find(first.data(), 1), nullptr);
  catalog.add(first_entry);
  catalog.add(second_entry);
  EXPECT_EQ(catalog.find(first.data(), 8192), &first);
  EXPECT_EQ(catalog.find(first.data() + 8191, 1), &first);
  EXPECT_EQ(catalog.find(first.data() + 4096, 4097), nullptr);
  EXPECT_EQ(catalog.find(second.data(), 4096), &second);
  EXPECT_EQ(catalog.find(second.data(), SIZE_MAX), nullptr);
  std::byte elsewhere{};
  EXPECT_EQ(catalog.find(&elsewhere, 1), nullptr);
  catalog.remove(first_entry);
  catalog.remove(second_entry);
}

TEST(DmaCatalog, TellsItsListenersOnceWhatWasTakenOut) {
  DmaRegion region = DmaRegion::reserve(4096).value();
  DmaEntry entry(region);
  Listener listener;
  DmaCatalog catalog;
  catalog.add_listener(listener);
  catalog.add(entry);
  catalog.remove(entry);
  catalog.remove(entry);
  EXPECT_EQ(listener.removed, std::vector<const DmaRegion*>{&region});
  EXPECT_EQ(catalog.find(region.data(), 1), nullptr);
  DmaCatalog::remove_listener(listener);
}

}  // namespace
}  // namespace nvublk
