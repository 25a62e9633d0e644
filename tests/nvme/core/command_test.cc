// Commands as bytes written by hand from the specification. CID and data pointer stay zero.

#include "nvme/command.h"

#include <gtest/gtest.h>

#include "nvme/spec/dsm.h"
#include "support/hex.h"

namespace nvublk::nvme {
namespace {

using test::bytes_of;
using test::bytes_of_hex;

// Opcode, NSID, and the dwords 10 to 15, written as hexadecimal.
testing::AssertionResult has_bytes(const spec::SubmissionEntry& sqe, std::string_view head,
                                   std::string_view tail) {
  const std::string text = std::string(head) + " 00*32 " + std::string(tail);
  if (bytes_of(sqe) == bytes_of_hex(text)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << testing::PrintToString(bytes_of(sqe));
}

TEST(Command, Identify) {
  EXPECT_TRUE(has_bytes(command::identify({}), "06000000 00000000", "01000000 00*20"));
  EXPECT_TRUE(has_bytes(command::identify({.cns = spec::IdentifyCns::kCommandSetNamespace,
                                           .nsid = 5,
                                           .cntid = 0x1234,
                                           .csi = spec::CommandSetIdentifier::kZonedNamespace,
                                           .cns_specific_id = 0x5678}),
                        "06000000 05000000", "05003412 78560002 00*16"));
}

TEST(Command, Features) {
  EXPECT_TRUE(has_bytes(command::get_features(spec::FeatureId::kVolatileWriteCache),
                        "0a000000 00000000", "06000000 00*20"));
  EXPECT_TRUE(has_bytes(command::get_features(spec::FeatureId::kErrorRecovery, 1,
                                              spec::FeatureSelect::kSupportedCapabilities, 9),
                        "0a000000 01000000", "05030000 09000000 00*16"));
  EXPECT_TRUE(has_bytes(command::set_features(spec::FeatureId::kKeepAliveTimer, 5000),
                        "09000000 00000000", "0f000000 88130000 00*16"));
  EXPECT_TRUE(has_bytes(command::set_features(spec::FeatureId::kVolatileWriteCache, 1, 2, true),
                        "09000000 02000000", "06000080 01000000 00*16"));
  EXPECT_TRUE(has_bytes(command::set_number_of_queues(4, 8), "09000000 00000000",
                        "07000000 03000700 00*16"));
}

TEST(Command, KeepAliveAsyncEventAndAbort) {
  EXPECT_TRUE(has_bytes(command::keep_alive(), "18000000 00000000", "00*24"));
  EXPECT_TRUE(has_bytes(command::async_event_request(), "0c000000 00000000", "00*24"));
  EXPECT_TRUE(has_bytes(command::abort(3, 0x1234), "08000000 00000000", "03003412 00*20"));
}

TEST(Command, GetLogPageSplitsLengthAndOffset) {
  EXPECT_TRUE(
      has_bytes(command::get_log_page({.page = spec::LogPage::kSmartHealth, .length_bytes = 512}),
                "02000000 ffffffff", "02007f00 00*20"));
  EXPECT_TRUE(has_bytes(command::get_log_page({.page = spec::LogPage::kDiscovery,
                                               .length_bytes = 4ull * 0x12345679,
                                               .offset_bytes = 0x0102030405060708,
                                               .nsid = 0,
                                               .retain_async_event = true,
                                               .lsp = 0x55,
                                               .lsi = 0xabcd,
                                               .csi = spec::CommandSetIdentifier::kKeyValue}),
                        "02000000 00000000",
                        "70d57856 3412cdab 08070605 04030201 00000001 00000000"));
  const spec::SubmissionEntry largest = command::get_log_page({.length_bytes = 1ull << 34});
  EXPECT_EQ(largest.cdw10.get() >> 16, 0xffffu);
  EXPECT_EQ(largest.cdw11.get() & 0xffff, 0xffffu);
}

TEST(Command, FabricsConnect) {
  const spec::SubmissionEntry admin =
      command::fabrics_connect({.queue_entries = 32, .kato_ms = 5000});
  EXPECT_EQ(bytes_of(admin),
            bytes_of_hex("7f400000 01000000 00*32 00000000 1f000000 88130000 00*12"));
  const spec::SubmissionEntry io = command::fabrics_connect({.qid = 3,
                                                             .queue_entries = 65536,
                                                             .disable_sq_flow_control = true,
                                                             .individual_queue_deletion = true});
  EXPECT_EQ(bytes_of(io), bytes_of_hex("7f400000 01000000 00*32 00000300 ffff0c00 00*16"));
}

TEST(Command, PropertiesHaveTheirSize) {
  EXPECT_EQ(bytes_of(command::property_get(spec::Property::kCap)),
            bytes_of_hex("7f400000 04000000 00*32 01000000 00000000 00*16"));
  EXPECT_EQ(bytes_of(command::property_get(spec::Property::kCsts)),
            bytes_of_hex("7f400000 04000000 00*32 00000000 1c000000 00*16"));
  EXPECT_EQ(bytes_of(command::property_set(spec::Property::kCc, 0x00460001)),
            bytes_of_hex("7f400000 00000000 00*32 00000000 14000000 01004600 00*12"));
  EXPECT_EQ(bytes_of(command::disconnect()), bytes_of_hex("7f400000 08000000 00*56"));
}

TEST(Command, ReadWriteAndWriteZeroesCountBlocksFromOne) {
  EXPECT_TRUE(has_bytes(command::read(1, 0x1122334455667788, 1), "02000000 01000000",
                        "88776655 44332211 00000000 00*12"));
  EXPECT_TRUE(has_bytes(command::write(2, 8, 65536, command::kIoForceUnitAccess),
                        "01000000 02000000", "08000000 00000000 ffff0040 00*12"));
  EXPECT_TRUE(has_bytes(command::read(2, 8, 8, command::kIoLimitedRetry), "02000000 02000000",
                        "08000000 00000000 07000080 00*12"));
  EXPECT_TRUE(has_bytes(command::write_zeroes(2, 8, 16, false), "08000000 02000000",
                        "08000000 00000000 0f000000 00*12"));
  EXPECT_TRUE(has_bytes(command::write_zeroes(2, 8, 16, true, command::kIoForceUnitAccess),
                        "08000000 02000000", "08000000 00000000 0f000042 00*12"));
}

TEST(Command, FlushAndDatasetManagement) {
  EXPECT_TRUE(has_bytes(command::flush(7), "00000000 07000000", "00*24"));
  EXPECT_TRUE(has_bytes(command::dataset_management(7, 1, spec::kDsmDeallocate),
                        "09000000 07000000", "00000000 04000000 00*16"));
  EXPECT_TRUE(has_bytes(command::dataset_management(7, 256, spec::kDsmDeallocate),
                        "09000000 07000000", "ff000000 04000000 00*16"));
  spec::DsmRange range;
  range.nlb = 8;
  range.slba = 0x0102;
  EXPECT_EQ(bytes_of(range), bytes_of_hex("00000000 08000000 0201000000000000"));
}

TEST(CommandDeathTest, ArgumentsOutOfRangeAreABugOfOurs) {
  EXPECT_DEATH(command::read(1, 0, 0), "block_count");
  EXPECT_DEATH(command::write(1, 0, 65537), "block_count");
  EXPECT_DEATH(command::dataset_management(1, 257, 0), "range_count");
  EXPECT_DEATH(command::get_log_page({.length_bytes = 6}), "length_bytes");
  EXPECT_DEATH(command::fabrics_connect({.queue_entries = 1}), "queue_entries");
}

}  // namespace
}  // namespace nvublk::nvme
