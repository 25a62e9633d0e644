#include "engine/shard.h"

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sched.h>

namespace nvublk {
namespace {

std::unique_ptr<Shard> start_shard(Shard::Options options = {}) {
  auto shard = Shard::start(options);
  EXPECT_TRUE(shard) << shard.error().text;
  return shard ? std::move(*shard) : nullptr;
}

// Runs `task` on `shard` and waits for its result.
template <typename Task>
auto call(Shard& shard, Task task) {
  std::promise<decltype(task())> promise;
  auto future = promise.get_future();
  shard.post([&promise, &task] { promise.set_value(task()); });
  return future.get();
}

constexpr IdleMode kModes[] = {IdleMode::kBusy, IdleMode::kAdaptive, IdleMode::kInterrupt};

TEST(Shard, RunsTasksOnItsOwnThread) {
  auto shard = start_shard({.id = 7, .name = "io7"});
  EXPECT_EQ(Shard::current(), nullptr);
  EXPECT_FALSE(shard->is_current());
  EXPECT_EQ(call(*shard, [] { return Shard::current(); }), shard.get());
  EXPECT_NE(call(*shard, [] { return std::this_thread::get_id(); }), std::this_thread::get_id());
  EXPECT_EQ(shard->id(), 7U);
  EXPECT_EQ(shard->name(), "io7");
}

TEST(Shard, PinsItsThread) {
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  int cpu = 0;
  while (!CPU_ISSET(static_cast<unsigned>(cpu), &allowed)) {
    cpu++;
  }
  auto shard = start_shard({.cpus = {cpu}});
  EXPECT_EQ(call(*shard, [] { return ::sched_getcpu(); }), cpu);
}

TEST(Shard, TasksRunInTheOrderOfPosting) {
  auto shard = start_shard();
  std::vector<int> log;
  for (int i = 0; i < 100; i++) {
    shard->post([&log, i] { log.push_back(i); });
  }
  EXPECT_EQ(call(*shard, [&log] { return log.size(); }), 100U);
  for (int i = 0; i < 100; i++) {
    EXPECT_EQ(log[static_cast<std::size_t>(i)], i);
  }
}

TEST(Shard, APostWakesAShardThatSleeps) {
  auto shard = start_shard({.reactor = {.mode = IdleMode::kInterrupt}});
  for (std::uint64_t round = 1; round <= 50; round++) {
    while (shard->reactor().counters().sleeps < round) {
      std::this_thread::yield();
    }
    EXPECT_EQ(call(*shard, [] { return 42; }), 42);
  }
}

TEST(Shard, ManyThreadsPostInEveryMode) {
  for (const IdleMode mode : kModes) {
    auto shard = start_shard({.reactor = {.mode = mode}});
    std::uint64_t sum = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) {
      threads.emplace_back([&shard, &sum] {
        for (int i = 0; i < 500; i++) {
          shard->post([&sum] { sum++; });
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    EXPECT_EQ(call(*shard, [&sum] { return sum; }), 2000U);
  }
}

TEST(Shard, TwoShardsPlayPingPong) {
  auto left = start_shard({.reactor = {.mode = IdleMode::kInterrupt}});
  auto right = start_shard({.reactor = {.mode = IdleMode::kInterrupt}});
  struct Ball : Message {
    Shard* sides[2] = {};
    int hits = 0;
    std::promise<void> over;
  } ball;
  ball.sides[0] = left.get();
  ball.sides[1] = right.get();
  ball.deliver = [](Message& message) {
    auto& self = static_cast<Ball&>(message);
    EXPECT_TRUE(self.sides[self.hits % 2]->is_current());
    if (++self.hits == 1000) {
      self.over.set_value();
      return;
    }
    self.sides[self.hits % 2]->reactor().post(self);
  };
  auto over = ball.over.get_future();
  left->reactor().post(ball);
  over.wait();
  EXPECT_EQ(ball.hits, 1000);
  left->stop();
  right->stop();
}

TEST(Shard, StopsFromSleepAndFromSpinning) {
  for (const IdleMode mode : kModes) {
    for (int i = 0; i < 20; i++) {
      start_shard({.reactor = {.mode = mode}}).reset();
    }
  }
}

TEST(Shard, MayBeStoppedTwiceAndStillBeAsked) {
  auto shard = start_shard();
  shard->reactor().stop();
  shard->reactor().stop();
  EXPECT_EQ(shard->reactor().mode(), IdleMode::kAdaptive);
  shard.reset();
}

TEST(Shard, WhatWasPostedBeforeTheEndIsRun) {
  std::atomic<int> ran{0};
  auto shard = start_shard();
  for (int i = 0; i < 100; i++) {
    shard->post([&ran] { ran++; });
  }
  shard.reset();
  EXPECT_EQ(ran, 100);
}

TEST(Shard, ATaskThatComesTooLateIsDestroyedUnrun) {
  auto token = std::make_shared<int>(0);
  bool ran = false;
  auto shard = start_shard();
  shard->post([self = shard.get(), token, &ran] {
    self->reactor().stop();
    self->post([self, token, &ran] {
      self->post([token, &ran] { ran = true; });
      self->post([token, &ran] { ran = true; });
    });
  });
  shard.reset();
  EXPECT_FALSE(ran);
  EXPECT_EQ(token.use_count(), 1);
}

TEST(Shard, AdoptsTheCallingThread) {
  {
    auto shard = Shard::adopt_current_thread({.id = 3});
    ASSERT_TRUE(shard);
    EXPECT_EQ(Shard::current(), shard->get());
    int ran = 0;
    (*shard)->post([&ran, self = shard->get()] {
      ran++;
      self->reactor().stop();
    });
    (*shard)->reactor().run();
    EXPECT_EQ(ran, 1);
  }
  EXPECT_EQ(Shard::current(), nullptr);
}

TEST(Shard, ARingThatCannotBeMadeIsAnErrorNotAThread) {
  Shard::Options options;
  options.reactor.ring.entries = 1U << 30;
  const auto shard = Shard::start(options);
  ASSERT_FALSE(shard);
  EXPECT_FALSE(shard.error().text.empty());
}

TEST(Shard, SealingIsPerThread) {
  auto shard = start_shard();
  Shard::seal_current_thread(true);
  EXPECT_TRUE(Shard::current_thread_sealed());
  EXPECT_FALSE(call(*shard, [] { return Shard::current_thread_sealed(); }));
  Shard::seal_current_thread(false);
  EXPECT_FALSE(Shard::current_thread_sealed());
}

TEST(ShardDeathTest, CheckOnAbortsOnTheWrongThread) {
  EXPECT_DEATH(
      {
        auto shard = Shard::adopt_current_thread({});
        Shard& mine = **shard;
        std::thread([&mine] { CHECK_ON(mine); }).join();
      },
      "CHECK");
}

}  // namespace
}  // namespace nvublk
