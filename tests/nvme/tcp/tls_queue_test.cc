// A queue with TLS against a peer that says what the test wants.

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/tcp/memory_tls_server.h"
#include "nvme/tcp/queue_client.h"
#include "nvme/tcp/scripted_peer.h"
#include "nvme/tcp/tcp_queue.h"
#include "target/target.h"

namespace nvublk::nvme::tcp {
namespace {

using ::testing::HasSubstr;

class TlsQueueTest : public ::testing::Test {
 protected:
  void make(TransportOptions options) {
    options.tls = psk_of();
    auto transport = make_tcp_transport(options);
    ASSERT_TRUE(transport) << transport.error().text;
    EXPECT_TRUE((*transport)->limits().tls);
    transport_ = std::move(*transport);
    client_ = std::make_unique<QueueClient>(shard_, 16);
    client_->make(*transport_, {.qid = 1, .in_capsule_bytes = 8192});
    client_->connect();
    peer_.accept();
  }
  void make() { make(peer_.options()); }

  /// A TLS record of the queue.
  Bytes receive_record() {
    Bytes record = peer_.receive(5);
    if (record.size() == 5) {
      append(record, peer_.receive(std::to_integer<std::size_t>(record[3]) * 256 +
                                   std::to_integer<std::size_t>(record[4])));
    }
    return record;
  }
  void send_taken() { peer_.send(server_.take()); }
  /// Plain bytes from the queue.
  Bytes receive_data(std::size_t length) {
    Bytes data;
    while (data.size() < length && !peer_.closed()) {
      server_.feed(receive_record());
      append(data, server_.read());
    }
    EXPECT_EQ(data.size(), length);
    return data;
  }
  void send_data(const Bytes& data) {
    server_.write(data);
    send_taken();
  }
  void shake_hands() {
    while (!server_.accept()) {
      send_taken();
      server_.feed(receive_record());
    }
    send_taken();
  }
  void answer_ic_req() {
    receive_data(sizeof(spec::IcReq));
    Bytes answer;
    append(answer, ScriptedPeer::good_answer());
    send_data(answer);
  }
  /// A queue that is connected.
  void connect() {
    make();
    shake_hands();
    answer_ic_req();
    shard_.turn_until([this] { return client_->is_connected() || client_->reason(); });
    ASSERT_TRUE(client_->is_connected()) << client_->reason()->text;
  }
  const Error& ending() {
    shard_.turn_until([this] { return client_->reason().has_value(); });
    return *client_->reason();
  }
  void TearDown() override {
    if (client_) client_->disconnect();
  }

