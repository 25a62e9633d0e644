#include "engine/blocking_call.h"

#include <future>

#include <gtest/gtest.h>

namespace nvublk {
namespace {

TEST(BlockingCall, WorksOnAnotherThreadAndReportsOnTheOwner) {
  auto shard = std::move(*Shard::start({}));
  std::promise<bool> worked_elsewhere;
  std::promise<bool> reported_on_owner;
  auto call = std::make_unique<BlockingCall>(*shard);
  Shard* owner = shard.get();
  shard->post([&] {
    call->start(
        [&worked_elsewhere] {
          worked_elsewhere.set_value(Shard::current() == nullptr);
          return 42;
        },
        [&](int result) {
          EXPECT_EQ(result, 42);
          EXPECT_FALSE(call->busy());
          reported_on_owner.set_value(Shard::current() == owner);
        });
    EXPECT_TRUE(call->busy());
  });
  EXPECT_TRUE(worked_elsewhere.get_future().get());
  EXPECT_TRUE(reported_on_owner.get_future().get());
}

}  // namespace
}  // namespace nvublk
