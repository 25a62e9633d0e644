// Queues against nvublk-target, which shares no code of the transport: plain, and with TLS.

#include "target/target.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/spec/fabrics.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/properties.h"
#include "nvme/tcp/queue_client.h"

namespace nvublk::nvme::tcp {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint32_t kBlock = 4096;
constexpr std::uint64_t kBlocks = 16384;
constexpr std::uint32_t kDepth = 64;
constexpr char kSubnqn[] = "nqn.2026-01.io.nvublk:tcp-test";
constexpr char kHostnqn[] = "nqn.2026-01.io.nvublk:host";
constexpr char kKey[] = "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";
constexpr char kLongKey[] =
    "NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:";
constexpr char kPlainKey[] = "NVMeTLSkey-1:00:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";

Bytes random_bytes(std::size_t length, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(length);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

struct Security {
  const char* name;
  const char* key;  ///< null: plain
  unsigned identity_version;
};

/// An admin queue and one I/O queue on a target of this process.
class TcpTargetTest : public ::testing::TestWithParam<Security> {
 protected:
  static target::Options target_options() {
    target::Options options;
    options.listen = {{"127.0.0.1", 0}};
    options.subnqn = kSubnqn;
    target::NamespaceOptions ns;
    ns.size_bytes = kBlocks * kBlock;
    options.namespaces = {ns};
    return options;
  }

  void start(target::Options target_options, TransportOptions options = {}) {
    if (const char* key = GetParam().key) {
      target_options.tls_key = target::TlsKey::parse(key).value();
      options.tls = TlsKey::parse(key)->psk(kHostnqn, kSubnqn, GetParam().identity_version).value();
    }
    in_capsule_ = target_options.in_capsule_bytes;
    target_ = std::make_unique<target::Target>(target_options);
    const auto started = target_->start();
    ASSERT_TRUE(started) << started.error().text;
    options.id.traddr = "127.0.0.1";
    options.id.trsvcid = std::to_string(target_->port());
    auto transport = make_tcp_transport(options);
    ASSERT_TRUE(transport) << transport.error().text;
    transport_ = std::move(*transport);
    start_admin();
    start_io();
  }

  void TearDown() override {
    if (io_) io_->disconnect();
    if (admin_) admin_->disconnect();
  }

  void connect_fabrics(QueueClient& queue, std::uint16_t qid, std::uint16_t cntlid) {
    spec::ConnectData data;
    data.cntlid = cntlid;
    data.hostid[0] = 1;
    std::ranges::copy(std::string(kSubnqn), data.subnqn.begin());
    std::ranges::copy(std::string(kHostnqn), data.hostnqn.begin());
    const auto sqe = command::fabrics_connect(
        {.qid = qid, .queue_entries = kDepth + 1, .disable_sq_flow_control = true});
    const auto entry = queue.execute(sqe, &data, sizeof(data));
    ASSERT_TRUE(entry) << queue.reason()->text;
    ASSERT_TRUE(entry->status().ok()) << entry->status().bits();
    cntlid_ = spec::ConnectResult::decode(*entry).cntlid;
  }

  void start_admin() {
    admin_ = std::make_unique<QueueClient>(shard_, kDepth);
    admin_->make(*transport_, {.qid = 0, .in_capsule_bytes = spec::kAdminInCapsuleBytes});
    ASSERT_TRUE(admin_->connected()) << admin_->reason()->text;
    connect_fabrics(*admin_, 0, 0xffff);
    spec::Cc cc{};
    cc.set_enabled(true);
    const std::uint32_t value = cc.raw | (6u << 16) | (4u << 20);
    ASSERT_TRUE(admin_->execute(command::property_set(spec::Property::kCc, value)));
  }

  void start_io() {
    io_ = std::make_unique<QueueClient>(shard_, kDepth);
    io_->make(*transport_, {.qid = 1, .in_capsule_bytes = in_capsule_});
    ASSERT_TRUE(io_->connected()) << io_->reason()->text;
    connect_fabrics(*io_, 1, cntlid_);
  }

  void write(std::uint64_t lba, Bytes& data) {
    const auto blocks = static_cast<std::uint32_t>(data.size() / kBlock);
    const auto entry = io_->execute(command::write(1, lba, blocks), data.data(),
                                    static_cast<std::uint32_t>(data.size()));
    ASSERT_TRUE(entry) << io_->reason()->text;
    EXPECT_TRUE(entry->status().ok()) << entry->status().bits();
  }
  Bytes read(std::uint64_t lba, std::size_t length) {
    Bytes data(length);
    const auto blocks = static_cast<std::uint32_t>(length / kBlock);
    const auto entry = io_->execute(command::read(1, lba, blocks), data.data(),
                                    static_cast<std::uint32_t>(length));
    EXPECT_TRUE(entry) << io_->reason()->text;
    EXPECT_TRUE(entry && entry->status().ok());
    return data;
  }

  /// Many writes at once, then many reads at once, of sizes from one block to 64.
  void exercise() {
    std::vector<Bytes> written;
    std::uint64_t lba = 0;
    for (unsigned i = 0; i < kDepth; i++) {
      const std::size_t blocks = 1 + (i * i) % 64;
      written.push_back(random_bytes(blocks * kBlock, i));
      io_->submit(command::write(1, lba, static_cast<std::uint32_t>(blocks)), written.back().data(),
                  static_cast<std::uint32_t>(blocks * kBlock));
      lba += blocks;
    }
    finish();
    std::vector<Bytes> read_back;
    lba = 0;
    for (const Bytes& data : written) {
      read_back.emplace_back(data.size());
    }
    for (Bytes& data : read_back) {
      io_->submit(command::read(1, lba, static_cast<std::uint32_t>(data.size() / kBlock)),
                  data.data(), static_cast<std::uint32_t>(data.size()));
      lba += data.size() / kBlock;
    }
    finish();
    for (unsigned i = 0; i < kDepth; i++) {
      EXPECT_EQ(written[i], read_back[i]) << "of write " << i;
    }
  }

  void finish() {
    shard_.turn_until([this] { return io_->requests().in_use() == 0 || io_->reason(); });
    ASSERT_FALSE(io_->reason()) << io_->reason()->text;
    for (const spec::CompletionEntry& entry : io_->completions()) {
      EXPECT_TRUE(entry.status().ok()) << entry.status().bits();
    }
  }

  TestShard shard_;
  std::unique_ptr<target::Target> target_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<QueueClient> admin_;
  std::unique_ptr<QueueClient> io_;
  std::uint16_t cntlid_ = 0;
  std::uint32_t in_capsule_ = 0;
};

TEST_P(TcpTargetTest, IdentifiesTheController) {
  start(target_options());
  spec::IdentifyController data{};
  const auto entry = admin_->execute(command::identify({.cns = spec::IdentifyCns::kController}),
                                     &data, sizeof(data));
  ASSERT_TRUE(entry);
  EXPECT_TRUE(entry->status().ok());
  EXPECT_EQ(data.cntlid.get(), cntlid_);
}

TEST_P(TcpTargetTest, ReadsWhatItWrote) {
  start(target_options());
  for (const std::size_t blocks : {1u, 2u, 3u, 32u, 256u}) {
    Bytes data = random_bytes(blocks * kBlock, static_cast<unsigned>(blocks));
    write(7, data);
    EXPECT_EQ(read(7, data.size()), data) << blocks << " blocks";
  }
}

TEST_P(TcpTargetTest, KeepsManyCommandsApart) {
  start(target_options());
  exercise();
}

TEST_P(TcpTargetTest, AgreesOnDigests) {
  TransportOptions options;
  options.header_digest = true;
  options.data_digest = true;
  start(target_options(), options);
  exercise();
}

TEST_P(TcpTargetTest, AgreesOnOneDigestOnly) {
  TransportOptions options;
  options.data_digest = true;
  start(target_options(), options);
  exercise();
}

TEST_P(TcpTargetTest, LivesWithSmallPdusAlignmentAndResponseCapsules) {
  target::Options small = target_options();
  small.in_capsule_bytes = 0;
  small.max_h2c_bytes = 4096;
  small.max_r2t_bytes = 12288;
  small.c2h_pdu_bytes = 8192;
  small.cpda = 31;
  small.success_flag = false;
  TransportOptions options;
  options.header_digest = true;
  options.data_digest = true;
  start(small, options);
  exercise();
}

TEST_P(TcpTargetTest, GathersAndScattersData) {
  target::Options options = target_options();
  options.max_h2c_bytes = 65536;
  start(options);
  Bytes data = random_bytes(64 * kBlock, 5);
  std::vector<iovec> pieces;  // more than one send or receive takes, of odd sizes
  for (std::size_t at = 0; at < data.size();) {
    const std::size_t length = std::min<std::size_t>(data.size() - at, at % 3 == 0 ? 101 : 512);
    pieces.push_back({data.data() + at, length});
    at += length;
  }
  io_->submit_pieces(command::write(1, 0, 64), pieces);
  finish();
  const Bytes written = data;
  std::ranges::fill(data, std::byte{0});
  io_->submit_pieces(command::read(1, 0, 64), pieces);
  finish();
  EXPECT_EQ(data, written);
}

TEST_P(TcpTargetTest, HandsErrorsOn) {
  start(target_options());
  Bytes data(kBlock);
  const auto entry = io_->execute(command::read(1, kBlocks, 1), data.data(), kBlock);
  ASSERT_TRUE(entry);
  EXPECT_TRUE(entry->status().is(spec::GenericStatus::kLbaOutOfRange));
  const auto flush = io_->execute(command::flush(1));
  ASSERT_TRUE(flush);
  EXPECT_TRUE(flush->status().ok());
}

TEST_P(TcpTargetTest, SaysThatTheTargetWentAway) {
  start(target_options());
  target_->stop();
  shard_.turn_until([this] { return io_->reason().has_value() && admin_->reason().has_value(); });
  EXPECT_EQ(io_->reason()->code, ErrorCode::kDisconnected) << io_->reason()->text;
}

INSTANTIATE_TEST_SUITE_P(Security, TcpTargetTest,
                         testing::Values(Security{"Plain", nullptr, 0}, Security{"Tls", kKey, 0},
                                         Security{"TlsSha384", kLongKey, 1},
                                         Security{"TlsNoHash", kPlainKey, 1}),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace nvublk::nvme::tcp