  TestShard shard_;
  ScriptedPeer peer_{shard_};
  MemoryTlsServer server_{{.psk = psk_of()}};
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<QueueClient> client_;
};

TEST_F(TlsQueueTest, ShowsTheStepAndItsDeadline) {
  TransportOptions options = peer_.options();
  options.connect_timeout = seconds(60);
  make(options);
  shard_.turn_until([this] { return std::string(client_->queue().step().name) != "TCP connect"; });
  const StepView step = client_->queue().step();
  EXPECT_STREQ(step.name, "TLS handshake");
  EXPECT_STREQ(step.spec, "TCP 1.1 §3.6.1");
  EXPECT_EQ(step.deadline - step.since, seconds(60));
}

TEST_F(TlsQueueTest, SaysNothingInClearText) {
  connect();
  Bytes data(600, std::byte{0x77});
  client_->submit(command::write(1, 0, 1), data.data(), 512);
  const Bytes record = [&] {
    shard_.turn_until([] { return true; });
    return receive_record();
  }();
  EXPECT_EQ(record[0], std::byte{23});
  EXPECT_EQ(std::ranges::search(record, Bytes(8, std::byte{0x77})).size(), 0u);
  server_.feed(record);
  EXPECT_EQ(server_.read().size(), sizeof(spec::CapsuleCmd) + 512);
}

TEST_F(TlsQueueTest, GivesUpOnAPeerThatSaysNothing) {
  TransportOptions options = peer_.options();
  options.connect_timeout = milliseconds(50);
  make(options);
  EXPECT_EQ(ending().code, ErrorCode::kTimeout);
  EXPECT_EQ(ending().step, "TLS handshake");
  EXPECT_THAT(ending().text, HasSubstr("does it have TLS at this port?"));
}

TEST_F(TlsQueueTest, SaysThatThePeerClosedInTheMiddle) {
  for (const bool half : {false, true}) {
    make();
    const Bytes hello = receive_record();
    if (half) {
      MemoryTlsServer server({.psk = psk_of()});
      server.feed(hello);
      server.accept();
      Bytes answer = server.take();
      answer.resize(answer.size() / 2);
      peer_.send(answer);
    }
    peer_.close();
    EXPECT_EQ(ending().code, ErrorCode::kDisconnected);
    EXPECT_EQ(ending().step, "TLS handshake");
    EXPECT_THAT(ending().text, HasSubstr("closed it at once; does it have TLS at this port, and a "
                                         "key for 'NVMe0R01 nqn.2026-01.io.nvublk:host "));
  }
}

TEST_F(TlsQueueTest, RecognisesAPortThatSpeaksHttp) {
  make();
  receive_record();
  peer_.say("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(ending().code, ErrorCode::kProtocol);
  EXPECT_EQ(ending().step, "TLS handshake");
  EXPECT_THAT(ending().text, HasSubstr("does not speak TLS (it answered \"HTTP/1.1\")"));
}

TEST_F(TlsQueueTest, TellsThePeerWhatItDoesNotLike) {
  make();
  server_.feed(receive_record());
  server_.accept();
  Bytes answer = server_.take();
  answer[answer.size() - 1] ^= std::byte{1};  // of Finished
  peer_.send(answer);
  EXPECT_EQ(ending().code, ErrorCode::kProtocol);
  EXPECT_EQ(ending().step, "TLS handshake");
  const Bytes alert = receive_record();
  ASSERT_EQ(alert.size(), 7u) << "before there are keys for it";
  EXPECT_EQ(alert[0], std::byte{21});
}

TEST_F(TlsQueueTest, TakesDataKeyUpdatesAndTickets) {
  connect();
  Bytes data(100000);
  client_->submit(command::read(1, 0, 25), data.data(), 100000);
  const auto capsule = take<spec::CapsuleCmd>(receive_data(sizeof(spec::CapsuleCmd)));
  ControllerPdus pdus;
  const Bytes payload(data.size(), std::byte{0x3c});
  server_.update_keys(true);
  send_data(pdus.data(capsule.sqe.cid.get(), 0, payload, spec::kPduLastPdu));
  server_.update_keys(false);
  send_data(pdus.response(capsule.sqe.cid.get()));
  shard_.turn_until([this] { return client_->completions().size() == 1 || client_->reason(); });
  ASSERT_FALSE(client_->reason()) << client_->reason()->text;
  EXPECT_EQ(data, payload);

  client_->submit(command::flush(1), nullptr, 0);  // with new keys of its own
  shard_.turn_until([] { return true; });
  server_.feed(receive_record());
  server_.feed(receive_record());
  EXPECT_EQ(server_.read().size(), sizeof(spec::CapsuleCmd));
}

TEST_F(TlsQueueTest, ATamperedRecordEndsTheConnection) {
  connect();
  server_.write(Bytes(100));
  Bytes record = server_.take();
  record[50] ^= std::byte{1};
  peer_.send(record);
  EXPECT_EQ(ending().code, ErrorCode::kProtocol);
  EXPECT_THAT(ending().text, HasSubstr("TLS with " + peer_.endpoint() + " failed: "));
  server_.feed(receive_record());
  server_.read();
  EXPECT_EQ(server_.read_end(), SSL_ERROR_SSL) << "it was told";
}

TEST_F(TlsQueueTest, SaysThatThePeerEndsTls) {
  connect();
  server_.close();
  send_taken();
  EXPECT_EQ(ending().code, ErrorCode::kDisconnected);
  EXPECT_THAT(ending().text, HasSubstr("ended TLS"));
}

TEST_F(TlsQueueTest, NamesAnAlertOfThePeer) {
  connect();
  server_.feed(Bytes(64, std::byte{'x'}));
  server_.read();
  send_taken();
  EXPECT_EQ(ending().code, ErrorCode::kDisconnected);
  EXPECT_THAT(ending().text, HasSubstr("ended TLS with the alert '"));
}

TEST_F(TlsQueueTest, SaysItsLastWordsWhenItDisconnects) {
  connect();
  client_->disconnect();
  server_.feed(receive_record());
  server_.read();
  EXPECT_EQ(server_.read_end(), SSL_ERROR_ZERO_RETURN);
}

TEST_F(TlsQueueTest, TerminatesInTls) {
  connect();
  Bytes nonsense(24);
  nonsense[0] = std::byte{0xee};
  send_data(nonsense);
  const Bytes told = receive_data(sizeof(spec::TermReq) + sizeof(spec::CommonHeader));
  EXPECT_EQ(take<spec::TermReq>(told).ch.type(), spec::PduType::kH2cTermReq);
  EXPECT_EQ(ending().code, ErrorCode::kProtocol);
}

TEST_F(TlsQueueTest, APlainTargetIsToldApart) {
  target::Options options;
  options.listen = {{"127.0.0.1", 0}};
  target::Target target(options);
  ASSERT_TRUE(target.start());
  TransportOptions to = peer_.options();
  to.id.trsvcid = std::to_string(target.port());
  to.tls = psk_of();
  transport_ = make_tcp_transport(to).value();
  client_ = std::make_unique<QueueClient>(shard_, 16);
  client_->make(*transport_, {.qid = 1, .in_capsule_bytes = 8192});
  client_->connect();
  EXPECT_EQ(ending().step, "TLS handshake");
  EXPECT_THAT(ending().text, HasSubstr("does not speak TLS"));
}

}  // namespace
}  // namespace nvublk::nvme::tcp
