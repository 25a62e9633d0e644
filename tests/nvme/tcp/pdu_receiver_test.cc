#include "nvme/tcp/pdu_receiver.h"

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/tcp/controller_pdus.h"

namespace nvublk::nvme::tcp {
namespace {

using Event = PduReceiver::Event;

TEST(Crc32c, IsTheCastagnoliOne) {
  EXPECT_EQ(crc32c("123456789", 9), 0xe3069283u);
}

TEST(Crc32c, IsTheSameInPiecesAndWhenCopying) {
  const Bytes data = pattern(10000, 3);
  Crc32c pieces;
  pieces.add(data.data(), 1);
  pieces.add(data.data() + 1, 6000);
  Bytes copy(data.size());
  pieces.add_copy(copy.data() + 6001, data.data() + 6001, 3999);
  EXPECT_EQ(pieces.value(), plain_crc32c(data));
  EXPECT_TRUE(std::equal(copy.begin() + 6001, copy.end(), data.begin() + 6001));
}

/// Feeds bytes to a receiver, writes down the events, puts all data into one buffer by offset.
class Feeder {
 public:
  explicit Feeder(const ControllerPdus& pdus, std::size_t buffer_bytes = 8192)
      : receiver_(buffer_bytes), memory_(1 << 20) {
    ConnectionParameters parameters;
    parameters.header_digest = pdus.header_digest;
    parameters.data_digest = pdus.data_digest;
    receiver_.start(parameters);
  }

  void feed(std::span<const std::byte> bytes) {
    while (!bytes.empty() && !failed()) {
      const auto slices = receiver_.receive_slices(PduReceiver::kMinBufferBytes);
      const std::size_t done = fill_slices(slices, bytes);
      ASSERT_GT(done, 0u);
      bytes = bytes.subspan(done);
      receiver_.received(done);
      run();
    }
  }
  void run() {
    for (;;) {
      switch (receiver_.next()) {
        case Event::kNeedMore:
          return;
        case Event::kCapsuleResponse:
          note("response " + std::to_string(receiver_.capsule_response().cqe.cid.get()));
          break;
        case Event::kR2t:
          note("r2t " + std::to_string(receiver_.r2t().cccid.get()) + " " +
               std::to_string(receiver_.r2t().r2tl.get()));
          break;
        case Event::kDataBegin:
          begin_data();
          break;
        case Event::kDataEnd:
          note(std::string("end ") + (receiver_.data_digest_ok() ? "good" : "bad"));
          break;
        case Event::kFault:
          note("fault");
          return;
      }
    }
  }

  bool failed() const { return !events_.empty() && events_.back() == "fault"; }
  const std::vector<std::string>& events() const { return events_; }
  const PduFault& fault() const { return receiver_.fault(); }
  PduReceiver& receiver() { return receiver_; }
  Bytes memory(std::size_t offset, std::size_t length) const {
    return {memory_.begin() + static_cast<std::ptrdiff_t>(offset),
            memory_.begin() + static_cast<std::ptrdiff_t>(offset + length)};
  }
  const std::byte* address(std::size_t offset) const { return memory_.data() + offset; }

 private:
  void note(std::string event) { events_.push_back(std::move(event)); }
  void begin_data() {
    const spec::C2hData pdu = receiver_.c2h_data();
    note("data " + std::to_string(pdu.cccid.get()) + " " + std::to_string(pdu.datal.get()));
    // In two pieces, so that the seam is crossed too.
    std::byte* at = memory_.data() + pdu.datao.get();
    const std::size_t first = pdu.datal.get() / 3;
    pieces_[0] = {at, first};
    pieces_[1] = {at + first, pdu.datal.get() - first};
    receiver_.accept_data(DataCursor(pieces_, 2));
  }

