// A queue and its socket against a peer that says what the test wants.

#include "nvme/tcp/tcp_queue.h"

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/tcp/queue_client.h"
#include "nvme/tcp/scripted_peer.h"

namespace nvublk::nvme::tcp {
namespace {

using ::testing::HasSubstr;

class TcpQueueTest : public ::testing::Test {
 protected:
  void make(const TransportOptions& options, std::uint32_t depth = 16) {
    auto transport = make_tcp_transport(options);
    ASSERT_TRUE(transport) << transport.error().text;
    transport_ = std::move(*transport);
    client_ = std::make_unique<QueueClient>(shard_, depth);
    client_->make(*transport_, {.qid = 1, .in_capsule_bytes = 8192});
  }
  void make() { make(peer_.options()); }
  /// A queue that is connected.
  void connect() {
    make();
    client_->connect();
    peer_.handshake();
    shard_.turn_until([this] { return client_->is_connected(); });
  }
  const Error& failure() {
    shard_.turn_until([this] { return client_->reason().has_value(); });
    EXPECT_FALSE(client_->is_connected());
    return *client_->reason();
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
  ControllerPdus pdus_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<QueueClient> client_;
};

TEST_F(TcpQueueTest, SendsAProperIcReq) {
  TransportOptions options = peer_.options();
  options.header_digest = true;
  make(options);
  client_->connect();
  spec::IcResp answer = ScriptedPeer::good_answer();
  answer.dgst = spec::kHeaderDigestEnable;
  const spec::IcReq request = peer_.handshake(answer);
  EXPECT_EQ(request.ch.type(), spec::PduType::kIcReq);
  EXPECT_EQ(request.ch.hlen, 128);
  EXPECT_EQ(request.ch.plen.get(), 128u);
  EXPECT_EQ(request.pfv.get(), 0);
  EXPECT_EQ(request.hpda, 0);
  EXPECT_EQ(request.dgst, spec::kHeaderDigestEnable);
  EXPECT_EQ(request.max_r2t_count(), 1u);
  shard_.turn_until([this] { return client_->is_connected(); });
  EXPECT_STREQ(client_->queue().step().name, "");
}

TEST_F(TcpQueueTest, ShowsWhichStepRuns) {
  TransportOptions options = peer_.options();
  options.connect_timeout = seconds(60);
  make(options);
  EXPECT_STREQ(client_->queue().step().name, "");
  client_->connect();
  EXPECT_STREQ(client_->queue().step().name, "TCP connect");
  shard_.turn_until([this] { return std::string(client_->queue().step().name) == "ICResp"; });
  const StepView step = client_->queue().step();
  EXPECT_STREQ(step.spec, "TCP 1.1 §3.6.2.3");
  EXPECT_EQ(step.deadline - step.since, seconds(60));
}

TEST_F(TcpQueueTest, SaysThatNothingListens) {
  make();
  peer_.stop_listening();
  client_->connect();
  EXPECT_EQ(failure().code, ErrorCode::kUnreachable);
  EXPECT_EQ(failure().step, "TCP connect");
  EXPECT_THAT(failure().text, HasSubstr(peer_.endpoint()));
  EXPECT_THAT(failure().text, HasSubstr("nothing listens there"));
}

TEST_F(TcpQueueTest, SaysThatTheHostAddressIsNotOurs) {
  TransportOptions options = peer_.options();
  options.host_traddr = "192.0.2.1";
  make(options);
  client_->connect();
  EXPECT_EQ(failure().step, "TCP connect");
  EXPECT_EQ(failure().code, ErrorCode::kUnreachable) << failure().text;
}

TEST_F(TcpQueueTest, ConnectsFromAHostAddressInterfaceAndTosWithAnAckTimeout) {
  TransportOptions options = peer_.options();
  options.ack_timeout = 12;
  options.host_traddr = "127.0.0.7";
  options.tos = 0x28;
  make(options);
  client_->connect();
  peer_.handshake();
  shard_.turn_until([this] { return client_->is_connected() || client_->reason(); });
  EXPECT_TRUE(client_->is_connected());
}

// Queue 1, whose port is the first after the admin queue's.
TEST_F(TcpQueueTest, ConnectsFromTheHostPortOfItsQueue) {
  const std::uint16_t free_port = ScriptedPeer(shard_).port();
  TransportOptions options = peer_.options();
  options.host_trsvcid = std::to_string(free_port - 1);
  for (const char* address : {"", "127.0.0.7", "127.0.0.7"}) {
    options.host_traddr = address;
    make(options);
    client_->connect();
    peer_.handshake();
    shard_.turn_until([this] { return client_->is_connected() || client_->reason(); });
    EXPECT_TRUE(client_->is_connected());
    EXPECT_EQ(peer_.client_port(), free_port);
    peer_.close();
    ending();
  }
  options.host_trsvcid = "65535";
  make(options);
  client_->connect();
  EXPECT_EQ(failure().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(failure().text, HasSubstr("source port 65536"));
}

TEST_F(TcpQueueTest, GivesUpOnATargetThatSaysNothing) {
  TransportOptions options = peer_.options();
  options.connect_timeout = milliseconds(50);
  make(options);
  client_->connect();
  peer_.accept();
  EXPECT_EQ(failure().code, ErrorCode::kTimeout);
  EXPECT_EQ(failure().step, "ICResp");
  EXPECT_THAT(failure().text, HasSubstr("accepted the connection, then gave no answer within 50"));
}

TEST_F(TcpQueueTest, GivesUpOnAnAddressThatDoesNotAnswer) {
  ScriptedPeer full(shard_, 0);  // its backlog takes one connection
  TransportOptions options = full.options();
  make(options);
  client_->connect();
  shard_.turn_until([&] { return std::string(client_->queue().step().name) == "ICResp"; });
  const std::unique_ptr<QueueClient> first = std::move(client_);
  const std::unique_ptr<Transport> first_transport = std::move(transport_);
  options.connect_timeout = milliseconds(50);
  make(options);
  client_->connect();
  EXPECT_EQ(failure().code, ErrorCode::kTimeout);
  EXPECT_EQ(failure().step, "TCP connect");
  EXPECT_THAT(failure().text, HasSubstr("no answer within 50 ms from " + full.endpoint()));
  first->disconnect();
}

TEST_F(TcpQueueTest, RecognisesAPortThatSpeaksHttp) {
  make();
  client_->connect();
  peer_.accept();
  peer_.receive(sizeof(spec::IcReq));
  peer_.say("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(failure().code, ErrorCode::kProtocol);
  EXPECT_EQ(failure().text, "the peer at " + peer_.endpoint() +
                                " does not speak NVMe/TCP (it answered \"HTTP/1.1 400 Bad "
                                "Request\")");
}

TEST_F(TcpQueueTest, SaysThatThePeerClosedAtOnce) {
  make();
  client_->connect();
  peer_.accept();
  peer_.receive(sizeof(spec::IcReq));
  peer_.close();
  EXPECT_EQ(failure().code, ErrorCode::kDisconnected);
  EXPECT_EQ(failure().step, "ICResp");
}

TEST_F(TcpQueueTest, DisconnectsInTheMiddleOfConnecting) {
  make();
  client_->connect();
  client_->queue().disconnect(Error::make(ErrorCode::kCancelled, "changed my mind"));
  EXPECT_FALSE(client_->reason());  // never from within the call
  EXPECT_EQ(failure().code, ErrorCode::kCancelled);
  EXPECT_EQ(failure().text, "changed my mind");
}

TEST_F(TcpQueueTest, DisconnectsBeforeItConnects) {
  make();
  client_->queue().disconnect(Error::make(ErrorCode::kCancelled, "never mind"));
  EXPECT_EQ(failure().code, ErrorCode::kCancelled);
}

TEST_F(TcpQueueTest, CompletesAReadThatArrivesInOneByteSends) {
  connect();
  Bytes data(100);
  const std::uint16_t cid = client_->submit(command::read(1, 0, 1), data.data(), 100).cid;
  peer_.receive(sizeof(spec::CapsuleCmd));
  const Bytes answer = pdus_.data(cid, 0, pattern(100, 1), spec::kPduLastPdu | spec::kPduSuccess);
  for (const std::byte byte : answer) peer_.send(std::span(&byte, 1));
  shard_.turn_until([this] { return !client_->completions().empty(); });
  EXPECT_EQ(data, pattern(100, 1));
}

TEST_F(TcpQueueTest, GathersWhatATurnSubmits) {
  connect();
  Bytes data(512);
  const std::uint64_t before = shard_.get().reactor().counters().enters;
  for (int i = 0; i < 16; i++) client_->submit(command::read(1, 0, 1), data.data(), 512);
  shard_.get().reactor().turn(false);
  EXPECT_EQ(shard_.get().reactor().counters().enters - before, 1u);
  EXPECT_EQ(peer_.receive(16 * sizeof(spec::CapsuleCmd)).size(), 16 * sizeof(spec::CapsuleCmd));
}

TEST_F(TcpQueueTest, TellsTheControllerWhatItDidWrong) {
  connect();
  const Bytes wrong = pdus_.response(0x7777);
  peer_.send(wrong);
  const Bytes bytes = peer_.receive(1024);  // to the end of the stream
  EXPECT_TRUE(peer_.closed());
  ASSERT_EQ(bytes.size(), sizeof(spec::TermReq) + 24);
  const auto request = take<spec::TermReq>(bytes);
  EXPECT_EQ(request.ch.type(), spec::PduType::kH2cTermReq);
  EXPECT_EQ(request.ch.plen.get(), bytes.size());
  EXPECT_EQ(request.status(), spec::FatalErrorStatus::kInvalidHeaderField);
  EXPECT_EQ(request.fei.get(), 8u);
  EXPECT_EQ(Bytes(bytes.begin() + 24, bytes.end()), wrong);
  EXPECT_EQ(ending().code, ErrorCode::kProtocol);
  EXPECT_THAT(ending().text, HasSubstr("CapsuleResp for a command that is not outstanding"));
}

TEST_F(TcpQueueTest, SaysWhyTheControllerEndedTheConnection) {
  connect();
  peer_.send(ControllerPdus::termination(spec::FatalErrorStatus::kDataTransferOutOfRange, 0));
  EXPECT_EQ(ending().code, ErrorCode::kDisconnected);
  EXPECT_THAT(ending().text, HasSubstr("ended the connection: data transfer out of range"));
}

TEST_F(TcpQueueTest, SaysWhyEvenWhenTheSendFailedFirst) {
  connect();
  peer_.send(ControllerPdus::termination(spec::FatalErrorStatus::kPduSequenceError, 0));
  peer_.reset();
  Bytes data(512);
  client_->submit(command::write(1, 0, 1), data.data(), 512);
  EXPECT_THAT(ending().text, HasSubstr("PDU sequence error"));
}

TEST_F(TcpQueueTest, ReportsEndAndResetOfTheStream) {
  connect();
  peer_.close();
  EXPECT_EQ(ending().text, peer_.endpoint() + " closed the connection");
  EXPECT_EQ(ending().code, ErrorCode::kDisconnected);
  client_->destroy_queue();
  connect();
  peer_.reset();
  EXPECT_EQ(ending().code, ErrorCode::kDisconnected);
  EXPECT_THAT(ending().text, HasSubstr("reset"));
}

TEST_F(TcpQueueTest, EndsAlthoughThePeerReadsNothing) {
  connect();
  Bytes data(4 << 20);
  const std::uint16_t cid = client_->submit(command::write(1, 0, 1), data.data(), 4 << 20).cid;
  peer_.receive(sizeof(spec::CapsuleCmd));
  peer_.send(pdus_.r2t(cid, 1, 0, 4 << 20));
  for (int i = 0; i < 1000; i++) shard_.get().reactor().turn(false);
  peer_.send(pdus_.response(0x7777));  // its termination request cannot be sent either
  EXPECT_EQ(ending().code, ErrorCode::kProtocol);
}

TEST_F(TcpQueueTest, TakesDisconnectAndSubmitFromWithinACompletion) {
  connect();
  Bytes data(512);
  const std::uint16_t first = client_->submit(command::flush(1), nullptr, 0).cid;
  const std::uint16_t second = client_->submit(command::flush(1), nullptr, 0).cid;
  client_->on_completion_hook = [&](const spec::CompletionEntry&) {
    client_->queue().disconnect(Error::make(ErrorCode::kCancelled, "enough"));
    client_->submit(command::read(1, 0, 1), data.data(), 512);
  };
  peer_.receive(2 * sizeof(spec::CapsuleCmd));
  Bytes bytes = pdus_.response(first);
  append(bytes, pdus_.response(second));
  peer_.send(bytes);
  EXPECT_EQ(ending().text, "enough");
  EXPECT_EQ(client_->completions().size(), 1u);
  EXPECT_EQ(client_->requests().in_use(), 2u);
}

TEST_F(TcpQueueTest, TouchesNoRequestAfterTheEnd) {
  connect();
  auto data = std::make_unique<Bytes>(1 << 20);  // freed below: a sanitizer sees a late write
  const std::uint16_t cid = client_->submit(command::read(1, 0, 1), data->data(), 1 << 20).cid;
  peer_.receive(sizeof(spec::CapsuleCmd));
  const Bytes answer = pdus_.data(cid, 0, Bytes(1 << 20), spec::kPduLastPdu);
  peer_.send(std::span(answer).first(100000));
  for (int i = 0; i < 100; i++) shard_.get().reactor().turn(false);
  client_->disconnect();
  data.reset();
  peer_.send(std::span(answer).subspan(100000));
  for (int i = 0; i < 100; i++) shard_.get().reactor().turn(false);
  EXPECT_TRUE(client_->completions().empty());
}

}  // namespace
}  // namespace nvublk::nvme::tcp
