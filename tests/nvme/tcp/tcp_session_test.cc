#include "nvme/tcp/tcp_session.h"

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/tcp/controller_pdus.h"

namespace nvublk::nvme::tcp {
namespace {

/// A session whose peer is the test.
class TcpSessionTest : public ::testing::Test, protected QueueTransportSink {
 protected:
  static constexpr std::uint32_t kInCapsule = 8192;

  void start(const ConnectionParameters& parameters = {}) {
    pdus_ = {parameters.header_digest, parameters.data_digest};
    session_.start(parameters);
  }

  Request& submit(const spec::SubmissionEntry& sqe, Bytes& data) {
    Request& request = *requests_.acquire();
    request.sqe = sqe;
    request.set_data(data.data(), static_cast<std::uint32_t>(data.size()));
    session_.submit(request);
    return request;
  }
  Request& submit_read(Bytes& data) { return submit(command::read(1, 0, 1), data); }
  Request& submit_write(Bytes& data) { return submit(command::write(1, 0, 1), data); }
  Request& submit_flush() {
    Request& request = *requests_.acquire();
    request.sqe = command::flush(1);
    request.set_no_data();
    session_.submit(request);
    return request;
  }

  /// What is to be sent now, in one piece; reported as sent unless told otherwise.
  Bytes build(bool report = true) {
    Bytes bytes;
    for (const iovec& slice : session_.build_send()) {
      const auto* from = static_cast<const std::byte*>(slice.iov_base);
      bytes.insert(bytes.end(), from, from + slice.iov_len);
    }
    if (report) session_.sent(bytes.size());
    return bytes;
  }
  Bytes build_all() {
    Bytes bytes;
    while (session_.has_work()) append(bytes, build());
    return bytes;
  }

  std::optional<PduFault> receive(const Bytes& bytes) {
    std::span<const std::byte> rest(bytes);
    while (!rest.empty()) {
      const std::size_t done = fill_slices(session_.receive_slices(), rest);
      rest = rest.subspan(done);
      if (auto fault = session_.received(done)) return fault;
      if (stop_at_completion_) return std::nullopt;
    }
    return std::nullopt;
  }
  void expect_fault(const Bytes& bytes, PduFaultReason reason) {
    const auto fault = receive(bytes);
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->reason, reason) << pdu_fault_text(*fault);
  }

  void on_connected() override {}
  void on_disconnected(Error) override {}
  void on_completion(const spec::CompletionEntry& entry) override {
    Request* request = requests_.find(entry.cid.get());
    ASSERT_NE(request, nullptr);
    requests_.release(*request);
    completions_.push_back(entry);
    if (stop_at_completion_) session_.stop();
  }

