#include "nvme/tls_key.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace nvublk::nvme {
namespace {

using spec::TlsHash;

constexpr char kHost[] = "nqn.psk-test-host";
constexpr char kSubsystem[] = "nqn.psk-test-subsys";

std::string hex(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte each : bytes) {
    text += kDigits[std::to_integer<unsigned>(each) >> 4];
    text += kDigits[std::to_integer<unsigned>(each) & 0xf];
  }
  return text;
}

struct KnownKey {
  const char* text;
  std::optional<TlsHash> hash;
  TlsHash cipher_hash;
  const char* secret;
  const char* identities[2];  // by version
  const char* psks[2];
};

// Texts, identities of version 1 with a hash and their digests are those of libnvme's tests; all
// was computed by another program, too: Python's hmac, zlib and base64.
constexpr KnownKey kKnown[] = {
    {"NVMeTLSkey-1:00:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:",
     std::nullopt,
     TlsHash::kSha256,
     "5512dbb6737d0106f65975b773dfb011ffc344bcf442e2dd6d8bc4870b5d5b03",
     {"NVMe0R01 nqn.psk-test-host nqn.psk-test-subsys",
      "NVMe1R01 nqn.psk-test-host nqn.psk-test-subsys "
      "quJVUJjp/BImWR0UQay/MjSfEgyAr6TyBOWybS/B404="},
     {"ec85300ba827726bd3bc4fc07f3a34aec5fe7c8ccac05fefc2f021c74e0df9ef",
      "a45d08ee4639c7570729bb3e57e905e466a49a15ece5401af906830c4d3bdb0b"}},
    {"NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:",
     TlsHash::kSha256,
     TlsHash::kSha256,
     "5512dbb6737d0106f65975b773dfb011ffc344bcf442e2dd6d8bc4870b5d5b03",
     {"NVMe0R01 nqn.psk-test-host nqn.psk-test-subsys",
      "NVMe1R01 nqn.psk-test-host nqn.psk-test-subsys "
      "iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU="},
     {"05c6503551ad136e6ee32e6eeb3f6d500b69701d84ec71e328f65c7f51566f68",
      "8fc3c0badfd4c0c66fa3ca33aadd0314f85536cc9bc47338b60f3e6e563786ca"}},
    {"NVMeTLSkey-1:00:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:",
     std::nullopt,
     TlsHash::kSha384,
     "5512dbb6737d0106f65975b773dfb011ffc344bcf442e2dd6d8bc4870b5d5b03ffc344bcf442e2dd6d8bc4870b5d5"
     "b03",
     {"NVMe0R02 nqn.psk-test-host nqn.psk-test-subsys",
      "NVMe1R02 nqn.psk-test-host nqn.psk-test-subsys "
      "dyoPfSR5TBRaPMI5/FXUlJv2XMDtmQ7Q9Xrj89aBKbyRYkQeT5V1wNvIpnMDRTQW"},
     {"b5dd464067a9378ba2226d71f005d7ac90ed8696e4b2142084384365597201d33ba26f8aeeb529574d4267bd294a"
      "828e",
      "1569317890995e207ab4cf148bc53470561e148030cb019b1d87fb4bc5794a791ed5ee68676c952ce5f11f3786e9"
      "00d4"}},
    {"NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:",
     TlsHash::kSha384,
     TlsHash::kSha384,
     "5512dbb6737d0106f65975b773dfb011ffc344bcf442e2dd6d8bc4870b5d5b03ffc344bcf442e2dd6d8bc4870b5d5"
     "b03",
     {"NVMe0R02 nqn.psk-test-host nqn.psk-test-subsys",
      "NVMe1R02 nqn.psk-test-host nqn.psk-test-subsys "
      "QhW2+Rp6RzHlNtCslyRxMnwJ11tKKhz8JCAQpQ+XUD8f9td1VeH5h53yz2wKJG1a"},
     {"f42ba63824cdfe421914c582921f85b5b5b7e2d4df084caeedc9be20b212e8bb0fe8a23e9d59a1c8fc6449da4970"
      "a78d",
      "a2b2f943f479fc682555cec89857c80ed004ce92f32a973d5764155bb7e36b17a85368a0666d250afac9282dda2e"
      "62ca"}},
};

