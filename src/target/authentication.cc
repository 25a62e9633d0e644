#include "target/authentication.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

namespace nvublk::target {

using namespace nvme::spec;

namespace {

using Vector = std::vector<std::uint8_t>;

struct HashFacts {
  const char* name;
  std::size_t bytes;
};
// By DhchapHash.
constexpr std::array<HashFacts, 4> kHashes = {
    {{"", 0}, {"SHA256", 32}, {"SHA384", 48}, {"SHA512", 64}}};
// By DhchapGroup.
constexpr std::array<const char*, 6> kGroups = {"",          "ffdhe2048", "ffdhe3072",
                                                "ffdhe4096", "ffdhe6144", "ffdhe8192"};

template <typename T>
T load(Authentication::Bytes bytes) {
  T value;
  std::memcpy(static_cast<void*>(&value), bytes.data(), sizeof(value));
  return value;
}

template <typename T>
void append_object(Vector& bytes, const T& value) {
  const auto* first = reinterpret_cast<const std::uint8_t*>(&value);
  bytes.insert(bytes.end(), first, first + sizeof(value));
}

void append(Vector& bytes, std::string_view text) {
  bytes.insert(bytes.end(), text.begin(), text.end());
}

void append(Vector& bytes, const Vector& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

/// Nothing if OpenSSL cannot: then it equals no response.
Vector mac(std::uint8_t hash, const Vector& key, const Vector& data) {
  Vector result(kHashes.at(hash).bytes);
  std::size_t length = 0;
  if (EVP_Q_mac(nullptr, "HMAC", nullptr, kHashes.at(hash).name, nullptr, key.data(), key.size(),
                data.data(), data.size(), result.data(), result.size(), &length) == nullptr) {
    return {};
  }
  return result;
}

Vector transformed(const DhchapKey& key, std::string_view nqn) {
  if (key.hash == 0) return key.secret;
  Vector data;
  append(data, nqn);
  append(data, "NVMe-over-Fabrics");
  return mac(key.hash, key.secret, data);
}

using Number = std::unique_ptr<BIGNUM, decltype([](BIGNUM* n) { BN_clear_free(n); })>;
using Pkey = std::unique_ptr<EVP_PKEY, decltype([](EVP_PKEY* key) { EVP_PKEY_free(key); })>;

Vector parameter(const EVP_PKEY* key, const char* name, int size) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &number) != 1) return {};
  const Number owned(number);
  Vector bytes(static_cast<std::size_t>(size));
  return BN_bn2binpad(number, bytes.data(), size) < 0 ? Vector{} : bytes;
}

Number number_of(Authentication::Bytes bytes) {
  return Number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
}

/// The wanted one if the host offers it, else the first that is known of those that it offers.
std::optional<std::uint8_t> choose(std::span<const std::uint8_t> offered, std::uint8_t wanted,
                                   std::uint8_t lowest, std::size_t end) {
  if (std::ranges::find(offered, wanted) != offered.end()) return wanted;
  for (const std::uint8_t each : offered) {
    if (each >= lowest && each < end) return each;
  }
  return std::nullopt;
}

}  // namespace

AuthHeader Authentication::header(std::uint8_t id) const {
  AuthHeader header;
  header.type = std::to_underlying(id == kAuthFailure1 ? AuthType::kCommon : AuthType::kDhchap);
  header.id = id;
  header.transaction = transaction_;
  return header;
}

void Authentication::fail(AuthFailureReason reason) {
  next_ = Next::kFailure1;
  failure_ = reason;
  done_ = false;
}

void Authentication::send(Bytes message) {
  if (message.size() < sizeof(AuthFailure)) {
    fail(AuthFailureReason::kIncorrectPayload);
    return;
  }
  const auto received = load<AuthHeader>(message);
  const bool common = received.type == std::to_underlying(AuthType::kCommon);
  if (common && received.id == kAuthNegotiate) {
    on_negotiate(message);
    return;
  }
  if (received.transaction.get() != transaction_) {
    fail(AuthFailureReason::kIncorrectPayload);
  } else if (common && received.id == kAuthFailure2) {
    fail(AuthFailureReason::kFailed);
  } else if (!common && received.id == kDhchapReply && next_ == Next::kReply) {
    on_reply(message);
  } else if (!common && received.id == kDhchapSuccess2 && next_ == Next::kSuccess2) {
    next_ = Next::kNegotiate;
    done_ = true;
  } else {
    fail(AuthFailureReason::kIncorrectMessage);
  }
}

