#include "support/allocation_guard.h"

#include <future>
#include <memory>
#include <new>
#include <vector>

#include <gtest/gtest.h>

namespace nvublk::test {
namespace {

struct alignas(64) Line {
  char bytes[64];
};

// Allocates through each form of new; the compiler must not remove them.
void allocate_in_every_form() {
  auto* volatile one = new int(1);
  delete one;
  auto* volatile many = new int[10];
  delete[] many;
  auto* volatile aligned = new Line;
  delete aligned;
  auto* volatile aligned_many = new Line[2];
  delete[] aligned_many;
  auto* volatile quiet = new (std::nothrow) int(2);
  delete quiet;
}

TEST(AllocationGuard, CountsEveryFormOfNewOnASealedThread) {
  const std::uint64_t before = sealed_allocations();
  allocate_in_every_form();
  EXPECT_EQ(sealed_allocations(), before);
  {
    const SealedScope sealed;
    allocate_in_every_form();
  }
  EXPECT_EQ(sealed_allocations(), before + 5);
  allocate_in_every_form();
  EXPECT_EQ(sealed_allocations(), before + 5);
}

TEST(AllocationGuard, AlignedMemoryIsAligned) {
  const auto lines = std::make_unique<Line[]>(3);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(lines.get()) % alignof(Line), 0U);
}

// The loop itself: messages, timers, deferred work and ring operations cost no allocation.
TEST(AllocationGuard, ATurningReactorAllocatesNothing) {
  auto shard = std::move(*Shard::adopt_current_thread({}));
  Reactor& reactor = shard->reactor();
  struct Counting : RingOp {
    int count = 0;
  } op;
  op.complete = [](RingOp& done, std::int32_t, std::uint32_t) {
    static_cast<Counting&>(done).count++;
  };
  Message message;
  message.deliver = [](Message&) {};
  Timer timer([](Timer&, void*) {}, nullptr);
  Deferred work([](Deferred&, void*) {}, nullptr);
  const std::uint64_t before = sealed_allocations();
  {
    const SealedScope sealed;
    for (int i = 0; i < 100; i++) {
      io_uring_prep_nop(reactor.ring().prepare(op));
      reactor.post(message);
      reactor.arm_after(timer, Duration::zero());
      reactor.defer(work);
      reactor.turn(false);
    }
  }
  reactor.turn(false);
  EXPECT_EQ(op.count, 100);
  EXPECT_EQ(sealed_allocations(), before);
}

TEST(AllocationGuardDeathTest, AbortsWhenToldTo) {
  EXPECT_DEATH(
      {
        abort_on_sealed_allocation(true);
        const SealedScope sealed;
        allocate_in_every_form();
      },
      "a sealed shard allocates memory");
}

}  // namespace
}  // namespace nvublk::test