TEST(TlsKey, ReadsWritesAndDerivesKnownKeys) {
  for (const KnownKey& known : kKnown) {
    SCOPED_TRACE(known.text);
    const auto key = TlsKey::parse(known.text);
    ASSERT_TRUE(key) << key.error().text;
    EXPECT_EQ(key->hash(), known.hash);
    EXPECT_EQ(key->cipher_hash(), known.cipher_hash);
    EXPECT_EQ(hex(key->secret()), known.secret);
    EXPECT_EQ(key->text(), known.text);
    EXPECT_EQ(*TlsKey::make(key->secret(), known.hash), *key);
    for (const unsigned version : {0u, 1u}) {
      const auto psk = key->psk(kHost, kSubsystem, version);
      ASSERT_TRUE(psk) << psk.error().text;
      EXPECT_EQ(psk->identity(), known.identities[version]);
      EXPECT_EQ(hex(psk->secret()), known.psks[version]);
      EXPECT_EQ(psk->hash(), known.cipher_hash);
    }
  }
}

TEST(TlsKey, NamesTheSuiteOfAHash) {
  EXPECT_EQ(tls_cipher_name(TlsHash::kSha256), "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(tls_cipher_name(TlsHash::kSha384), "TLS_AES_256_GCM_SHA384");
}

TEST(TlsKey, IsMadeAtRandom) {
  for (const TlsHash hash : {TlsHash::kSha256, TlsHash::kSha384}) {
    const auto one = TlsKey::generate(hash);
    const auto other = TlsKey::generate(hash);
    ASSERT_TRUE(one && other);
    EXPECT_NE(*one, *other);
    EXPECT_EQ(one->secret().size(), tls_hash_bytes(hash));
    EXPECT_EQ(*TlsKey::parse(one->text()), *one);
  }
}

TEST(TlsKey, SaysWhatIsWrongWithATextAndDoesNotShowIt) {
  struct Bad {
    const char* text;
    const char* why;
  };
  constexpr Bad kBad[] = {
      {"", "NVMeTLSkey-1:00:BASE64:"},
      {"VRLbtnN9AQb2WXW3c9", "NVMeTLSkey-1:00:BASE64:"},
      {"DHHC-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:", "NVMeTLSkey-1:00:BASE64:"},
      {"NVMeTLSkey-1:", "NVMeTLSkey-1:00:BASE64:"},
      {"NVMeTLSkey-1:03:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:", "its hash is none of"},
      {"NVMeTLSkey-1:11:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:", "its hash is none of"},
      {"NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ", "colon"},
      {"NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9*wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:", "base64"},
      {"NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9Lra:", "CRC"},
      {"NVMeTLSkey-1:01:VRLbtnN9:", "6 bytes, not 32 or 48 and 4 of a CRC"},
      {"NVMeTLSkey-1:01::", "0 bytes, not 32 or 48 and 4 of a CRC"},
      {"NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:", "must have 48"},
      {"NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:",
       "must have 32"},
  };
  for (const Bad& bad : kBad) {
    const auto key = TlsKey::parse(bad.text);
    ASSERT_FALSE(key) << bad.text;
    EXPECT_NE(key.error().text.find(bad.why), std::string::npos) << key.error().text;
    EXPECT_EQ(key.error().text.find("VRLb"), std::string::npos) << key.error().text;
  }
  EXPECT_FALSE(TlsKey::make(std::vector<std::byte>(64), std::nullopt));
}

TEST(TlsKey, LongNamesNeedAnIdentityOfVersion1) {
  const TlsKey key = TlsKey::make(std::vector<std::byte>(32), TlsHash::kSha256).value();
  const std::string half(122, 'x');
  EXPECT_TRUE(key.psk(half, half + "y", 0));  // 255 bytes: "NVMe0R01 ", both, and a space
  const auto too_long = key.psk(half + "x", half + "y", 0);
  ASSERT_FALSE(too_long);
  EXPECT_NE(too_long.error().text.find("--tls-identity-version"), std::string::npos);
  EXPECT_TRUE(key.psk(std::string(223, 'x'), std::string(223, 'y'), 1));
  EXPECT_FALSE(key.psk(half, half, 2));
}

TEST(TlsKey, OverwritesItself) {
  const std::vector<std::byte> secret(48, std::byte{0xa5});
  const auto left_of = [](auto& object) {
    using Object = std::remove_reference_t<decltype(object)>;
    alignas(Object) std::array<std::byte, sizeof(Object)> memory{};
    auto* made = new (memory.data()) Object(object);
    made->~Object();
    std::vector<std::byte> copy(memory.size());
    std::memcpy(copy.data(), memory.data(), memory.size());
    return std::ranges::search(copy, std::array{std::byte{0xa5}, std::byte{0xa5}}).size();
  };
  const TlsKey key = TlsKey::make(secret, std::nullopt).value();
  EXPECT_EQ(left_of(key), 0u);
  const TlsPsk psk(TlsHash::kSha384, "someone", secret);
  EXPECT_EQ(left_of(psk), 0u);
}

}  // namespace
}  // namespace nvublk::nvme
