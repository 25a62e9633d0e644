#include "nvme/dhchap_key.h"

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/controller_options.h"
#include "nvme/dhchap_crypto.h"

namespace nvublk::nvme {
namespace {

using spec::DhchapGroup;
using spec::DhchapHash;

constexpr char kHost[] = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
constexpr char kSubsystem[] = "nqn.2026-01.io.nvublk:target";

// The bytes first, first + 1, ...
std::vector<std::byte> counting(std::size_t count, unsigned first = 0) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < count; i++) bytes.push_back(static_cast<std::byte>(first + i));
  return bytes;
}

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
  std::optional<DhchapHash> hash;
  std::size_t bytes;
  const char* transformed;  // for kHost
};

// The texts and what they are transformed to were computed by other programs: Python's hmac, zlib
// and base64.
const std::array<KnownKey, 4> kKnown = {{
    {"DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:", std::nullopt, 32,
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},
    {"DHHC-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:", DhchapHash::kSha256, 32,
     "6c7b81cb2a746f74454b1d7140f3153b51ca99459fcef7a86a17f27695b87cd8"},
    {"DHHC-1:02:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vcSEgBQ==:",
     DhchapHash::kSha384, 48,
     "c916f39d7bd438ac94ce98f12f22202c6bc43b1b1bf7f081a36fd76d11b4b1730726ff75f32576b5749cfa06d1a7"
     "b4f5"},
    {"DHHC-1:03:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0"
     "+P4zODhA=:",
     DhchapHash::kSha512, 64,
     "5da79d3888c5ddac507b097840c4c8af8c7099e3f32fbf216209d24103f54bcf22284e7034bb579a8997475f50ae"
     "c0bff3ccad184563779e81f48c405071b970"},
}};

TEST(DhchapKey, ReadsWritesAndTransformsKnownKeys) {
  for (const KnownKey& known : kKnown) {
    const auto key = DhchapKey::parse(known.text);
    ASSERT_TRUE(key) << known.text << ": " << key.error().text;
    EXPECT_EQ(key->hash(), known.hash);
    EXPECT_EQ(hex(key->secret()), hex(counting(known.bytes)));
    EXPECT_EQ(key->text(), known.text);
    EXPECT_EQ(*DhchapKey::make(counting(known.bytes), known.hash), *key);
    EXPECT_EQ(hex(key->transformed(kHost)->secret()), known.transformed);
  }
}

// Made by nvme-cli 2.3: gen-dhchap-key -m 2 -n nqn.x -s abab...
TEST(DhchapKey, MakesTheKeysThatNvmeCliMakes) {
  const std::vector<std::byte> secret(48, std::byte{0xab});
  const auto key = DhchapKey::make(secret, DhchapHash::kSha384);
  ASSERT_TRUE(key);
  EXPECT_EQ(key->transformed("nqn.x")->text(),
            "DHHC-1:02:xkjhnQhJUr39ISM19MazCiJt92aij37HX/"
            "7btupct51T+Bg94zwsd8Ylg8jRaHU7hZm4+Q==:");
}

TEST(DhchapKey, SaysWhatIsWrongWithoutShowingIt) {
  const std::string base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR";
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"", "form"},
      {"DHHC-1:", "form"},
      {"DHHC-1:00", "form"},
      {"dhhc-1:00:" + base64 + ":", "form"},
      {"DHHC-2:00:" + base64 + ":", "form"},
      {"DHHC-1:04:" + base64 + ":", "hash"},
      {"DHHC-1:10:" + base64 + ":", "hash"},
      {"DHHC-1:0x:" + base64 + ":", "hash"},
      {"DHHC-1:00:" + base64, "colon"},
      {"DHHC-1:00::", "0 bytes"},
      {"DHHC-1:00:" + base64.substr(1) + ":", "base64"},
      {"DHHC-1:00: " + base64.substr(1) + ":", "base64"},
      {"DHHC-1:00:" + base64 + "\n:", "base64"},
      {"DHHC-1:00:" + base64.substr(0, 44) + "====:", "base64"},
      {"DHHC-1:00:" + std::string(4000, 'A') + ":", "3000 bytes"},
      {"DHHC-1:00:" + base64.substr(0, 44) + ":", "33 bytes"},
      {"DHHC-1:00:AAAA:", "3 bytes"},
      {"DHHC-1:00:B" + base64.substr(1) + ":", "CRC"},
      {"DHHC-1:00:" + base64.substr(0, 47) + "S:", "CRC"},
  };
  for (const auto& [text, why] : wrong) {
    const auto key = DhchapKey::parse(text);
    ASSERT_FALSE(key) << text;
    EXPECT_NE(key.error().text.find(why), std::string::npos) << text << ": " << key.error().text;
    EXPECT_EQ(key.error().text.find("AAEC"), std::string::npos) << key.error().text;
  }
  EXPECT_FALSE(DhchapKey::make(counting(33), std::nullopt));
}

