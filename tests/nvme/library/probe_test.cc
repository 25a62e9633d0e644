#include <cerrno>
#include <cstring>
#include <deque>
#include <map>

#include "nvme/initiator.h"
#include "nvme/library/library_fixture.h"

namespace nvublk::nvme {
namespace {

TransportId make_id(const std::string& subnqn) {
  TransportId id;
  id.traddr = "192.0.2.1";
  id.trsvcid = "4420";
  id.subnqn = subnqn;
  EXPECT_TRUE(id.complete());
  return id;
}

const std::string kOne = "nqn.2026-01.io.nvublk:one";
const std::string kTwo = "nqn.2026-01.io.nvublk:two";

/// A network: what is behind each NQN (of discovery subsystems, behind each address).
class ProbeTest : public testing::Test {
 protected:
  void SetUp() override {
    Shard::Options shard_options;
    shard_options.reactor.mode = IdleMode::kInterrupt;
    auto shard = Shard::adopt_current_thread(shard_options);
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    ControllerOptions options;
    options.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    options.ctrl_loss_timeout = seconds(0);
    options.connect_timeout = milliseconds(1000);
    options.admin_timeout = milliseconds(1000);
    initiator_ = std::make_unique<Initiator>(
        *shard_,
        [this](const TransportOptions& transport) -> Result<std::unique_ptr<Transport>> {
          made_++;
          const std::string key =
              transport.id.is_discovery() ? transport.id.traddr : transport.id.subnqn;
          return std::make_unique<SimulatedTransport>(simulations_[key]);
        },
        options, "/nowhere");
    callbacks_.attach = [this](const TransportId& id, Controller& controller,
                               const ControllerOptions& used) {
      EXPECT_EQ(controller.state(), ControllerState::kLive);
      attached_.push_back(id.subnqn);
      used_ = used;
    };
    callbacks_.attach_fail = [this](const TransportId& id, const Error& error) {
      failed_.push_back(id.subnqn);
      error_ = error;
    };
  }
  void TearDown() override {
    initiator_.reset();
    for (auto& [key, simulation] : simulations_) EXPECT_EQ(simulation.queues_alive, 0) << key;
    shard_.reset();
  }

  /// The log at `address`: (NQN, subtype, address) for each record.
  struct Record {
    std::string subnqn;
    spec::SubsystemType subtype = spec::SubsystemType::kNvme;
    std::string traddr = "192.0.2.1";
  };
  void make_discovery(const std::string& address, const std::vector<Record>& records) {
    Simulation& simulation = simulations_[address];
    simulation.controller.discovery = true;
    auto log = std::make_shared<std::vector<std::byte>>(1024 * (records.size() + 1));
    spec::DiscoveryLogHeader header{};
    header.genctr = 1;
    header.numrec = records.size();
    std::memcpy(log->data(), &header, sizeof(header));
    for (std::size_t i = 0; i < records.size(); i++) {
      spec::DiscoveryLogEntry entry;
      entry.trtype = 3;
      entry.adrfam = 1;
      entry.subtype = static_cast<std::uint8_t>(records[i].subtype);
      std::memcpy(entry.subnqn.data(), records[i].subnqn.data(), records[i].subnqn.size());
      std::memcpy(entry.traddr.data(), records[i].traddr.data(), records[i].traddr.size());
      std::memcpy(entry.trsvcid.data(), "4420", 4);
      std::memcpy(log->data() + 1024 * (i + 1), &entry, sizeof(entry));
    }
    simulation.script = [this, log](const Request& request, spec::CompletionEntry&) {
      if (request.sqe.admin_opcode() != spec::AdminOpcode::kGetLogPage) return false;
      const std::uint64_t offset =
          request.sqe.cdw12.get() | (std::uint64_t{request.sqe.cdw13.get()} << 32);
      EXPECT_LE(offset + request.length_bytes, log->size());
      std::memcpy(request.iov->iov_base, log->data() + offset, request.length_bytes);
      if (offset == 0 && generations_ > 0) {
        generations_--;
        log->at(0) = std::byte(static_cast<unsigned char>(generations_));
      }
      return true;
    };
  }
  TransportId discovery_id(const std::string& address) {
    TransportId id;
    id.traddr = address;
    EXPECT_TRUE(id.complete());
    EXPECT_TRUE(id.is_discovery());
    return id;
  }
  int finish(ProbeContext& context) {
    const Instant limit = Clock::now() + seconds(30);
    int polls = 0;
    while (context.poll() == -EAGAIN && Clock::now() < limit) polls++;
    return polls;
  }

