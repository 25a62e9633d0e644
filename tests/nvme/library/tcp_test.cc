// What the library does over TCP beyond its suite, against nvublk-target in this process.

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/initiator.h"
#include "nvme/library/tcp_target.h"
#include "nvme/nqn.h"
#include "nvme/poll_group.h"
#include "nvme/spec/fabrics.h"
#include "nvme/spec/log_pages.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme {
namespace {

constexpr std::uint32_t kBlock = 4096;

struct Io {
  bool done = false;
  spec::NvmeStatus status;
  std::vector<std::byte> data = std::vector<std::byte>(kBlock);
  iovec piece{data.data(), data.size()};

  IoCommand make(const spec::SubmissionEntry& sqe) {
    IoCommand io;
    io.sqe = sqe;
    io.iov = &piece;
    io.iov_count = 1;
    io.context = this;
    io.done = [](void* context, spec::NvmeStatus how, const spec::CompletionEntry&) {
      auto* self = static_cast<Io*>(context);
      self->done = true;
      self->status = how;
    };
    return io;
  }
};

std::unique_ptr<Shard> adopt() {
  Shard::Options options;
  options.reactor.mode = IdleMode::kInterrupt;
  auto shard = Shard::adopt_current_thread(options);
  EXPECT_TRUE(shard) << (shard ? "" : shard.error().text);
  return std::move(*shard);
}

class LibraryTcpTest : public testing::Test, public ControllerListener {
 protected:
  void SetUp() override {
    shard_ = adopt();
    ControllerOptions defaults;
    defaults.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    defaults.host.id.bytes[0] = 1;
    defaults.ctrl_loss_timeout = seconds(0);
    initiator_ = std::make_unique<Initiator>(*shard_, make_transport, defaults);
  }
  void TearDown() override {
    initiator_.reset();
    shard_.reset();
  }

  Controller* connect() {
    const Result<Controller*> controller = initiator_->connect(target_.id());
    EXPECT_TRUE(controller) << (controller ? "" : controller.error().text);
    return controller ? *controller : nullptr;
  }
  static bool process_until(IoQueuePair& queue, const std::function<bool()>& ready) {
    const Instant limit = Clock::now() + seconds(30);
    while (!ready()) {
      if (queue.process_completions() < 0 || Clock::now() > limit) return false;
    }
    return true;
  }
  void namespaces_changed(const std::vector<std::uint32_t>&) override {}
  void controller_state_changed(ControllerState) override {}
  void event_received(const spec::AsyncEvent& event, std::span<const std::byte> log) override {
    events_.emplace_back(event, std::vector<std::byte>(log.begin(), log.end()));
  }

