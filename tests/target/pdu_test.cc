// PDUs: what the target accepts, how it asks for data, and how it ends a connection.

#include "target/crc32c.h"
#include "target/target_fixture.h"

namespace nvublk::target {
namespace {

using namespace nvme::spec;

using PduTest = TargetTest;

TermReq expect_termination(WireClient& host, FatalErrorStatus fes) {
  const TermReq request = host.receive_termination();
  EXPECT_EQ(request.status(), fes);
  return request;
}

TEST(Crc32c, AgreesWithTheBitwiseDefinitionAndItsCheckValue) {
  const std::string text = "123456789";
  EXPECT_EQ(crc32c(text.data(), text.size()), 0xe3069283u);
  Crc32c pieces;
  pieces.update("1234", 4);
  pieces.update("56789", 5);
  EXPECT_EQ(pieces.value(), 0xe3069283u);
  const ByteVector bytes(5000, 0xa7);
  EXPECT_EQ(crc32c(bytes.data(), bytes.size()), plain_crc32c(bytes));
}

TEST_F(PduTest, InitializationAgreesOnWhatBothWant) {
  Options options = defaults();
  options.cpda = 3;
  options.max_h2c_bytes = 8192;
  options.data_digest = false;
  start(options);
  const IcResp response = client()->initialize({true, true});
  EXPECT_EQ(response.pfv.get(), 0);
  EXPECT_EQ(response.cpda, 3);
  EXPECT_EQ(response.maxh2cdata.get(), 8192u);
  EXPECT_EQ(response.dgst, kHeaderDigestEnable);
}

TEST_F(PduTest, AnotherPduVersionIsRefused) {
  start();
  auto host = client();
  IcReq request;
  request.pfv = std::uint16_t{1};
  host->send_struct(request);
  const TermReq term = expect_termination(*host, FatalErrorStatus::kUnsupportedParameter);
  EXPECT_EQ(term.fei.get(), 8u);
  EXPECT_EQ(term.ch.plen.get(), 24u + 128u);
}

TEST_F(PduTest, AnAlignmentBeyondTheLimitIsRefused) {
  start();
  auto host = client();
  IcReq request;
  request.hpda = 32;
  host->send_struct(request);
  expect_termination(*host, FatalErrorStatus::kInvalidHeaderField);
}

TEST_F(PduTest, ACapsuleBeforeInitializationIsASequenceError) {
  start();
  auto host = client();
  host->send_struct(CapsuleCmd{});
  expect_termination(*host, FatalErrorStatus::kPduSequenceError);
}

TEST_F(PduTest, InitializationTwiceIsASequenceError) {
  start();
  auto host = client();
  host->initialize();
  host->send_struct(IcReq{});
  expect_termination(*host, FatalErrorStatus::kPduSequenceError);
}

TEST_F(PduTest, HttpIsNotNvme) {
  start();
  auto host = client();
  const std::string request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  host->send_raw({reinterpret_cast<const std::uint8_t*>(request.data()), request.size()});
  const TermReq term = expect_termination(*host, FatalErrorStatus::kInvalidHeaderField);
  EXPECT_EQ(term.fei.get(), 0u);
}

struct BadHeader {
  const char* what;
  CommonHeader ch;
  FatalErrorStatus fes;
  std::uint32_t fei;
};

CommonHeader header(PduType type, std::uint8_t flags, std::uint8_t hlen, std::uint8_t pdo,
                    std::uint32_t plen) {
  return {static_cast<std::uint8_t>(type), flags, hlen, pdo, Le32{plen}};
}

TEST_F(PduTest, EveryWrongHeaderIsNamed) {
  start();
  const BadHeader cases[] = {
      {"a type of the controller", header(PduType::kCapsuleResp, 0, 24, 0, 24),
       FatalErrorStatus::kInvalidHeaderField, 0},
      {"an unknown type", header(static_cast<PduType>(0x0a), 0, 24, 0, 24),
       FatalErrorStatus::kInvalidHeaderField, 0},
      {"a wrong HLEN", header(PduType::kCapsuleCmd, 0, 71, 0, 72),
       FatalErrorStatus::kInvalidHeaderField, 2},
      {"a header digest that was not agreed", header(PduType::kCapsuleCmd, 1, 72, 0, 76),
       FatalErrorStatus::kInvalidHeaderField, 1},
      {"a data digest without data", header(PduType::kCapsuleCmd, 2, 72, 0, 72),
       FatalErrorStatus::kInvalidHeaderField, 1},
      {"a PLEN below the header", header(PduType::kCapsuleCmd, 0, 72, 0, 16),
       FatalErrorStatus::kInvalidHeaderField, 4},
      {"data that begins inside the header", header(PduType::kCapsuleCmd, 0, 72, 68, 100),
       FatalErrorStatus::kInvalidHeaderField, 3},
      {"data that is not aligned", header(PduType::kCapsuleCmd, 0, 72, 73, 100),
       FatalErrorStatus::kInvalidHeaderField, 3},
      {"data that begins after the end", header(PduType::kCapsuleCmd, 0, 72, 96, 90),
       FatalErrorStatus::kInvalidHeaderField, 4},
      {"more data than a capsule may hold", header(PduType::kCapsuleCmd, 0, 72, 72, 72 + 8196),
       FatalErrorStatus::kLimitExceeded, 0},
      {"a PDU of 4 GiB", header(PduType::kCapsuleCmd, 0, 72, 72, 0xffffffff),
       FatalErrorStatus::kLimitExceeded, 0},
      {"H2CData without data", header(PduType::kH2cData, 4, 24, 0, 24),
       FatalErrorStatus::kInvalidHeaderField, 4},
      {"a termination request that is too long", header(PduType::kH2cTermReq, 0, 24, 0, 153),
       FatalErrorStatus::kInvalidHeaderField, 4},
  };
  for (const BadHeader& bad : cases) {
    SCOPED_TRACE(bad.what);
    auto host = client();
    host->initialize();
    host->send_struct(bad.ch);
    const TermReq term = expect_termination(*host, bad.fes);
    EXPECT_EQ(term.fei.get(), bad.fei);
  }
  wait_until([&] { return target_->stats().open_connections == 0; });
  EXPECT_EQ(target_->stats().terminations_sent, std::size(cases));
}

TEST_F(PduTest, ATerminationRequestOfTheHostEndsTheConnection) {
  start();
  auto host = client();
  host->initialize();
  TermReq request;
  request.ch = header(PduType::kH2cTermReq, 0, 24, 0, 24);
  request.fes = std::uint16_t{2};
  host->send_struct(request);
  EXPECT_TRUE(host->closed_by_target());
  EXPECT_EQ(target_->stats().terminations_received, 1u);
}

TEST_F(PduTest, AWrongHeaderDigestEndsTheConnection) {
  start();
  auto host = client();
  host->initialize({true, false});
  ByteVector bytes(76);
  const CommonHeader ch = header(PduType::kCapsuleCmd, kPduHdgstf, 72, 0, 76);
  std::memcpy(bytes.data(), &ch, sizeof(ch));
  host->send_raw(bytes);
  expect_termination(*host, FatalErrorStatus::kHeaderDigestError);
  EXPECT_EQ(target_->stats().digest_errors, 1u);
}

TEST_F(PduTest, AWrongDataDigestFailsTheCommandAndNothingElse) {
  start();
  auto control = admin({false, true});
  auto host = queue(1, {false, true});
  CapsuleCmd pdu;
  pdu.sqe = host->io(NvmOpcode::kWrite, 1, 0, 1, 4096);
  pdu.sqe.set_sgl(SglDescriptor::in_capsule(0, 4096));
  pdu.ch = header(PduType::kCapsuleCmd, kPduDdgstf, 72, 72, 72 + 4096 + 4);
  ByteVector bytes(72 + 4096 + 4, 0x11);
  std::memcpy(bytes.data(), &pdu, sizeof(pdu));
  host->send_raw(bytes);
  const CompletionEntry cqe = host->receive_response();
  EXPECT_TRUE(cqe.status().is(GenericStatus::kTransientTransportError));
  EXPECT_FALSE(cqe.status().dnr());
  const Outcome read = host->run(host->io(NvmOpcode::kRead, 1, 0, 1, 4096));
  EXPECT_EQ(read.data, ByteVector(4096, 0)) << "the bad data must not be stored";
}

TEST_F(PduTest, AnswersAreTheSameHoweverTheBytesArrive) {
  start();
  auto control = admin();
  auto host = queue();
  CapsuleCmd pdu;
  pdu.sqe = host->io(NvmOpcode::kWrite, 1, 5, 1, 4096);
  pdu.sqe.set_sgl(SglDescriptor::in_capsule(0, 4096));
  pdu.ch = header(PduType::kCapsuleCmd, 0, 72, 72, 72 + 4096);
  ByteVector bytes(72);
  std::memcpy(bytes.data(), &pdu, sizeof(pdu));
  const ByteVector data = pattern(4096, 9);
  bytes.insert(bytes.end(), data.begin(), data.end());
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = std::min<std::size_t>(at < 80 ? 1 : 777, bytes.size() - at);
    host->send_raw({bytes.data() + at, length});
    at += length;
  }
  EXPECT_TRUE(host->receive_response().status().ok());
  EXPECT_EQ(host->run(host->io(NvmOpcode::kRead, 1, 5, 1, 4096)).data, data);
}

TEST_F(PduTest, DataIsAskedForInPiecesOfTheR2tSize) {
  Options options = defaults();
  options.max_r2t_bytes = 16384;
  options.max_h2c_bytes = 4096;
  start(options);
  auto control = admin();
  auto host = queue();
  const ByteVector data = pattern(10 * 4096, 3);
  const Outcome written = host->run(host->io(NvmOpcode::kWrite, 1, 0, 10, 40960), data);
  EXPECT_TRUE(written.status().ok());
  EXPECT_EQ(written.r2ts, 3u);
  EXPECT_EQ(host->run(host->io(NvmOpcode::kRead, 1, 0, 10, 40960)).data, data);
}

TEST_F(PduTest, DigestsAndAlignmentsInBothDirections) {
  Options options = defaults();
  options.cpda = 31;
  options.c2h_pdu_bytes = 8192;
  start(options);
  auto control = admin();
  auto host = client();
  EXPECT_EQ(host->initialize({true, true}, 31).cpda, 31);
  ASSERT_TRUE(host->connect(1, cntlid_).status().ok());
  const ByteVector data = pattern(5 * 4096, 40);
  EXPECT_TRUE(host->run(host->io(NvmOpcode::kWrite, 1, 1, 5, 20480), data).status().ok());
  const ByteVector small = pattern(4096, 50);
  EXPECT_TRUE(host->run(host->io(NvmOpcode::kWrite, 1, 6, 1, 4096), small, true).status().ok());
  host->send_command(host->io(NvmOpcode::kRead, 1, 1, 5, 20480));
  const auto first = host->receive();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->ch().pdo, 128);
  EXPECT_TRUE(first->ch().has_header_digest());
  EXPECT_TRUE(first->ch().has_data_digest());
  EXPECT_FALSE(first->ch().is_last());
  EXPECT_EQ(first->data.size(), 8192u);
  EXPECT_FALSE(host->receive()->ch().is_last());
  const auto last = host->receive();
  EXPECT_TRUE(last->ch().is_last());
  EXPECT_EQ(last->data, ByteVector(data.begin() + 16384, data.end()));
  EXPECT_EQ(host->run(host->io(NvmOpcode::kRead, 1, 6, 1, 4096)).data, small);
}

