// Addresses that devices use: the allocator of IOVAs, and the PRP list of a whole region, whose
// pieces have to name the same pages as lists made by hand.

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/data_pointer.h"
#include "nvme/pcie/iova_allocator.h"
#include "nvme/pcie/pci_function.h"
#include "nvme/pcie/prp_table.h"
#include "nvme/pcie/vfio_space.h"

namespace nvublk::nvme::pcie {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kRegion = 0x10'0000'0000;
constexpr std::uint64_t kTable = 0x20'0000'0000;

TEST(PciIdsTest, AreReadFromSysfs) {
  char folder[] = "/tmp/nvublk-ids-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::filesystem::path function = std::filesystem::path(folder) / "0000:01:02.3";
  std::filesystem::create_directory(function);
  const PciAddress address = *PciAddress::parse("01:02.3");
  std::ofstream(function / "vendor") << "0x8086\n";
  EXPECT_EQ(pci_ids(address, folder).vendor, 0x8086);
  EXPECT_EQ(pci_ids(address, folder).device, 0) << "there is none";
  std::ofstream(function / "device") << "0x0a54\n";
  EXPECT_EQ(pci_ids(address, folder).device, 0x0a54);
  EXPECT_EQ(pci_ids(*PciAddress::parse("02:00.0"), folder).vendor, 0);
  std::filesystem::remove_all(folder);
}

TEST(IovaAllocatorTest, GivesOutEachAddressOnce) {
  IovaAllocator allocator({{0, 0x3fff}, {0x10000, 0x12fff}});
  EXPECT_EQ(allocator.allocate(0x2000), 0x1000);  // never page 0
  EXPECT_EQ(allocator.allocate(0x2000), 0x10000);
  EXPECT_EQ(allocator.allocate(0x1000), 0x3000);
  EXPECT_EQ(allocator.allocate(0x1000), 0x12000);
  EXPECT_EQ(allocator.allocate(0x1000), std::nullopt);
  allocator.release(0x1000);
  EXPECT_EQ(allocator.allocate(0x3000), std::nullopt);
  EXPECT_EQ(allocator.allocate(0x1000), 0x1000);
  EXPECT_EQ(allocator.allocate(0x1000), 0x2000);
}

TEST(IovaAllocatorTest, AlignsWhatHugePagesCanMap) {
  IovaAllocator allocator({{0x10000, 0xffffffff}});
  EXPECT_EQ(allocator.allocate(0x1000), 0x10000);
  EXPECT_EQ(allocator.allocate(0x400000), 0x200000);
  EXPECT_EQ(allocator.allocate(0x1000), 0x11000);
}

TEST(IovaAllocatorTest, EndsAtTheLastAddressOfARange) {
  const std::uint64_t last = ~std::uint64_t{0};
  IovaAllocator allocator({{last - kPage + 1, last}});
  EXPECT_EQ(allocator.allocate(2 * kPage), std::nullopt);
  EXPECT_EQ(allocator.allocate(kPage), last - kPage + 1);
}

TEST(IovaAllocatorTest, TakesWhatIsFree) {
  IovaAllocator allocator({{0x10000, 0x1ffff}});
  EXPECT_TRUE(allocator.take(0x12000, 0x2000));
  EXPECT_FALSE(allocator.take(0x11000, 0x1001));
  EXPECT_FALSE(allocator.take(0x13fff, 0x1000));
  EXPECT_TRUE(allocator.take(0x14000, 0x1000));
  EXPECT_TRUE(allocator.take(0xfe000000, 0x1000)) << "outside of the ranges";
  EXPECT_EQ(allocator.allocate(0x2000), 0x10000);
  EXPECT_EQ(allocator.allocate(0x2000), 0x15000);
  allocator.release(0x12000);
  EXPECT_EQ(allocator.allocate(0x2000), 0x12000);
}

/// A space whose kernel is this test.
class RecordingSpace final : public VfioSpace {
 public:
  RecordingSpace() : VfioSpace({{0x10000, 0x12fff}}) {}
  int error = 0;
  std::map<std::uint64_t, std::size_t> mapped;

