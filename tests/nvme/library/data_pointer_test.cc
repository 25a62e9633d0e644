#include "nvme/data_pointer.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace nvublk::nvme {
namespace {

constexpr std::uint64_t kList = 0x100000;

struct PrpCase {
  std::string name;
  std::vector<DmaSegment> segments;
  std::expected<PrpPointers, DataPointerError> want;
  std::vector<std::uint64_t> list;
};

// [Base 2.1 §4.3.1]
TEST(Prp, Table) {
  const std::vector<PrpCase> cases = {
      {"one page", {{0x1000, 4096}}, PrpPointers{0x1000, 0, 0}, {}},
      {"a part of a page", {{0x1200, 512}}, PrpPointers{0x1200, 0, 0}, {}},
      {"across a page", {{0x1e00, 1024}}, PrpPointers{0x1e00, 0x2000, 0}, {}},
      {"two pages", {{0x1000, 8192}}, PrpPointers{0x1000, 0x2000, 0}, {}},
      {"two pages apart", {{0x1000, 4096}, {0x9000, 4096}}, PrpPointers{0x1000, 0x9000, 0}, {}},
      {"two pages and a bit", {{0x1004, 8192}}, PrpPointers{0x1004, kList, 2}, {0x2000, 0x3000}},
      {"three pages", {{0x1000, 12288}}, PrpPointers{0x1000, kList, 2}, {0x2000, 0x3000}},
      {"scattered",
       {{0x1800, 2048}, {0x5000, 4096}, {0x8000, 100}},
       PrpPointers{0x1800, kList, 2},
       {0x5000, 0x8000}},
      {"an offset up to the last dword of a page",
       {{0x1ffc, 8}},
       PrpPointers{0x1ffc, 0x2000, 0},
       {}},
      {"the last page in part", {{0x1000, 4097}}, PrpPointers{0x1000, 0x2000, 0}, {}},
      {"begins inside, three pages",
       {{0x1e00, 512 + 4096 + 1}},
       PrpPointers{0x1e00, kList, 2},
       {0x2000, 0x3000}},
      {"empty segments between",
       {{0x1000, 4096}, {0x7, 0}, {0x3000, 4096}},
       PrpPointers{0x1000, 0x3000, 0},
       {}},
      {"above 4 GiB", {{0x1'0000'0000, 8192}}, PrpPointers{0x1'0000'0000, 0x1'0000'1000, 0}, {}},
      {"one list page to the brim",
       {{0, 4096 * 17}},
       PrpPointers{0, kList, 16},
       {0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000, 0x8000, 0x9000, 0xa000, 0xb000,
        0xc000, 0xd000, 0xe000, 0xf000, 0x10000}},
      {"nothing", {}, std::unexpected(DataPointerError::kEmpty), {}},
      {"empty segments", {{0x1003, 0}}, std::unexpected(DataPointerError::kEmpty), {}},
      {"not dword aligned", {{0x1002, 512}}, std::unexpected(DataPointerError::kAlignment), {}},
      {"ends inside",
       {{0x1000, 512}, {0x2000, 512}},
       std::unexpected(DataPointerError::kAlignment),
       {}},
      {"begins inside",
       {{0x1000, 4096}, {0x2200, 512}},
       std::unexpected(DataPointerError::kAlignment),
       {}},
      {"too long", {{0, 4096 * 18}}, std::unexpected(DataPointerError::kTooLong), {}},
  };
  for (const PrpCase& each : cases) {
    std::vector<std::uint64_t> list(16);
    const auto got = build_prps(each.segments, 4096, list, kList);
    ASSERT_EQ(got.has_value(), each.want.has_value()) << each.name;
    if (!got) {
      EXPECT_EQ(got.error(), each.want.error()) << each.name;
      continue;
    }
    EXPECT_EQ(*got, *each.want) << each.name;
    list.resize(got->list_entries);
    EXPECT_EQ(list, each.list) << each.name;
  }
}

// A list page of 64 bytes has 8 entries, the last of which points on.
TEST(Prp, ListsThatSpanPagesAreChained) {
  for (const std::uint64_t pages : {8u, 9u, 10u, 16u, 17u, 23u, 24u, 40u}) {
    std::vector<std::uint64_t> list(64);
    const std::vector<DmaSegment> data = {{64, pages * 64}};
    const auto got = build_prps(data, 64, list, kList);
    ASSERT_TRUE(got) << pages;
    // As the device reads it.
    std::vector<std::uint64_t> read{got->prp1};
    std::size_t at = 0;
    while (read.size() < pages) {
      const bool last_of_page = at % 8 == 7;
      if (last_of_page && read.size() + 1 < pages) {
        EXPECT_EQ(list[at], kList + (at + 1) * 8) << pages;
        at++;
      }
      read.push_back(list[at++]);
    }
    EXPECT_EQ(at, got->list_entries) << pages;
    for (std::uint64_t i = 0; i < pages; i++) EXPECT_EQ(read[i], 64 + i * 64) << pages;
  }
}

// [Base 2.1 §4.3.2]
TEST(Sgl, OneSegmentGoesIntoTheCommand) {
  const std::vector<DmaSegment> data = {{0x1003, 100}};
  const auto got = build_sgl(data, {}, 0, false);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->sgl1, spec::SglDescriptor::data_block(0x1003, 100));
  EXPECT_EQ(got->list_entries, 0u);
}

