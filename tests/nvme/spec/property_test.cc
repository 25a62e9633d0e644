#include <gtest/gtest.h>

#include "nvme/spec/properties.h"

namespace nvublk::nvme::spec {
namespace {

TEST(Cap, ConvertsItsFields) {
  // What Linux's nvmet reports: 1024 entries, 15 s, NVM command set, 4 KiB pages, contiguous.
  const Cap nvmet{(1ull << 37) | (15ull * 2 << 24) | (1ull << 16) | 1023};
  EXPECT_EQ(nvmet.max_queue_entries(), 1024u);
  EXPECT_EQ(nvmet.timeout_ms(), 15000u);
  EXPECT_TRUE(nvmet.contiguous_queues_required());
  EXPECT_TRUE(nvmet.supports_nvm_command_set());
  EXPECT_FALSE(nvmet.supports_io_command_sets());
  EXPECT_EQ(nvmet.min_page_bytes(), 4096u);
  EXPECT_EQ(nvmet.max_page_bytes(), 4096u);
  EXPECT_EQ(nvmet.doorbell_stride_bytes(), 4u);

  const Cap other{(1ull << 60) | (1ull << 59) | (1ull << 57) | (4ull << 52) | (1ull << 48) |
                  (1ull << 44) | (1ull << 43) | (1ull << 36) | (2ull << 32) | (0xffull << 24) |
                  0xffff};
  EXPECT_EQ(other.max_queue_entries(), 65536u);
  EXPECT_EQ(other.timeout_ms(), 127500u);
  EXPECT_EQ(other.doorbell_stride_bytes(), 16u);
  EXPECT_TRUE(other.supports_subsystem_reset());
  EXPECT_TRUE(other.supports_io_command_sets());
  EXPECT_TRUE(other.supports_admin_only());
  EXPECT_FALSE(other.supports_nvm_command_set());
  EXPECT_EQ(other.min_page_bytes(), 8192u);
  EXPECT_EQ(other.max_page_bytes(), 65536u);
  EXPECT_TRUE(other.supports_cmb());
  EXPECT_FALSE(other.supports_pmr());
  EXPECT_TRUE(other.supports_ready_with_media());
  EXPECT_TRUE(other.supports_ready_independent_of_media());
}

TEST(Cc, BuildsTheValueThatEnablesAController) {
  Cc cc;
  cc.set_css(CommandSetSelection::kAllSupported);
  cc.set_page_shift(12);
  cc.set_ams(Arbitration::kRoundRobin);
  cc.set_standard_entry_sizes();
  cc.set_enabled(true);
  EXPECT_EQ(cc.raw, 0x00460061u);
  EXPECT_EQ(cc.io_sqe_bytes(), 64u);
  EXPECT_EQ(cc.io_cqe_bytes(), 16u);
  cc.set_shn(ShutdownNotification::kNormal);
  EXPECT_EQ(cc.raw, 0x00464061u);
  cc.set_shn(ShutdownNotification::kAbrupt);
  EXPECT_EQ(cc.shn(), ShutdownNotification::kAbrupt);
  cc.set_enabled(false);
  EXPECT_FALSE(cc.enabled());
  EXPECT_EQ(cc.raw, 0x00468060u);
  cc.set_page_shift(16);
  EXPECT_EQ(cc.page_bytes(), 65536u);
}

TEST(Csts, ReadsItsFields) {
  EXPECT_TRUE(Csts{1}.ready());
  EXPECT_TRUE(Csts{2}.fatal());
  EXPECT_EQ(Csts{4}.shst(), ShutdownStatus::kOccurring);
  EXPECT_EQ(Csts{9}.shst(), ShutdownStatus::kComplete);
  EXPECT_TRUE(Csts{0x20}.processing_paused());
  EXPECT_TRUE(Csts{0xffffffff}.all_ones());
}

TEST(Properties, VersionQueueAttributesAndTimeouts) {
  EXPECT_EQ(Vs::make(2, 1).raw, 0x00020100u);
  EXPECT_TRUE(Vs{0x00010400}.at_least(1, 3));
  EXPECT_TRUE(Vs{0x00010300}.at_least(1, 3));
  EXPECT_FALSE(Vs{0x00010201}.at_least(1, 3));
  EXPECT_EQ(Aqa::make(32, 64).raw, 0x003f001fu);
  EXPECT_EQ(Aqa{0x0fff0fff}.sq_entries(), 4096u);
  EXPECT_EQ(Crto{0x00140002}.ready_with_media_ms(), 1000u);
  EXPECT_EQ(Crto{0x00140002}.ready_independent_of_media_ms(), 10000u);
  EXPECT_TRUE(is_8_byte_property(Property::kCap));
  EXPECT_TRUE(is_8_byte_property(Property::kAsq));
  EXPECT_FALSE(is_8_byte_property(Property::kVs));
  EXPECT_FALSE(is_8_byte_property(Property::kCsts));
}

}  // namespace
}  // namespace nvublk::nvme::spec