  PduReceiver receiver_;
  Bytes memory_;
  iovec pieces_[2]{};
  std::vector<std::string> events_;
};

/// Every kind of PDU, small and beyond the receiver's buffer.
Bytes conversation(const ControllerPdus& pdus) {
  Bytes bytes;
  append(bytes, pdus.data(1, 0, pattern(300, 1), 0));
  append(bytes, pdus.r2t(2, 7, 0, 4096));
  append(bytes, pdus.data(1, 300, pattern(12, 2), spec::kPduLastPdu));
  append(bytes, pdus.response(1));
  append(bytes, pdus.data(3, 1000, pattern(30000, 3), spec::kPduLastPdu | spec::kPduSuccess));
  append(bytes, pdus.response(2));
  return bytes;
}

const std::vector<std::string> kConversation = {"data 1 300",   "end good", "r2t 2 4096",
                                                "data 1 12",    "end good", "response 1",
                                                "data 3 30000", "end good", "response 2"};

class PduReceiverDigests : public ::testing::TestWithParam<std::pair<bool, bool>> {
 protected:
  ControllerPdus pdus() const { return {GetParam().first, GetParam().second, 8}; }
  static void expect_conversation(const Feeder& feeder) {
    EXPECT_EQ(feeder.events(), kConversation);
    EXPECT_EQ(feeder.memory(0, 300), pattern(300, 1));
    EXPECT_EQ(feeder.memory(300, 12), pattern(12, 2));
    EXPECT_EQ(feeder.memory(1000, 30000), pattern(30000, 3));
  }
};

TEST_P(PduReceiverDigests, TakesAllAtOnce) {
  Feeder feeder(pdus(), 1 << 20);
  feeder.feed(conversation(pdus()));
  expect_conversation(feeder);
}

TEST_P(PduReceiverDigests, TakesOneByteAtATime) {
  Feeder feeder(pdus());
  for (const std::byte byte : conversation(pdus())) {
    feeder.feed(std::span(&byte, 1));
  }
  expect_conversation(feeder);
}

TEST_P(PduReceiverDigests, TakesEverySplit) {
  const Bytes bytes = conversation(pdus());
  for (std::size_t split = 1; split < bytes.size(); split += split < 600 ? 1 : 97) {
    Feeder feeder(pdus());
    feeder.feed(std::span(bytes).first(split));
    feeder.feed(std::span(bytes).subspan(split));
    ASSERT_EQ(feeder.events(), kConversation) << "split at " << split;
    expect_conversation(feeder);
  }
}

INSTANTIATE_TEST_SUITE_P(All, PduReceiverDigests,
                         ::testing::Values(std::pair(false, false), std::pair(true, false),
                                           std::pair(false, true), std::pair(true, true)));

TEST(PduReceiver, ReceivesALargePayloadStraightIntoItsPlace) {
  for (const bool digest : {false, true}) {
    const ControllerPdus pdus{false, digest};
    Feeder feeder(pdus);
    const Bytes bytes = pdus.data(1, 0, pattern(200000, 9), spec::kPduLastPdu);
    feeder.feed(std::span(bytes).first(100));
    const auto slices = feeder.receiver().receive_slices(PduReceiver::kMinBufferBytes);
    ASSERT_EQ(slices.size(), 3u);  // the rest of both pieces, then the buffer
    EXPECT_EQ(slices[0].iov_base, feeder.address(76));
    EXPECT_EQ(slices[0].iov_len + slices[1].iov_len, 200000u - 76);
    EXPECT_EQ(slices[2].iov_len, PduReceiver::kMinBufferBytes);
    feeder.receiver().received(0);
    feeder.feed(std::span(bytes).subspan(100));
    EXPECT_EQ(feeder.events().back(), "end good");
    EXPECT_EQ(feeder.memory(0, 200000), pattern(200000, 9));
  }
}

TEST(PduReceiver, TakesAnyPadAndGoesOnAfterABadDataDigest) {
  const ControllerPdus pdus{true, true, 100};
  Feeder feeder(pdus);
  feeder.feed(pdus.data(4, 0, pattern(64, 1), spec::kPduLastPdu, true));
  feeder.feed(pdus.data(5, 64, pattern(64, 2), spec::kPduLastPdu));
  const std::vector<std::string> expected = {"data 4 64", "end bad", "data 5 64", "end good"};
  EXPECT_EQ(feeder.events(), expected);
}

TEST(PduReceiver, RefusesABadHeaderDigest) {
  const ControllerPdus pdus{true, false};
  Bytes bytes = pdus.response(1);
  bytes[24] ^= std::byte{1};
  Feeder feeder(pdus);
  feeder.feed(bytes);
  EXPECT_TRUE(feeder.failed());
  EXPECT_EQ(feeder.fault().reason, PduFaultReason::kHeaderDigest);
  const spec::TermReq request = make_termination_request(feeder.fault());
  EXPECT_EQ(request.status(), spec::FatalErrorStatus::kHeaderDigestError);
  EXPECT_EQ(request.fei.get(), take<Le32>(bytes, 24).get());
}

TEST(PduReceiver, ReadsTerminationRequests) {
  Feeder feeder(ControllerPdus{true, true});  // they never have digests
  feeder.feed(ControllerPdus::termination(spec::FatalErrorStatus::kInvalidHeaderField, 3, 72));
  EXPECT_EQ(feeder.fault().reason, PduFaultReason::kTerminated);
  EXPECT_EQ(pdu_fault_text(feeder.fault()),
            "the controller ended the connection: invalid PDU header field (FES 01h) at byte 3 of "
            "what it got");
}

TEST(PduReceiver, StaysFailed) {
  Feeder feeder({});
  Bytes bytes(24);
  feeder.feed(bytes);
  EXPECT_TRUE(feeder.failed());
  EXPECT_EQ(feeder.receiver().next(), Event::kFault);
  EXPECT_EQ(feeder.receiver().next(), Event::kFault);
}

struct Malformed {
  const char* name;
  ControllerPdus pdus;
  spec::PduType type;
  std::function<void(spec::C2hData&)> spoil;  // of any PDU: the fields used lie in the same place
  PduFaultReason reason;
};

class PduReceiverMalformed : public ::testing::TestWithParam<Malformed> {};

TEST_P(PduReceiverMalformed, IsRefusedByItsReason) {
  const Malformed& test = GetParam();
  spec::C2hData pdu = test.pdus.data_header(1, 0, 512, spec::kPduLastPdu);
  if (test.type != spec::PduType::kC2hData) {
    pdu.ch.pdo = 0;
    pdu.ch.flags = test.pdus.header_digest ? spec::kPduHdgstf : 0;
    pdu.ch.plen = test.pdus.header_digest ? 28 : 24;
  }
  pdu.ch.pdu_type = static_cast<std::uint8_t>(test.type);
  test.spoil(pdu);
  Bytes bytes = test.pdus.with_header_digest(pdu);
  bytes.resize(4096);
  Feeder feeder(test.pdus);
  feeder.feed(bytes);
  ASSERT_TRUE(feeder.failed());
  EXPECT_EQ(feeder.fault().reason, test.reason) << pdu_fault_text(feeder.fault());
}

constexpr auto kData = spec::PduType::kC2hData;
constexpr auto kResponse = spec::PduType::kCapsuleResp;
constexpr auto kR2tType = spec::PduType::kR2t;
constexpr auto kTermination = spec::PduType::kC2hTermReq;

const Malformed kMalformed[] = {
    {"TypeOfHost", {}, kData, [](auto& p) { p.ch.pdu_type = 6; }, PduFaultReason::kUnexpectedType},
    {"TypeIcResp", {}, kData, [](auto& p) { p.ch.pdu_type = 1; }, PduFaultReason::kUnexpectedType},
    {"TypeUnknown", {}, kData, [](auto& p) { p.ch.pdu_type = 8; }, PduFaultReason::kUnexpectedType},
    {"HlenShort", {}, kData, [](auto& p) { p.ch.hlen = 23; }, PduFaultReason::kHeaderLength},
    {"HlenZero", {}, kResponse, [](auto& p) { p.ch.hlen = 0; }, PduFaultReason::kHeaderLength},
    {"HlenLong", {}, kR2tType, [](auto& p) { p.ch.hlen = 128; }, PduFaultReason::kHeaderLength},
    {"ResponsePlenLong",
     {},
     kResponse,
     [](auto& p) { p.ch.plen = 25; },
     PduFaultReason::kPduLength},
    {"ResponsePlenShort",
     {},
     kResponse,
     [](auto& p) { p.ch.plen = 8; },
     PduFaultReason::kPduLength},
    {"R2tPlenHuge",
     {},
     kR2tType,
     [](auto& p) { p.ch.plen = 0xffffffff; },
     PduFaultReason::kPduLength},
    {"R2tPlenWithoutDigest",
     {true, false},
     kR2tType,
     [](auto& p) { p.ch.plen = 24; },
     PduFaultReason::kPduLength},
    {"PdoZero", {}, kData, [](auto& p) { p.ch.pdo = 0; }, PduFaultReason::kDataOffsetField},
    {"PdoInHeader", {}, kData, [](auto& p) { p.ch.pdo = 20; }, PduFaultReason::kDataOffsetField},
    {"PdoInDigest",
     {true, false},
     kData,
     [](auto& p) { p.ch.pdo = 24; },
     PduFaultReason::kDataOffsetField},
    {"PdoUnaligned", {}, kData, [](auto& p) { p.ch.pdo = 26; }, PduFaultReason::kDataOffsetField},
    {"PdoNotPlen", {}, kData, [](auto& p) { p.ch.pdo = 28; }, PduFaultReason::kPduLength},
    {"DataPlenShort", {}, kData, [](auto& p) { p.ch.plen = 24 + 511; }, PduFaultReason::kPduLength},
    {"DataPlenLong", {}, kData, [](auto& p) { p.ch.plen = 24 + 513; }, PduFaultReason::kPduLength},
    {"DataPlenWithoutDigest",
     {false, true},
     kData,
     [](auto& p) { p.ch.plen = 24 + 512; },
     PduFaultReason::kPduLength},
    {"DatalZero", {}, kData, [](auto& p) { p.datal = 0; }, PduFaultReason::kNoData},
    {"DatalWrapsPlen",
     {},
     kData,
     [](auto& p) {
       p.datal = 0xffffffff;
       p.ch.plen = 23;
     },
     PduFaultReason::kPduLength},
    {"HeaderDigestMissing",
     {true, false},
     kData,
     [](auto& p) { p.ch.flags &= static_cast<std::uint8_t>(~spec::kPduHdgstf); },
     PduFaultReason::kHeaderDigestFlag},
    {"HeaderDigestNotAskedFor",
     {},
     kResponse,
     [](auto& p) { p.ch.flags |= spec::kPduHdgstf; },
     PduFaultReason::kHeaderDigestFlag},
    {"DataDigestMissing",
     {false, true},
     kData,
     [](auto& p) { p.ch.flags &= static_cast<std::uint8_t>(~spec::kPduDdgstf); },
     PduFaultReason::kDataDigestFlag},
    {"DataDigestNotAskedFor",
     {},
     kData,
     [](auto& p) { p.ch.flags |= spec::kPduDdgstf; },
     PduFaultReason::kDataDigestFlag},
    {"DataDigestOfNoData",
     {},
     kR2tType,
     [](auto& p) { p.ch.flags |= spec::kPduDdgstf; },
     PduFaultReason::kDataDigestFlag},
    {"SuccessWithoutLast",
     {},
     kData,
     [](auto& p) { p.ch.flags = spec::kPduSuccess; },
     PduFaultReason::kSuccessFlag},
    {"TerminationShort",
     {},
     kTermination,
     [](auto& p) { p.ch.plen = 23; },
     PduFaultReason::kPduLength},
    {"TerminationLong",
     {},
     kTermination,
     [](auto& p) { p.ch.plen = 153; },
     PduFaultReason::kPduLength},
};

INSTANTIATE_TEST_SUITE_P(Table, PduReceiverMalformed, ::testing::ValuesIn(kMalformed),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace nvublk::nvme::tcp
