// Connect, properties, and who may do what.

#include "nvme/spec/features.h"
#include "target/target_fixture.h"

namespace nvublk::target {
namespace {

using namespace nvme::spec;

using FabricsTest = TargetTest;

void expect_invalid_parameter(const Outcome& outcome, std::size_t offset, bool in_data) {
  EXPECT_TRUE(outcome.status().is(FabricsStatus::kInvalidParameters));
  const auto parameter = ConnectInvalidParameter::decode(outcome.cqe);
  EXPECT_EQ(parameter.offset_bytes, offset);
  EXPECT_EQ(parameter.in_data, in_data);
}

TEST_F(FabricsTest, ConnectMakesAControllerThatHasItsProperties) {
  start();
  auto host = client();
  host->initialize();
  const Outcome connected = host->connect(0);
  ASSERT_TRUE(connected.status().ok());
  EXPECT_NE(ConnectResult::decode(connected.cqe).cntlid, 0);
  const Cap cap{host->run(host->property_get(Property::kCap, true)).cqe.result()};
  EXPECT_EQ(cap.max_queue_entries(), 1024u);
  EXPECT_EQ(cap.timeout_ms(), 15000u);
  EXPECT_TRUE(cap.contiguous_queues_required());
  EXPECT_TRUE(cap.supports_nvm_command_set());
  EXPECT_EQ(cap.min_page_bytes(), 4096u);
  const Vs vs{host->run(host->property_get(Property::kVs, false)).cqe.dw0.get()};
  EXPECT_TRUE(vs.at_least(2, 1));
  EXPECT_EQ(host->run(host->property_get(Property::kCsts, false)).cqe.dw0.get(), 0u);
}

TEST_F(FabricsTest, EnableShutDownAndReset) {
  start();
  auto host = client();
  host->initialize();
  ASSERT_TRUE(host->connect(0).status().ok());
  EXPECT_TRUE(host->identify(1).status().is(GenericStatus::kCommandSequenceError))
      << "the controller is not enabled";
  const auto csts = [&] {
    return Csts{host->run(host->property_get(Property::kCsts, false)).cqe.dw0.get()};
  };
  Cc cc;
  cc.set_standard_entry_sizes();
  cc.set_enabled(true);
  EXPECT_TRUE(host->run(host->property_set(Property::kCc, cc.raw)).status().ok());
  EXPECT_TRUE(csts().ready());
  EXPECT_EQ(host->run(host->property_get(Property::kCc, false)).cqe.dw0.get(), cc.raw);
  EXPECT_TRUE(host->identify(1).status().ok());
  cc.set_shn(ShutdownNotification::kNormal);
  EXPECT_TRUE(host->run(host->property_set(Property::kCc, cc.raw)).status().ok());
  EXPECT_EQ(csts().shst(), ShutdownStatus::kComplete);
  EXPECT_TRUE(host->run(host->property_set(Property::kCc, 0)).status().ok());
  EXPECT_FALSE(csts().ready());
  EXPECT_EQ(csts().shst(), ShutdownStatus::kNormal);
}

TEST_F(FabricsTest, AConfigurationThatCannotBeIsFatal) {
  start();
  auto host = client();
  host->initialize();
  ASSERT_TRUE(host->connect(0).status().ok());
  EXPECT_TRUE(host->run(host->property_set(Property::kCc, 1)).status().ok());
  const Csts csts{host->run(host->property_get(Property::kCsts, false)).cqe.dw0.get()};
  EXPECT_TRUE(csts.fatal());
  EXPECT_FALSE(csts.ready());
}

TEST_F(FabricsTest, PropertiesThatDoNotExistAreInvalid) {
  start();
  auto host = admin();
  EXPECT_TRUE(host->run(host->property_get(Property::kCap, false))
                  .status()
                  .is(GenericStatus::kInvalidField));
  EXPECT_TRUE(host->run(host->property_get(Property::kAqa, false))
                  .status()
                  .is(GenericStatus::kInvalidField));
  EXPECT_TRUE(
      host->run(host->property_set(Property::kCsts, 0)).status().is(GenericStatus::kInvalidField));
}

TEST_F(FabricsTest, ConnectNamesWhatItRefuses) {
  Options options = defaults();
  options.queue_entries = 128;
  options.allowed_hosts = {"nqn.2014-08.org.nvmexpress:uuid:allowed"};
  start(options);
  const auto attempt = [&](const std::function<Outcome(WireClient&)>& connect) {
    auto host = client();
    host->hostnqn = "nqn.2014-08.org.nvmexpress:uuid:allowed";
    host->initialize();
    return connect(*host);
  };
  expect_invalid_parameter(attempt([](WireClient& host) {
                             host.subnqn = "nqn.2026-01.io.nvublk:other";
                             return host.connect(0);
                           }),
                           256, true);
  expect_invalid_parameter(attempt([](WireClient& host) {
                             host.hostnqn.clear();
                             return host.connect(0);
                           }),
                           512, true);
  expect_invalid_parameter(attempt([](WireClient& host) { return host.connect(0, 7); }), 16, true);
  expect_invalid_parameter(attempt([](WireClient& host) {
                             host.entries = 129;
                             return host.connect(0);
                           }),
                           44, false);
  expect_invalid_parameter(attempt([](WireClient& host) {
                             host.entries = 1;
                             return host.connect(0);
                           }),
                           44, false);
  EXPECT_TRUE(attempt([](WireClient& host) {
                host.hostnqn = "nqn.2014-08.org.nvmexpress:uuid:somebody-else";
                return host.connect(0);
              })
                  .status()
                  .is(FabricsStatus::kInvalidHost));
  EXPECT_TRUE(attempt([](WireClient& host) { return host.connect(0); }).status().ok());
  EXPECT_TRUE(attempt([](WireClient& host) {
                ConnectCommand sqe;
                sqe.recfmt = std::uint16_t{1};
                return host.run(as_submission_entry(sqe), ByteVector(1024, 'x'), true);
              })
                  .status()
                  .is(FabricsStatus::kIncompatibleFormat));
}

TEST_F(FabricsTest, NothingButConnectComesFirst) {
  start();
  auto host = client();
  host->initialize();
  EXPECT_TRUE(host->run(host->property_get(Property::kVs, false))
                  .status()
                  .is(GenericStatus::kCommandSequenceError));
  EXPECT_TRUE(host->identify(1).status().is(GenericStatus::kCommandSequenceError));
  ASSERT_TRUE(host->connect(0).status().ok());
  EXPECT_TRUE(host->connect(0).status().is(GenericStatus::kCommandSequenceError));
}

TEST_F(FabricsTest, IoQueuesBelongToTheirControllerAndHost) {
  start();
  auto control = admin();
  control->set_feature(static_cast<std::uint8_t>(FeatureId::kNumberOfQueues), 0x00010001);
  const auto attempt = [&](const std::function<Outcome(WireClient&)>& connect) {
    auto host = client();
    host->initialize();
    return connect(*host);
  };
  auto first = queue(1);
  expect_invalid_parameter(attempt([&](WireClient& host) { return host.connect(1, cntlid_); }), 42,
                           false);
  expect_invalid_parameter(attempt([&](WireClient& host) { return host.connect(3, cntlid_); }), 42,
                           false);
  expect_invalid_parameter(attempt([&](WireClient& host) { return host.connect(2, 999); }), 16,
                           true);
  expect_invalid_parameter(attempt([&](WireClient& host) {
                             host.hostnqn = "nqn.2014-08.org.nvmexpress:uuid:thief";
                             return host.connect(2, cntlid_);
                           }),
                           512, true);
  expect_invalid_parameter(attempt([&](WireClient& host) {
                             host.hostid[5] = 1;
                             return host.connect(2, cntlid_);
                           }),
                           0, true);
  EXPECT_TRUE(attempt([&](WireClient& host) { return host.connect(2, cntlid_); }).status().ok());
  first.reset();
  wait_until([&] {
    return attempt([&](WireClient& host) { return host.connect(1, cntlid_); }).status().ok();
  });
}

TEST_F(FabricsTest, TheControllerEndsWithItsAdminQueue) {
  start();
  auto control = admin();
  auto io = queue();
  EXPECT_EQ(target_->controllers().size(), 1u);
  control.reset();
  EXPECT_TRUE(io->closed_by_target());
  wait_until([&] { return target_->controllers().empty(); });
}

TEST_F(FabricsTest, AControllerResetClosesItsIoQueues) {
  start();
  auto control = admin();
  auto io = queue();
  EXPECT_TRUE(control->run(control->property_set(Property::kCc, 0)).status().ok());
  EXPECT_TRUE(io->closed_by_target());
}

TEST_F(FabricsTest, SeveralHostsHaveControllersOfTheirOwn) {
  Options options = defaults();
  options.threads = 3;
  start(options);
  std::vector<std::unique_ptr<WireClient>> hosts;
  for (int i = 0; i < 8; i++) {
    hosts.push_back(client());
    hosts.back()->hostnqn += std::to_string(i);
    const std::uint16_t cntlid = hosts.back()->start_controller();
    auto io = client();
    io->hostnqn = hosts.back()->hostnqn;
    io->start_queue(1, cntlid);
    const ByteVector data = pattern(4096, static_cast<std::uint8_t>(i));
    EXPECT_TRUE(io->run(io->io(NvmOpcode::kWrite, 1, static_cast<std::uint64_t>(i), 1, 4096), data)
                    .status()
                    .ok());
    hosts.push_back(std::move(io));
  }
  EXPECT_EQ(target_->controllers().size(), 8u);
  for (int i = 0; i < 8; i++) {
    WireClient& io = *hosts[static_cast<std::size_t>(15 - 2 * i)];
    EXPECT_EQ(io.run(io.io(NvmOpcode::kRead, 1, static_cast<std::uint64_t>(i), 1, 4096)).data,
              pattern(4096, static_cast<std::uint8_t>(i)));
  }
}

TEST_F(FabricsTest, FlowControlOffIsGrantedAndSavesResponses) {
  start();
  auto control = admin();
  auto host = client();
  host->initialize();
  const Outcome connected = host->connect(1, cntlid_);
  EXPECT_EQ(connected.cqe.sqhd.get(), 0xffff);
  const Outcome read = host->run(host->io(NvmOpcode::kRead, 1, 0, 1, 4096));
  EXPECT_TRUE(read.success_flag);
  EXPECT_EQ(target_->stats().responses_saved, 1u);
}

TEST_F(FabricsTest, FlowControlIsKeptWhenTheTargetRefuses) {
  Options options = defaults();
  options.sq_flow_control_disable = false;
  start(options);
  auto control = admin();
  auto host = client();
  host->entries = 4;
  host->initialize();
  EXPECT_EQ(host->connect(1, cntlid_).cqe.sqhd.get(), 1);
  for (const int sqhd : {2, 3, 0, 1, 2}) {
    const Outcome read = host->run(host->io(NvmOpcode::kRead, 1, 0, 1, 4096));
    EXPECT_FALSE(read.success_flag);
    EXPECT_EQ(read.cqe.sqhd.get(), sqhd);
  }
}

TEST_F(FabricsTest, AHostThatStopsSendingKeepAliveIsDisconnected) {
  start();
  auto host = client();
  host->kato_ms = 120'000;
  cntlid_ = host->start_controller();
  EXPECT_EQ(target_->controllers()[0].kato_ms, 120'000u);
  auto io = queue();
  EXPECT_TRUE(host->run(host->admin(AdminOpcode::kKeepAlive)).status().ok());
  host->set_feature(static_cast<std::uint8_t>(FeatureId::kKeepAliveTimer), 200);
  EXPECT_TRUE(host->closed_by_target());
  EXPECT_TRUE(io->closed_by_target());
  wait_until([&] { return target_->controllers().empty(); });
}

TEST_F(FabricsTest, KeepAliveCanBeTurnedOnAndOffLater) {
  start();
  auto host = admin();
  const auto feature = static_cast<std::uint8_t>(FeatureId::kKeepAliveTimer);
  EXPECT_TRUE(host->set_feature(feature, 60'001).status().ok());
  EXPECT_EQ(host->get_feature(feature).cqe.dw0.get(), 60'100u) << "rounded up to 100 ms";
  EXPECT_TRUE(host->set_feature(feature, 0).status().ok());
  EXPECT_TRUE(host->set_feature(feature, 100).status().ok());
  EXPECT_TRUE(host->closed_by_target());
}

}  // namespace
}  // namespace nvublk::target
