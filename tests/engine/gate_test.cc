#include "engine/gate.h"

#include <gtest/gtest.h>

namespace nvublk {
namespace {

void count_up(void* context) {
  ++*static_cast<int*>(context);
}

TEST(Gate, ClosesAtOnceWhenNobodyIsIn) {
  Gate gate;
  int empty = 0;
  gate.close(count_up, &empty);
  EXPECT_EQ(empty, 1);
  EXPECT_TRUE(gate.closed());
  EXPECT_FALSE(gate.try_enter());
}

TEST(Gate, WaitsForTheLastToLeave) {
  Gate gate;
  int empty = 0;
  ASSERT_TRUE(gate.try_enter());
  ASSERT_TRUE(gate.try_enter());
  gate.leave();
  ASSERT_TRUE(gate.try_enter());
  gate.close(count_up, &empty);
  EXPECT_FALSE(gate.try_enter());
  gate.leave();
  EXPECT_EQ(empty, 0);
  EXPECT_EQ(gate.count(), 1U);
  gate.leave();
  EXPECT_EQ(empty, 1);
}

TEST(Gate, DoesNotCallBackWhileOpen) {
  Gate gate;
  ASSERT_TRUE(gate.try_enter());
  gate.leave();
  EXPECT_EQ(gate.count(), 0U);
  EXPECT_FALSE(gate.closed());
}

TEST(Gate, OpensAgain) {
  Gate gate;
  int empty = 0;
  gate.close(count_up, &empty);
  gate.reopen();
  ASSERT_TRUE(gate.try_enter());
  gate.close(count_up, &empty);
  gate.leave();
  EXPECT_EQ(empty, 2);
}

TEST(Gate, MayBeReopenedByItsCallback) {
  Gate gate;
  gate.close([](void* context) { static_cast<Gate*>(context)->reopen(); }, &gate);
  EXPECT_TRUE(gate.try_enter());
  gate.leave();
}

TEST(GateDeathTest, MisuseIsABugOfOurs) {
  EXPECT_DEATH(
      {
        Gate gate;
        gate.leave();
      },
      "CHECK");
  EXPECT_DEATH(
      {
        Gate gate;
        gate.try_enter();
      },
      "CHECK");
}

}  // namespace
}  // namespace nvublk