void Authentication::on_negotiate(Bytes message) {
  if (message.size() < sizeof(AuthNegotiate)) {
    fail(AuthFailureReason::kIncorrectPayload);
    return;
  }
  const auto received = load<AuthNegotiate>(message);
  const DhchapDescriptor& protocol = received.protocol;
  transaction_ = received.header.transaction.get();
  if (received.sc_c != kNoSecureChannel) {
    fail(AuthFailureReason::kSecureChannelMismatch);
    return;
  }
  if (received.napd != 1 || protocol.authid != std::to_underlying(AuthType::kDhchap)) {
    fail(AuthFailureReason::kProtocolUnusable);
    return;
  }
  if (protocol.halen > protocol.hashes.size() || protocol.dhlen > protocol.groups.size()) {
    fail(AuthFailureReason::kIncorrectPayload);
    return;
  }
  const auto hash = choose(std::span(protocol.hashes).first(protocol.halen),
                           std::to_underlying(preference_.hash), 1, kHashes.size());
  const auto group = choose(std::span(protocol.groups).first(protocol.dhlen),
                            std::to_underlying(preference_.group), 0, kGroups.size());
  if (!hash || !group) {
    fail(hash ? AuthFailureReason::kGroupUnusable : AuthFailureReason::kHashUnusable);
    return;
  }
  hash_ = *hash;
  group_ = *group;
  next_ = Next::kChallenge;
}

Vector Authentication::receive() {
  switch (next_) {
    case Next::kChallenge:
      return challenge();
    case Next::kSuccess1:
      return success1();
    case Next::kFailure1:
      return failure1();
    case Next::kNegotiate:
    case Next::kReply:
    case Next::kSuccess2:
      break;
  }
  return {};
}

bool Authentication::make_value() {
  prime_.clear();
  value_.clear();
  if (group_ == 0) return true;
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                       const_cast<char*>(kGroups.at(group_)), 0),
      OSSL_PARAM_construct_end()};
  const std::unique_ptr<EVP_PKEY_CTX, decltype([](EVP_PKEY_CTX* c) { EVP_PKEY_CTX_free(c); })>
      context(EVP_PKEY_CTX_new_from_name(nullptr, "DH", nullptr));
  EVP_PKEY* made = nullptr;
  if (context == nullptr || EVP_PKEY_keygen_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_params(context.get(), parameters) != 1 ||
      EVP_PKEY_generate(context.get(), &made) != 1) {
    return false;
  }
  const Pkey key(made);
  const int size = EVP_PKEY_get_size(key.get());
  prime_ = parameter(key.get(), OSSL_PKEY_PARAM_FFC_P, size);
  exponent_ = parameter(key.get(), OSSL_PKEY_PARAM_PRIV_KEY, size);
  value_ = parameter(key.get(), OSSL_PKEY_PARAM_PUB_KEY, size);
  return !value_.empty();
}

Vector Authentication::challenge() {
  own_challenge_.resize(kHashes.at(hash_).bytes);
  if (!make_value() ||
      RAND_bytes(own_challenge_.data(), static_cast<int>(own_challenge_.size())) != 1) {
    fail(AuthFailureReason::kFailed);
    return failure1();
  }
  own_sequence_++;
  DhchapChallenge message;
  message.header = header(kDhchapChallenge);
  message.hl = static_cast<std::uint8_t>(own_challenge_.size());
  message.hashid = hash_;
  message.dhgid = group_;
  message.dhvlen = static_cast<std::uint16_t>(value_.size());
  message.seqnum = own_sequence_;
  Vector bytes;
  append_object(bytes, message);
  append(bytes, own_challenge_);
  append(bytes, value_);
  next_ = Next::kReply;
  return bytes;
}