TEST(Sgl, NeighboursBecomeOne) {
  const std::vector<DmaSegment> data = {{0x1000, 4096}, {0x2000, 4096}, {0x9000, 0}};
  const auto got = build_sgl(data, {}, 0, true);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->sgl1, spec::SglDescriptor::data_block(0x1000, 8192));
}

TEST(Sgl, SeveralGoIntoALastSegment) {
  std::vector<spec::SglDescriptor> list(4);
  const std::vector<DmaSegment> data = {{0x1000, 512}, {0x3000, 512}, {0x3200, 512}, {0x8000, 4}};
  const auto got = build_sgl(data, list, kList, true);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->list_entries, 3u);
  EXPECT_EQ(got->sgl1.type(), spec::SglType::kLastSegment);
  EXPECT_EQ(got->sgl1.address.get(), kList);
  EXPECT_EQ(got->sgl1.length.get(), 48u);
  EXPECT_EQ(list[0], spec::SglDescriptor::data_block(0x1000, 512));
  EXPECT_EQ(list[1], spec::SglDescriptor::data_block(0x3000, 1024));
  EXPECT_EQ(list[2], spec::SglDescriptor::data_block(0x8000, 4));
}

struct SglCase {
  std::string name;
  std::vector<DmaSegment> segments;
  bool dword_aligned;
  std::vector<spec::SglDescriptor> want;  ///< one: in the command
};

TEST(Sgl, Table) {
  const auto block = [](std::uint64_t address, std::uint32_t length) {
    return spec::SglDescriptor::data_block(address, length);
  };
  const std::vector<SglCase> cases = {
      {"any alignment", {{0x1001, 3}, {0x2003, 5}}, false, {block(0x1001, 3), block(0x2003, 5)}},
      {"three neighbours", {{0, 4}, {4, 4}, {8, 4}}, true, {block(0, 12)}},
      {"neighbours after a gap", {{0, 4}, {8, 4}, {12, 4}}, true, {block(0, 4), block(8, 8)}},
      {"backwards is no neighbour", {{8, 4}, {4, 4}}, true, {block(8, 4), block(4, 4)}},
      {"an empty one in between joins nothing else",
       {{0, 4}, {100, 0}, {4, 4}},
       true,
       {block(0, 8)}},
      {"the same twice", {{0x40, 4}, {0x40, 4}}, true, {block(0x40, 4), block(0x40, 4)}},
      {"a sum beyond 32 bits stays apart",
       {{0, 0xfffffffc}, {0xfffffffc, 8}},
       true,
       {block(0, 0xfffffffc), block(0xfffffffc, 8)}},
      {"above 4 GiB", {{0x1'0000'0000, 4096}}, true, {block(0x1'0000'0000, 4096)}},
  };
  for (const SglCase& each : cases) {
    std::vector<spec::SglDescriptor> list(4);
    const auto got = build_sgl(each.segments, list, kList, each.dword_aligned);
    ASSERT_TRUE(got) << each.name;
    if (each.want.size() == 1) {
      EXPECT_EQ(got->sgl1, each.want[0]) << each.name;
      EXPECT_EQ(got->list_entries, 0u) << each.name;
      continue;
    }
    ASSERT_EQ(got->list_entries, each.want.size()) << each.name;
    list.resize(got->list_entries);
    EXPECT_EQ(list, each.want) << each.name;
  }
}

TEST(Sgl, Refuses) {
  std::vector<spec::SglDescriptor> list(2);
  const std::vector<DmaSegment> three = {{0, 4}, {0x100, 4}, {0x200, 4}};
  EXPECT_EQ(build_sgl(three, list, kList, false).error(), DataPointerError::kTooLong);
  const std::vector<DmaSegment> odd = {{0x1001, 4}};
  EXPECT_EQ(build_sgl(odd, list, kList, true).error(), DataPointerError::kAlignment);
  EXPECT_EQ(build_sgl({}, list, kList, true).error(), DataPointerError::kEmpty);
  const std::vector<DmaSegment> ragged = {{0x1000, 6}};
  EXPECT_EQ(build_sgl(ragged, list, kList, true).error(), DataPointerError::kAlignment);
  const std::vector<DmaSegment> huge = {{0, 1ull << 32}};
  EXPECT_EQ(build_sgl(huge, list, kList, true).error(), DataPointerError::kTooLong);
  const std::vector<DmaSegment> empty = {{0x1001, 0}, {0, 0}};
  EXPECT_EQ(build_sgl(empty, list, kList, true).error(), DataPointerError::kEmpty);
}

}  // namespace
}  // namespace nvublk::nvme
