#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/discovery_log.h"
#include "nvme/identify_decode.h"
#include "nvme/spec/text.h"
#include "support/hex.h"

namespace nvublk::nvme {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::byte> bytes(std::string_view hex) {
  std::vector<std::byte> result;
  for (const std::uint8_t byte : test::bytes_of_hex(hex)) result.push_back(std::byte{byte});
  return result;
}

TEST(NamespaceIds, AreReadFromTheDescriptorList) {
  const Result<NamespaceIds> ids =
      decode_namespace_ids(bytes("03100000 0123456789abcdef0123456789abcdef"
                                 "63020000 ffff"
                                 "02100000 00112233445566778899aabbccddeeff"
                                 "01080000 0011223344556677"
                                 "04010000 02 00*64"));
  ASSERT_TRUE(ids) << ids.error().text;
  EXPECT_EQ(ids->uuid, "01234567-89ab-cdef-0123-456789abcdef");
  EXPECT_EQ(ids->nguid, "00112233445566778899aabbccddeeff");
  EXPECT_EQ(ids->eui64, "0011223344556677");
  EXPECT_EQ(ids->csi, 2);
}

TEST(NamespaceIds, ZeroesAndNothingAreNoIdentity) {
  EXPECT_EQ(*decode_namespace_ids({}), NamespaceIds{});
  EXPECT_EQ(*decode_namespace_ids(bytes("00*4096")), NamespaceIds{});
  EXPECT_EQ(*decode_namespace_ids(bytes("03100000 00*16 02100000 00*16 01080000 00*8")),
            NamespaceIds{});
}

TEST(NamespaceIds, WrongLengthsAreAProtocolError) {
  for (const char* bad :
       {"03080000 00*8", "01100000 00*16", "03100000 00*15", "04020000 0000", "77ff0000 00*16"}) {
    const Result<NamespaceIds> ids = decode_namespace_ids(bytes(bad));
    ASSERT_FALSE(ids) << bad;
    EXPECT_EQ(ids.error().code, ErrorCode::kProtocol);
  }
}

TEST(NamespaceList, EndsAtZeroOrAtThePage) {
  std::vector<std::uint32_t> nsids;
  EXPECT_EQ(*append_namespace_list(bytes("01000000 05000000 00000000 09000000"), 0, nsids), false);
  EXPECT_THAT(nsids, ElementsAre(1, 5));
  EXPECT_EQ(*append_namespace_list(bytes("06000000 00010000"), 5, nsids), true);
  EXPECT_THAT(nsids, ElementsAre(1, 5, 6, 256));
}

TEST(NamespaceList, MustAscend) {
  std::vector<std::uint32_t> nsids;
  EXPECT_FALSE(append_namespace_list(bytes("01000000 01000000"), 0, nsids));
  EXPECT_FALSE(append_namespace_list(bytes("05000000"), 5, nsids));
  EXPECT_FALSE(append_namespace_list(bytes("ffffffff"), 5, nsids));
}

spec::DiscoveryLogEntry tcp_entry(std::string_view traddr, std::string_view subnqn) {
  spec::DiscoveryLogEntry entry;
  entry.trtype = 3;
  entry.adrfam = 1;
  entry.subtype = 2;
  entry.treq = 4;
  entry.portid = 1;
  entry.cntlid = 0xffff;
  entry.asqsz = 32;
  spec::fill_text(entry.trsvcid, "4420", ' ');
  spec::fill_text(entry.traddr, traddr, ' ');
  spec::fill_text(entry.subnqn, subnqn, '\0');
  return entry;
}

std::vector<std::byte> log_of(std::uint64_t numrec,
                              const std::vector<spec::DiscoveryLogEntry>& entries) {
  spec::DiscoveryLogHeader header;
  header.genctr = 7;
  header.numrec = numrec;
  std::vector<std::byte> log(sizeof(header) * (1 + entries.size()));
  std::memcpy(log.data(), &header, sizeof(header));
  for (std::size_t i = 0; i < entries.size(); i++) {
    std::memcpy(log.data() + sizeof(header) * (i + 1), &entries[i], sizeof(entries[i]));
  }
  return log;
}

TEST(DiscoveryLog, RecordsAreReadAndPaddingIsRemoved) {
  const Result<DiscoveryLog> log =
      decode_discovery_log(log_of(1, {tcp_entry("192.0.2.1", "nqn.2024-01.com.example:a")}));
  ASSERT_TRUE(log) << log.error().text;
  EXPECT_EQ(log->genctr, 7u);
  ASSERT_EQ(log->records.size(), 1u);
  const DiscoveryRecord& record = log->records[0];
  EXPECT_EQ(record.id.to_uri(), "nvme+tcp://192.0.2.1:4420/nqn.2024-01.com.example:a");
  EXPECT_EQ(record.subtype, spec::SubsystemType::kNvme);
  EXPECT_EQ(record.cntlid, 0xffff);
  EXPECT_EQ(record.asqsz, 32);
  EXPECT_FALSE(record.secure_channel_required);
  EXPECT_TRUE(record.may_disable_sq_flow_control);
}

TEST(DiscoveryLog, RecordsOfNoUseAreSkippedWithTheReason) {
  spec::DiscoveryLogEntry loop = tcp_entry("", "x");
  loop.trtype = 0xfe;
  spec::DiscoveryLogEntry strange = tcp_entry("192.0.2.1", "x");
  strange.subtype = 9;
  const Result<DiscoveryLog> log = decode_discovery_log(
      log_of(5, {loop, strange, tcp_entry("192.0.2.1", ""), tcp_entry("192.0.2.\x01", "x"),
                 tcp_entry("192.0.2.2", "x")}));
  ASSERT_TRUE(log) << log.error().text;
  EXPECT_EQ(log->records.size(), 1u);
  EXPECT_THAT(log->skipped, ElementsAre(HasSubstr("transport type 254"), HasSubstr("type 9"),
                                        HasSubstr("no subsystem"), HasSubstr("192.0.2.?")));
}

TEST(DiscoveryLog, CountsThatCannotBeAreRefused) {
  EXPECT_FALSE(decode_discovery_log({}));
  EXPECT_FALSE(decode_discovery_log(log_of(2, {tcp_entry("192.0.2.1", "x")})));
  EXPECT_FALSE(decode_discovery_header(log_of(kMaxDiscoveryRecords + 1, {})));
  EXPECT_FALSE(decode_discovery_header(log_of(0xffffffffffffffff, {})));
  std::vector<std::byte> format = log_of(0, {});
  format[16] = std::byte{1};
  EXPECT_FALSE(decode_discovery_header(format));
  const Result<DiscoveryHeader> header = decode_discovery_header(log_of(3, {}));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->log_bytes(), 4096u);
}

}  // namespace
}  // namespace nvublk::nvme
