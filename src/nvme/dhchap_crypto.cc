#include "nvme/dhchap_crypto.h"

#include <algorithm>
#include <array>
#include <memory>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/dh.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/rand.h>

namespace nvublk::nvme {

namespace {

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <typename T, auto Free>
using Owned = std::unique_ptr<T, Freer<Free>>;

using Key = Owned<EVP_PKEY, EVP_PKEY_free>;
using KeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using Number = Owned<BIGNUM, BN_clear_free>;

/// OpenSSL's own words on what went wrong last are for developers, but better than nothing.
std::unexpected<Error> openssl_failed(const char* what) {
  std::array<char, 160> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return fail(ErrorCode::kSystem, std::string("OpenSSL cannot ") + what + ": " + text.data());
}

std::string hash_name(spec::DhchapHash hash) {
  return std::string(dhchap_hash_name(hash));
}

const unsigned char* as_unsigned(BytesView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* as_unsigned(std::span<std::byte> bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

Result<Key> own_key(const std::string& group) {
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "DH", nullptr));
  std::string name = group;
  const std::array<OSSL_PARAM, 2> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name.data(), 0),
      OSSL_PARAM_construct_end()};
  EVP_PKEY* made = nullptr;
  if (!context || EVP_PKEY_keygen_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_params(context.get(), parameters.data()) != 1 ||
      EVP_PKEY_generate(context.get(), &made) != 1) {
    return openssl_failed("make a Diffie-Hellman value");
  }
  return Key(made);
}

/// Whether 1 < value < prime - 1 of `group_key`.
Result<bool> in_range(EVP_PKEY* group_key, const BIGNUM* value) {
  BIGNUM* prime = nullptr;
  if (EVP_PKEY_get_bn_param(group_key, OSSL_PKEY_PARAM_FFC_P, &prime) != 1) {
    return openssl_failed("tell the prime of a Diffie-Hellman group");
  }
  const Number owned(prime);
  if (BN_sub_word(prime, 1) != 1) {
    return openssl_failed("subtract");
  }
  return BN_cmp(value, BN_value_one()) > 0 && BN_cmp(value, prime) < 0;
}

Result<Key> peer_key(const std::string& group, const BIGNUM* value) {
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  if (!builder ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, group.c_str(),
                                      0) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, value) != 1) {
    return openssl_failed("take the target's Diffie-Hellman value");
  }
  const Owned<OSSL_PARAM, OSSL_PARAM_free> parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "DH", nullptr));
  EVP_PKEY* made = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    return openssl_failed("take the target's Diffie-Hellman value");
  }
  return Key(made);
}

Result<SecretBytes> derive(EVP_PKEY* own, EVP_PKEY* peer, std::size_t size) {
  const KeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, own, nullptr));
  SecretBytes secret(size);
  std::size_t length = size;
  // As long as the prime, with zeroes in front.
  if (!context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_dh_pad(context.get(), 1) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), peer) != 1 ||
      EVP_PKEY_derive(context.get(), as_unsigned(secret.span()), &length) != 1 || length != size) {
    return openssl_failed("compute the Diffie-Hellman secret");
  }
  return secret;
}

BytesView text_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

SecretBytes::~SecretBytes() {
  cleanse(bytes_);
}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    cleanse(bytes_);
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

Result<SecretBytes> hmac(spec::DhchapHash hash, BytesView key,
                         std::initializer_list<BytesView> parts) {
  const Owned<EVP_MAC, EVP_MAC_free> mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  const Owned<EVP_MAC_CTX, EVP_MAC_CTX_free> context(mac ? EVP_MAC_CTX_new(mac.get()) : nullptr);
  std::string name = hash_name(hash);
  const std::array<OSSL_PARAM, 2> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name.data(), 0),
      OSSL_PARAM_construct_end()};
  SecretBytes result(dhchap_hash_bytes(hash));
  std::size_t length = 0;
  bool good =
      context && EVP_MAC_init(context.get(), as_unsigned(key), key.size(), parameters.data()) == 1;
  for (const BytesView part : parts) {
    good = good && EVP_MAC_update(context.get(), as_unsigned(part), part.size()) == 1;
  }
  if (!good || EVP_MAC_final(context.get(), as_unsigned(result.span()), &length,
                             result.span().size()) != 1) {
    return openssl_failed("compute an HMAC");
  }
  return result;
}

