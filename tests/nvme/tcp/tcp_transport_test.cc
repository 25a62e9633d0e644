#include "nvme/tcp/tcp_transport.h"

#include <functional>
#include <string>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

namespace nvublk::nvme::tcp {
namespace {

using ::testing::HasSubstr;

TransportOptions good() {
  TransportOptions options;
  options.id.traddr = "192.0.2.1";
  options.id.trsvcid = "4420";
  return options;
}

TEST(SocketAddress, ReadsBothFamilies) {
  const auto ipv4 = SocketAddress::parse("192.0.2.1", 4420);
  ASSERT_TRUE(ipv4);
  EXPECT_EQ(ipv4->family(), AF_INET);
  const auto* in = reinterpret_cast<const sockaddr_in*>(ipv4->get());
  EXPECT_EQ(in->sin_port, htons(4420));
  EXPECT_EQ(in->sin_addr.s_addr, htonl(0xc0000201));
  const auto ipv6 = SocketAddress::parse("fe80::1%lo", 1);
  ASSERT_TRUE(ipv6) << ipv6.error().text;
  EXPECT_EQ(ipv6->family(), AF_INET6);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in6*>(ipv6->get())->sin6_scope_id, 1u);
  EXPECT_EQ(endpoint_text("192.0.2.1", 1), "192.0.2.1:1");
  EXPECT_EQ(endpoint_text("fe80::1%lo", 4420), "[fe80::1%lo]:4420");
}

TEST(TcpTransport, AcceptsGoodOptions) {
  EXPECT_TRUE(make_tcp_transport(good()));
  TransportOptions options = good();
  options.id.trsvcid.clear();  // the default port
  options.host_traddr = "127.0.0.1";
  options.host_iface = "lo";
  options.tos = 0;
  const auto transport = make_tcp_transport(options);
  ASSERT_TRUE(transport);
  EXPECT_TRUE((*transport)->limits().fabrics);
  EXPECT_FALSE((*transport)->limits().prp);
}

struct BadOptions {
  const char* name;
  std::function<void(TransportOptions&)> spoil;
  const char* text;
};

class TcpTransportBadOptions : public ::testing::TestWithParam<BadOptions> {};

TEST_P(TcpTransportBadOptions, AreRefusedWithASentence) {
  TransportOptions options = good();
  GetParam().spoil(options);
  const auto transport = make_tcp_transport(options);
  ASSERT_FALSE(transport);
  EXPECT_THAT(transport.error().text, HasSubstr(GetParam().text));
}

const BadOptions kBadOptions[] = {
    {"Transport", [](auto& o) { o.id.trtype = Trtype::kPcie; }, "not TCP"},
    {"HostName", [](auto& o) { o.id.traddr = "storage.example"; }, "resolved first"},
    {"Family", [](auto& o) { o.id.adrfam = Adrfam::kIpv6; }, "not of the family IPv6"},
    {"FamilyOfNoIp", [](auto& o) { o.id.adrfam = Adrfam::kInfiniBand; }, "not of the family IB"},
    {"PortZero", [](auto& o) { o.id.trsvcid = "0"; }, "not a port"},
    {"PortHuge", [](auto& o) { o.id.trsvcid = "65536"; }, "not a port"},
    {"PortName", [](auto& o) { o.id.trsvcid = "nvme"; }, "not a port"},
    {"PortTail", [](auto& o) { o.id.trsvcid = "4420 "; }, "not a port"},
    {"LinkLocal", [](auto& o) { o.id.traddr = "fe80::1"; }, "needs an interface"},
    {"Zone", [](auto& o) { o.id.traddr = "fe80::1%no-such"; }, "no network interface"},
    {"HostAddress", [](auto& o) { o.host_traddr = "here"; }, "host address: \"here\""},
    {"HostPort", [](auto& o) { o.host_trsvcid = "0"; }, "source port: \"0\" is not a port"},
    {"HostFamily", [](auto& o) { o.host_traddr = "::1"; }, "not of the same family"},
    {"Interface", [](auto& o) { o.host_iface = "no-such"; }, "no network interface \"no-such\""},
    {"AckTimeout", [](auto& o) { o.ack_timeout = 32; }, "not in 0 to 31"},
    {"Tos", [](auto& o) { o.tos = 256; }, "not in 0 to 255"},
};

INSTANTIATE_TEST_SUITE_P(Table, TcpTransportBadOptions, ::testing::ValuesIn(kBadOptions),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace nvublk::nvme::tcp
