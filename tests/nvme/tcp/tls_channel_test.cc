#include "nvme/tcp/tls_channel.h"

#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/tcp/memory_tls_server.h"

namespace nvublk::nvme::tcp {
namespace {

using ::testing::HasSubstr;
using State = TlsChannel::State;
using Fault = TlsChannel::Fault;
using spec::TlsHash;

constexpr std::size_t kBuffer = 64 * 1024;
constexpr std::size_t kHeaderBytes = 5;

Bytes random_bytes(std::size_t length, unsigned seed = 1) {
  std::mt19937 random(seed);
  Bytes bytes(length);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

/// A channel and a server, and what goes between them.
struct Pair {
  explicit Pair(MemoryTlsServer::Options options, const TlsPsk& psk = psk_of())
      : context(TlsContext::make(psk).value()),
        channel(std::make_unique<TlsChannel>(*context, kBuffer)),
        server(std::move(options)) {}

  Bytes take_output() {
    const iovec out = channel->output();
    const auto* first = static_cast<const std::byte*>(out.iov_base);
    Bytes bytes(first, first + out.iov_len);
    channel->sent(out.iov_len);
    return bytes;
  }
  void deliver(std::span<const std::byte> bytes) {
    const iovec space = channel->receive_space();
    ASSERT_LE(bytes.size(), space.iov_len);
    std::ranges::copy(bytes, static_cast<std::byte*>(space.iov_base));
    channel->received(bytes.size());
  }
  /// Until nobody has anything to say.
  void shake_hands() {
    channel->advance();
    for (int i = 0; i < 10 && channel->state() == State::kHandshake; i++) {
      server.feed(take_output());
      server.accept();
      const Bytes answer = server.take();
      if (answer.empty()) return;
      deliver(answer);
      channel->advance();
    }
    server.feed(take_output());
    server.accept();
  }
  /// What the server has sent, opened; `at_once` bytes of it at a time.
  Bytes receive(std::size_t at_once = kBuffer) {
    const Bytes records = server.take();
    Bytes all;
    for (std::size_t at = 0; at < records.size(); at += at_once) {
      deliver(std::span(records).subspan(at, std::min(at_once, records.size() - at)));
      Bytes part(kBuffer);
      const iovec piece{part.data(), part.size()};
      const std::size_t done = channel->decrypt(std::span(&piece, 1));
      all.insert(all.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(done));
    }
    return all;
  }
  void send(std::vector<iovec> pieces) {
    while (!pieces.empty()) {
      std::size_t done = channel->encrypt(pieces);
      ASSERT_GT(done, 0u);
      server.feed(take_output());
      while (done > 0) {
        iovec& first = pieces.front();
        const std::size_t step = std::min(done, first.iov_len);
        first.iov_base = static_cast<std::byte*>(first.iov_base) + step;
        first.iov_len -= step;
        done -= step;
        if (first.iov_len == 0) pieces.erase(pieces.begin());
      }
    }
  }
  void send(Bytes& data) { send({iovec{data.data(), data.size()}}); }

  std::unique_ptr<TlsContext> context;
  std::unique_ptr<TlsChannel> channel;
  MemoryTlsServer server;
};

Pair open_pair(int tickets = 0) {
  return Pair({.psk = psk_of(), .tickets = tickets});
}

TEST(TlsChannel, CarriesDataBothWaysInEverySizeWithEveryKey) {
  for (const TlsHash hash : {TlsHash::kSha256, TlsHash::kSha384}) {
    for (const unsigned version : {0u, 1u}) {
      const TlsPsk psk = psk_of(hash, 3, version);
      Pair pair({.psk = psk}, psk);
      pair.shake_hands();
      ASSERT_EQ(pair.channel->state(), State::kOpen) << pair.channel->reason();
      EXPECT_EQ(pair.server.cipher(), tls_cipher_name(hash));
      EXPECT_EQ(pair.server.identity(), psk.identity());
      for (const std::size_t size : {1u, 17u, 512u, 4096u, 16383u, 16384u, 16385u, 40000u}) {
        Bytes data = random_bytes(size);
        pair.send(data);
        EXPECT_EQ(pair.server.read(), data) << size;
        pair.server.write(data);
        EXPECT_EQ(pair.receive(), data) << size;
      }
    }
  }
}

TEST(TlsChannel, SendsMoreThanItsBufferPieceByPiece) {
  Pair pair = open_pair();
  pair.shake_hands();
  Bytes data = random_bytes(1 << 20);
  std::vector<iovec> pieces;
  const std::size_t sizes[] = {72, 4096, 100000, 3, 16384};
  for (std::size_t at = 0, i = 0; at < data.size(); i++) {
    const std::size_t step = std::min(sizes[i % 5], data.size() - at);
    pieces.push_back({data.data() + at, step});
    at += step;
  }
  pair.send(pieces);
  EXPECT_EQ(pair.server.read(), data);
}

TEST(TlsChannel, GathersSmallPiecesIntoFewRecords) {
  Pair pair = open_pair();
  pair.shake_hands();
  Bytes data = random_bytes(2 * TlsChannel::kRecordBytes);
  std::vector<iovec> pieces;
  for (std::size_t at = 0; at < data.size(); at += 64) pieces.push_back({data.data() + at, 64});
  EXPECT_EQ(pair.channel->encrypt(pieces), data.size());
  const Bytes records = pair.take_output();
  EXPECT_LT(records.size(), data.size() + 3 * 32);
  pair.server.feed(records);
  EXPECT_EQ(pair.server.read(), data);
}

TEST(TlsChannel, TakesRecordsByteByByteAndIntoSmallPieces) {
  Pair pair = open_pair();
  pair.shake_hands();
  const Bytes data = random_bytes(3000);
  pair.server.write(data);
  EXPECT_EQ(pair.receive(1), data);

  pair.server.write(data);
  pair.deliver(pair.server.take());
  Bytes parts(data.size());
  std::size_t got = 0;
  while (got < data.size()) {
    const std::vector<iovec> pieces = {
        {parts.data() + got, 1},
        {parts.data() + got + 1, std::min<std::size_t>(99, data.size() - got - 1)}};
    got += pair.channel->decrypt(pieces);
  }
  EXPECT_EQ(parts, data);
}

TEST(TlsChannel, KeysAreUpdatedAtAnyTime) {
  Pair pair = open_pair();
  pair.shake_hands();
  for (unsigned i = 0; i < 4; i++) {
    Bytes data = random_bytes(20000, i);
    pair.server.update_keys(i % 2 == 0);
    pair.server.write(data);
    EXPECT_EQ(pair.receive(), data);
    pair.send(data);  // if it was asked to, with new keys of its own
    EXPECT_EQ(pair.server.read(), data);
  }
  EXPECT_EQ(pair.channel->state(), State::kOpen);
}

TEST(TlsChannel, TicketsAreNoData) {
  Pair pair = open_pair(2);
  pair.shake_hands();
  EXPECT_TRUE(pair.receive().empty());
  EXPECT_EQ(pair.channel->state(), State::kOpen);
  const Bytes data = random_bytes(100);
  pair.server.write(data);
  EXPECT_EQ(pair.receive(), data);
}

TEST(TlsChannel, EachSideSaysThatItEnds) {
  Pair pair = open_pair();
  pair.shake_hands();
  const Bytes data = random_bytes(100);
  pair.server.write(data);
  pair.server.close();
  EXPECT_EQ(pair.receive(), data);
  EXPECT_EQ(pair.channel->state(), State::kClosed);
  pair.channel->end();
  pair.server.feed(pair.take_output());
  EXPECT_TRUE(pair.server.read().empty());
  EXPECT_EQ(pair.server.read_end(), SSL_ERROR_ZERO_RETURN);
}

TEST(TlsChannel, AWrongKeyIsToldByTheTarget) {
  Pair pair({.psk = psk_of(TlsHash::kSha256, 1)}, psk_of(TlsHash::kSha256, 2));
  pair.shake_hands();
  EXPECT_EQ(pair.channel->state(), State::kFailed);
  EXPECT_EQ(pair.channel->fault(), Fault::kAlert);
  EXPECT_TRUE(pair.channel->alert() == SSL_AD_ILLEGAL_PARAMETER ||
              pair.channel->alert() == SSL_AD_DECRYPT_ERROR)
      << pair.channel->reason();
}

TEST(TlsChannel, AnUnknownIdentityIsToldByTheTarget) {
  for (const TlsPsk& psk : {TlsPsk(), psk_of(TlsHash::kSha384), psk_of(TlsHash::kSha256, 1, 1)}) {
    Pair pair({.psk = psk});
    pair.shake_hands();
    EXPECT_EQ(pair.channel->state(), State::kFailed);
    EXPECT_EQ(pair.channel->fault(), Fault::kAlert);
    EXPECT_EQ(pair.channel->alert(), SSL_AD_HANDSHAKE_FAILURE) << pair.channel->reason();
    EXPECT_EQ(pair.channel->reason(), "handshake failure");
  }
}

TEST(TlsChannel, ATargetWithACertificateInsteadOfTheKeyIsRefused) {
  Pair pair({.certificate = true});
  pair.shake_hands();
  EXPECT_EQ(pair.channel->state(), State::kFailed);
  EXPECT_EQ(pair.channel->fault(), Fault::kNoKey);
}

TEST(TlsChannel, ATargetWithoutTls13IsRefused) {
  for (const bool certificate : {false, true}) {
    Pair pair({.psk = psk_of(), .version = TLS1_2_VERSION, .certificate = certificate});
    pair.shake_hands();
    EXPECT_EQ(pair.channel->state(), State::kFailed);
    EXPECT_EQ(pair.channel->fault(), Fault::kAlert);
    EXPECT_EQ(pair.channel->alert(), SSL_AD_PROTOCOL_VERSION) << pair.channel->reason();
  }
}

TEST(TlsChannel, WhatIsNoTlsIsRefused) {
  const std::string termination("\x03\x00\x18\x00\x18\x00\x00\x00", 8);
  const std::string bad_version("\x16\xff\xff\xff\xff\xff", 6);
  for (const std::string& words :
       {std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string("HTTP/1.1 400 Bad Request\r\n\r\n"),
        termination, bad_version}) {
    Pair pair({.psk = psk_of()});
    pair.channel->advance();
    pair.take_output();
    pair.deliver(std::as_bytes(std::span(words)));
    pair.channel->advance();
    EXPECT_EQ(pair.channel->state(), State::kFailed) << words;
    EXPECT_EQ(pair.channel->fault(), Fault::kNotTls) << words;
    EXPECT_EQ(std::to_integer<char>(pair.channel->first_bytes()[0]), words[0]);
  }
}

TEST(TlsChannel, GarbageInARecordIsRefused) {
  Pair pair({.psk = psk_of()});
  pair.channel->advance();
  pair.take_output();
  Bytes record = random_bytes(kHeaderBytes + 40);
  record[0] = std::byte{22};
  record[1] = record[2] = std::byte{3};
  record[3] = std::byte{0};
  record[4] = std::byte{40};
  pair.deliver(record);
  pair.channel->advance();
  EXPECT_EQ(pair.channel->state(), State::kFailed);
  EXPECT_EQ(pair.channel->fault(), Fault::kOther);
  EXPECT_FALSE(pair.channel->reason().empty());
  EXPECT_TRUE(pair.channel->has_output()) << "the alert";
}

// Every byte of a record's header and of its contents.
TEST(TlsChannel, ATamperedRecordIsRefusedAndTheTargetIsTold) {
  for (const std::size_t at : {0u, 1u, 3u, 5u, 50u, 100u}) {
    SCOPED_TRACE(at);
    Pair pair = open_pair();
    pair.shake_hands();
    pair.server.write(random_bytes(100));
    Bytes record = pair.server.take();
    record[at] ^= std::byte{0x40};
    record.resize(record.size() + 20000);  // for a length that is too long
    pair.deliver(record);
    Bytes data(1000);
    const iovec piece{data.data(), data.size()};
    EXPECT_EQ(pair.channel->decrypt(std::span(&piece, 1)), 0u);
    EXPECT_EQ(pair.channel->state(), State::kFailed);
    EXPECT_EQ(pair.channel->fault(), Fault::kOther);
    EXPECT_EQ(pair.channel->decrypt(std::span(&piece, 1)), 0u) << "and stays so";
    pair.server.feed(pair.take_output());
    EXPECT_TRUE(pair.server.read().empty());
    EXPECT_EQ(pair.server.read_end(), SSL_ERROR_SSL) << "an alert";
  }
}

TEST(TlsChannel, ARecordThatIsPlayedTwiceIsRefused) {
  Pair pair = open_pair();
  pair.shake_hands();
  pair.server.write(random_bytes(100));
  const Bytes record = pair.server.take();
  Bytes data(1000);
  const iovec piece{data.data(), data.size()};
  pair.deliver(record);
  EXPECT_EQ(pair.channel->decrypt(std::span(&piece, 1)), 100u);
  pair.deliver(record);
  EXPECT_EQ(pair.channel->decrypt(std::span(&piece, 1)), 0u);
  EXPECT_EQ(pair.channel->state(), State::kFailed);
}

TEST(TlsChannel, AnAlertAfterwardsIsExplained) {
  Pair pair = open_pair();
  pair.shake_hands();
  pair.server.feed(random_bytes(100));  // which the server does not like
  pair.server.read();
  EXPECT_TRUE(pair.receive().empty());
  EXPECT_EQ(pair.channel->state(), State::kFailed);
  EXPECT_EQ(pair.channel->fault(), Fault::kAlert);
  EXPECT_FALSE(pair.channel->reason().empty());
}

}  // namespace
}  // namespace nvublk::nvme::tcp
