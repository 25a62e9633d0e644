// How the data of a command is named in its capsule: by one keyed descriptor, by several where the
// controller takes them, or by the one of a copy. There is no RDMA device: registering memory, all
// that this needs of one, is done by the two functions below.

#include "nvme/rdma/capsule_builder.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/command.h"

namespace {

std::uint32_t last_key = 0;

}  // namespace

// Instead of rdma-core's: each region has keys of its own.
#undef ibv_reg_mr
extern "C" ibv_mr* ibv_reg_mr(ibv_pd* domain, void* data, std::size_t length, int) {
  auto* memory = new ibv_mr{};
  memory->pd = domain;
  memory->addr = data;
  memory->length = length;
  memory->lkey = ++last_key;
  memory->rkey = last_key + 1000;
  return memory;
}

extern "C" int ibv_dereg_mr(ibv_mr* memory) {
  delete memory;
  return 0;
}

namespace nvublk::nvme::rdma {
namespace {

using spec::KeyedSglDescriptor;

constexpr std::size_t kRegionBytes = std::size_t{64} * 1024;

struct Piece {
  unsigned region = 0;  ///< 0 and 1 are the shard's; 2 is unknown to it
  std::size_t offset = 0;
  std::size_t length = 0;
};

struct Case {
  const char* what;
  std::uint32_t max_descriptors;  ///< the controller's
  std::vector<Piece> pieces;
  std::size_t descriptors;  ///< in the capsule
  bool copied;

  friend void PrintTo(const Case& each, std::ostream* out) { *out << each.what; }
};

const Case kCases[] = {
    {"one piece", 16, {{0, 512, 8192}}, 1, false},
    {"two pieces", 16, {{0, 512, 4096}, {0, 8192, 4096}}, 2, false},
    {"pieces of two regions", 16, {{0, 0, 4096}, {1, 0, 4096}, {0, 8192, 512}}, 3, false},
    {"pieces that follow each other", 16, {{0, 0, 4096}, {0, 4096, 4096}, {1, 8, 8}}, 2, false},
    {"an empty piece", 16, {{0, 0, 4096}, {0, 100, 0}, {1, 0, 4096}}, 2, false},
    {"as many as the controller takes", 2, {{0, 0, 512}, {1, 0, 512}}, 2, false},
    {"one more than that", 2, {{0, 0, 512}, {1, 0, 512}, {0, 4096, 512}}, 1, true},
    {"a controller that takes one", 1, {{0, 0, 512}, {1, 0, 512}}, 1, true},
    {"a piece that no device knows", 16, {{0, 0, 512}, {2, 0, 512}}, 1, true},
};

class CapsuleBuilderTest : public testing::TestWithParam<Case> {
 protected:
  CapsuleBuilderTest()
      : regions_{DmaRegion::allocate(kRegionBytes).value(),
                 DmaRegion::allocate(kRegionBytes).value()},
        unknown_(kRegionBytes) {
    for (DmaEntry& entry : entries_) catalog_.add(entry);
    for (unsigned region = 0; region < 3; region++) {
      for (std::size_t i = 0; i < kRegionBytes; i++) {
        memory_of(region)[i] = static_cast<std::byte>(i * 7 / 3 + region * 31);
      }
    }
  }
  ~CapsuleBuilderTest() override {
    for (DmaEntry& entry : entries_) catalog_.remove(entry);
  }

