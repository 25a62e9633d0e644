#pragma once

// What DH-HMAC-CHAP computes, on OpenSSL. No state; any thread. A Diffie-Hellman exchange takes
// many milliseconds: it is not for a shard's loop.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "nvme/dhchap_key.h"
#include "nvme/spec/authentication.h"

namespace nvublk::nvme {

/// Bytes that are overwritten when they are not needed any more.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size) : bytes_(size) {}
  ~SecretBytes();
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  SecretBytes(SecretBytes&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept;

  std::span<std::byte> span() { return bytes_; }
  std::span<const std::byte> span() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }

 private:
  std::vector<std::byte> bytes_;
};

using BytesView = std::span<const std::byte>;

Result<SecretBytes> hmac(spec::DhchapHash hash, BytesView key,
                         std::initializer_list<BytesView> parts);
Result<SecretBytes> digest(spec::DhchapHash hash, BytesView data);
Status fill_random(std::span<std::byte> bytes);
/// Whether they are the same, in a time that does not say where they differ.
bool same_secret(BytesView one, BytesView other);
/// Overwrites them.
void cleanse(std::span<std::byte> bytes);

/// How many bytes a value of `group` has; 0 without a group. [RFC 7919]
std::size_t dh_bytes(spec::DhchapGroup group);
struct DhExchange {
  std::vector<std::byte> value;  ///< ours, dh_bytes() long
  SecretBytes secret;            ///< what both share, dh_bytes() long
};
/// With a value of our own, used once. Fails with kProtocol when `peer` is no value of the group:
/// longer than its prime, or not between 1 and the prime less 1.
Result<DhExchange> dh_exchange(spec::DhchapGroup group, BytesView peer);

/// What a response is computed from. [Base 2.3 §8.3.5.5.4, §8.3.5.5.5]
struct DhchapResponseOf {
  const DhchapKey& key;  ///< of the one who responds
  spec::DhchapHash hash;
  std::string_view role;  ///< "HostHost" or "Controller"
  BytesView challenge;
  std::uint32_t sequence;
  std::uint16_t transaction;
  std::string_view own_nqn;  ///< of the one who responds
  std::string_view peer_nqn;
  BytesView dh_secret;  ///< empty without a group
};
Result<SecretBytes> dhchap_response(const DhchapResponseOf& of);

}  // namespace nvublk::nvme
