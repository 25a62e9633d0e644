#include "engine/numa.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/dma_memory.h"

namespace nvublk {
namespace {

class NumaNodes : public ::testing::Test {
 protected:
  NumaNodes() {
    char path[] = "/tmp/nvublk-numa.XXXXXX";
    root_ = ::mkdtemp(path);
  }
  ~NumaNodes() override { std::filesystem::remove_all(root_); }

  void add(const std::string& name, const std::string& cpus) {
    const auto folder = root_ / "devices/system/node" / name;
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "cpulist") << cpus << '\n';
  }
  std::vector<NumaNode> nodes() const { return numa_nodes(root_); }

  std::filesystem::path root_;
};

TEST(CpuList, IsRanges) {
  EXPECT_EQ(parse_cpu_list("0-3,8\n"), (std::vector{0, 1, 2, 3, 8}));
  EXPECT_EQ(parse_cpu_list("5"), std::vector{5});
  EXPECT_EQ(parse_cpu_list("4,1-2"), (std::vector{1, 2, 4}));
}

TEST(CpuList, NamesNoneWhereItIsNone) {
  for (const char* text :
       {"", "\n", "x", "1-", "-1", "3-1", "1,,2", "1,", "1-2-3", "99999999999", "0-9999999"}) {
    EXPECT_TRUE(parse_cpu_list(text).empty()) << text;
  }
}

TEST_F(NumaNodes, AreThoseWithCpusInTheirOrder) {
  add("node10", "8-9");
  add("node2", "0,4");
  add("node3", "");  // memory without CPUs
  add("nodes", "1");
  add("possible", "1");
  const std::vector<NumaNode> found = nodes();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].id, 2);
  EXPECT_EQ(found[0].cpus, (std::vector{0, 4}));
  EXPECT_EQ(found[1].id, 10);
  EXPECT_EQ(found[1].cpus, (std::vector{8, 9}));
}

TEST_F(NumaNodes, AreNoneWhereTheKernelKnowsNone) {
  EXPECT_TRUE(nodes().empty());
}

// The policy of the memory at `address`, -1 where the kernel has none.
int policy_at(const void* address, unsigned long& nodes) {
  int mode = -1;
  const long result = ::syscall(SYS_get_mempolicy, &mode, &nodes, 8 * sizeof(nodes) + 1, address,
                                static_cast<unsigned long>(MPOL_F_ADDR));
  return result == 0 ? mode : -1;
}

TEST(DmaRegionNuma, PrefersTheNodeThatWasAskedFor) {
  const std::vector<NumaNode> all = numa_nodes();
  if (all.empty()) {
    GTEST_SKIP() << "this kernel knows no memory nodes";
  }
  const int node = all.back().id;
  const Result<DmaRegion> there = DmaRegion::allocate(64 * 1024, node);
  const Result<DmaRegion> anywhere = DmaRegion::allocate(64 * 1024);
  ASSERT_TRUE(there && anywhere);
  unsigned long nodes = 0;
  ASSERT_EQ(policy_at(there->data(), nodes), MPOL_PREFERRED);
  EXPECT_EQ(nodes, 1UL << node);
  EXPECT_EQ(policy_at(anywhere->data(), nodes), MPOL_DEFAULT);
}

}  // namespace
}  // namespace nvublk
