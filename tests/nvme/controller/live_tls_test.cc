// TLS over TCP with nvublk-target in this process: controllers of applications, discovery, resets,
// and every way in which a key may be wrong.

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/initiator.h"
#include "nvme/transport_factory.h"
#include "target/target.h"

namespace nvublk::nvme {
namespace {

using ::testing::HasSubstr;

constexpr char kHost[] = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
constexpr char kKey[] = "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";
constexpr char kLongKey[] =
    "NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:";
constexpr std::uint32_t kBlock = 512;

std::vector<std::byte> random_bytes(std::size_t length) {
  std::mt19937 random(static_cast<unsigned>(length));
  std::vector<std::byte> bytes(length);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

class LiveTlsTest : public testing::Test {
 protected:
  void SetUp() override {
    Shard::Options options;
    options.reactor.mode = IdleMode::kInterrupt;
    auto shard = Shard::adopt_current_thread(options);
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    target_options_.listen = {{"127.0.0.1", 0}};
    target_options_.namespaces = {{.size_bytes = 16 << 20, .block_size = kBlock}};
    set_keys(kKey);
    options_.host.nqn = kHost;
    options_.host.id.bytes[0] = 1;
    options_.ctrl_loss_timeout = seconds(0);
  }
  void TearDown() override {
    initiator_.reset();
    target_.reset();
    shard_.reset();
  }

  void set_keys(const char* text) {
    target_.reset();
    target_options_.tls_key = target::TlsKey::parse(text).value();
    options_.tls_key = TlsKey::parse(text).value();
  }

  TransportId id() {
    if (!target_) {
      target_ = std::make_unique<target::Target>(target_options_);
      const Status started = target_->start();
      EXPECT_TRUE(started) << started.error().text;
    }
    TransportId id;
    id.traddr = "127.0.0.1";
    id.trsvcid = std::to_string(target_->port());
    id.subnqn = target_options_.subnqn;
    EXPECT_TRUE(id.complete());
    return id;
  }
  Result<Controller*> connect() {
    initiator_.reset();
    initiator_ = std::make_unique<Initiator>(*shard_, make_transport, options_);
    return initiator_->connect(id());
  }
  Error failure() {
    const auto controller = connect();
    EXPECT_FALSE(controller);
    return controller ? Error() : controller.error();
  }

  static spec::NvmeStatus run(IoQueuePair& queue, const spec::SubmissionEntry& sqe,
                              std::vector<std::byte>& data) {
    std::optional<spec::NvmeStatus> status;
    iovec piece{data.data(), data.size()};
    IoCommand command;
    command.sqe = sqe;
    command.iov = &piece;
    command.iov_count = 1;
    command.context = &status;
    command.done = [](void* context, spec::NvmeStatus how, const spec::CompletionEntry&) {
      *static_cast<std::optional<spec::NvmeStatus>*>(context) = how;
    };
    EXPECT_EQ(queue.submit(command), 0);
    while (!status && queue.process_completions() >= 0) {
    }
    return status.value_or(spec::NvmeStatus::make(spec::GenericStatus::kInternalError));
  }
  static void write_and_read(IoQueuePair& queue, std::size_t bytes) {
    std::vector<std::byte> written = random_bytes(bytes);
    const auto blocks = static_cast<std::uint32_t>(bytes / kBlock);
    EXPECT_TRUE(run(queue, command::write(1, 3, blocks), written).ok()) << bytes;
    std::vector<std::byte> back(bytes);
    EXPECT_TRUE(run(queue, command::read(1, 3, blocks), back).ok()) << bytes;
    EXPECT_EQ(back, written) << bytes;
  }

  std::unique_ptr<Shard> shard_;
  target::Options target_options_;
  std::unique_ptr<target::Target> target_;
  ControllerOptions options_;
  std::unique_ptr<Initiator> initiator_;
};

TEST_F(LiveTlsTest, MovesDataOfEverySizeWithEveryKey) {
  for (const char* key : {kKey, kLongKey}) {
    for (const unsigned version : {0u, 1u}) {
      for (const bool digests : {false, true}) {
        SCOPED_TRACE(std::string(key, 16) + " " + std::to_string(version));
        set_keys(key);
        options_.tls_identity_version = version;
        options_.transport.header_digest = options_.transport.data_digest = digests;
        const auto controller = connect();
        ASSERT_TRUE(controller) << controller.error().text;
        EXPECT_EQ((*controller)->status().tls_cipher,
                  key == kKey ? "TLS_AES_128_GCM_SHA256" : "TLS_AES_256_GCM_SHA384");
        auto queue = (*controller)->allocate_io_queue_pair();
        ASSERT_TRUE(queue) << queue.error().text;
        for (std::size_t bytes = kBlock; bytes <= 1 << 20; bytes *= 2) {
          write_and_read(**queue, bytes);
        }
        write_and_read(**queue, 37 * kBlock);
      }
    }
  }
}

TEST_F(LiveTlsTest, ManyQueuesResetAndReconnect) {
  const auto controller = connect();
  ASSERT_TRUE(controller) << controller.error().text;
  std::vector<IoQueuePair::Pointer> queues;
  for (int i = 0; i < 4; i++) {
    auto queue = (*controller)->allocate_io_queue_pair();
    ASSERT_TRUE(queue) << queue.error().text;
    queues.push_back(std::move(*queue));
  }
  for (auto& queue : queues) write_and_read(*queue, 65536);
  ASSERT_TRUE(initiator_->reset(**controller));
  for (auto& queue : queues) {
    ASSERT_EQ(queue->reconnect(), 0);
    ASSERT_TRUE(queue->wait_connected());
    write_and_read(*queue, 65536);
  }
}

TEST_F(LiveTlsTest, StatusHasNoKey) {
  const auto controller = connect();
  ASSERT_TRUE(controller) << controller.error().text;
  const ControllerStatus status = (*controller)->status();
  EXPECT_TRUE(status.options.tls_key.empty());
  EXPECT_TRUE(status.options.transport.tls.empty());
}

TEST_F(LiveTlsTest, DiscoveryUsesTlsAndSaysThatItIsRequired) {
  TransportId discovery = id();
  discovery.subnqn = spec::kDiscoveryNqn;
  initiator_ = std::make_unique<Initiator>(*shard_, make_transport, options_);
  std::vector<TransportId> seen;
  ProbeCallbacks callbacks;
  callbacks.probe = [](const TransportId&, ControllerOptions&) { return true; };
  callbacks.attach = [&seen](const TransportId& found, Controller& controller,
                             const ControllerOptions&) {
    seen.push_back(found);
    EXPECT_FALSE(controller.status().tls_cipher.empty());
  };
  const Status attached = initiator_->probe(discovery, std::move(callbacks));
  ASSERT_TRUE(attached) << attached.error().text;
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].subnqn, target_options_.subnqn);
}

TEST_F(LiveTlsTest, SaysWhatIsWrongWithTheKey) {
  options_.tls_key = TlsKey::generate(spec::TlsHash::kSha256).value();
  EXPECT_EQ(failure().code, ErrorCode::kPermission);
  EXPECT_EQ(failure().step, "TLS handshake");
  EXPECT_THAT(failure().text, HasSubstr("is --tls-key the key that the target has"));

  options_.tls_identity_version = 1;  // has a digest of the key
  EXPECT_THAT(failure().text, HasSubstr("it seems to have no key for 'NVMe1R01"));
  options_.tls_identity_version = 0;

  options_.tls_key = TlsKey::parse(kLongKey).value();
  EXPECT_THAT(failure().text, HasSubstr("it seems to have no key for 'NVMe0R02"));

  options_.tls_key = {};
  EXPECT_EQ(failure().code, ErrorCode::kDisconnected);
  EXPECT_THAT(failure().text, HasSubstr("does it want TLS (--tls-key)?"));

  target_.reset();
  target_options_.tls_key = {};
  options_.tls_key = TlsKey::parse(kKey).value();
  EXPECT_THAT(failure().text, HasSubstr("does not speak TLS"));
}

TEST_F(LiveTlsTest, AnotherTransportOrNameIsRefused) {
  options_.transport.id = id();
  const auto transport = transport_options(options_);
  ASSERT_TRUE(transport);
  EXPECT_EQ(transport->tls.identity(),
            std::string("NVMe0R01 ") + kHost + " " + target_options_.subnqn);

  for (const Trtype trtype : {Trtype::kRdma, Trtype::kPcie}) {
    ControllerOptions other = options_;
    other.transport.id.trtype = trtype;
    const auto refused = transport_options(other);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().text, HasSubstr("-t tcp"));
  }

  // A transport that was made without the key is not taken for one with it.
  auto plain = make_transport(options_.transport);
  ASSERT_TRUE(plain);
  ShardSet shards;
  shards.control = shard_.get();
  options_.application_queues = true;
  EXPECT_FALSE(Controller::create(shards, options_, std::move(*plain), nullptr));

  // The key of one host does not serve another.
  ControllerOptions liar = options_;
  liar.host.nqn += "0";
  auto encrypted = make_transport(*transport);
  ASSERT_TRUE(encrypted);
  auto controller = Controller::create(shards, liar, std::move(*encrypted), nullptr);
  ASSERT_TRUE(controller);
  std::optional<Status> result;
  (*controller)->connect([&result](Status status) { result = std::move(status); });
  while (!result) (*controller)->process_admin_completions();
  EXPECT_FALSE(*result);
  EXPECT_EQ(result->error().step, "Fabrics Connect") << result->error().text;
}

}  // namespace
}  // namespace nvublk::nvme