  std::byte* memory_of(unsigned region) {
    return region < 2 ? regions_[region].data() : unknown_.data();
  }
  void set_data(const std::vector<Piece>& pieces) {
    iov_.clear();
    request_.length_bytes = 0;
    for (const Piece& piece : pieces) {
      iov_.push_back({memory_of(piece.region) + piece.offset, piece.length});
      request_.length_bytes += static_cast<std::uint32_t>(piece.length);
    }
    request_.iov = iov_.data();
    request_.iov_count = static_cast<std::uint32_t>(iov_.size());
    command_.request = &request_;
  }
  /// The data as one piece.
  std::vector<std::byte> flat() const {
    std::vector<std::byte> bytes;
    for (const iovec& piece : iov_) {
      const auto* data = static_cast<const std::byte*>(piece.iov_base);
      bytes.insert(bytes.end(), data, data + piece.iov_len);
    }
    return bytes;
  }
  /// What a controller finds in the capsule. [RDMA 1.0 §3.3]
  std::vector<KeyedSglDescriptor> descriptors() const {
    const spec::SglDescriptor first = capsule_.sqe.sgl();
    if (first.type() != spec::SglType::kLastSegment) {
      EXPECT_EQ(command_.pieces[0].length, sizeof(spec::SubmissionEntry));
      return {capsule_.sqe.keyed_sgl()};
    }
    EXPECT_EQ(first.subtype(), spec::SglSubtype::kOffset);
    EXPECT_EQ(first.address.get(), 0u);
    EXPECT_EQ(command_.pieces[0].length, sizeof(spec::SubmissionEntry) + first.length.get());
    const std::size_t count = first.length.get() / sizeof(KeyedSglDescriptor);
    return {capsule_.descriptors.begin(),
            capsule_.descriptors.begin() + static_cast<std::ptrdiff_t>(count)};
  }
  /// Where a descriptor points, if its key is that of memory which holds all of it.
  std::span<std::byte> named(const KeyedSglDescriptor& descriptor) {
    EXPECT_EQ(descriptor.type(), spec::SglType::kKeyedDataBlock);
    // It was a pointer of ours before it was an address.
    auto* data = reinterpret_cast<std::byte*>(  // NOLINT(performance-no-int-to-ptr)
        static_cast<std::uintptr_t>(descriptor.address.get()));
    const std::uint32_t length = descriptor.length.get();
    const MemoryKeys* keys = memory_.find(data, length);
    const BounceBuffer* bounce = command_.bounce;
    if (keys == nullptr && bounce != nullptr && data == bounce->data) {
      keys = &bounce->keys;
    }
    EXPECT_TRUE(keys != nullptr && keys->remote_key == descriptor.key.get());
    return {data, length};
  }

  ibv_pd domain_{};
  DmaCatalog catalog_;
  DmaRegion regions_[2];
  std::vector<std::byte> unknown_;
  DmaEntry entries_[2] = {DmaEntry(regions_[0]), DmaEntry(regions_[1])};
  CounterGroups groups_;
  RdmaCounters counters_{groups_.get(kCounterKind, "none", kCounterLabels)};
  MemoryTable memory_{catalog_, domain_, counters_.registrations};
  BouncePool pool_{domain_};
  std::vector<iovec> iov_;
  Request request_;
  Capsule capsule_;
  RdmaCommand command_;
};

TEST_P(CapsuleBuilderTest, AWriteIsTakenFromWhereItsDataIs) {
  CapsuleBuilder builder({.in_capsule_bytes = 0, .max_descriptors = GetParam().max_descriptors},
                         memory_, pool_, counters_);
  set_data(GetParam().pieces);
  request_.sqe = command::write(1, 0, 1);
  ASSERT_TRUE(builder.build(request_, capsule_, command_));
  const std::vector<KeyedSglDescriptor> found = descriptors();
  EXPECT_EQ(found.size(), GetParam().descriptors);
  EXPECT_EQ(counters_.copies.get(), GetParam().copied ? 1u : 0u);
  std::vector<std::byte> taken;
  for (const KeyedSglDescriptor& each : found) {
    const std::span<std::byte> data = named(each);
    taken.insert(taken.end(), data.begin(), data.end());
  }
  EXPECT_EQ(taken, flat());
  builder.finish(command_, true);
}

TEST_P(CapsuleBuilderTest, AReadArrivesWhereItIsWanted) {
  CapsuleBuilder builder({.in_capsule_bytes = 0, .max_descriptors = GetParam().max_descriptors},
                         memory_, pool_, counters_);
  set_data(GetParam().pieces);
  request_.sqe = command::read(1, 0, 1);
  ASSERT_TRUE(builder.build(request_, capsule_, command_));
  std::vector<std::byte> sent(request_.length_bytes);
  for (std::size_t i = 0; i < sent.size(); i++) sent[i] = static_cast<std::byte>(i * 5 / 2);
  std::size_t at = 0;
  for (const KeyedSglDescriptor& each : descriptors()) {
    const std::span<std::byte> data = named(each);
    ASSERT_LE(at + data.size(), sent.size());
    std::memcpy(data.data(), &sent[at], data.size());
    at += data.size();
  }
  EXPECT_EQ(at, sent.size());
  builder.finish(command_, true);
  EXPECT_EQ(flat(), sent);
}

INSTANTIATE_TEST_SUITE_P(Pieces, CapsuleBuilderTest, testing::ValuesIn(kCases),
                         [](const testing::TestParamInfo<Case>& each) {
                           std::string name = each.param.what;
                           std::ranges::replace(name, ' ', '_');
                           return name;
                         });

}  // namespace
}  // namespace nvublk::nvme::rdma
