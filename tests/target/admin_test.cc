// Identify, log pages, features and asynchronous events.

#include <cstdlib>
#include <filesystem>

#include "nvme/spec/async_event.h"
#include "nvme/spec/features.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/log_pages.h"
#include "nvme/spec/text.h"
#include "target/target_fixture.h"

namespace nvublk::target {
namespace {

using namespace nvme::spec;

using AdminTest = TargetTest;

constexpr std::uint8_t cns(IdentifyCns value) {
  return static_cast<std::uint8_t>(value);
}
constexpr std::uint8_t lid(LogPage value) {
  return static_cast<std::uint8_t>(value);
}
constexpr std::uint8_t fid(FeatureId value) {
  return static_cast<std::uint8_t>(value);
}

TEST_F(AdminTest, IdentifyControllerSaysWhatHostsCheck) {
  Options options = defaults();
  options.max_transfer_bytes = 128 << 10;
  options.in_capsule_bytes = 4096;
  start(options);
  auto host = admin();
  const auto id = as<IdentifyController>(host->identify(cns(IdentifyCns::kController)).data);
  EXPECT_EQ(id.cntlid.get(), cntlid_);
  EXPECT_EQ(raw_text(id.subnqn), "nqn.2026-01.io.nvublk:test");
  EXPECT_EQ(id.type(), ControllerType::kIo);
  EXPECT_EQ(id.max_transfer_bytes(4096), 128u << 10);
  EXPECT_EQ(id.in_capsule_data_bytes(), 4096u);
  EXPECT_EQ(id.response_capsule_bytes(), 16u);
  EXPECT_EQ(id.icdoff.get(), 0);
  EXPECT_NE(id.kas.get(), 0);
  EXPECT_EQ(id.maxcmd.get(), 1024);
  EXPECT_EQ(id.sqes, 0x66);
  EXPECT_EQ(id.cqes, 0x44);
  EXPECT_TRUE(id.supports_transport_sgl());
  EXPECT_TRUE(id.supports_offset_sgl());
  EXPECT_TRUE(id.supports_compare());
  EXPECT_TRUE(id.supports_write_zeroes());
  EXPECT_TRUE(id.supports_dataset_management());
  EXPECT_TRUE(id.has_volatile_write_cache());
  EXPECT_TRUE(id.flush_supports_broadcast_nsid());
  EXPECT_EQ(id.oaes.get() & kAsyncNamespaceAttribute, kAsyncNamespaceAttribute);
  EXPECT_EQ(id.nn.get(), 16384u);
}

TEST_F(AdminTest, NamespacesAreListedInOrderAndDescribed) {
  Options options = defaults();
  options.namespaces.push_back(memory(1 << 20, 512));
  options.namespaces.back().nsid = 9;
  options.namespaces.back().uuid = "12345678-9abc-def0-1234-56789abcdef0";
  start(options);
  auto host = admin();
  const auto list =
      as<nvme::spec::NamespaceList>(host->identify(cns(IdentifyCns::kActiveNamespaceList)).data);
  EXPECT_EQ(list.nsid[0].get(), 1u);
  EXPECT_EQ(list.nsid[1].get(), 9u);
  EXPECT_EQ(list.nsid[2].get(), 0u);
  const auto rest = as<nvme::spec::NamespaceList>(
      host->identify(cns(IdentifyCns::kCommandSetActiveNamespaceList), 1).data);
  EXPECT_EQ(rest.nsid[0].get(), 9u);
  EXPECT_TRUE(host->identify(cns(IdentifyCns::kActiveNamespaceList), 0xfffffffe)
                  .status()
                  .is(GenericStatus::kInvalidNamespaceOrFormat));
  const auto ns = as<IdentifyNamespace>(host->identify(cns(IdentifyCns::kNamespace), 9).data);
  EXPECT_EQ(ns.nsze.get(), 2048u);
  EXPECT_EQ(ns.ncap.get(), 2048u);
  EXPECT_EQ(ns.block_bytes(), 512u);
  EXPECT_EQ(ns.dlfeat & 7, 1);
  const auto missing = as<IdentifyNamespace>(host->identify(cns(IdentifyCns::kNamespace), 5).data);
  EXPECT_FALSE(missing.active());
  EXPECT_TRUE(host->identify(cns(IdentifyCns::kNamespace), 0xffffffff)
                  .status()
                  .is(GenericStatus::kInvalidNamespaceOrFormat));
  const auto independent = as<IdentifyNamespaceIndependent>(
      host->identify(cns(IdentifyCns::kIndependentNamespace), 9).data);
  EXPECT_TRUE(independent.ready());
  EXPECT_EQ(host->identify(cns(IdentifyCns::kCommandSets)).data[0], 5);
  EXPECT_TRUE(host->identify(cns(IdentifyCns::kCommandSetController)).status().ok());
  EXPECT_TRUE(host->identify(cns(IdentifyCns::kCommandSetNamespace), 9).status().ok());
  EXPECT_TRUE(host->identify(0x13).status().is(GenericStatus::kInvalidField));
}

TEST_F(AdminTest, DescriptorsAreTheSameAfterARestart) {
  start();
  const auto read = [&] {
    auto host = admin();
    return host->identify(cns(IdentifyCns::kNamespaceDescriptors), 1).data;
  };
  const ByteVector before = read();
  start();
  EXPECT_EQ(read(), before);
  const std::pair<std::uint8_t, std::uint8_t> expected[] = {{1, 8}, {2, 16}, {3, 16}, {4, 1}};
  std::size_t at = 0;
  for (const auto& [type, length] : expected) {
    EXPECT_EQ(before[at], type);
    EXPECT_EQ(before[at + 1], length);
    at += 4u + length;
  }
  EXPECT_EQ(before[at + 1], 0) << "the list ends there";
}

TEST_F(AdminTest, LogPagesTakeOffsetsAndLengths) {
  start();
  auto host = admin();
  const Outcome whole = host->get_log(lid(LogPage::kCommandEffects), 4096);
  const auto effects = as<CommandEffectsLog>(whole.data);
  EXPECT_EQ(effects.io[2].get(), CommandEffectsLog::kSupported);
  EXPECT_EQ(effects.io[1].get(), 3u);
  EXPECT_EQ(effects.admin[6].get(), 1u);
  EXPECT_EQ(effects.admin[0x80].get(), 0u);
  const Outcome part = host->get_log(lid(LogPage::kCommandEffects), 8, 1024);
  EXPECT_EQ(part.data, ByteVector(whole.data.begin() + 1024, whole.data.begin() + 1032));
  EXPECT_TRUE(host->get_log(lid(LogPage::kCommandEffects), 8, 4100)
                  .status()
                  .is(GenericStatus::kInvalidField));
  EXPECT_TRUE(host->get_log(lid(LogPage::kAna), 64).status().is(CommandStatus::kInvalidLogPage));
  const auto slots = as<FirmwareSlotLog>(host->get_log(lid(LogPage::kFirmwareSlot), 512).data);
  EXPECT_EQ(slots.active_slot(), 1u);
  const auto pages =
      as<SupportedLogPagesLog>(host->get_log(lid(LogPage::kSupportedLogPages), 1024).data);
  EXPECT_TRUE(pages.supports(LogPage::kChangedNamespaceList));
  EXPECT_FALSE(pages.supports(LogPage::kDiscovery));
}

TEST_F(AdminTest, SmartAndErrorLogsCount) {
  start();
  auto host = admin();
  auto io = queue();
  EXPECT_TRUE(io->run(io->io(NvmOpcode::kRead, 1, 0, 8, 32768)).status().ok());
  const Outcome bad = io->run(io->io(NvmOpcode::kRead, 1, 1000, 1, 4096));
  EXPECT_TRUE(bad.status().is(GenericStatus::kLbaOutOfRange));
  const auto smart = as<SmartLog>(host->get_log(lid(LogPage::kSmartHealth), 512).data);
  EXPECT_EQ(smart.host_read_commands.low(), 2u);
  EXPECT_EQ(smart.data_units_read.low(), 1u);
  EXPECT_EQ(smart.error_log_entries.low(), 1u);
  const auto entry = as<ErrorLogEntry>(host->get_log(lid(LogPage::kErrorInformation), 64).data);
  EXPECT_EQ(entry.error_count.get(), 1u);
  EXPECT_EQ(entry.sqid.get(), 1);
  EXPECT_EQ(entry.cid.get(), bad.cqe.cid.get());
  EXPECT_EQ(entry.lba.get(), 1000u);
  EXPECT_EQ(entry.nsid.get(), 1u);
  EXPECT_TRUE(entry.status().is(GenericStatus::kLbaOutOfRange));
  EXPECT_EQ(entry.log_page_version, 1);
  EXPECT_EQ(entry.opcode, static_cast<std::uint8_t>(NvmOpcode::kRead));
  EXPECT_EQ(entry.csi, static_cast<std::uint8_t>(CommandSetIdentifier::kNvm));
}

TEST_F(AdminTest, SmartIsOfTheWholeController) {
  start();
  auto host = admin();
  const auto status_with = [&](std::uint32_t nsid) {
    SubmissionEntry sqe = host->admin(AdminOpcode::kGetLogPage, nsid);
    sqe.set_sgl(SglDescriptor::transport(512));
    sqe.cdw10 = lid(LogPage::kSmartHealth) | (127u << 16);
    return host->run(sqe).status();
  };
  EXPECT_TRUE(status_with(0).ok());
  EXPECT_TRUE(status_with(kNsidBroadcast).ok());
  EXPECT_FALSE(as<IdentifyController>(host->identify(cns(IdentifyCns::kController)).data).lpa & 1);
  for (const std::uint32_t nsid : {1u, 2u, 0xfffffffeu}) {
    EXPECT_TRUE(status_with(nsid).is(GenericStatus::kInvalidField)) << nsid;
  }
}

TEST_F(AdminTest, FeaturesAreSetAndRead) {
  Options options = defaults();
  options.io_queues = 4;
  start(options);
  auto host = admin();
  const Outcome granted = host->set_feature(fid(FeatureId::kNumberOfQueues), 0x00070007);
  EXPECT_EQ(NumberOfQueues::decode(granted.cqe.dw0.get()).pair_count(), 4u);
  EXPECT_EQ(NumberOfQueues::decode(
                host->set_feature(fid(FeatureId::kNumberOfQueues), 0x00010005).cqe.dw0.get())
                .pair_count(),
            2u);
  EXPECT_EQ(host->get_feature(fid(FeatureId::kVolatileWriteCache)).cqe.dw0.get(), 1u);
  EXPECT_TRUE(host->set_feature(fid(FeatureId::kVolatileWriteCache), 0).status().ok());
  EXPECT_EQ(host->get_feature(fid(FeatureId::kVolatileWriteCache)).cqe.dw0.get(), 0u);
  EXPECT_TRUE(
      host->set_feature(fid(FeatureId::kAsyncEventConfig), kAsyncNamespaceAttribute).status().ok());
  EXPECT_EQ(host->get_feature(fid(FeatureId::kAsyncEventConfig)).cqe.dw0.get(),
            kAsyncNamespaceAttribute);
  EXPECT_TRUE(host->set_feature(fid(FeatureId::kAsyncEventConfig), 1u << 31)
                  .status()
                  .is(GenericStatus::kInvalidField));
  EXPECT_TRUE(
      host->get_feature(fid(FeatureId::kTimestamp)).status().is(GenericStatus::kInvalidField));
}

TEST_F(AdminTest, CommandsThatAreNotThereAreInvalidOpcodes) {
  start();
  auto host = admin();
  EXPECT_TRUE(host->run(host->admin(AdminOpcode::kCreateIoSubmissionQueue))
                  .status()
                  .is(GenericStatus::kInvalidOpcode));
  const Outcome format = host->run(host->admin(AdminOpcode::kFormatNvm, 1));
  EXPECT_TRUE(format.status().is(GenericStatus::kInvalidOpcode));
  EXPECT_TRUE(format.status().dnr());
  EXPECT_EQ(host->run(host->admin(AdminOpcode::kAbort)).cqe.dw0.get(), 1u) << "not aborted";
}

TEST_F(AdminTest, CommandsWithPrpsOrFusedAreRefused) {
  start();
  auto host = admin();
  SubmissionEntry sqe = host->admin(AdminOpcode::kKeepAlive);
  sqe.flags = 0;
  EXPECT_TRUE(host->run(sqe).status().is(GenericStatus::kInvalidField));
  sqe = host->admin(AdminOpcode::kKeepAlive);
  sqe.set_fuse(Fuse::kFirst);
  EXPECT_TRUE(host->run(sqe).status().is(GenericStatus::kInvalidField));
  sqe = host->admin(AdminOpcode::kIdentify);
  sqe.cdw10 = 1u;
  sqe.set_sgl(SglDescriptor::data_block(0x1000, 4096));
  EXPECT_TRUE(host->run(sqe).status().is(GenericStatus::kSglTypeInvalid));
  sqe.set_sgl(SglDescriptor::transport(100));
  EXPECT_TRUE(host->run(sqe).status().is(GenericStatus::kDataSglLengthInvalid));
}

/// Waits for an event and reads the changed namespaces, which arms the event again.
std::vector<std::uint32_t> changed(WireClient& host) {
  const auto event = AsyncEvent::decode(host.receive_response());
  EXPECT_TRUE(event.is(AsyncNotice::kNamespaceAttributeChanged));
  EXPECT_EQ(event.log_page, lid(LogPage::kChangedNamespaceList));
  const ByteVector log = host.get_log(lid(LogPage::kChangedNamespaceList), 4096).data;
  std::vector<std::uint32_t> nsids;
  for (std::size_t at = 0; at < log.size(); at += 4) {
    Le32 nsid;
    std::memcpy(&nsid, log.data() + at, 4);
    if (nsid.get() != 0) nsids.push_back(nsid.get());
  }
  return nsids;
}

TEST_F(AdminTest, NamespacesThatChangeAreReported) {
  start();
  auto host = admin();
  host->set_feature(fid(FeatureId::kAsyncEventConfig), kAsyncNamespaceAttribute);
  host->send_command(host->admin(AdminOpcode::kAsyncEventRequest));
  NamespaceOptions more = memory(1 << 20, 512);
  EXPECT_EQ(target_->add_namespace(more).value(), 2u);
  EXPECT_EQ(changed(*host), std::vector<std::uint32_t>{2});
  // Two changes while no request is held are one event.
  EXPECT_TRUE(target_->resize_namespace(2, 2 << 20));
  EXPECT_TRUE(target_->remove_namespace(1));
  host->send_command(host->admin(AdminOpcode::kAsyncEventRequest));
  EXPECT_EQ(changed(*host), (std::vector<std::uint32_t>{1, 2}));
  const auto ns = as<IdentifyNamespace>(host->identify(cns(IdentifyCns::kNamespace), 2).data);
  EXPECT_EQ(ns.nsze.get(), 4096u);
}

TEST_F(AdminTest, AnEventComesOnceUntilItsLogPageIsRead) {
  start();
  auto host = admin();
  host->set_feature(fid(FeatureId::kAsyncEventConfig), kAsyncNamespaceAttribute);
  host->send_command(host->admin(AdminOpcode::kAsyncEventRequest));
  host->send_command(host->admin(AdminOpcode::kAsyncEventRequest));
  EXPECT_TRUE(target_->resize_namespace(1, 1 << 20));
  EXPECT_TRUE(target_->resize_namespace(1, 2 << 20));
  host->receive_response();
  const Outcome retained = host->get_log(lid(LogPage::kChangedNamespaceList), 4096, 0, true);
  EXPECT_EQ(retained.data[0], 1) << "RAE keeps the list, and no second event came before this";
  host->get_log(lid(LogPage::kChangedNamespaceList), 4096);
  EXPECT_TRUE(target_->resize_namespace(1, 1 << 20));
  EXPECT_TRUE(
      AsyncEvent::decode(host->receive_response()).is(AsyncNotice::kNamespaceAttributeChanged));
}

TEST_F(AdminTest, NoEventForHostsThatDidNotAsk) {
  start();
  auto host = admin();
  host->send_command(host->admin(AdminOpcode::kAsyncEventRequest));
  EXPECT_TRUE(target_->resize_namespace(1, 1 << 20));
  EXPECT_TRUE(host->run(host->admin(AdminOpcode::kKeepAlive)).status().ok());
}

TEST_F(AdminTest, MoreEventRequestsThanTheLimitAreRefused) {
  start();
  auto host = admin();
  for (int i = 0; i < 5; i++) host->send_command(host->admin(AdminOpcode::kAsyncEventRequest));
  EXPECT_TRUE(host->receive_response().status().is(CommandStatus::kAsyncEventLimitExceeded));
}

TEST_F(AdminTest, TheDiscoveryControllerListsWhatTheHostMayUse) {
  Options options = defaults();
  options.listen.push_back({"127.0.0.1", 0});
  options.allowed_hosts = {"nqn.2014-08.org.nvmexpress:uuid:allowed"};
  start(options);
  const auto log = [&](const std::string& hostnqn) {
    auto host = client();
    host->subnqn = kDiscoveryNqn;
    host->hostnqn = hostnqn;
    host->start_controller();
    const auto id = as<IdentifyController>(host->identify(cns(IdentifyCns::kController)).data);
    EXPECT_EQ(id.type(), ControllerType::kDiscovery);
    EXPECT_EQ(raw_text(id.subnqn), kDiscoveryNqn);
    EXPECT_TRUE(host->identify(cns(IdentifyCns::kActiveNamespaceList))
                    .status()
                    .is(GenericStatus::kInvalidField));
    EXPECT_TRUE(
        host->get_log(lid(LogPage::kSmartHealth), 512).status().is(CommandStatus::kInvalidLogPage));
    return host->get_log(lid(LogPage::kDiscovery), 3072).data;
  };
  const ByteVector allowed = log(options.allowed_hosts[0]);
  EXPECT_EQ(as<DiscoveryLogHeader>(allowed).numrec.get(), 2u);
  EXPECT_NE(as<DiscoveryLogHeader>(allowed).genctr.get(), 0u);
  for (std::size_t i = 0; i < 2; i++) {
    const auto entry = as<DiscoveryLogEntry>(allowed, 1024 * (i + 1));
    EXPECT_EQ(entry.trtype, 3);
    EXPECT_EQ(entry.adrfam, 1);
    EXPECT_EQ(entry.subtype, 2);
    EXPECT_EQ(printable_text(entry.traddr), "127.0.0.1");
    EXPECT_EQ(printable_text(entry.trsvcid), std::to_string(target_->listening()[i].port));
    EXPECT_EQ(raw_text(entry.subnqn), "nqn.2026-01.io.nvublk:test");
    EXPECT_TRUE(entry.may_disable_sq_flow_control());
  }
  EXPECT_EQ(as<DiscoveryLogHeader>(log("nqn.2026-01.io.nvublk:other")).numrec.get(), 0u);
}

TEST_F(AdminTest, ADiscoveryControllerHasNoIoQueues) {
  start();
  auto host = client();
  host->subnqn = kDiscoveryNqn;
  const std::uint16_t cntlid = host->start_controller();
  auto io = client();
  io->initialize();
  EXPECT_TRUE(io->connect(1, cntlid).status().is(FabricsStatus::kInvalidParameters));
}

}  // namespace
}  // namespace nvublk::target