  TcpTarget target_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<Initiator> initiator_;
  std::vector<std::pair<spec::AsyncEvent, std::vector<std::byte>>> events_;  ///< and their logs
};

TEST_F(LibraryTcpTest, AResetReachesQueuePairsOfOtherThreads) {
  Controller* controller = connect();
  ASSERT_NE(controller, nullptr);
  std::atomic<bool> allocated{false};
  std::atomic<bool> over{false};
  std::atomic<bool> back{false};
  std::thread thread([&] {
    const std::unique_ptr<Shard> shard = adopt();
    {
      auto queue = controller->allocate_io_queue_pair();
      EXPECT_TRUE(queue);
      allocated = true;
      const Instant limit = Clock::now() + seconds(30);
      while ((*queue)->process_completions() != -ENXIO && Clock::now() < limit) {
      }
      EXPECT_EQ((*queue)->failure(), QueueFailure::kReset);
      while ((*queue)->reconnect() != 0 && Clock::now() < limit) {
        (*queue)->process_completions();
      }
      EXPECT_TRUE((*queue)->wait_connected());
      back = true;
    }
    over = true;
  });
  while (!allocated) controller->process_admin_completions();
  bool reset = false;
  controller->reset([&reset](Status status) { reset = status.has_value(); });
  const Instant limit = Clock::now() + seconds(30);
  while (!over && Clock::now() < limit) controller->process_admin_completions();
  thread.join();
  EXPECT_TRUE(reset);
  EXPECT_TRUE(back);
}

TEST_F(LibraryTcpTest, ATargetThatDoesNotAnswerIsAnError) {
  const TransportId gone = target_.id();
  target_.stop();
  const Result<Controller*> controller = initiator_->connect(gone);
  ASSERT_FALSE(controller);
  EXPECT_EQ(controller.error().code, ErrorCode::kUnreachable) << controller.error().text;
}

TEST_F(LibraryTcpTest, NamespacesAddedResizedAndRemovedWhileAttached) {
  ProbeCallbacks callbacks;
  callbacks.listener = this;
  auto context = initiator_->connect_async(target_.id(), initiator_->default_options(), callbacks);
  ASSERT_TRUE(context);
  while ((*context)->poll() == -EAGAIN) {
  }
  ASSERT_EQ(initiator_->attached().size(), 1u);
  Controller& controller = *initiator_->attached()[0];
  const auto wait_until = [&](const std::function<bool()>& ready) {
    const Instant limit = Clock::now() + seconds(30);
    while (!ready() && Clock::now() < limit) controller.process_admin_completions();
    EXPECT_TRUE(ready());
  };
  target::NamespaceOptions second;
  second.size_bytes = 8 << 20;
  const auto nsid = target_->add_namespace(second);
  ASSERT_TRUE(nsid);
  wait_until([&] { return controller.find_namespace(*nsid) != nullptr; });
  Namespace* added = controller.find_namespace(*nsid);
  ASSERT_NE(added, nullptr);
  EXPECT_EQ(added->geometry().size_bytes(), 8u << 20);
  ASSERT_TRUE(target_->resize_namespace(*nsid, 12 << 20));
  wait_until([&] { return added->geometry().size_bytes() == 12u << 20; });
  EXPECT_EQ(controller.find_namespace(*nsid), added);
  ASSERT_TRUE(target_->remove_namespace(*nsid));
  wait_until([&] { return controller.find_namespace(*nsid) == nullptr; });
  EXPECT_FALSE(added->active());
}

// A discovery controller that stays attached tells each change of its log, once it has been read.
TEST_F(LibraryTcpTest, AChangeOfTheDiscoveryLogIsAnEvent) {
  ProbeCallbacks callbacks;
  callbacks.listener = this;
  const TransportId id = target_.id(std::string(spec::kDiscoveryNqn));
  auto context = initiator_->connect_async(id, initiator_->default_options(), callbacks);
  ASSERT_TRUE(context);
  while ((*context)->poll() == -EAGAIN) {
  }
  ASSERT_EQ(initiator_->attached().size(), 1u);
  Controller& discovery = *initiator_->attached()[0];
  EXPECT_GT(discovery.options().keep_alive, milliseconds(0));
  const target::ListenAddress other{"192.0.2.7", 8009};
  const auto changed = [&](const std::function<Status()>& change, std::uint64_t generation) {
    events_.clear();
    ASSERT_TRUE(change());
    const Instant limit = Clock::now() + seconds(30);
    while (events_.empty() && Clock::now() < limit) discovery.process_admin_completions();
    ASSERT_EQ(events_.size(), 1u);
    EXPECT_EQ(events_[0].first.information,
              static_cast<std::uint8_t>(spec::AsyncNotice::kDiscoveryLogChanged));
    spec::DiscoveryLogHeader header;
    ASSERT_GE(events_[0].second.size(), sizeof(header));
    std::memcpy(&header, events_[0].second.data(), sizeof(header));
    EXPECT_EQ(header.genctr.get(), generation);
    EXPECT_EQ(header.numrec.get(), generation % 2 == 0 ? 2u : 1u);
  };
  for (std::uint64_t generation = 2; generation < 6; generation += 2) {
    changed([&] { return target_->add_referral(other); }, generation);
    changed([&] { return target_->remove_referral(other); }, generation + 1);
  }
  EXPECT_FALSE(target_->remove_referral(other));
}

TEST_F(LibraryTcpTest, ALostConnectionFailsQueuePairsAndAResetRecovers) {
  Controller* controller = connect();
  ASSERT_NE(controller, nullptr);
  auto queue = controller->allocate_io_queue_pair();
  ASSERT_TRUE(queue);
  EXPECT_GT(target_->drop_connections(), 0u);
  const Instant limit = Clock::now() + seconds(30);
  while ((*queue)->process_completions() >= 0 && Clock::now() < limit) {
  }
  while (controller->state() != ControllerState::kFailed && Clock::now() < limit) {
    controller->process_admin_completions();
  }
  EXPECT_EQ((*queue)->failure(), QueueFailure::kRemote);
  ASSERT_TRUE(initiator_->reset(*controller));
  EXPECT_EQ((*queue)->reconnect(), 0);
  EXPECT_TRUE((*queue)->wait_connected());
  Io io;
  ASSERT_EQ((*queue)->submit(io.make(command::read(1, 0, 1))), 0);
  EXPECT_TRUE(process_until(**queue, [&io] { return io.done; }));
  EXPECT_TRUE(io.status.ok());
}

// Each of another host, as one host shares a controller; every eighth is at a target that never
// answers Identify.
TEST_F(LibraryTcpTest, ProbeOf64AtOnceOfWhichEightAreSilent) {
  target::Target silent(target_->options());
  ASSERT_TRUE(silent.start());
  target::Fault fault;
  fault.kind = target::FaultKind::kStuck;
  fault.opcode = static_cast<std::uint8_t>(spec::AdminOpcode::kIdentify);
  silent.inject(fault);
  TransportId silent_id = target_.id();
  silent_id.trsvcid = std::to_string(silent.port());

  unsigned ready = 0;
  std::vector<Error> failures;
  unsigned host = 0;
  ProbeCallbacks callbacks;
  callbacks.probe = [&host](const TransportId&, ControllerOptions& options) {
    options.host.id.bytes[1] = static_cast<std::uint8_t>(host++);
    options.host.nqn = uuid_nqn(options.host.id);
    options.admin_timeout = seconds(10);
    options.keep_alive = seconds(60);  // so that the target does not miss it before
    return true;
  };
  callbacks.attach = [&](const TransportId&, Controller& controller, const ControllerOptions&) {
    EXPECT_EQ(controller.state(), ControllerState::kLive);
    EXPECT_TRUE(failures.empty()) << "a silent one held this one up to its own deadline";
    ready++;
  };
  callbacks.attach_fail = [&](const TransportId& id, const Error& error) {
    EXPECT_EQ(id, silent_id);
    failures.push_back(error);
  };
  std::vector<std::unique_ptr<ProbeContext>> contexts;
  for (unsigned i = 0; i < 64; i++) {
    auto context = initiator_->probe_async(i % 8 == 0 ? silent_id : target_.id(), callbacks);
    ASSERT_TRUE(context) << context.error().text;
    contexts.push_back(std::move(*context));
  }
  const Instant limit = Clock::now() + seconds(120);
  while (!contexts.empty() && Clock::now() < limit) {
    std::erase_if(contexts, [](const auto& context) { return context->poll() == 0; });
  }
  EXPECT_EQ(ready, 56u);
  ASSERT_EQ(failures.size(), 8u);
  for (const Error& error : failures) {
    EXPECT_EQ(error.code, ErrorCode::kTimeout) << error.text;
    EXPECT_EQ(error.step, "identify controller") << error.text;
  }
  EXPECT_EQ(initiator_->attached().size(), 56u);
  initiator_.reset();  // while both targets are there
}

}  // namespace
}  // namespace nvublk::nvme
