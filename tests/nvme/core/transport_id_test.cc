#include "nvme/transport_id.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/ip_address.h"
#include "nvme/pci_address.h"

namespace nvublk::nvme {
namespace {

using testing::HasSubstr;

constexpr std::string_view kNqn = "nqn.2024-01.com.example:disk1";
constexpr std::string_view kDiscovery = "nqn.2014-08.org.nvmexpress.discovery";

struct Good {
  std::string text;
  Trtype trtype;
  Adrfam adrfam;
  std::string traddr;
  std::string trsvcid;
  std::string subnqn;
};

class GoodTransportIds : public testing::TestWithParam<Good> {};

TEST_P(GoodTransportIds, AreReadAndWrittenBack) {
  const Good& good = GetParam();
  const Result<TransportId> id = TransportId::parse(good.text);
  ASSERT_TRUE(id) << id.error().text;
  EXPECT_EQ(id->trtype, good.trtype);
  EXPECT_EQ(id->adrfam, good.adrfam);
  EXPECT_EQ(id->traddr, good.traddr);
  EXPECT_EQ(id->trsvcid, good.trsvcid);
  EXPECT_EQ(id->subnqn, good.subnqn);
  const Result<TransportId> pairs = TransportId::parse(id->to_string());
  ASSERT_TRUE(pairs) << id->to_string() << ": " << pairs.error().text;
  EXPECT_TRUE(*pairs == *id) << id->to_string();
  const Result<TransportId> uri = TransportId::parse(id->to_uri());
  ASSERT_TRUE(uri) << id->to_uri() << ": " << uri.error().text;
  TransportId expected = *id;
  // A URI cannot say which family a host name should resolve to.
  if (!IpAddress::parse(id->traddr)) expected.adrfam = uri->adrfam;
  EXPECT_TRUE(*uri == expected) << id->to_uri();
  EXPECT_EQ(uri->to_uri(), id->to_uri());
}

INSTANTIATE_TEST_SUITE_P(
    Table, GoodTransportIds,
    testing::Values(
        Good{"trtype:TCP adrfam:IPv4 traddr:192.0.2.1 trsvcid:4420 subnqn:" + std::string(kNqn),
             Trtype::kTcp, Adrfam::kIpv4, "192.0.2.1", "4420", std::string(kNqn)},
        Good{"TRTYPE=tcp\tAdrFam=ipv4\n traddr=192.0.2.1  trsvcid=4421 subnqn=x ", Trtype::kTcp,
             Adrfam::kIpv4, "192.0.2.1", "4421", "x"},
        Good{"trtype:tcp traddr:2001:db8::1 subnqn:x", Trtype::kTcp, Adrfam::kIpv6, "2001:db8::1",
             "4420", "x"},
        Good{"trtype:tcp traddr:fe80::1%eth0 subnqn:x", Trtype::kTcp, Adrfam::kIpv6, "fe80::1%eth0",
             "4420", "x"},
        Good{"trtype:tcp traddr:target.example.com", Trtype::kTcp, Adrfam::kNone,
             "target.example.com", "8009", std::string(kDiscovery)},
        Good{"trtype:tcp adrfam:ipv6 traddr:target subnqn:x", Trtype::kTcp, Adrfam::kIpv6, "target",
             "4420", "x"},
        Good{"trtype:RDMA traddr:192.0.2.1", Trtype::kRdma, Adrfam::kIpv4, "192.0.2.1", "4420",
             std::string(kDiscovery)},
        Good{"trtype:PCIe traddr:0000:01:00.0", Trtype::kPcie, Adrfam::kNone, "0000:01:00.0", "",
             ""},
        Good{"trtype:pcie traddr:01.00.0", Trtype::kPcie, Adrfam::kNone, "0000:01:00.0", "", ""},
        Good{"trtype:FC adrfam:FC traddr:nn-0x200140111111dbcc:pn-0x100140111111dbcc "
             "trsvcid:none subnqn:x",
             Trtype::kFibreChannel, Adrfam::kFibreChannel,
             "nn-0x200140111111dbcc:pn-0x100140111111dbcc", "none", "x"},
        Good{"nvme+tcp://192.0.2.1:4420/" + std::string(kNqn), Trtype::kTcp, Adrfam::kIpv4,
             "192.0.2.1", "4420", std::string(kNqn)},
        Good{"NVMe+TCP://192.0.2.1/" + std::string(kNqn), Trtype::kTcp, Adrfam::kIpv4, "192.0.2.1",
             "4420", std::string(kNqn)},
        Good{"nvme+tcp://192.0.2.1", Trtype::kTcp, Adrfam::kIpv4, "192.0.2.1", "8009",
             std::string(kDiscovery)},
        Good{"nvme+tcp://192.0.2.1:8009/", Trtype::kTcp, Adrfam::kIpv4, "192.0.2.1", "8009",
             std::string(kDiscovery)},
        Good{"nvme+tcp://[2001:db8::1]:4421/x", Trtype::kTcp, Adrfam::kIpv6, "2001:db8::1", "4421",
             "x"},
        Good{"nvme+tcp://[fe80::1%25eth0]/x", Trtype::kTcp, Adrfam::kIpv6, "fe80::1%eth0", "4420",
             "x"},
        Good{"nvme+rdma://storage-1:4420/a%2Fb%3f%23", Trtype::kRdma, Adrfam::kNone, "storage-1",
             "4420", "a/b?#"},
        Good{"nvme+pcie://0000:01:00.0", Trtype::kPcie, Adrfam::kNone, "0000:01:00.0", "", ""},
        Good{"nvme+pcie://10000:e1:1f.7", Trtype::kPcie, Adrfam::kNone, "10000:e1:1f.7", "", ""}));

struct Bad {
  std::string text;
  std::string message;
};

class BadTransportIds : public testing::TestWithParam<Bad> {};

TEST_P(BadTransportIds, AreRefusedWithTheReason) {
  const Result<TransportId> id = TransportId::parse(GetParam().text);
  ASSERT_FALSE(id) << GetParam().text;
  EXPECT_EQ(id.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(id.error().text, HasSubstr(GetParam().message)) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadTransportIds,
    testing::Values(
        Bad{"", "is empty"}, Bad{" \t\n", "is empty"}, Bad{"192.0.2.1", "form key:value"},
        Bad{"trtype", "form key:value"}, Bad{":TCP", "is empty"}, Bad{"trtype:", "is missing"},
        Bad{"trtype:carrier traddr:1.2.3.4", "'carrier' is not known"},
        Bad{"traddr:192.0.2.1", "the transport is missing"},
        Bad{"trtype:tcp", "address is missing"},
        Bad{"trtype:tcp tradr:1.2.3.4", "the key 'tradr' is not known"},
        Bad{"trtype:tcp adrfam:ipx traddr:1.2.3.4", "'ipx' is not known"},
        Bad{"trtype:tcp adrfam:ipv6 traddr:1.2.3.4", "make them agree"},
        Bad{"trtype:tcp adrfam:ib traddr:host", "not of family IB"},
        Bad{"trtype:tcp traddr:300.1.1.1", "neither an IP address nor a host name"},
        Bad{"trtype:tcp traddr:10.0.0", "neither an IP address nor a host name"},
        Bad{"trtype:tcp traddr:a..b", "neither an IP address nor a host name"},
        Bad{"trtype:tcp traddr:a_b!c", "neither an IP address nor a host name"},
        Bad{"trtype:tcp traddr:2001:db8::g", "neither an IP address nor a host name"},
        Bad{"trtype:tcp traddr:1.2.3.4 trsvcid:0", "not a port number"},
        Bad{"trtype:tcp traddr:1.2.3.4 trsvcid:65536", "not a port number"},
        Bad{"trtype:tcp traddr:1.2.3.4 trsvcid:http", "not a port number"},
        Bad{"trtype:tcp traddr:1.2.3.4 trsvcid:" + std::string(33, '1'), "longer than 32"},
        Bad{"trtype:tcp traddr:" + std::string(257, 'a'), "longer than 256"},
        Bad{"trtype:tcp traddr:" + std::string(1024, 'a'), "longer than 1023"},
        Bad{std::string(32, 'k') + ":v", "longer than 31"},
        Bad{"trtype:tcp traddr:1.2.3.4 subnqn:" + std::string(224, 'n'), "longer than 223"},
        Bad{"trtype:tcp traddr:1.2.3.4 ns:0", "is not a number from 1"},
        Bad{"trtype:tcp traddr:1.2.3.4 ns:4294967295", "is not a number from 1"},
        Bad{"trtype:tcp traddr:1.2.3.4 ns:1x", "is not a number from 1"},
        Bad{"trtype:tcp traddr:1.2.3.4 hostnqn:" + std::string(224, 'n'), "the host NQN"},
        Bad{"trtype:tcp traddr:1.2.3.4 hostaddr:here", "'here' is not an IP address"},
        Bad{"trtype:tcp traddr:1.2.3.4 hostsvcid:0", "source port '0' is not a port number"},
        Bad{"trtype:tcp traddr:1.2.3.4 hostsvcid:65536", "is not a port number"},
        Bad{"trtype:tcp traddr:1.2.3.4 priority:12345", "is not a number from 0 to 9999"},
        Bad{"trtype:tcp traddr:1.2.3.4 priority:-1", "is not a number from 0 to 9999"},
        Bad{"trtype:tcp traddr:1.2.3.4 alt_traddr:" + std::string(257, 'a'), "longer than 256"},
        Bad{"trtype:pcie traddr:0000:01:00.8", "not a PCI address"},
        Bad{"trtype:pcie traddr:host", "not a PCI address"},
        Bad{"trtype:pcie traddr:01:00.0 trsvcid:1", "leave trsvcid out"},
        Bad{"nvme+fc://x/y", "have no URI"}, Bad{"nvme+tcp:192.0.2.1", "no '://'"},
        Bad{"nvme+udp://1.2.3.4/x", "'udp' is not known"}, Bad{"nvme+tcp://", "address is missing"},
        Bad{"nvme+tcp:///x", "address is missing"},
        Bad{"nvme+tcp://1.2.3.4:/x", "port number should follow"},
        Bad{"nvme+tcp://1.2.3.4:99999/x", "not a port number"},
        Bad{"nvme+tcp://2001:db8::1/x", "in [brackets]"},
        Bad{"nvme+tcp://[2001:db8::1/x", "the ']'"},
        Bad{"nvme+tcp://[1.2.3.4]/x", "is not an IPv6 address"},
        Bad{"nvme+tcp://[::1]4420/x", "port number should follow"},
        Bad{"nvme+tcp://1.2.3.4/x?y", "has a '?' or '#'"},
        Bad{"nvme+tcp://1.2.3.4/x%2", "two hexadecimal digits"},
        Bad{"nvme+tcp://1.2.3.4/x%zz", "two hexadecimal digits"},
        Bad{"nvme+tcp://1.2.3.4/x%00", "control character"},
        Bad{"nvme+tcp://1.2.3.4/x%ff", "is not UTF-8"}));

TEST(TransportId, ReadsTheExtrasOfSpdkPrograms) {
  const Result<ParsedTransportId> parsed = parse_transport_id(
      "trtype:TCP traddr:1.2.3.4 subnqn:x hostnqn:h hostaddr:5.6.7.8 hostsvcid:99 ns:3 "
      "priority:2 alt_traddr:9.9.9.9");
  ASSERT_TRUE(parsed) << parsed.error().text;
  EXPECT_EQ(parsed->extras.hostnqn, "h");
  EXPECT_EQ(parsed->extras.hostaddr, "5.6.7.8");
  EXPECT_EQ(parsed->extras.hostsvcid, "99");
  EXPECT_EQ(parsed->extras.nsid, 3u);
  EXPECT_EQ(parsed->id.traddr, "1.2.3.4");
}

TEST(TransportId, WhatIsGivenTwiceHasItsLastValue) {
  const Result<TransportId> id = TransportId::parse("trtype:tcp traddr:1.2.3.4 traddr:1.2.3.5");
  ASSERT_TRUE(id) << id.error().text;
  EXPECT_EQ(id->traddr, "1.2.3.5");
}

// Each field at its limit, and one beyond.
TEST(TransportId, FieldsAreAsLongAsTheyMayBe) {
  TransportId id;
  id.trtype = Trtype::kFibreChannel;
  id.traddr = std::string(256, 'a');
  id.trsvcid = std::string(32, '1');
  id.subnqn = std::string(223, 'n');
  EXPECT_TRUE(id.complete());
  EXPECT_EQ(id.adrfam, Adrfam::kFibreChannel);
  for (std::string TransportId::* field :
       {&TransportId::traddr, &TransportId::trsvcid, &TransportId::subnqn}) {
    TransportId longer = id;
    longer.*field += 'x';
    const Status status = longer.complete();
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().text, HasSubstr("longer than"));
  }
}

TEST(TransportId, NamesOfTransportsAndFamiliesGoBothWays) {
  for (const Trtype each : {Trtype::kRdma, Trtype::kFibreChannel, Trtype::kTcp, Trtype::kPcie}) {
    EXPECT_EQ(*parse_trtype(trtype_name(each)), each);
  }
  for (const Adrfam each :
       {Adrfam::kIpv4, Adrfam::kIpv6, Adrfam::kInfiniBand, Adrfam::kFibreChannel}) {
    EXPECT_EQ(*parse_adrfam(adrfam_name(each)), each);
  }
  EXPECT_EQ(adrfam_name(Adrfam::kNone), "");
  EXPECT_FALSE(parse_adrfam(""));
}

struct Pair {
  std::string left;
  std::string right;
  bool equal;
};

class ComparedTransportIds : public testing::TestWithParam<Pair> {};

TEST_P(ComparedTransportIds, AreEqualWhenTheyNameTheSame) {
  const Result<TransportId> left = TransportId::parse(GetParam().left);
  const Result<TransportId> right = TransportId::parse(GetParam().right);
  ASSERT_TRUE(left && right);
  EXPECT_EQ(*left == *right, GetParam().equal);
  EXPECT_EQ(std::is_lt(compare(*left, *right)), std::is_gt(compare(*right, *left)));
  EXPECT_EQ(std::is_eq(compare(*left, *right)), std::is_eq(compare(*right, *left)));
}

INSTANTIATE_TEST_SUITE_P(
    Table, ComparedTransportIds,
    testing::Values(Pair{"nvme+tcp://[2001:DB8:0:0::1]/x", "nvme+tcp://[2001:db8::1]/x", true},
                    Pair{"nvme+tcp://[fe80::1%25a]/x", "nvme+tcp://[fe80::1%25b]/x", false},
                    Pair{"nvme+tcp://Host/x", "nvme+tcp://hOST/x", true},
                    Pair{"nvme+tcp://host/x", "nvme+tcp://host/X", false},
                    Pair{"nvme+tcp://1.2.3.4/x", "nvme+tcp://1.2.3.5/x", false},
                    Pair{"nvme+tcp://1.2.3.4/x", "nvme+tcp://1.2.3.4:4421/x", false},
                    Pair{"nvme+tcp://1.2.3.4/x", "nvme+rdma://1.2.3.4/x", false},
                    Pair{"nvme+tcp://1.2.3.4/x", "nvme+tcp://host/x", false},
                    Pair{"trtype:tcp traddr:1.2.3.4 subnqn:x priority:1 hostnqn:a",
                         "trtype:tcp traddr:1.2.3.4 subnqn:x priority:2 hostnqn:b", true},
                    Pair{"trtype:FC traddr:NN-0x1 trsvcid:None subnqn:x",
                         "trtype:fc traddr:nn-0x1 trsvcid:nONE subnqn:x", true},
                    Pair{"nvme+pcie://10000:01:00.0", "nvme+pcie://0000:01:00.0", false},
                    Pair{"nvme+pcie://01:00.0", "nvme+pcie://0000:01:00.0/some-nqn", true},
                    Pair{"nvme+pcie://01:00.0", "nvme+pcie://0001:01:00.0", false}));

TEST(TransportId, DefaultPortsFollowTransportAndPurpose) {
  EXPECT_EQ(default_port(Trtype::kTcp, false), 4420);
  EXPECT_EQ(default_port(Trtype::kTcp, true), 8009);
  EXPECT_EQ(default_port(Trtype::kRdma, true), 4420);
}

TEST(PciAddress, ReadsEveryFormAndWritesOne) {
  EXPECT_EQ(PciAddress::parse("0000:01:00.0")->to_string(), "0000:01:00.0");
  EXPECT_EQ(PciAddress::parse("A:b:1f.7")->to_string(), "000a:0b:1f.7");
  EXPECT_EQ(PciAddress::parse("01:02.3")->to_string(), "0000:01:02.3");
  EXPECT_EQ(PciAddress::parse("0001:02:03")->to_string(), "0001:02:03.0");
  EXPECT_EQ(PciAddress::parse("01:02")->to_string(), "0000:01:02.0");
  EXPECT_EQ(PciAddress::parse("0000.01.02.3")->to_string(), "0000:01:02.3");
  for (const char* bad :
       {"", "01", ":", "01:20.0", "01:00.8", "100:00.0.0.0", "0000:100:00.0", "01:00.00", "g1:00.0",
        "-1:00.0", "0000:01:00.0:0", "0000:01:00.", " 01:02"}) {
    EXPECT_FALSE(PciAddress::parse(bad)) << bad;
  }
}

TEST(IpAddress, TellsLiteralsFromNames) {
  EXPECT_FALSE(IpAddress::parse("host"));
  EXPECT_FALSE(IpAddress::parse("1.2.3"));
  EXPECT_FALSE(IpAddress::parse("1.2.3.4%eth0"));
  EXPECT_FALSE(IpAddress::parse("::1%"));
  EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0x", 9)));
  EXPECT_TRUE(IpAddress::parse("::ffff:1.2.3.4")->is_ipv6());
  EXPECT_FALSE(IpAddress::parse("1.2.3.4")->is_ipv6());
}

}  // namespace
}  // namespace nvublk::nvme