  std::unique_ptr<Shard> shard_;
  std::map<std::string, Simulation> simulations_;
  std::unique_ptr<Initiator> initiator_;
  ProbeCallbacks callbacks_;
  std::vector<std::string> attached_;
  std::vector<std::string> failed_;
  ControllerOptions used_;
  Error error_;
  int made_ = 0;
  int generations_ = 0;
};

TEST_F(ProbeTest, ConnectIsSynchronousOnlyOnTheOutside) {
  auto context =
      initiator_->connect_async(make_id(kOne), initiator_->default_options(), callbacks_);
  ASSERT_TRUE(context);
  EXPECT_TRUE(attached_.empty()) << "nothing happens before the first poll";
  EXPECT_EQ((*context)->poll(), -EAGAIN);
  EXPECT_GT(finish(**context), 5);
  EXPECT_EQ((*context)->poll(), 0);
  EXPECT_EQ(attached_, std::vector<std::string>{kOne});
  const Result<Controller*> controller = initiator_->connect(make_id(kTwo));
  ASSERT_TRUE(controller);
  EXPECT_EQ((*controller)->state(), ControllerState::kLive);
}

TEST_F(ProbeTest, ProbeCallbackRejectsAController) {
  callbacks_.probe = [](const TransportId&, ControllerOptions&) { return false; };
  EXPECT_TRUE(initiator_->probe(make_id(kOne), callbacks_));
  EXPECT_TRUE(attached_.empty());
  EXPECT_TRUE(failed_.empty());
  EXPECT_EQ(made_, 0);
}

TEST_F(ProbeTest, NoCallbackRunsBeforeTheFirstPoll) {
  unsigned asked = 0;
  callbacks_.probe = [&asked](const TransportId&, ControllerOptions&) {
    asked++;
    return true;
  };
  auto context = initiator_->probe_async(make_id(kOne), callbacks_);
  ASSERT_TRUE(context);
  EXPECT_EQ(asked, 0u);
  EXPECT_EQ(made_, 0);
  finish(**context);
  EXPECT_EQ(asked, 1u);
  EXPECT_EQ(attached_, std::vector<std::string>{kOne});
}

TEST_F(ProbeTest, ProbeCallbackEditsOptionsAndAttachReportsThoseInForce) {
  callbacks_.probe = [](const TransportId& id, ControllerOptions& options) {
    EXPECT_EQ(id.subnqn, kOne);
    options.queue_size = 77;
    options.admin_queue_size = 1;
    options.arbitration.weighted = true;
    return true;
  };
  EXPECT_TRUE(initiator_->probe(make_id(kOne), callbacks_));
  EXPECT_EQ(used_.queue_size, 64u) << "MAXCMD of the controller";
  EXPECT_EQ(used_.keep_alive, milliseconds(4000)) << "as granted; 10 s were asked for";
  EXPECT_FALSE(used_.arbitration.weighted) << "the controller has round robin only";
  EXPECT_TRUE(used_.disable_sq_flow_control);
  EXPECT_EQ(used_.command_sets, CommandSets::kNvm) << "it has no other";
  EXPECT_EQ(used_.admin_queue_size, 16u) << "clamped";
  EXPECT_EQ(used_.io_queues, 2u) << "what the controller grants";
}

TEST_F(ProbeTest, AHostWithoutAnIdentityGetsOne) {
  const auto maker = [](const TransportOptions&) -> Result<std::unique_ptr<Transport>> {
    return nvublk::fail(ErrorCode::kUnsupported, "no transport");
  };
  const Initiator one(*shard_, maker, ControllerOptions{});
  const Initiator two(*shard_, maker, ControllerOptions{});
  const HostIdentity& host = one.default_options().host;
  EXPECT_TRUE(host.nqn.starts_with("nqn.2014-08.org.nvmexpress:uuid:")) << host.nqn;
  EXPECT_NE(host.nqn, two.default_options().host.nqn);
  EXPECT_EQ(initiator_->default_options().host.nqn.back(), '1') << "one that has it keeps it";
}

TEST_F(ProbeTest, DefaultsAreSpdks) {
  const ControllerOptions defaults;
  EXPECT_EQ(defaults.io_queues, 0u) << "SPDK: 1024; either way what the controller grants";
  EXPECT_EQ(defaults.queue_size, 256u);
  EXPECT_EQ(defaults.io_queue_requests, 512u);
  EXPECT_EQ(defaults.admin_queue_size, 32u);
  EXPECT_EQ(defaults.keep_alive, seconds(10));
  EXPECT_EQ(defaults.admin_timeout, seconds(30));
  EXPECT_EQ(defaults.transport_retry_count, 4u);
  EXPECT_EQ(defaults.command_sets, CommandSets::kAutomatic);
  EXPECT_FALSE(defaults.arbitration.weighted);
  EXPECT_EQ(defaults.arbitration.burst, 0);
  EXPECT_EQ(defaults.arbitration.low, 0);
  EXPECT_EQ(defaults.arbitration.medium, 0);
  EXPECT_EQ(defaults.arbitration.high, 0);
  EXPECT_TRUE(defaults.shutdown_notification);
  EXPECT_TRUE(defaults.log_errors);
  EXPECT_TRUE(defaults.read_ana_log);
  EXPECT_TRUE(defaults.read_changed_namespace_list);
  EXPECT_EQ(defaults.host.nqn, "") << "the initiator has one of a random UUID then";
  EXPECT_EQ(defaults.host.id, HostId{});
  const TransportOptions& transport = defaults.transport;
  EXPECT_EQ(transport.host_traddr, "");
  EXPECT_EQ(transport.host_trsvcid, "");
  EXPECT_EQ(transport.tos, -1) << "the system's, which is SPDK's 0";
  EXPECT_EQ(transport.ack_timeout, -1) << "off, which is SPDK's 0";
  EXPECT_FALSE(transport.header_digest);
  EXPECT_FALSE(transport.data_digest);
  EXPECT_FALSE(transport.controller_memory);
  EXPECT_FALSE(transport.shared_receive_queue);
  // Two differ on purpose. SPDK gives Connect half a second, which a target that is starting or
  // busy misses; and it keeps SQ flow control, which costs us nothing to go without: a queue pair
  // never has more commands than the queue has entries.
  EXPECT_EQ(defaults.connect_timeout, seconds(5));
  EXPECT_EQ(transport.connect_timeout, seconds(5));
  EXPECT_TRUE(defaults.disable_sq_flow_control);
}

TEST_F(ProbeTest, OptionsOutOfRangeAreClamped) {
  callbacks_.probe = [](const TransportId&, ControllerOptions& options) {
    options.queue_size = 0;
    options.io_queue_requests = 1;
    options.admin_queue_size = 100000;
    options.arbitration.burst = 200;
    return true;
  };
  EXPECT_TRUE(initiator_->probe(make_id(kOne), callbacks_));
  EXPECT_EQ(used_.queue_size, 2u);
  EXPECT_EQ(used_.io_queue_requests, 2u) << "never fewer than the queue holds";
  EXPECT_EQ(used_.admin_queue_size, 4096u);
  EXPECT_EQ(used_.arbitration.burst, 7);
}

TEST_F(ProbeTest, NoIdMeansPcieOfWhichThisMachineHasNone) {
  EXPECT_TRUE(initiator_->probe(std::nullopt, callbacks_));
  EXPECT_TRUE(attached_.empty());
  EXPECT_TRUE(failed_.empty());
}

TEST_F(ProbeTest, DirectConnectWithABadTransportIdFails) {
  TransportId bad = make_id(kOne);
  bad.trsvcid = "no port";
  const Result<Controller*> controller = initiator_->connect(bad);
  ASSERT_FALSE(controller);
  EXPECT_NE(controller.error().text, "");
}

TEST_F(ProbeTest, AttachFailTellsStepAndReason) {
  simulations_[kOne].refuse = true;
  EXPECT_TRUE(initiator_->probe(make_id(kOne), callbacks_));
  EXPECT_TRUE(attached_.empty());
  EXPECT_EQ(failed_, std::vector<std::string>{kOne});
  EXPECT_EQ(error_.text, "refused");
  EXPECT_EQ(error_.step, "simulated handshake");
  EXPECT_TRUE(initiator_->attached().empty());
}

TEST_F(ProbeTest, ControllerAlreadyAttachedIsSharedAndCounted) {
  const Result<Controller*> first = initiator_->connect(make_id(kOne));
  ASSERT_TRUE(first);
  const Result<Controller*> second = initiator_->connect(make_id(kOne));
  ASSERT_TRUE(second);
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(made_, 1);
  EXPECT_EQ(initiator_->references(**first), 2u);
  EXPECT_TRUE(initiator_->detach(**first));
  EXPECT_EQ((*second)->state(), ControllerState::kLive);
  EXPECT_TRUE(initiator_->detach(**second));
  EXPECT_TRUE(initiator_->attached().empty());
  EXPECT_EQ(simulations_[kOne].queues_alive, 0);
}

TEST_F(ProbeTest, AnotherHostGetsAControllerOfItsOwn) {
  ControllerOptions other = initiator_->default_options();
  other.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000002";
  const Result<Controller*> first = initiator_->connect(make_id(kOne));
  const Result<Controller*> second = initiator_->connect(make_id(kOne), other);
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  EXPECT_EQ(initiator_->find(make_id(kOne), other.host.nqn), *second);
}

TEST_F(ProbeTest, TwoContextsThatConnectTheSameShareIt) {
  auto one = initiator_->connect_async(make_id(kOne), initiator_->default_options(), callbacks_);
  auto two = initiator_->connect_async(make_id(kOne), initiator_->default_options(), callbacks_);
  ASSERT_TRUE(one && two);
  finish(**one);
  finish(**two);
  EXPECT_EQ(attached_.size(), 2u);
  EXPECT_EQ(made_, 1);
}

TEST_F(ProbeTest, WhatIsBeingDetachedCannotBeAttached) {
  const Result<Controller*> first = initiator_->connect(make_id(kOne));
  ASSERT_TRUE(first);
  DetachContext detaching;
  ASSERT_TRUE(initiator_->detach_async(**first, detaching));
  auto again = initiator_->connect_async(make_id(kOne), initiator_->default_options(), callbacks_);
  ASSERT_TRUE(again);
  finish(**again);
  EXPECT_EQ(error_.code, ErrorCode::kBusy);
  while (detaching.poll() == -EAGAIN) {
  }
  EXPECT_TRUE(initiator_->connect(make_id(kOne)));
}

TEST_F(ProbeTest, DetachAsyncTakesSeveralControllers) {
  const Result<Controller*> one = initiator_->connect(make_id(kOne));
  const Result<Controller*> two = initiator_->connect(make_id(kTwo));
  ASSERT_TRUE(one && two);
  DetachContext context;
  EXPECT_EQ(context.poll(), 0) << "nothing to do";
  EXPECT_TRUE(initiator_->detach_async(**one, context));
  EXPECT_TRUE(initiator_->detach_async(**two, context));
  EXPECT_EQ(context.poll(), -EAGAIN);
  while (context.poll() == -EAGAIN) {
  }
  EXPECT_TRUE(initiator_->attached().empty());
}

TEST_F(ProbeTest, DetachAsyncEndsASilentShutdownAtItsDeadlineAndDelaysNoOther) {
  ControllerOptions options = initiator_->default_options();
  options.shutdown_timeout = milliseconds(50);
  const Result<Controller*> silent = initiator_->connect(make_id(kOne), options);
  options.shutdown_timeout = seconds(1000);
  const Result<Controller*> prompt = initiator_->connect(make_id(kTwo), options);
  ASSERT_TRUE(silent && prompt);
  // Read CC and set CC.SHN are answered; CSTS is not.
  simulations_[kOne].fault = Fault::kSilence;
  simulations_[kOne].strike_at = simulations_[kOne].asked + 2;
  DetachContext context;
  ASSERT_TRUE(initiator_->detach_async(**silent, context));
  ASSERT_TRUE(initiator_->detach_async(**prompt, context));
  EXPECT_EQ(initiator_->detach_async(**silent, context).error().code, ErrorCode::kNotFound)
      << "it is on its way";
  const Instant limit = Clock::now() + seconds(30);
  while (simulations_[kTwo].queues_alive > 0 && Clock::now() < limit) {
    ASSERT_EQ(context.poll(), -EAGAIN) << "the silent one is still there";
  }
  while (context.poll() == -EAGAIN && Clock::now() < limit) {
  }
  EXPECT_EQ(context.poll(), 0);
  EXPECT_EQ(simulations_[kOne].queues_alive, 0);
  EXPECT_TRUE(initiator_->attached().empty());
}

TEST_F(ProbeTest, AContextMayCollectMoreWhileItIsPolled) {
  const Result<Controller*> one = initiator_->connect(make_id(kOne));
  const Result<Controller*> two = initiator_->connect(make_id(kTwo));
  const Result<Controller*> again = initiator_->connect(make_id(kTwo));
  ASSERT_TRUE(one && two && again);
  DetachContext context;
  ASSERT_TRUE(initiator_->detach_async(**one, context));
  EXPECT_EQ(context.poll(), -EAGAIN);
  ASSERT_TRUE(initiator_->detach_async(**two, context));
  while (context.poll() == -EAGAIN) {
  }
  EXPECT_EQ(initiator_->references(**again), 1u) << "the other reference keeps it";
  (*again)->mark_failed(Error::make(ErrorCode::kCancelled, "enough"));
  ASSERT_TRUE(initiator_->detach_async(**again, context)) << "a failed one too";
  while (context.poll() == -EAGAIN) {
  }
  EXPECT_TRUE(initiator_->attached().empty());
}

TEST_F(ProbeTest, ASilentControllerDelaysNoOther) {
  ControllerOptions patient = initiator_->default_options();
  patient.connect_timeout = seconds(1000);
  patient.admin_timeout = seconds(1000);
  std::vector<std::unique_ptr<ProbeContext>> contexts;
  for (int i = 0; i < 16; i++) {
    const std::string nqn = "nqn.2026-01.io.nvublk:c" + std::to_string(i);
    if (i % 4 == 0) {
      simulations_[nqn].fault = Fault::kSilence;
      simulations_[nqn].strike_at = 5;
    }
    auto context = initiator_->connect_async(make_id(nqn), patient, callbacks_);
    ASSERT_TRUE(context);
    contexts.push_back(std::move(*context));
  }
  const Instant limit = Clock::now() + seconds(30);
  std::size_t busy = 16;
  while (busy > 4 && Clock::now() < limit) {
    busy = 0;
    for (const auto& context : contexts) busy += context->poll() == -EAGAIN ? 1 : 0;
  }
  EXPECT_EQ(busy, 4u);
  EXPECT_EQ(attached_.size(), 12u);
  EXPECT_TRUE(failed_.empty());
}

// The one place where this thread could sleep is the ring's wait, and the reactor counts those.
TEST_F(ProbeTest, PollingASilentControllerNeverSleeps) {
  const auto sleeps = [this] { return shard_->reactor().counters().sleeps; };
  Result<Controller*> controller = initiator_->connect(make_id(kOne));
  ASSERT_TRUE(controller);
  EXPECT_GT(sleeps(), 0u) << "the synchronous call does, or this would show nothing";
  const std::uint64_t before = sleeps();
  simulations_[kTwo].fault = Fault::kSilence;
  simulations_[kTwo].strike_at = 5;
  ControllerOptions patient = initiator_->default_options();
  patient.admin_timeout = seconds(1000);
  auto context = initiator_->connect_async(make_id(kTwo), patient, callbacks_);
  ASSERT_TRUE(context);
  auto queue = (*controller)->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  for (int i = 0; i < 1000; i++) {
    ASSERT_EQ((*context)->poll(), -EAGAIN);
    (*controller)->process_admin_completions();
    ASSERT_EQ((*queue)->process_completions(), 0);
  }
  queue->reset();
  simulations_[kOne].fault = Fault::kSilence;
  simulations_[kOne].strike_at = simulations_[kOne].asked;
  DetachContext detaching;
  ASSERT_TRUE(initiator_->detach_async(**controller, detaching));
  for (int i = 0; i < 100; i++) ASSERT_EQ(detaching.poll(), -EAGAIN);
  EXPECT_EQ(sleeps(), before);
}

TEST_F(ProbeTest, ASilentControllerFailsAtItsDeadlineWithItsStep) {
  simulations_[kOne].fault = Fault::kSilence;
  simulations_[kOne].strike_at = 5;
  const Result<Controller*> controller = initiator_->connect(make_id(kOne));
  ASSERT_FALSE(controller);
  EXPECT_EQ(controller.error().code, ErrorCode::kTimeout);
  EXPECT_NE(controller.error().step, "");
}

TEST_F(ProbeTest, AContextThatIsGivenUpLeavesNothingBehind) {
  simulations_[kOne].fault = Fault::kSilence;
  simulations_[kOne].strike_at = 3;
  auto context =
      initiator_->connect_async(make_id(kOne), initiator_->default_options(), callbacks_);
  ASSERT_TRUE(context);
  for (int i = 0; i < 5; i++) (*context)->poll();
  context->reset();
  initiator_.reset();
  EXPECT_EQ(simulations_[kOne].queues_alive, 0);
  EXPECT_TRUE(failed_.empty());
}

TEST_F(ProbeTest, ACallbackMayConnectAnotherController) {
  const auto record = callbacks_.attach;
  callbacks_.attach = [&](const TransportId& id, Controller& controller,
                          const ControllerOptions& used) {
    record(id, controller, used);
    EXPECT_TRUE(initiator_->connect(make_id(kTwo)));
  };
  EXPECT_TRUE(initiator_->probe(make_id(kOne), callbacks_));
  EXPECT_EQ(initiator_->attached().size(), 2u);
}

TEST_F(ProbeTest, ScanReportsAFailedControllerOnce) {
  const Result<Controller*> controller = initiator_->connect(make_id(kOne));
  ASSERT_TRUE(controller);
  int removed = 0;
  initiator_->scan_attached([&](Controller&) { removed++; });
  EXPECT_EQ(removed, 0);
  (*controller)->mark_failed(Error::make(ErrorCode::kDisconnected, "gone"));
  initiator_->scan_attached([&](Controller& gone) {
    removed++;
    EXPECT_TRUE(initiator_->detach(gone));
  });
  initiator_->scan_attached([&](Controller&) { removed++; });
  EXPECT_EQ(removed, 1);
}

TEST_F(ProbeTest, ConnectToADiscoveryControllerHandsItOver) {
  make_discovery("192.0.2.9", {{kOne}});
  const Result<Controller*> controller = initiator_->connect(discovery_id("192.0.2.9"));
  ASSERT_TRUE(controller) << controller.error().text;
  EXPECT_TRUE((*controller)->profile().discovery);
  EXPECT_TRUE((*controller)->namespaces().empty());
  EXPECT_FALSE((*controller)->allocate_io_queue_pair()) << "it has no I/O queues";
}

TEST_F(ProbeTest, ProbeOfTheDiscoveryNqnAttachesWhatItsLogLists) {
  make_discovery("192.0.2.9",
                 {{kOne},
                  {"nqn.2014-08.org.nvmexpress.discovery", spec::SubsystemType::kCurrentDiscovery},
                  {kTwo},
                  {kOne}});
  EXPECT_TRUE(initiator_->probe(discovery_id("192.0.2.9"), callbacks_));
  EXPECT_EQ(attached_, (std::vector<std::string>{kOne, kTwo}));
  EXPECT_TRUE(failed_.empty());
  EXPECT_EQ(simulations_["192.0.2.9"].queues_alive, 0) << "the discovery controller is closed";
}

TEST_F(ProbeTest, ReferralsAreFollowedOnce) {
  const std::string nqn = "nqn.2014-08.org.nvmexpress.discovery";
  make_discovery("192.0.2.9", {{nqn, spec::SubsystemType::kReferral, "192.0.2.10"}, {kOne}});
  make_discovery("192.0.2.10", {{nqn, spec::SubsystemType::kReferral, "192.0.2.9"}, {kTwo}});
  TransportId id = discovery_id("192.0.2.9");
  id.trsvcid = "4420";
  EXPECT_TRUE(initiator_->probe(id, callbacks_));
  EXPECT_EQ(attached_, (std::vector<std::string>{kOne, kTwo}));
  EXPECT_EQ(made_, 4) << "each discovery subsystem once";
}

TEST_F(ProbeTest, ReferralsEndAtALimit) {
  const std::string nqn = "nqn.2014-08.org.nvmexpress.discovery";
  for (int i = 1; i <= 9; i++) {
    make_discovery("192.0.2." + std::to_string(i),
                   {{nqn, spec::SubsystemType::kReferral, "192.0.2." + std::to_string(i + 1)}});
  }
  EXPECT_TRUE(initiator_->probe(discovery_id("192.0.2.1"), callbacks_));
  EXPECT_EQ(made_, 5);
  EXPECT_EQ(failed_.size(), 1u);
  EXPECT_EQ(error_.code, ErrorCode::kUnsupported);
}

TEST_F(ProbeTest, ALogThatChangesIsReadAgainAndNotForEver) {
  make_discovery("192.0.2.9", {{kOne}, {kTwo}});
  generations_ = 3;
  EXPECT_TRUE(initiator_->probe(discovery_id("192.0.2.9"), callbacks_));
  EXPECT_EQ(attached_.size(), 2u);
  generations_ = 100;
  attached_.clear();
  EXPECT_TRUE(initiator_->probe(discovery_id("192.0.2.9"), callbacks_));
  EXPECT_TRUE(attached_.empty());
  EXPECT_EQ(error_.step, "check discovery generation");
}

TEST_F(ProbeTest, AControllerThatIsNotInTheLogAnyMoreIsReported) {
  make_discovery("192.0.2.9", {{kOne}, {kTwo}});
  EXPECT_TRUE(initiator_->probe(discovery_id("192.0.2.9"), callbacks_));
  make_discovery("192.0.2.9", {{kTwo}});
  std::vector<Controller*> removed;
  callbacks_.remove = [&](Controller& controller) { removed.push_back(&controller); };
  EXPECT_TRUE(initiator_->probe(discovery_id("192.0.2.9"), callbacks_));
  ASSERT_EQ(removed.size(), 1u);
  EXPECT_EQ(removed[0]->name(), kOne);
  EXPECT_EQ(initiator_->references(*initiator_->attached()[1]), 2u) << "attached again";
}

TEST_F(ProbeTest, ADiscoveryControllerThatDoesNotAnswerFailsWithItsStep) {
  simulations_["192.0.2.9"].refuse = true;
  EXPECT_TRUE(initiator_->probe(discovery_id("192.0.2.9"), callbacks_));
  EXPECT_EQ(failed_.size(), 1u);
  EXPECT_EQ(error_.step, "simulated handshake");
}

}  // namespace
}  // namespace nvublk::nvme