Result<SecretBytes> digest(spec::DhchapHash hash, BytesView data) {
  SecretBytes result(dhchap_hash_bytes(hash));
  std::size_t length = 0;
  if (EVP_Q_digest(nullptr, hash_name(hash).c_str(), nullptr, data.data(), data.size(),
                   as_unsigned(result.span()), &length) != 1) {
    return openssl_failed("compute a hash");
  }
  return result;
}

Status fill_random(std::span<std::byte> bytes) {
  if (RAND_bytes(as_unsigned(bytes), static_cast<int>(bytes.size())) != 1) {
    return openssl_failed("make random numbers");
  }
  return {};
}

bool same_secret(BytesView one, BytesView other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

void cleanse(std::span<std::byte> bytes) {
  OPENSSL_cleanse(bytes.data(), bytes.size());
}

std::size_t dh_bytes(spec::DhchapGroup group) {
  switch (group) {
    case spec::DhchapGroup::kNull:
      return 0;
    case spec::DhchapGroup::kFfdhe2048:
      return 256;
    case spec::DhchapGroup::kFfdhe3072:
      return 384;
    case spec::DhchapGroup::kFfdhe4096:
      return 512;
    case spec::DhchapGroup::kFfdhe6144:
      return 768;
    case spec::DhchapGroup::kFfdhe8192:
      return 1024;
  }
  return 0;
}

Result<DhExchange> dh_exchange(spec::DhchapGroup group, BytesView peer) {
  const std::size_t size = dh_bytes(group);
  if (peer.size() > size) {
    return fail(ErrorCode::kProtocol, "its Diffie-Hellman value is longer than its group's prime");
  }
  const std::string name(dhchap_group_name(group));
  const Number value(BN_bin2bn(as_unsigned(peer), static_cast<int>(peer.size()), nullptr));
  const Result<Key> own = own_key(name);
  if (!own) {
    return std::unexpected(own.error());
  }
  const Result<bool> sound = value ? in_range(own->get(), value.get())
                                   : openssl_failed("take the target's Diffie-Hellman value");
  if (!sound) {
    return std::unexpected(sound.error());
  }
  if (!*sound) {
    return fail(ErrorCode::kProtocol, "its Diffie-Hellman value would give the secret away");
  }
  const Result<Key> theirs = peer_key(name, value.get());
  if (!theirs) {
    return std::unexpected(theirs.error());
  }
  Result<SecretBytes> secret = derive(own->get(), theirs->get(), size);
  if (!secret) {
    return std::unexpected(std::move(secret.error()));
  }
  BIGNUM* mine = nullptr;
  DhExchange exchange{std::vector<std::byte>(size), std::move(*secret)};
  if (EVP_PKEY_get_bn_param(own->get(), OSSL_PKEY_PARAM_PUB_KEY, &mine) != 1) {
    return openssl_failed("tell our Diffie-Hellman value");
  }
  const Number owned(mine);
  if (BN_bn2binpad(mine, as_unsigned(std::span(exchange.value)), static_cast<int>(size)) < 0) {
    return openssl_failed("tell our Diffie-Hellman value");
  }
  return exchange;
}

Result<SecretBytes> dhchap_response(const DhchapResponseOf& of) {
  const Result<DhchapKey> key = of.key.transformed(of.own_nqn);
  if (!key) {
    return std::unexpected(key.error());
  }
  SecretBytes augmented;
  BytesView challenge = of.challenge;
  if (!of.dh_secret.empty()) {
    const Result<SecretBytes> session = digest(of.hash, of.dh_secret);
    if (!session) {
      return std::unexpected(session.error());
    }
    Result<SecretBytes> mixed = hmac(of.hash, session->span(), {of.challenge});
    if (!mixed) {
      return mixed;
    }
    augmented = std::move(*mixed);
    challenge = augmented.span();
  }
  const Le32 sequence(of.sequence);
  const Le16 transaction(of.transaction);
  constexpr std::array<std::byte, 1> kZero{};
  constexpr std::array<std::byte, 1> kScc{std::byte{spec::kNoSecureChannel}};
  return hmac(
      of.hash, key->secret(),
      {challenge, std::as_bytes(std::span(&sequence, 1)), std::as_bytes(std::span(&transaction, 1)),
       kScc, text_bytes(of.role), text_bytes(of.own_nqn), kZero, text_bytes(of.peer_nqn)});
}

}  // namespace nvublk::nvme
