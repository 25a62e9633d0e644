// Doorbells with and without shadows, and the phase tags of a completion queue over its end.

#include "nvme/pcie/doorbell.h"

#include <array>

#include <gtest/gtest.h>

#include "nvme/pcie/completion_ring.h"

namespace nvublk::nvme::pcie {
namespace {

TEST(DoorbellTest, WritesTheRegister) {
  std::uint32_t reg = 0;
  Doorbell doorbell(&reg);
  doorbell.ring(3);
  EXPECT_EQ(reg, 3u);
  EXPECT_EQ(doorbell.registers_written(), 1u);
}

TEST(DoorbellTest, AShadowSparesTheRegisterUntilTheControllerWantsToKnow) {
  std::uint32_t reg = 0;
  std::uint32_t shadow = 0;
  std::uint32_t event = 5;
  Doorbell doorbell(&reg);
  doorbell.use_shadow(&shadow, &event);
  doorbell.ring(3);
  EXPECT_EQ(shadow, 3u);
  EXPECT_EQ(reg, 0u);
  doorbell.ring(6);  // passes 5
  EXPECT_EQ(shadow, 6u);
  EXPECT_EQ(reg, 6u);
  doorbell.ring(9);
  EXPECT_EQ(reg, 6u);
  event = 9;
  doorbell.ring(10);
  EXPECT_EQ(reg, 10u);
}

TEST(CompletionRingTest, OldEntriesAreNotNewOnesAfterTheEnd) {
  constexpr std::uint32_t kEntries = 3;
  std::array<spec::CompletionEntry, kEntries> memory{};
  std::uint32_t reg = 0;
  CompletionRing ring(memory.data(), kEntries, Doorbell(&reg));
  bool phase = true;
  std::uint32_t tail = 0;
  for (std::uint16_t cid = 0; cid < 20; cid++) {
    ASSERT_FALSE(ring.ready());
    memory[tail].cid = cid;
    memory[tail].set_status({}, phase);
    tail = (tail + 1) % kEntries;
    if (tail == 0) phase = !phase;
    ASSERT_TRUE(ring.ready());
    EXPECT_EQ(ring.take().cid.get(), cid);
    ring.release();
    EXPECT_EQ(reg, tail);
  }
}

}  // namespace
}  // namespace nvublk::nvme::pcie