TEST(DhchapKey, GeneratesKeysThatDiffer) {
  for (const auto hash : {std::optional<DhchapHash>{}, std::optional(DhchapHash::kSha512)}) {
    const auto one = DhchapKey::generate(64, hash, kHost);
    const auto other = DhchapKey::generate(64, hash, kHost);
    ASSERT_TRUE(one && other);
    EXPECT_NE(*one, *other);
    EXPECT_EQ(DhchapKey::parse(one->text()).value(), *one);
  }
  EXPECT_FALSE(DhchapKey::generate(16, std::nullopt, kHost));
}

std::string response(const DhchapKey& key, DhchapHash hash, bool of_host,
                     std::span<const std::byte> dh_secret) {
  const auto challenge = counting(dhchap_hash_bytes(hash), 100);
  const auto made = dhchap_response({.key = key,
                                     .hash = hash,
                                     .role = of_host ? "HostHost" : "Controller",
                                     .challenge = challenge,
                                     .sequence = 0x01020304,
                                     .transaction = 0x0506,
                                     .own_nqn = of_host ? kHost : kSubsystem,
                                     .peer_nqn = of_host ? kSubsystem : kHost,
                                     .dh_secret = dh_secret});
  return made ? hex(made->span()) : made.error().text;
}

// Also computed with Python.
TEST(DhchapResponse, IsAsOthersComputeIt) {
  const std::vector<std::byte> dh_secret(256, std::byte{7});
  const std::array<const char*, 3> host = {
      "9961efc3e58fea1d211e5618ad9277d3f9ffd52e02061a0729e9822e59190828",
      "22246f640f01ca2e14ae98ad7f688b4f2be3318f76eba4f88e94b00ed506a654d2406b91a8d8ded59691c785f10f"
      "a28e",
      "df322ec9a05a58ef419db560eadb1bb2e48abfa8365685b290f988a9c6fdd2390908ede1e9cf96ec07541b569b1a"
      "fcac6bf911573378c9b2289f4566c5989021"};
  const std::array<const char*, 3> controller = {
      "730a4847fee99c8260f24ae1684c81a5f12e5155acc5a6dd14dac6f839595d8b",
      "28586d64973ee14ff1515dbe4a33d8ab4ec59106e1b725c4c3181cd25af36d47b794f618cd276ff40a8250e4c7df"
      "6977",
      "a1b694f96ef3ccb80f188cd63cfd734c3148ec444cbf3c78a385b25fb641f089e9b29d88ecec19df7e72a2fe21f3"
      "790cb1029075202778f271202dbc7a5b6f98"};
  for (std::size_t i = 0; i < 3; i++) {
    const auto hash = static_cast<DhchapHash>(i + 1);
    const auto key = DhchapKey::parse(kKnown[i + 1].text);
    ASSERT_TRUE(key);
    EXPECT_EQ(response(*key, hash, true, {}), host[i]);
    EXPECT_EQ(response(*key, hash, false, dh_secret), controller[i]);
  }
}

TEST(DhExchange, ValuesOutOfRangeAreRefused) {
  for (const auto group : {DhchapGroup::kFfdhe2048, DhchapGroup::kFfdhe3072}) {
    const std::size_t bytes = dh_bytes(group);
    std::vector<std::byte> value(bytes);
    EXPECT_FALSE(dh_exchange(group, value)) << "0";
    value.back() = std::byte{1};
    EXPECT_FALSE(dh_exchange(group, value)) << "1";
    value.back() = std::byte{2};
    const auto good = dh_exchange(group, value);
    ASSERT_TRUE(good) << good.error().text;
    EXPECT_EQ(good->value.size(), bytes);
    EXPECT_EQ(hex(good->secret.span()), hex(good->value)) << "2 is what all powers are of";
    value.assign(bytes, std::byte{0xff});
    EXPECT_FALSE(dh_exchange(group, value)) << "beyond the prime";
    value.assign(bytes + 1, std::byte{0});
    value.back() = std::byte{2};
    EXPECT_FALSE(dh_exchange(group, value)) << "too long";
  }
}

TEST(DhchapOptions, MustMakeSense) {
  const DhchapKey key = DhchapKey::parse(kKnown[0].text).value();
  ControllerOptions options;
  EXPECT_TRUE(check_dhchap(options));
  options.dhchap_ctrlr_key = key;
  EXPECT_FALSE(check_dhchap(options)) << "the host has none";
  options.dhchap_key = key;
  EXPECT_TRUE(check_dhchap(options));
  options.dhchap_dhgroups = {};
  EXPECT_FALSE(check_dhchap(options));
  options.dhchap_dhgroups = {DhchapGroup::kFfdhe2048};
  options.dhchap_digests = {DhchapHash::kSha256, DhchapHash::kSha512, DhchapHash::kSha256};
  EXPECT_FALSE(check_dhchap(options)) << "twice";
}

}  // namespace
}  // namespace nvublk::nvme
