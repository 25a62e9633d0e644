// The target's side of TLS keys, and hosts that come without TLS. That it lets the right ones in,
// the initiator's tests show.

#include <string>

#include <gtest/gtest.h>

#include "target/target_fixture.h"
#include "target/tls_key.h"

namespace nvublk::target {
namespace {

constexpr char kKey[] = "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";
constexpr char kPlainKey[] = "NVMeTLSkey-1:00:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";
constexpr char kLongKey[] =
    "NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:";

std::string hex(const std::vector<std::uint8_t>& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t each : bytes) {
    text += kDigits[each >> 4];
    text += kDigits[each & 0xf];
  }
  return text;
}

// Computed by another program: Python's hmac. The digests are those of libnvme's tests, too.
TEST(TargetTlsKey, SharesWhatTheIdentitySays) {
  struct Known {
    const char* key;
    const char* identity;
    const char* psk;
  };
  constexpr Known kKnown[] = {
      {kPlainKey, "NVMe0R01 nqn.psk-test-host nqn.psk-test-subsys",
       "ec85300ba827726bd3bc4fc07f3a34aec5fe7c8ccac05fefc2f021c74e0df9ef"},
      {kKey, "NVMe0R01 nqn.psk-test-host nqn.psk-test-subsys",
       "05c6503551ad136e6ee32e6eeb3f6d500b69701d84ec71e328f65c7f51566f68"},
      {kKey,
       "NVMe1R01 nqn.psk-test-host nqn.psk-test-subsys "
       "iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU=",
       "8fc3c0badfd4c0c66fa3ca33aadd0314f85536cc9bc47338b60f3e6e563786ca"},
      {kLongKey,
       "NVMe1R02 nqn.psk-test-host nqn.psk-test-subsys "
       "QhW2+Rp6RzHlNtCslyRxMnwJ11tKKhz8JCAQpQ+XUD8f9td1VeH5h53yz2wKJG1a",
       "a2b2f943f479fc682555cec89857c80ed004ce92f32a973d5764155bb7e36b17a85368a0666d250afac9282dda2"
       "e"
       "62ca"},
  };
  for (const Known& known : kKnown) {
    const auto key = TlsKey::parse(known.key);
    ASSERT_TRUE(key) << key.error().text;
    const auto share = key->share(known.identity);
    ASSERT_TRUE(share) << known.identity;
    EXPECT_EQ(share->hostnqn, "nqn.psk-test-host");
    EXPECT_EQ(share->subnqn, "nqn.psk-test-subsys");
    EXPECT_EQ(hex(share->psk), known.psk);
  }
}

TEST(TargetTlsKey, SharesNothingByAnotherIdentity) {
  const TlsKey key = TlsKey::parse(kKey).value();
  for (const char* identity :
       {"", " ", "NVMe0R01", "NVMe0R01 host", "NVMe0R02 host disk", "NVMe0G01 host disk",
        "NVMe2R01 host disk", "NVMe0R01 host disk more", "NVMe1R01 host disk",
        "NVMe1R01 host disk iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU=",
        "host disk more words"}) {
    EXPECT_FALSE(key.share(identity)) << identity;
  }
  EXPECT_FALSE(key.share("NVMe0R01 " + std::string(200, 'x') + " " + std::string(200, 'y')));
}

TEST(TargetTlsKey, NonsenseIsRefused) {
  for (const char* text :
       {"", "NVMeTLSkey-1:01:", "NVMeTLSkey-1:01::", "NVMeTLSkey-1:01:=:", "NVMeTLSkey-1:01:====:",
        "DHHC-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:",
        "NVMeTLSkey-1:03:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:",
        "NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:",
        "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9Lra:"}) {
    EXPECT_FALSE(TlsKey::parse(text)) << text;
  }
}

using TargetTlsTest = TargetTest;

TEST_F(TargetTlsTest, AHostWithoutTlsGetsNoAnswer) {
  Options options = defaults();
  options.tls_key = TlsKey::parse(kKey).value();
  start(options);
  auto host = client();
  host->send_struct(nvme::spec::IcReq{});
  EXPECT_FALSE(host->receive());
  EXPECT_EQ(target_->stats().pdus_received, 0u);
}

TEST_F(TargetTlsTest, AHostThatSaysNothingIsLetGo) {
  Options options = defaults();
  options.tls_key = TlsKey::parse(kKey).value();
  start(options);
  client().reset();
  wait_until([this] { return target_->stats().connections == 1; });
  wait_until([this] { return target_->stats().open_connections == 0; });
}

}  // namespace
}  // namespace nvublk::target