 private:
  int map_at(std::span<std::byte> memory, std::uint64_t address) override {
    if (error == 0) mapped[address] = memory.size();
    return error;
  }
  int unmap_at(std::uint64_t address, std::uint64_t length_bytes) override {
    EXPECT_EQ(mapped.at(address), length_bytes);
    if (error == 0) mapped.erase(address);
    return error;
  }
};

TEST(VfioSpaceTest, GivesAnAddressBackOnlyWhenNothingIsMappedThere) {
  RecordingSpace space;
  std::vector<std::byte> memory(2 * kPage);
  EXPECT_EQ(*space.map(memory), 0x10000);
  EXPECT_EQ(*space.reserve(kPage), 0x12000);
  EXPECT_EQ(space.map(memory).error().code, ErrorCode::kNoResources);
  EXPECT_FALSE(space.reserve_at(0x12000, kPage));
  space.error = EIO;
  space.unmap(memory, 0x10000);
  space.error = 0;
  EXPECT_FALSE(space.map(memory)) << "the device may still reach what was there";
  space.release(0x12000);
  const std::span<std::byte> page(memory.data(), kPage);
  space.error = ENOMEM;
  EXPECT_NE(space.map(page).error().text.find("LimitMEMLOCK"), std::string::npos);
  space.error = 0;
  EXPECT_EQ(*space.map(page), 0x12000) << "free again after the failure";
  EXPECT_EQ(space.mapped.size(), 2u);
}

TEST(PciFunctionTest, BarsAndVfioNodesAreFoundInSysfs) {
  char folder[] = "/tmp/nvublk-bars-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::filesystem::path function = std::filesystem::path(folder) / "0000:01:02.3";
  std::filesystem::create_directory(function);
  const PciAddress address = *PciAddress::parse("01:02.3");
  EXPECT_FALSE(bar_address(address, 0, folder));
  EXPECT_EQ(vfio_node(address, folder), "");
  std::ofstream(function / "resource")
      << "0x00000000fe000000 0x00000000fe003fff 0x0000000000140204\n"
      << "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
      << "0x0000380000000000 0x0000380000ffffff 0x000000000014220c\n";
  EXPECT_EQ(*bar_address(address, 0, folder), 0xfe000000u);
  EXPECT_FALSE(bar_address(address, 1, folder));
  EXPECT_EQ(*bar_address(address, 2, folder), 0x380000000000u);
  EXPECT_FALSE(bar_address(address, 5, folder));
  std::filesystem::create_directories(function / "vfio-dev" / "vfio7");
  EXPECT_EQ(vfio_node(address, folder), "/dev/vfio/devices/vfio7");
  std::filesystem::remove_all(folder);
}

// The pages that the device visits, as the specification has it. [Base 2.1 §4.3.1]
std::vector<std::uint64_t> pages_of(const PrpPointers& prps, std::uint64_t count,
                                    const std::byte* table) {
  std::vector<std::uint64_t> pages{prps.prp1};
  if (count == 2) {
    pages.push_back(prps.prp2);
  }
  std::uint64_t at = prps.prp2;
  while (count > 2 && pages.size() < count) {
    std::uint64_t entry = 0;
    std::memcpy(&entry, table + (at - kTable), 8);
    if (at % kPage == kPage - 8 && pages.size() + 1 < count) {
      at = entry;
      continue;
    }
    pages.push_back(entry);
    at += 8;
  }
  return pages;
}

TEST(PrpTableTest, EveryPieceOfARegionHasItsPages) {
  constexpr std::uint64_t kPages = 1600;  // more than three pages of list
  auto memory = PrpTable::allocate(kPages * kPage);
  ASSERT_TRUE(memory);
  const PrpTable table(kRegion, kPages * kPage, *memory, kTable);
  std::uint64_t by_hand = 0;
  for (std::uint64_t first = 0; first < kPages; first++) {
    for (const std::uint64_t count : {1U, 2U, 3U, 4U, 32U, 128U, 256U, 511U, 512U, 513U, 600U}) {
      if (first + count > kPages) break;
      for (const std::uint64_t offset : {0U, 512U, 4092U}) {
        PrpPointers prps;
        const std::uint64_t begin = first * kPage + offset;
        const std::uint64_t length = count * kPage - offset;
        if (!table.find(begin, length, prps)) {
          by_hand++;
          continue;
        }
        const auto pages = pages_of(prps, count, memory->data());
        ASSERT_EQ(pages.size(), count);
        ASSERT_EQ(pages[0], kRegion + begin);
        for (std::uint64_t i = 1; i < count; i++) {
          ASSERT_EQ(pages[i], kRegion + (first + i) * kPage) << first << " " << count << " " << i;
        }
      }
    }
  }
  // Of each length, at most one start in 511 needs a list of its own.
  EXPECT_GT(by_hand, 0u);
  EXPECT_LT(by_hand, 3u * 11 * 4);
}

}  // namespace
}  // namespace nvublk::nvme::pcie