  RequestTable requests_{16};
  TcpSession session_{{.qid = 1, .in_capsule_bytes = kInCapsule}, requests_, *this};
  ControllerPdus pdus_;
  std::vector<spec::CompletionEntry> completions_;
  bool stop_at_completion_ = false;
};

ConnectionParameters with_digests() {
  ConnectionParameters parameters;
  parameters.header_digest = true;
  parameters.data_digest = true;
  return parameters;
}

// --- Sending

TEST_F(TcpSessionTest, GathersCapsulesIntoOneSend) {
  start();
  Bytes data(4096);
  for (int i = 0; i < 5; i++) submit_read(data);
  EXPECT_EQ(session_.build_send().size(), 1u);  // headers lie side by side
  const Bytes bytes = build();
  ASSERT_EQ(bytes.size(), 5 * 72u);
  for (std::size_t i = 0; i < 5; i++) {
    const auto pdu = take<spec::CapsuleCmd>(bytes, i * 72);
    EXPECT_EQ(pdu.ch.type(), spec::PduType::kCapsuleCmd);
    EXPECT_EQ(pdu.ch.hlen, 72);
    EXPECT_EQ(pdu.ch.pdo, 0);
    EXPECT_EQ(pdu.ch.plen.get(), 72u);
    EXPECT_EQ(pdu.sqe.cid.get(), requests_.at(static_cast<std::uint32_t>(i)).cid);
    EXPECT_EQ(pdu.sqe.sgl(), spec::SglDescriptor::transport(4096));
    EXPECT_EQ(pdu.sqe.psdt(), spec::Psdt::kSglContiguousMetadata);
  }
  EXPECT_FALSE(session_.has_work());
  EXPECT_TRUE(build().empty());
}

TEST_F(TcpSessionTest, SendsSmallWritesInTheCapsuleWithDigestsAndPad) {
  ConnectionParameters parameters = with_digests();
  parameters.data_alignment_bytes = 128;
  start(parameters);
  Bytes data = pattern(kInCapsule, 1);
  submit_write(data);
  const Bytes bytes = build();
  const auto pdu = take<spec::CapsuleCmd>(bytes);
  EXPECT_EQ(pdu.ch.flags, spec::kPduHdgstf | spec::kPduDdgstf);
  EXPECT_EQ(pdu.ch.pdo, 128);
  EXPECT_EQ(pdu.ch.plen.get(), 128u + kInCapsule + 4);
  ASSERT_EQ(bytes.size(), pdu.ch.plen.get());
  EXPECT_EQ(pdu.sqe.sgl(), spec::SglDescriptor::in_capsule(0, kInCapsule));
  EXPECT_EQ(take<Le32>(bytes, 72).get(), plain_crc32c(std::span(bytes).first(72)));
  EXPECT_EQ(Bytes(bytes.begin() + 76, bytes.begin() + 128), Bytes(52));
  EXPECT_EQ(Bytes(bytes.begin() + 128, bytes.end() - 4), data);
  EXPECT_EQ(take<Le32>(bytes, bytes.size() - 4).get(), plain_crc32c(data));
}

TEST_F(TcpSessionTest, SendsFabricsDataInTheCapsuleWhateverTheQueue) {
  start();
  Bytes data(8192);
  submit(command::fabrics_connect({.qid = 1, .queue_entries = 17}), data);
  EXPECT_EQ(build().size(), 72u + 8192);
}

TEST_F(TcpSessionTest, SendsNoDataPointerWithoutData) {
  start();
  submit_flush();
  EXPECT_EQ(take<spec::CapsuleCmd>(build()).sqe.sgl(), spec::SglDescriptor::transport(0));
}

TEST_F(TcpSessionTest, AnswersAnR2tInPiecesOfMaxH2cData) {
  ConnectionParameters parameters = with_digests();
  parameters.max_h2c_data_bytes = 4096;
  parameters.data_alignment_bytes = 16;
  start(parameters);
  Bytes data = pattern(10000, 5);
  const std::uint16_t cid = submit_write(data).cid;
  const Bytes capsule = build();
  EXPECT_EQ(capsule.size(), 76u);
  EXPECT_EQ(take<spec::CapsuleCmd>(capsule).sqe.sgl(), spec::SglDescriptor::transport(10000));
  ASSERT_FALSE(receive(pdus_.r2t(cid, 0x55, 0, 9000)));
  ASSERT_TRUE(session_.has_work());
  Bytes bytes = build_all();
  ASSERT_FALSE(receive(pdus_.r2t(cid, 0x56, 9000, 1000)));
  append(bytes, build_all());
  Bytes received;
  const std::vector<std::uint32_t> lengths = {4096, 4096, 808, 1000};
  for (std::size_t i = 0; i < 4; i++) {
    const auto pdu = take<spec::H2cData>(bytes);
    EXPECT_EQ(pdu.ch.type(), spec::PduType::kH2cData);
    EXPECT_EQ(pdu.cccid.get(), cid);
    EXPECT_EQ(pdu.ttag.get(), i < 3 ? 0x55 : 0x56);
    EXPECT_EQ(pdu.datao.get(), received.size());
    EXPECT_EQ(pdu.datal.get(), lengths[i]);
    EXPECT_EQ(pdu.ch.is_last(), i >= 2) << i;
    EXPECT_EQ(pdu.ch.pdo, 32);
    ASSERT_EQ(pdu.ch.plen.get(), 32 + lengths[i] + 4);
    EXPECT_EQ(take<Le32>(bytes, 24).get(), plain_crc32c(std::span(bytes).first(24)));
    const Bytes piece(bytes.begin() + 32, bytes.begin() + 32 + lengths[i]);
    EXPECT_EQ(take<Le32>(bytes, 32 + lengths[i]).get(), plain_crc32c(piece));
    append(received, piece);
    bytes.erase(bytes.begin(), bytes.begin() + 36 + lengths[i]);
  }
  EXPECT_TRUE(bytes.empty());
  EXPECT_EQ(received, data);
  ASSERT_FALSE(receive(pdus_.response(cid)));
  EXPECT_EQ(completions_.size(), 1u);
}

TEST_F(TcpSessionTest, PutsUpWithOneR2tTooEarlyButNotTwo) {
  start();
  Bytes data = pattern(65536, 5);
  const std::uint16_t cid = submit_write(data).cid;
  build();
  ASSERT_FALSE(receive(pdus_.r2t(cid, 1, 0, 20000)));
  ASSERT_FALSE(receive(pdus_.r2t(cid, 2, 20000, 20000)));
  expect_fault(pdus_.r2t(cid, 3, 40000, 20000), PduFaultReason::kR2tLimit);
}

TEST_F(TcpSessionTest, SendsTheSameBytesHoweverLittleTheSocketTakes) {
  Bytes streams[2];
  for (const bool bytewise : {false, true}) {
    RequestTable requests(16);
    TcpSession session({.qid = 1, .in_capsule_bytes = kInCapsule}, requests, *this);
    ConnectionParameters parameters = with_digests();
    session.start(parameters);
    Bytes data = pattern(3000, 8);
    std::vector<iovec> pieces;
    for (std::size_t at = 0; at < data.size(); at += 2) pieces.push_back({data.data() + at, 2});
    for (int i = 0; i < 3; i++) {  // 1500 pieces each: more than one send takes
      Request& request = *requests.acquire();
      request.sqe = command::write(1, 0, 1);
      request.iov = pieces.data();
      request.iov_count = static_cast<std::uint32_t>(pieces.size());
      request.length_bytes = 3000;
      session.submit(request);
    }
    while (session.has_work()) {
      const auto slices = session.build_send();
      ASSERT_FALSE(slices.empty());
      std::size_t sent = 0;
      for (const iovec& slice : slices) {
        const auto* from = static_cast<const std::byte*>(slice.iov_base);
        const std::size_t step = bytewise ? 1 : slice.iov_len;
        streams[bytewise].insert(streams[bytewise].end(), from, from + step);
        sent += step;
        if (bytewise) break;
      }
      session.sent(sent);
    }
  }
  EXPECT_EQ(streams[0].size(), 3 * (76u + 3000 + 4));
  EXPECT_EQ(streams[0], streams[1]);
}

// --- Completions

TEST_F(TcpSessionTest, HoldsACompletionWhileTheKernelMayReadTheData) {
  start();
  Bytes data(512);
  const std::uint16_t cid = submit_write(data).cid;
  const std::size_t bytes = build(false).size();
  ASSERT_FALSE(receive(pdus_.response(cid)));
  session_.sent(bytes - 1);
  EXPECT_TRUE(completions_.empty());
  ASSERT_EQ(session_.build_send().size(), 1u);
  session_.sent(1);
  ASSERT_EQ(completions_.size(), 1u);
  EXPECT_EQ(completions_[0].cid.get(), cid);
}

TEST_F(TcpSessionTest, RefusesASecondCompletionOfAHeldOne) {
  start();
  Bytes data(512);
  const std::uint16_t cid = submit_write(data).cid;
  build(false);
  ASSERT_FALSE(receive(pdus_.response(cid)));
  expect_fault(pdus_.response(cid), PduFaultReason::kUnknownCommand);
}

TEST_F(TcpSessionTest, RefusesAnswersToWhatWasNotSent) {
  start();
  Bytes data(512);
  const std::uint16_t cid = submit_write(data).cid;
  expect_fault(pdus_.response(cid), PduFaultReason::kCommandNotSent);
}

TEST_F(TcpSessionTest, FinishesAnR2tBeforeAnEarlyErrorCompletes) {
  ConnectionParameters parameters;
  start(parameters);
  Bytes data = pattern(20000, 1);
  const std::uint16_t cid = submit_write(data).cid;
  build();
  ASSERT_FALSE(receive(pdus_.r2t(cid, 9, 0, 20000)));
  const auto status = spec::NvmeStatus::make(spec::GenericStatus::kInternalError);
  ASSERT_FALSE(receive(pdus_.response(cid, status)));
  EXPECT_TRUE(completions_.empty());
  EXPECT_EQ(build_all().size(), 20000 + 5 * 24u);
  ASSERT_EQ(completions_.size(), 1u);
  EXPECT_EQ(completions_[0].status(), status);
}

TEST_F(TcpSessionTest, CompletesReadsByResponseOrBySuccessFlag) {
  start(with_digests());
  Bytes first(4096);
  Bytes second(100000);
  const std::uint16_t first_cid = submit_read(first).cid;
  const std::uint16_t second_cid = submit_read(second).cid;
  build();
  const Bytes payload = pattern(100000, 4);
  Bytes bytes = pdus_.data(first_cid, 0, pattern(4000, 1), 0);
  append(bytes, pdus_.data(second_cid, 0, Bytes(payload.begin(), payload.begin() + 60000), 0));
  append(bytes, pdus_.data(first_cid, 4000, pattern(96, 2), spec::kPduLastPdu));
  append(bytes, pdus_.data(second_cid, 60000, Bytes(payload.begin() + 60000, payload.end()),
                           spec::kPduLastPdu | spec::kPduSuccess));
  append(bytes, pdus_.response(first_cid, {}, 0x1234567890));
  ASSERT_FALSE(receive(bytes));
  ASSERT_EQ(completions_.size(), 2u);
  EXPECT_EQ(completions_[0].cid.get(), second_cid);
  EXPECT_TRUE(completions_[0].status().ok());
  EXPECT_EQ(completions_[1].cid.get(), first_cid);
  EXPECT_EQ(completions_[1].result(), 0x1234567890u);
  EXPECT_EQ(second, payload);
  Bytes expected = pattern(4000, 1);
  append(expected, pattern(96, 2));
  EXPECT_EQ(first, expected);
}

TEST_F(TcpSessionTest, TurnsABadDataDigestIntoATransientTransportError) {
  start(with_digests());
  Bytes data(512);
  const std::uint16_t first = submit_read(data).cid;
  const std::uint16_t second = submit_read(data).cid;
  const std::uint16_t third = submit_read(data).cid;
  build();
  constexpr std::uint8_t kLast = spec::kPduLastPdu;
  Bytes bytes = pdus_.data(first, 0, Bytes(512), kLast | spec::kPduSuccess, true);
  append(bytes, pdus_.data(second, 0, Bytes(256), 0, true));
  append(bytes, pdus_.data(second, 256, Bytes(256), kLast));
  append(bytes, pdus_.response(second));
  append(bytes, pdus_.data(third, 0, Bytes(512), kLast | spec::kPduSuccess));
  ASSERT_FALSE(receive(bytes));
  ASSERT_EQ(completions_.size(), 3u);
  EXPECT_TRUE(completions_[0].status().is(spec::GenericStatus::kTransientTransportError));
  EXPECT_TRUE(completions_[1].status().is(spec::GenericStatus::kTransientTransportError));
  EXPECT_TRUE(completions_[2].status().ok());
}

TEST_F(TcpSessionTest, LetsAFailedReadBeIncomplete) {
  start();
  Bytes data(512);
  const std::uint16_t cid = submit_read(data).cid;
  build();
  const auto status = spec::NvmeStatus::make(spec::MediaStatus::kUnrecoveredReadError);
  Bytes bytes = pdus_.data(cid, 0, Bytes(256), 0);
  append(bytes, pdus_.response(cid, status));
  ASSERT_FALSE(receive(bytes));
  ASSERT_EQ(completions_.size(), 1u);
  EXPECT_EQ(completions_[0].status(), status);
}

// [Base 2.1 §7.8] The whole structure is transferred then, and nothing more.
TEST_F(TcpSessionTest, LetsAStructureBeShorterThanItsBuffer) {
  start();
  spec::SubmissionEntry report;
  report.opcode = static_cast<std::uint8_t>(spec::NvmOpcode::kReservationReport);
  Bytes data(512, std::byte{0xee});
  const std::uint16_t last = submit(report, data).cid;
  const std::uint16_t success = submit(report, data).cid;
  const std::uint16_t none = submit(report, data).cid;
  build();
  Bytes bytes = pdus_.data(last, 0, Bytes(32, std::byte{1}), spec::kPduLastPdu);
  append(bytes, pdus_.response(last));
  append(bytes,
         pdus_.data(success, 0, Bytes(24, std::byte{1}), spec::kPduLastPdu | spec::kPduSuccess));
  append(bytes, pdus_.response(none));
  ASSERT_FALSE(receive(bytes));
  ASSERT_EQ(completions_.size(), 3u);
  for (const auto& entry : completions_) EXPECT_TRUE(entry.status().ok());
  EXPECT_EQ(data[31], std::byte{1});
  EXPECT_EQ(data[32], std::byte{0xee}) << "what was not sent stays";
}

TEST_F(TcpSessionTest, DeliversNothingAfterStop) {
  start();
  const std::uint16_t first = submit_flush().cid;
  const std::uint16_t second = submit_flush().cid;
  build();
  stop_at_completion_ = true;
  Bytes bytes = pdus_.response(first);
  append(bytes, pdus_.response(second));
  ASSERT_FALSE(receive(bytes));
  EXPECT_EQ(completions_.size(), 1u);
}

// --- What a controller must not do

struct Hostile {
  const char* name;
  std::function<Bytes(const ControllerPdus&, std::uint16_t read, std::uint16_t write,
                      std::uint16_t small, std::uint16_t flush)>
      bytes;
  PduFaultReason reason;
};

class TcpSessionHostile : public TcpSessionTest, public ::testing::WithParamInterface<Hostile> {};

// Outstanding: a read of 4096 bytes, a write of 65536 by R2T, a write of 512 in its capsule, a
// flush.
TEST_P(TcpSessionHostile, IsRefusedByItsReason) {
  start();
  Bytes read(4096);
  Bytes write(65536);
  Bytes small(512);
  const std::uint16_t read_cid = submit_read(read).cid;
  const std::uint16_t write_cid = submit_write(write).cid;
  const std::uint16_t small_cid = submit_write(small).cid;
  const std::uint16_t flush_cid = submit_flush().cid;
  build();
  expect_fault(GetParam().bytes(pdus_, read_cid, write_cid, small_cid, flush_cid),
               GetParam().reason);
  EXPECT_TRUE(completions_.empty());
}

using Cid = std::uint16_t;
using Pdus = const ControllerPdus&;
constexpr std::uint8_t kLast = spec::kPduLastPdu;

const Hostile kHostile[] = {
    {"ResponseToNothing", [](Pdus p, Cid, Cid, Cid, Cid) { return p.response(0xfffe); },
     PduFaultReason::kUnknownCommand},
    {"ResponseToAFreeSlot",
     [](Pdus p, Cid, Cid, Cid, Cid f) { return p.response(static_cast<Cid>(f + 1)); },
     PduFaultReason::kUnknownCommand},
    {"ResponseOfAnotherGeneration",
     [](Pdus p, Cid r, Cid, Cid, Cid) { return p.response(static_cast<Cid>(r + 16)); },
     PduFaultReason::kUnknownCommand},
    {"ReadWithoutData", [](Pdus p, Cid r, Cid, Cid, Cid) { return p.response(r); },
     PduFaultReason::kDataMissing},
    {"ReadWithHalfTheData",
     [](Pdus p, Cid r, Cid, Cid, Cid) {
       Bytes bytes = p.data(r, 0, Bytes(2048), 0);
       append(bytes, p.response(r));
       return bytes;
     },
     PduFaultReason::kDataMissing},
    {"WriteWithoutData", [](Pdus p, Cid, Cid w, Cid, Cid) { return p.response(w); },
     PduFaultReason::kDataMissing},
    {"DataOfNothing", [](Pdus p, Cid, Cid, Cid, Cid) { return p.data(0xfffe, 0, Bytes(8), 0); },
     PduFaultReason::kUnknownCommand},
    {"DataOfAWrite", [](Pdus p, Cid, Cid w, Cid, Cid) { return p.data(w, 0, Bytes(8), 0); },
     PduFaultReason::kWrongDirection},
    {"DataOfAFlush", [](Pdus p, Cid, Cid, Cid, Cid f) { return p.data(f, 0, Bytes(8), 0); },
     PduFaultReason::kWrongDirection},
    {"DataWithAGap", [](Pdus p, Cid r, Cid, Cid, Cid) { return p.data(r, 8, Bytes(8), 0); },
     PduFaultReason::kDataOrder},
    {"DataTwice",
     [](Pdus p, Cid r, Cid, Cid, Cid) {
       Bytes bytes = p.data(r, 0, Bytes(8), 0);
       append(bytes, p.data(r, 0, Bytes(8), 0));
       return bytes;
     },
     PduFaultReason::kDataOrder},
    {"DataBeyondTheEnd",
     [](Pdus p, Cid r, Cid, Cid, Cid) { return p.data(r, 0, Bytes(4100), kLast); },
     PduFaultReason::kDataRange},
    {"DataThatWraps",
     [](Pdus p, Cid r, Cid, Cid, Cid) {
       Bytes bytes = p.data(r, 0, Bytes(4092), 0);
       spec::C2hData pdu = p.data_header(r, 4092, 0, 0);
       pdu.datal = 0xffffffff - 24;
       pdu.ch.plen = 0xffffffff;
       append(bytes, p.with_header_digest(pdu));
       return bytes;
     },
     PduFaultReason::kDataRange},
    {"DataAfterTheLast",
     [](Pdus p, Cid r, Cid, Cid, Cid) {
       Bytes bytes = p.data(r, 0, Bytes(4096), kLast);
       append(bytes, p.data(r, 4096, Bytes(4), kLast));
       return bytes;
     },
     PduFaultReason::kDataOrder},
    {"LastTooEarly", [](Pdus p, Cid r, Cid, Cid, Cid) { return p.data(r, 0, Bytes(8), kLast); },
     PduFaultReason::kLastFlag},
    {"LastForgotten", [](Pdus p, Cid r, Cid, Cid, Cid) { return p.data(r, 0, Bytes(4096), 0); },
     PduFaultReason::kLastFlag},
    {"R2tOfNothing", [](Pdus p, Cid, Cid, Cid, Cid) { return p.r2t(0xfffe, 0, 0, 8); },
     PduFaultReason::kUnknownCommand},
    {"R2tOfARead", [](Pdus p, Cid r, Cid, Cid, Cid) { return p.r2t(r, 0, 0, 8); },
     PduFaultReason::kWrongDirection},
    {"R2tOfAFlush", [](Pdus p, Cid, Cid, Cid, Cid f) { return p.r2t(f, 0, 0, 8); },
     PduFaultReason::kWrongDirection},
    {"R2tOfDataInTheCapsule", [](Pdus p, Cid, Cid, Cid s, Cid) { return p.r2t(s, 0, 0, 512); },
     PduFaultReason::kR2tInCapsule},
    {"R2tOfNoData", [](Pdus p, Cid, Cid w, Cid, Cid) { return p.r2t(w, 0, 0, 0); },
     PduFaultReason::kR2tEmpty},
    {"R2tWithAGap", [](Pdus p, Cid, Cid w, Cid, Cid) { return p.r2t(w, 0, 4096, 4096); },
     PduFaultReason::kR2tOrder},
    {"R2tTwice",
     [](Pdus p, Cid, Cid w, Cid, Cid) {
       Bytes bytes = p.r2t(w, 0, 0, 4096);
       append(bytes, p.r2t(w, 0, 0, 4096));
       return bytes;
     },
     PduFaultReason::kR2tOrder},
    {"R2tBeyondTheEnd", [](Pdus p, Cid, Cid w, Cid, Cid) { return p.r2t(w, 0, 0, 65537); },
     PduFaultReason::kR2tRange},
    {"R2tThatWraps",
     [](Pdus p, Cid, Cid w, Cid, Cid) {
       Bytes bytes = p.r2t(w, 0, 0, 4096);
       append(bytes, p.r2t(w, 0, 4096, 0xffffffff));
       return bytes;
     },
     PduFaultReason::kR2tRange},
    {"Termination",
     [](Pdus, Cid, Cid, Cid, Cid) {
       return ControllerPdus::termination(spec::FatalErrorStatus::kPduSequenceError, 0);
     },
     PduFaultReason::kTerminated},
};

INSTANTIATE_TEST_SUITE_P(Table, TcpSessionHostile, ::testing::ValuesIn(kHostile),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace nvublk::nvme::tcp
