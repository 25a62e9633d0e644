// NVMe/TCP PDUs: bytes written by hand from the specification.

#include "nvme/spec/tcp_pdu.h"

#include <gtest/gtest.h>

#include "support/hex.h"

namespace nvublk::nvme::spec {
namespace {

using test::bytes_of;
using test::bytes_of_hex;
using test::from_hex;

TEST(TcpPdu, IcReqHasTheBytesOfTheSpecification) {
  IcReq request;
  request.hpda = 3;
  request.dgst = kHeaderDigestEnable | kDataDigestEnable;
  request.maxr2t = 1;
  EXPECT_EQ(bytes_of(request), bytes_of_hex("00 00 80 00 80000000 0000 03 03 01000000 00*112"));
  EXPECT_EQ(request.max_r2t_count(), 2u);
  EXPECT_EQ(pdu_data_alignment_bytes(request.hpda), 16u);
}

TEST(TcpPdu, IcRespIsRead) {
  const auto response = from_hex<IcResp>("01 00 80 00 80000000 0000 1f 02 00000200 00*112");
  EXPECT_EQ(response.ch.type(), PduType::kIcResp);
  EXPECT_EQ(response.ch.hlen, 128);
  EXPECT_EQ(response.pfv.get(), kPduFormatVersion);
  EXPECT_EQ(pdu_data_alignment_bytes(response.cpda), 128u);
  EXPECT_EQ(response.dgst, kDataDigestEnable);
  EXPECT_EQ(response.maxh2cdata.get(), 131072u);
}

TEST(TcpPdu, CapsuleCmdWithInCapsuleDataHasTheBytesOfTheSpecification) {
  CapsuleCmd capsule;
  capsule.ch.pdo = 72;
  capsule.ch.plen = 72 + 512;
  capsule.sqe.opcode = static_cast<std::uint8_t>(NvmOpcode::kWrite);
  capsule.sqe.cid = 0x0102;
  capsule.sqe.nsid = 3;
  capsule.sqe.set_sgl(SglDescriptor::in_capsule(0, 512));
  EXPECT_EQ(bytes_of(capsule), bytes_of_hex("04 00 48 48 48020000"
                                            "01 40 0201 03000000 00*16 "
                                            "00*8 00020000 000000 01 00*24"));
}

TEST(TcpPdu, CapsuleRespIsRead) {
  const auto response =
      from_hex<CapsuleResp>("05 01 18 00 1c000000 01000000 00000000 0a00 0000 ffee 0402");
  EXPECT_EQ(response.ch.type(), PduType::kCapsuleResp);
  EXPECT_TRUE(response.ch.has_header_digest());
  EXPECT_FALSE(response.ch.has_data_digest());
  EXPECT_EQ(response.ch.plen.get(), 28u);
  EXPECT_EQ(response.cqe.cid.get(), 0xeeff);
  EXPECT_EQ(response.cqe.status().code(), 0x102);
}

TEST(TcpPdu, DataPdusHaveTheBytesOfTheSpecification) {
  H2cData out;
  out.ch.flags = kPduDdgstf | kPduLastPdu;
  out.ch.pdo = 24;
  out.ch.plen = 24 + 4096 + 4;
  out.cccid = 0x1122;
  out.ttag = 0x3344;
  out.datao = 8192;
  out.datal = 4096;
  EXPECT_EQ(bytes_of(out), bytes_of_hex("06 06 18 18 1c100000 2211 4433 00200000 00100000 00*4"));

  const auto in = from_hex<C2hData>("07 0c 18 18 18020000 2211 0000 00040000 00020000 00*4");
  EXPECT_TRUE(in.ch.is_last());
  EXPECT_TRUE(in.ch.is_success());
  EXPECT_EQ(in.cccid.get(), 0x1122);
  EXPECT_EQ(in.datao.get(), 1024u);
  EXPECT_EQ(in.datal.get(), 512u);

  const auto r2t = from_hex<R2t>("09 00 18 00 18000000 2211 4433 00100000 00200000 00*4");
  EXPECT_EQ(r2t.ch.type(), PduType::kR2t);
  EXPECT_EQ(r2t.ttag.get(), 0x3344);
  EXPECT_EQ(r2t.r2to.get(), 4096u);
  EXPECT_EQ(r2t.r2tl.get(), 8192u);
}

TEST(TcpPdu, TerminationRequestHasItsInformationUnaligned) {
  const auto term = from_hex<TermReq>("03 00 18 18 98000000 0100 06000000 00*10");
  EXPECT_EQ(term.ch.type(), PduType::kC2hTermReq);
  EXPECT_EQ(term.status(), FatalErrorStatus::kInvalidHeaderField);
  EXPECT_EQ(term.fei.get(), 6u);
  EXPECT_EQ(term.ch.plen.get(), kTermReqMaxBytes);
}

TEST(TcpPdu, HeaderLengthsAreThoseOfTheStructures) {
  EXPECT_EQ(pdu_header_length(PduType::kIcReq), sizeof(IcReq));
  EXPECT_EQ(pdu_header_length(PduType::kIcResp), sizeof(IcResp));
  EXPECT_EQ(pdu_header_length(PduType::kH2cTermReq), sizeof(TermReq));
  EXPECT_EQ(pdu_header_length(PduType::kC2hTermReq), sizeof(TermReq));
  EXPECT_EQ(pdu_header_length(PduType::kCapsuleCmd), sizeof(CapsuleCmd));
  EXPECT_EQ(pdu_header_length(PduType::kCapsuleResp), sizeof(CapsuleResp));
  EXPECT_EQ(pdu_header_length(PduType::kH2cData), sizeof(H2cData));
  EXPECT_EQ(pdu_header_length(PduType::kC2hData), sizeof(C2hData));
  EXPECT_EQ(pdu_header_length(PduType::kR2t), sizeof(R2t));
  EXPECT_EQ(pdu_header_length(static_cast<PduType>(0x08)), 0);
  EXPECT_EQ(pdu_header_length(static_cast<PduType>(0xff)), 0);
}

}  // namespace
}  // namespace nvublk::nvme::spec
