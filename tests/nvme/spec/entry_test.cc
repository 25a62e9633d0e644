// Submission and completion entries, Fabrics commands: bytes written by hand from the
// specification.

#include <gtest/gtest.h>

#include "nvme/spec/async_event.h"
#include "nvme/spec/cqe.h"
#include "nvme/spec/fabrics.h"
#include "nvme/spec/sqe.h"
#include "support/hex.h"

namespace nvublk::nvme::spec {
namespace {

using test::bytes_of;
using test::bytes_of_hex;
using test::from_hex;

TEST(SubmissionEntry, ReadWithTransportSglHasTheBytesOfTheSpecification) {
  SubmissionEntry sqe;
  sqe.opcode = static_cast<std::uint8_t>(NvmOpcode::kRead);
  sqe.cid = 0x1234;
  sqe.nsid = 1;
  sqe.cdw10 = 0x55667788;
  sqe.cdw11 = 0x11223344;
  sqe.cdw12 = 0x40000007;
  sqe.set_sgl(SglDescriptor::transport(4096));
  EXPECT_EQ(bytes_of(sqe), bytes_of_hex("02 40 3412 01000000 00*8 00*8 "
                                        "0000000000000000 00100000 000000 5a"
                                        "88776655 44332211 07000040 00*12"));
}

TEST(SubmissionEntry, InCapsuleSglIsADataBlockAtAnOffset) {
  SubmissionEntry sqe;
  sqe.set_sgl(SglDescriptor::in_capsule(0, 512));
  EXPECT_EQ(sqe.sgl().type(), SglType::kDataBlock);
  EXPECT_EQ(sqe.sgl().subtype(), SglSubtype::kOffset);
  EXPECT_EQ(sqe.psdt(), Psdt::kSglContiguousMetadata);
  EXPECT_EQ(bytes_of(sqe.sgl()), bytes_of_hex("00*8 00020000 000000 01"));
}

TEST(SubmissionEntry, KeyedSglHasA24BitLengthAndTheKeyBehindIt) {
  KeyedSglDescriptor keyed;
  keyed.address = 0x0102030405060708;
  keyed.length = 0x0a0b0c;
  keyed.key = 0xdeadbeef;
  keyed.identifier =
      SglDescriptor::make_identifier(SglType::kKeyedDataBlock, SglSubtype::kInvalidateKey);
  EXPECT_EQ(bytes_of(keyed), bytes_of_hex("0807060504030201 0c0b0a efbeadde 4f"));
  SubmissionEntry sqe;
  sqe.set_sgl(keyed);
  EXPECT_EQ(sqe.keyed_sgl(), keyed);
}

TEST(SubmissionEntry, PrpsClearThePsdtAndKeepTheFuse) {
  SubmissionEntry sqe;
  sqe.set_fuse(Fuse::kSecond);
  sqe.set_sgl(SglDescriptor::transport(1));
  EXPECT_EQ(sqe.flags, 0x42);
  sqe.set_prps(0x1000, 0x2000);
  EXPECT_EQ(sqe.flags, 0x02);
  EXPECT_EQ(sqe.fuse(), Fuse::kSecond);
  EXPECT_EQ(sqe.prps().prp1.get(), 0x1000u);
  EXPECT_EQ(sqe.prps().prp2.get(), 0x2000u);
}

TEST(SubmissionEntry, DirectionComesFromTheOpcodeOrFromTheFabricsType) {
  SubmissionEntry sqe;
  sqe.opcode = static_cast<std::uint8_t>(NvmOpcode::kWrite);
  EXPECT_EQ(sqe.direction(), DataDirection::kHostToController);
  sqe.opcode = static_cast<std::uint8_t>(AdminOpcode::kIdentify);
  EXPECT_EQ(sqe.direction(), DataDirection::kControllerToHost);
  sqe.opcode = static_cast<std::uint8_t>(NvmOpcode::kFlush);
  EXPECT_EQ(sqe.direction(), DataDirection::kNone);
  EXPECT_EQ(as_submission_entry(ConnectCommand{}).direction(), DataDirection::kHostToController);
  EXPECT_EQ(as_submission_entry(PropertyGetCommand{}).direction(), DataDirection::kNone);
  EXPECT_EQ(data_direction(static_cast<std::uint8_t>(NvmOpcode::kWriteZeroes)),
            DataDirection::kNone);
  EXPECT_EQ(data_direction(static_cast<std::uint8_t>(NvmOpcode::kDatasetManagement)),
            DataDirection::kHostToController);
}

TEST(CompletionEntry, SplitsPhaseAndStatus) {
  const auto cqe = from_hex<CompletionEntry>("ddccbbaa 44332211 0500 0100 3412 0341");
  EXPECT_EQ(cqe.dw0.get(), 0xaabbccddu);
  EXPECT_EQ(cqe.result(), 0x11223344aabbccddu);
  EXPECT_EQ(cqe.sqhd.get(), 5);
  EXPECT_EQ(cqe.sqid.get(), 1);
  EXPECT_EQ(cqe.cid.get(), 0x1234);
  EXPECT_TRUE(cqe.phase());
  // 0x4103 >> 1 = 0x2081: code 81h of type 0, with M set.
  EXPECT_EQ(cqe.status().code(), 0x081);
  EXPECT_TRUE(cqe.status().more());
  EXPECT_FALSE(cqe.status().dnr());
}

TEST(CompletionEntry, StatusGoesBackToTheSameBits) {
  CompletionEntry cqe;
  cqe.set_status(NvmeStatus::make(GenericStatus::kInvalidField, true));
  EXPECT_EQ(bytes_of(cqe.status_and_phase), bytes_of_hex("0480"));
  EXPECT_FALSE(cqe.phase());
  cqe.set_result(0x0102030405060708);
  EXPECT_EQ(bytes_of(cqe), bytes_of_hex("0807060504030201 00*6 0480"));
}

TEST(NvmeStatus, HasItsFieldsWhereTheSpecificationPutsThem) {
  const NvmeStatus status = NvmeStatus::from_bits(0x5b82);
  EXPECT_EQ(status.sc(), 0x82);
  EXPECT_EQ(status.sct(), StatusCodeType::kPath);
  EXPECT_EQ(status.crd(), 3);
  EXPECT_FALSE(status.more());
  EXPECT_TRUE(status.dnr());
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(NvmeStatus::from_bits(0x4000).ok()) << "DNR alone is no error";
  EXPECT_TRUE(NvmeStatus::make(MediaStatus::kWriteFault, true).is(MediaStatus::kWriteFault));
  EXPECT_FALSE(NvmeStatus::make(MediaStatus::kWriteFault).is(FabricsStatus::kIncompatibleFormat));
}

TEST(Connect, HasTheBytesOfTheSpecification) {
  ConnectCommand connect;
  connect.cid = 7;
  connect.qid = 2;
  connect.set_queue_entries(128);
  connect.cattr = ConnectCommand::kDisableSqFlowControl;
  connect.kato = 5000;
  connect.sgl = SglDescriptor::in_capsule(0, sizeof(ConnectData));
  EXPECT_EQ(bytes_of(connect), bytes_of_hex("7f 40 0700 01 00*19 "
                                            "00*8 00040000 000000 01"
                                            "0000 0200 7f00 04 00 88130000 00*12"));
  EXPECT_EQ(connect.queue_entries(), 128u);
}

TEST(Connect, ResultAndRefusalAreReadFromDword0) {
  CompletionEntry cqe;
  cqe.dw0 = 0x00020015;
  ConnectResult result = ConnectResult::decode(cqe);
  EXPECT_EQ(result.cntlid, 0x15);
  EXPECT_TRUE(result.authentication_required);
  EXPECT_FALSE(result.secure_channel_concat_required);
  EXPECT_EQ(result.encode(), 0x00020015u);
  cqe.dw0 = 0x00040015;
  EXPECT_TRUE(ConnectResult::decode(cqe).secure_channel_concat_required);

  cqe.dw0 = 0x00010100;  // offset 256 of the data: SUBNQN
  const ConnectInvalidParameter refusal = ConnectInvalidParameter::decode(cqe);
  EXPECT_EQ(refusal.offset_bytes, offsetof(ConnectData, subnqn));
  EXPECT_TRUE(refusal.in_data);
  EXPECT_EQ(refusal.encode(), 0x00010100u);
}

TEST(Property, GetAndSetHaveTheBytesOfTheSpecification) {
  PropertyGetCommand get;
  get.cid = 1;
  get.attrib = 1;
  get.ofst = 0;
  EXPECT_EQ(bytes_of(get), bytes_of_hex("7f 40 0100 04 00*35 01 000000 00000000 00*16"));
  PropertySetCommand set;
  set.cid = 2;
  set.ofst = 0x14;
  set.value = 0x00460001;
  EXPECT_EQ(bytes_of(set), bytes_of_hex("7f 40 0200 00 00*35 00 000000 14000000"
                                        "0100460000000000 00*8"));
  EXPECT_EQ(bytes_of(DisconnectCommand{}), bytes_of_hex("7f 40 0000 08 00*35 0000 00*22"));
}

TEST(AsyncEvent, IsReadFromDword0) {
  CompletionEntry cqe;
  cqe.dw0 = 0x00040002;
  const AsyncEvent changed = AsyncEvent::decode(cqe);
  EXPECT_TRUE(changed.is(AsyncNotice::kNamespaceAttributeChanged));
  EXPECT_EQ(changed.log_page, 0x04);
  cqe.dw0 = 0x0070f002;
  const AsyncEvent discovery = AsyncEvent::decode(cqe);
  EXPECT_TRUE(discovery.is(AsyncNotice::kDiscoveryLogChanged));
  EXPECT_EQ(discovery.log_page, 0x70);
  EXPECT_EQ(discovery.encode(), 0x0070f002u);
  cqe.dw0 = 0x00020101;
  EXPECT_EQ(AsyncEvent::decode(cqe),
            (AsyncEvent{AsyncEventType::kSmartHealth,
                        static_cast<std::uint8_t>(AsyncHealth::kTemperatureThreshold), 2}));
}

}  // namespace
}  // namespace nvublk::nvme::spec
