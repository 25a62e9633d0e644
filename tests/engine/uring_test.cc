#include "engine/uring.h"

#include <array>
#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "engine/fd.h"

namespace nvublk {
namespace {

struct CountingOp : RingOp {
  CountingOp() {
    complete = [](RingOp& op, std::int32_t res, std::uint32_t) {
      auto& self = static_cast<CountingOp&>(op);
      self.count++;
      self.result = res;
    };
  }
  unsigned count = 0;
  std::int32_t result = 0;
};

std::unique_ptr<Uring> make_ring(const Uring::Options& options) {
  auto ring = Uring::create(options);
  EXPECT_TRUE(ring) << ring.error().text;
  return ring ? std::move(*ring) : nullptr;
}

unsigned reap_all(Uring& ring) {
  std::array<Uring::Reaped, 64> batch;
  unsigned total = 0;
  for (;;) {
    const std::span<Uring::Reaped> reaped = ring.reap(batch);
    if (reaped.empty()) {
      return total;
    }
    for (const Uring::Reaped& entry : reaped) {
      entry.op->complete(*entry.op, entry.result, entry.flags);
    }
    total += static_cast<unsigned>(reaped.size());
  }
}

void prepare_nop(Uring& ring, RingOp& op) {
  io_uring_prep_nop(ring.prepare(op));
}

TEST(Uring, ACompletionFindsItsOperation) {
  auto ring = make_ring({});
  CountingOp op;
  EXPECT_FALSE(ring->has_work());
  prepare_nop(*ring, op);
  EXPECT_TRUE(ring->has_work());
  EXPECT_EQ(reap_all(*ring), 0U);
  ring->enter(Uring::kDoNotWait);
  EXPECT_EQ(reap_all(*ring), 1U);
  EXPECT_EQ(op.count, 1U);
  EXPECT_FALSE(ring->has_work());
}

TEST(Uring, ManyOperationsLeaveInOneEnter) {
  auto ring = make_ring({.entries = 64, .cq_entries = 128});
  CountingOp op;
  for (int i = 0; i < 64; i++) {
    prepare_nop(*ring, op);
  }
  EXPECT_EQ(ring->enters(), 0U);
  ring->enter(Instant{});
  EXPECT_EQ(ring->enters(), 1U);
  EXPECT_EQ(reap_all(*ring), 64U);
}

TEST(Uring, AFullSubmissionQueueIsSubmittedAndFilledAgain) {
  auto ring = make_ring({.entries = 8, .cq_entries = 256});
  CountingOp op;
  for (int i = 0; i < 100; i++) {
    prepare_nop(*ring, op);
  }
  EXPECT_EQ(ring->enters(), 12U);
  ring->enter(Uring::kDoNotWait);
  EXPECT_EQ(reap_all(*ring), 100U);
  EXPECT_EQ(op.count, 100U);
}

TEST(Uring, NoCompletionIsLostWhenTheCompletionQueueOverflows) {
  auto ring = make_ring({.entries = 8, .cq_entries = 16});
  CountingOp op;
  for (int i = 0; i < 100; i++) {
    prepare_nop(*ring, op);
  }
  for (int turn = 0; turn < 100 && op.count < 100; turn++) {
    ring->enter(Uring::kDoNotWait);
    reap_all(*ring);
  }
  EXPECT_EQ(op.count, 100U);
  EXPECT_FALSE(ring->has_work());
}

TEST(Uring, AnInvalidOperationFailsAloneAndTheOthersStillLeave) {
  auto ring = make_ring({});
  CountingOp bad;
  CountingOp good;
  io_uring_sqe* sqe = ring->prepare(bad);
  sqe->opcode = 255;
  prepare_nop(*ring, good);
  ring->enter(Uring::kDoNotWait);
  ring->enter(Uring::kDoNotWait);
  EXPECT_EQ(reap_all(*ring), 2U);
  EXPECT_EQ(bad.result, -EINVAL);
  EXPECT_EQ(good.count, 1U);
}

TEST(Uring, ReapsNoMoreThanTheBatchHolds) {
  auto ring = make_ring({});
  CountingOp op;
  for (int i = 0; i < 10; i++) {
    prepare_nop(*ring, op);
  }
  ring->enter(Uring::kDoNotWait);
  std::array<Uring::Reaped, 4> batch;
  EXPECT_EQ(ring->reap(batch).size(), 4U);
  EXPECT_EQ(ring->reap(batch).size(), 4U);
  EXPECT_EQ(ring->reap(batch).size(), 2U);
  EXPECT_EQ(ring->reap(batch).size(), 0U);
}

TEST(Uring, AnSqeStartsClearedWhateverWasInItsSlot) {
  for (const bool sqe128 : {false, true}) {
    auto ring = make_ring({.entries = 4, .cq_entries = 16, .sqe128 = sqe128});
    EXPECT_EQ(ring->sqe128(), sqe128);
    CountingOp op;
    for (int i = 0; i < 4; i++) {
      io_uring_sqe* sqe = ring->prepare(op);
      std::memset(sqe, 0xff, sqe128 ? 128 : 64);
      io_uring_prep_nop(sqe);
      sqe->addr3 = 0;
      io_uring_sqe_set_data(sqe, &op);
    }
    ring->enter(Uring::kDoNotWait);
    reap_all(*ring);
    io_uring_sqe* sqe = ring->prepare(op);
    std::array<std::byte, 128> zero{};
    EXPECT_EQ(io_uring_sqe{}.len, sqe->len);
    EXPECT_EQ(std::memcmp(&sqe->addr3, zero.data(), sqe128 ? 128 - 48 : 16), 0);
    io_uring_prep_nop(sqe);
    EXPECT_EQ(sqe->user_data, reinterpret_cast<std::uint64_t>(&op));
    ring->enter(Uring::kDoNotWait);
    EXPECT_EQ(reap_all(*ring), 1U);
  }
}

TEST(Uring, SleepsUntilACompletionArrives) {
  auto ring = make_ring({});
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  CountingOp op;
  std::uint64_t value = 0;
  io_uring_prep_read(ring->prepare(op), event.get(), &value, sizeof(value), 0);
  std::thread other([&event] {
    const std::uint64_t one = 1;
    EXPECT_EQ(::write(event.get(), &one, sizeof(one)), 8);
  });
  while (op.count == 0) {
    ring->enter(kNever);
    reap_all(*ring);
  }
  other.join();
  EXPECT_EQ(op.result, 8);
  EXPECT_EQ(value, 1U);
}

TEST(Uring, SleepsNoLongerThanTold) {
  auto ring = make_ring({});
  const Instant until = Clock::now() + milliseconds(2);
  ring->enter(until);
  EXPECT_GE(Clock::now(), until);
  ring->enter(Instant{});
  EXPECT_EQ(reap_all(*ring), 0U);
  EXPECT_EQ(ring->enters(), 2U);
}

TEST(Uring, ASignalEndsASleepWithoutHarm) {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  struct sigaction before{};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  auto ring = make_ring({});
  const pthread_t sleeper = ::pthread_self();
  std::atomic<bool> awake{false};
  std::thread other([sleeper, &awake] {
    while (!awake) {
      ::pthread_kill(sleeper, SIGUSR1);
      std::this_thread::sleep_for(milliseconds(1));
    }
  });
  ring->enter(kNever);
  awake = true;
  other.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  CountingOp op;
  prepare_nop(*ring, op);
  ring->enter(Uring::kDoNotWait);
  EXPECT_EQ(reap_all(*ring), 1U);
}

}  // namespace
}  // namespace nvublk
