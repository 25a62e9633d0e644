#include "engine/cpus.h"

#include <thread>

#include <gtest/gtest.h>

#include "engine/wake_time.h"

namespace nvublk {
namespace {

TEST(CpusTest, AThreadIsKeptWhereItIsTold) {
  const std::vector<int> all = usable_cpus();
  ASSERT_FALSE(all.empty());
  std::vector<int> kept;
  std::thread([&] {
    keep_current_thread_on(std::span(all).last(1));
    kept = usable_cpus();
  }).join();
  EXPECT_EQ(kept, std::vector<int>{all.back()});
  EXPECT_EQ(usable_cpus(), all) << "the other thread is not bound";
}

TEST(CpusTest, CpusThatAreNotThereBindNothing) {
  const std::vector<int> all = usable_cpus();
  std::vector<int> kept;
  std::thread([&] {
    keep_current_thread_on(std::vector<int>{-1, 1 << 20});
    kept = usable_cpus();
  }).join();
  EXPECT_EQ(kept, all);
}

TEST(CpusTest, MeasuringAWakeUpLeavesItsCallerFree) {
  const std::vector<int> all = usable_cpus();
  measure_wake_time();
  EXPECT_EQ(usable_cpus(), all);
}

}  // namespace
}  // namespace nvublk