/// Has the target send an R2T for a write of two blocks.
R2t solicited(WireClient& host) {
  host.send_command(host.io(NvmOpcode::kWrite, 1, 0, 2, 8192));
  const auto pdu = host.receive();
  EXPECT_EQ(pdu->type(), PduType::kR2t);
  return pdu->as<R2t>();
}

TEST_F(PduTest, H2cDataThatDoesNotAnswerTheR2tEndsTheConnection) {
  Options options = defaults();
  options.max_h2c_bytes = 4096;
  start(options);
  auto control = admin();
  const ByteVector data(4096);
  struct Case {
    const char* what;
    FatalErrorStatus fes;
    std::function<void(WireClient&, R2t)> send;
  };
  const Case cases[] = {
      {"another TTAG", FatalErrorStatus::kInvalidHeaderField,
       [&](WireClient& host, R2t r2t) {
         r2t.ttag = static_cast<std::uint16_t>(r2t.ttag.get() + 1);
         host.send_h2c_data(r2t, 0, data, false);
       }},
      {"another CID", FatalErrorStatus::kInvalidHeaderField,
       [&](WireClient& host, R2t r2t) {
         r2t.cccid = static_cast<std::uint16_t>(r2t.cccid.get() + 1);
         host.send_h2c_data(r2t, 0, data, false);
       }},
      {"a hole", FatalErrorStatus::kDataTransferOutOfRange,
       [&](WireClient& host, R2t r2t) { host.send_h2c_data(r2t, 4096, data, true); }},
      {"LAST_PDU too early", FatalErrorStatus::kInvalidHeaderField,
       [&](WireClient& host, R2t r2t) { host.send_h2c_data(r2t, 0, data, true); }},
      {"no LAST_PDU", FatalErrorStatus::kInvalidHeaderField,
       [&](WireClient& host, R2t r2t) {
         host.send_h2c_data(r2t, 0, data, false);
         host.send_h2c_data(r2t, 4096, data, false);
       }},
      {"more than MAXH2CDATA", FatalErrorStatus::kLimitExceeded,
       [&](WireClient& host, R2t r2t) { host.send_h2c_data(r2t, 0, ByteVector(8192), true); }},
      {"more than was asked for", FatalErrorStatus::kInvalidHeaderField,
       [&](WireClient& host, R2t r2t) {
         host.send_h2c_data(r2t, 0, data, false);
         host.send_h2c_data(r2t, 4096, data, true);
         host.receive_response();
         host.send_h2c_data(r2t, 8192, data, true);
       }},
  };
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.what);
    auto host = queue();
    bad.send(*host, solicited(*host));
    expect_termination(*host, bad.fes);
    host.reset();
    wait_until([&] { return target_->stats().open_connections == 1; });
  }
}

TEST_F(PduTest, MoreCommandsThanEntriesAreNotTaken) {
  start();
  auto host = client();
  host->entries = 2;
  host->initialize();
  ASSERT_TRUE(host->connect(0).status().ok());
  ASSERT_TRUE(host->run(host->property_set(Property::kCc, 0x00460001)).status().ok());
  for (int i = 0; i < 3; i++) host->send_command(host->admin(AdminOpcode::kAsyncEventRequest));
  expect_termination(*host, FatalErrorStatus::kPduSequenceError);
}

TEST_F(PduTest, ACommandIdInUseIsAConflict) {
  start();
  auto host = admin();
  const SubmissionEntry event = host->admin(AdminOpcode::kAsyncEventRequest);
  host->send_command(event);
  host->send_command(event);
  EXPECT_TRUE(host->receive_response().status().is(GenericStatus::kCommandIdConflict));
}

}  // namespace
}  // namespace nvublk::target