bool Authentication::agree_on_secret(Bytes value) {
  secret_.clear();
  if (group_ == 0) return value.empty();
  const Number theirs = number_of(value);
  const Number prime = number_of(prime_);
  const Number exponent = number_of(exponent_);
  const Number shared(BN_new());
  const std::unique_ptr<BN_CTX, decltype([](BN_CTX* c) { BN_CTX_free(c); })> context(BN_CTX_new());
  if (value.size() != prime_.size() || BN_cmp(theirs.get(), BN_value_one()) <= 0 ||
      BN_cmp(theirs.get(), prime.get()) >= 0 ||
      BN_mod_exp(shared.get(), theirs.get(), exponent.get(), prime.get(), context.get()) != 1) {
    return false;
  }
  secret_.resize(prime_.size());
  return BN_bn2binpad(shared.get(), secret_.data(), static_cast<int>(secret_.size())) >= 0;
}

// With the key of the host, or our own, over what the other one has sent.
Vector Authentication::response(bool of_host) const {
  Vector challenge = of_host ? own_challenge_ : host_challenge_;
  if (!secret_.empty()) {
    Vector session(kHashes.at(hash_).bytes);
    std::size_t length = 0;
    if (EVP_Q_digest(nullptr, kHashes.at(hash_).name, nullptr, secret_.data(), secret_.size(),
                     session.data(), &length) != 1) {
      return {};
    }
    challenge = mac(hash_, session, challenge);
  }
  const std::string& own = of_host ? host_.hostnqn : subnqn_;
  const std::string& other = of_host ? subnqn_ : host_.hostnqn;
  Vector data = challenge;
  append_object(data, Le32(of_host ? own_sequence_ : host_sequence_));
  append_object(data, Le16(transaction_));
  append_object(data, kNoSecureChannel);
  append(data, of_host ? "HostHost" : "Controller");
  append(data, own);
  append_object(data, std::uint8_t{0});
  append(data, other);
  return mac(hash_, transformed(of_host ? host_.key : host_.ctrl_key, own), data);
}

void Authentication::on_reply(Bytes message) {
  if (message.size() < sizeof(DhchapReply)) {
    fail(AuthFailureReason::kIncorrectPayload);
    return;
  }
  const auto received = load<DhchapReply>(message);
  const std::size_t hash_bytes = kHashes.at(hash_).bytes;
  const std::size_t value_bytes = received.dhvlen.get();
  const Bytes rest = message.subspan(sizeof(received));
  if (received.hl != hash_bytes || rest.size() < 2 * hash_bytes + value_bytes ||
      (received.cvalid != 0) != (received.seqnum.get() != 0)) {
    fail(AuthFailureReason::kIncorrectPayload);
    return;
  }
  if (!agree_on_secret(rest.subspan(2 * hash_bytes, value_bytes))) {
    fail(AuthFailureReason::kIncorrectPayload);
    return;
  }
  const Vector expected = response(true);
  if (expected.empty() || CRYPTO_memcmp(rest.data(), expected.data(), hash_bytes) != 0) {
    fail(AuthFailureReason::kFailed);
    return;
  }
  host_sequence_ = received.seqnum.get();
  host_challenge_.clear();
  if (received.cvalid != 0) {
    if (host_.ctrl_key.secret.empty()) {
      fail(AuthFailureReason::kFailed);
      return;
    }
    const Bytes challenge = rest.subspan(hash_bytes, hash_bytes);
    host_challenge_.assign(challenge.begin(), challenge.end());
  }
  next_ = Next::kSuccess1;
}

Vector Authentication::success1() {
  const bool responds = !host_challenge_.empty();
  DhchapSuccess1 message;
  message.header = header(kDhchapSuccess1);
  message.hl = static_cast<std::uint8_t>(kHashes.at(hash_).bytes);
  message.rvalid = responds ? 1 : 0;
  Vector bytes;
  append_object(bytes, message);
  if (responds) append(bytes, response(false));
  next_ = responds ? Next::kSuccess2 : Next::kNegotiate;
  done_ = !responds;
  return bytes;
}

Vector Authentication::failure1() {
  AuthFailure message;
  message.header = header(kAuthFailure1);
  message.explanation = std::to_underlying(failure_);
  next_ = Next::kNegotiate;
  Vector bytes;
  append_object(bytes, message);
  return bytes;
}

}  // namespace nvublk::target
