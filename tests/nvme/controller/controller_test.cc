#include "nvme/controller.h"

#include <cerrno>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "nvme/controller/simulated_transport.h"

namespace nvublk::nvme {
namespace {

// The control shard and the I/O shard are the test's own thread, so that a test is one sequence of
// turns. (A message posted to a shard is delivered in its next turn, whichever thread that is.)
class ControllerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto shard = Shard::adopt_current_thread({});
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    shards_.control = shard_.get();
    shards_.io = {shard_.get()};
    options_.name = "nvublk0";
    options_.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    options_.io_queues = 1;
    options_.connect_timeout = milliseconds(10);
    options_.admin_timeout = milliseconds(20);
    simulation_.controller.keep_alive_ms = 400;
    options_.reconnect_delay = seconds(1);
  }

  void TearDown() override {
    if (controller_) {
      disconnect();
      controller_.reset();
    }
    turn(3);
    EXPECT_EQ(simulation_.queues_alive, 0);
    shard_.reset();
  }

  void make() {
    auto made = Controller::create(shards_, options_,
                                   std::make_unique<SimulatedTransport>(simulation_), nullptr);
    ASSERT_TRUE(made) << made.error().text;
    controller_ = std::move(*made);
  }
  void turn(int times) {
    for (int i = 0; i < times; i++) shard_->reactor().turn(false);
  }
  // Turns until `ready`, or fails the test after a generous time.
  bool turn_until(const std::function<bool()>& ready) {
    const Instant limit = Clock::now() + seconds(30);
    while (!ready()) {
      shard_->reactor().turn_or_wait();
      if (Clock::now() > limit) return false;
    }
    return true;
  }
  Status connect() {
    std::optional<Status> result;
    controller_->connect([&result](Status status) { result = std::move(status); });
    EXPECT_TRUE(turn_until([&result] { return result.has_value(); }));
    return result.value_or(fail(ErrorCode::kTimeout, "connect never ended"));
  }
  void disconnect() {
    bool done = false;
    controller_->disconnect([&done](Status) { done = true; });
    EXPECT_TRUE(turn_until([&done] { return done; }));
  }
  bool reach(ControllerState state) {
    return turn_until([this, state] { return controller_->state() == state; });
  }

  BlockRequest& read() {
    BlockRequest& block = blocks_.emplace_back();
    block.blocks = 1;
    block.data = buffer_.data();
    block.error = -1;
    block.done = [](BlockRequest&) {};
    controller_->find_namespace(1)->queue(0).submit(block);
    return block;
  }

  std::unique_ptr<Shard> shard_;
  ShardSet shards_;
  ControllerOptions options_;
  Simulation simulation_;
  std::unique_ptr<Controller> controller_;
  std::deque<BlockRequest> blocks_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(4096);
};

TEST_F(ControllerTest, ConnectsReadsAndShutsDown) {
  make();
  ASSERT_TRUE(connect());
  EXPECT_EQ(controller_->state(), ControllerState::kLive);
  ASSERT_NE(controller_->find_namespace(1), nullptr);
  EXPECT_EQ(controller_->find_namespace(2), nullptr);
  BlockRequest& block = read();
  turn(3);
  EXPECT_EQ(block.error, 0);
  const ControllerStatus status = controller_->status();
  EXPECT_EQ(status.step, "");
  ASSERT_EQ(status.queues.size(), 2u);
  EXPECT_EQ(status.queues[1].state, QueueState::kLive);
  EXPECT_EQ(status.queues[1].completed, 2u) << "Connect and the read";
  EXPECT_TRUE(status.sq_flow_control_disabled);
  disconnect();
  controller_.reset();
}

// Whatever goes wrong, whenever: connect() ends, says at which step, and leaves nothing open.
TEST_F(ControllerTest, EveryFaultAtEveryMomentOfConnectFailsClosed) {
  make();
  ASSERT_TRUE(connect());
  const int asked = simulation_.asked;
  disconnect();
  controller_.reset();
  turn(3);
  ASSERT_GT(asked, 15);
  for (const Fault fault : {Fault::kDisconnect, Fault::kSilence, Fault::kErrorStatus,
                            Fault::kNonsense, Fault::kUnknownCid}) {
    for (int at = 0; at < asked; at++) {
      SCOPED_TRACE("fault " + std::to_string(static_cast<int>(fault)) + " at " +
                   std::to_string(at));
      simulation_ = Simulation{};
      simulation_.fault = fault;
      simulation_.strike_at = at;
      make();
      const Status status = connect();
      if (!status) {
        EXPECT_EQ(controller_->state(), ControllerState::kFailed);
        EXPECT_NE(status.error().step, "");
        EXPECT_NE(status.error().text, "");
        if (fault == Fault::kDisconnect) {
          EXPECT_EQ(status.error().text.find("answered"), std::string::npos) << status.error().text;
        }
      } else {
        EXPECT_TRUE(fault == Fault::kErrorStatus || fault == Fault::kNonsense)
            << "only optional commands may fail, and only some values do not matter";
        disconnect();
      }
      controller_.reset();
      turn(3);
      EXPECT_EQ(simulation_.queues_alive, 0);
    }
  }
}

TEST_F(ControllerTest, AConnectionLostWhileItInitializesIsSaidToBeLost) {
  simulation_.fault = Fault::kDisconnect;
  simulation_.strike_at = 3;
  make();
  const Status status = connect();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kDisconnected);
  EXPECT_EQ(status.error().text, "the connection was lost: the peer closed the connection");
  EXPECT_EQ(status.error().step, "read VS");
}

// A target ends whose timer runs out, however long it takes to answer.
TEST_F(ControllerTest, KeepAlivesGoOutWhileItInitializes) {
  options_.keep_alive = milliseconds(40);
  options_.admin_timeout = seconds(30);
  simulation_.controller.keep_alive_ms = 40;
  simulation_.hold_admin = true;
  make();
  std::optional<Status> result;
  controller_->connect([&result](Status status) { result = std::move(status); });
  ASSERT_TRUE(turn_until([this] { return simulation_.keep_alives >= 3; }));
  EXPECT_EQ(controller_->status().step, "identify controller");
  EXPECT_FALSE(result.has_value());
  simulation_.hold_admin = false;
  ASSERT_TRUE(turn_until([&result] { return result.has_value(); }));
  ASSERT_TRUE(*result) << result->error().text;
  const int before = simulation_.keep_alives;
  EXPECT_TRUE(turn_until([&] { return simulation_.keep_alives >= before + 2; }));
}

TEST_F(ControllerTest, WithoutANameItIsCalledWhatItsTransportIdNames) {
  options_.name.clear();
  options_.transport.id.traddr = "192.0.2.1";
  options_.transport.id.trsvcid = "4420";
  options_.transport.id.subnqn = "nqn.2026-01.io.nvublk:one";
  make();
  EXPECT_EQ(controller_->name(), "nqn.2026-01.io.nvublk:one");
  controller_.reset();
  options_.transport.id.subnqn = "nqn.2014-08.org.nvmexpress.discovery";
  make();
  EXPECT_EQ(controller_->name(), "192.0.2.1:4420");
  controller_.reset();
}

TEST_F(ControllerTest, AHangingConnectShowsItsStepAndCanBeGivenUp) {
  options_.connect_timeout = seconds(1000);
  simulation_.fault = Fault::kSilence;
  simulation_.strike_at = 0;
  make();
  std::optional<Status> result;
  controller_->connect([&result](Status status) { result = std::move(status); });
  turn(3);
  const ControllerStatus status = controller_->status();
  EXPECT_EQ(status.state, ControllerState::kConnecting);
  EXPECT_EQ(status.step, "connect admin queue: simulated handshake");
  EXPECT_FALSE(result.has_value());
  disconnect();
  ASSERT_TRUE(turn_until([&result] { return result.has_value(); }));
  EXPECT_EQ(result->error().code, ErrorCode::kCancelled);
}

TEST_F(ControllerTest, RequestsWaitForTheReconnect) {
  make();
  ASSERT_TRUE(connect());
  simulation_.hold_io = true;
  BlockRequest& outstanding = read();
  turn(3);
  simulation_.strike_at = simulation_.asked;
  simulation_.fault = Fault::kDisconnect;
  // The next command is the keep alive.
  ASSERT_TRUE(reach(ControllerState::kReconnecting));
  BlockRequest& waiting = read();
  EXPECT_EQ(outstanding.error, -1);
  simulation_.hold_io = false;
  ASSERT_TRUE(reach(ControllerState::kLive));
  turn(3);
  EXPECT_EQ(outstanding.error, 0);
  EXPECT_EQ(waiting.error, 0);
}

TEST_F(ControllerTest, AfterCtrlLossTimeoutRequestsFail) {
  options_.ctrl_loss_timeout = seconds(1);
  make();
  ASSERT_TRUE(connect());
  simulation_.hold_io = true;
  BlockRequest& held = read();
  turn(3);
  simulation_.refuse = true;
  simulation_.strike_at = simulation_.asked;
  simulation_.fault = Fault::kDisconnect;
  ASSERT_TRUE(reach(ControllerState::kReconnecting));
  EXPECT_EQ(held.error, -1);
  ASSERT_TRUE(reach(ControllerState::kFailed));
  turn(3);
  EXPECT_EQ(held.error, EIO);
  EXPECT_EQ(read().error, EIO);
}

TEST_F(ControllerTest, AnInitializationThatIsGivenUpHasEnded) {
  options_.ctrl_loss_timeout = seconds(1);
  options_.connect_timeout = seconds(1000);
  make();
  ASSERT_TRUE(connect());
  simulation_.strike_at = simulation_.asked;
  simulation_.fault = Fault::kDisconnect;
  ASSERT_TRUE(reach(ControllerState::kReconnecting));
  simulation_.fault = Fault::kSilence;
  simulation_.strike_at = simulation_.asked;
  ASSERT_TRUE(turn_until([this] { return controller_->status().step.starts_with("reconnect: "); }));
  ASSERT_TRUE(reach(ControllerState::kFailed));
  EXPECT_EQ(controller_->status().step, "");
}

TEST_F(ControllerTest, FastIoFailFailsRequestsWhileReconnectGoesOn) {
  options_.fast_io_fail_timeout = seconds(0);
  make();
  ASSERT_TRUE(connect());
  simulation_.hold_io = true;
  BlockRequest& held = read();
  turn(3);
  simulation_.strike_at = simulation_.asked;
  simulation_.fault = Fault::kDisconnect;
  ASSERT_TRUE(reach(ControllerState::kReconnecting));
  ASSERT_TRUE(turn_until([&held] { return held.error != -1; }));
  EXPECT_EQ(held.error, EIO);
  EXPECT_EQ(controller_->state(), ControllerState::kReconnecting);
  simulation_.hold_io = false;
  ASSERT_TRUE(reach(ControllerState::kLive));
  BlockRequest& fresh = read();
  turn(3);
  EXPECT_EQ(fresh.error, 0);
}

// Whatever waited for the connection: it must not reach another disk.
TEST_F(ControllerTest, AnotherNamespaceBehindTheSameIdIsRefusedOnReconnect) {
  make();
  ASSERT_TRUE(connect());
  Namespace* before = controller_->find_namespace(1);
  simulation_.hold_io = true;
  BlockRequest& outstanding = read();
  turn(3);
  simulation_.strike_at = simulation_.asked;
  simulation_.fault = Fault::kDisconnect;
  ASSERT_TRUE(reach(ControllerState::kReconnecting));
  BlockRequest& waiting = read();
  simulation_.controller.uuid_seed = 1;
  simulation_.hold_io = false;
  const int submitted = simulation_.io_submitted;
  ASSERT_TRUE(reach(ControllerState::kLive));
  turn(3);
  EXPECT_EQ(outstanding.error, EIO);
  EXPECT_EQ(waiting.error, EIO);
  EXPECT_EQ(simulation_.io_submitted, submitted) << "nothing reached the other namespace";
  EXPECT_EQ(before->fate(), NamespaceFate::kReplaced);
  EXPECT_NE(before->inactive_reason().find("UUID"), std::string::npos) << before->inactive_reason();
  ASSERT_NE(controller_->find_namespace(1), nullptr);
  EXPECT_NE(controller_->find_namespace(1), before);
  EXPECT_EQ(read().error, 0 - 1);
  turn(3);
  EXPECT_EQ(blocks_.back().error, 0) << "the new one is there to be used";
}

TEST_F(ControllerTest, ANamespaceThatVanishedFailsAndTheOthersGoOn) {
  make();
  ASSERT_TRUE(connect());
  Namespace* gone = controller_->find_namespace(3);
  simulation_.controller.nsids = {1};
  simulation_.strike_at = simulation_.asked;
  simulation_.fault = Fault::kDisconnect;
  ASSERT_TRUE(reach(ControllerState::kReconnecting));
  ASSERT_TRUE(reach(ControllerState::kLive));
  BlockRequest& other = read();
  BlockRequest& lost = blocks_.emplace_back();
  lost.blocks = 1;
  lost.data = buffer_.data();
  lost.done = [](BlockRequest&) {};
  turn(1);
  gone->queue(0).submit(lost);
  turn(3);
  EXPECT_EQ(other.error, 0);
  EXPECT_EQ(lost.error, EIO);
  EXPECT_EQ(gone->fate(), NamespaceFate::kRemoved);
}

TEST_F(ControllerTest, FailIoAbandonsWhatTheDeviceHas) {
  make();
  ASSERT_TRUE(connect());
  simulation_.hold_io = true;
  BlockRequest& held = read();
  turn(3);
  controller_->fail_io(ENODEV);
  ASSERT_TRUE(reach(ControllerState::kFailed));
  turn(3);
  EXPECT_EQ(held.error, ENODEV);
}

TEST_F(ControllerTest, AControllerThatBearsOneCommandGetsOneAtATime) {
  simulation_.limits.pci = {0x106b, 0x2001};
  make();
  ASSERT_TRUE(connect());
  EXPECT_EQ(controller_->status().queues[1].depth, 1u);
  simulation_.hold_io = true;
  const BlockRequest& first = read();
  const BlockRequest& second = read();
  turn(3);
  EXPECT_EQ(controller_->status().queues[1].outstanding, 1u);
  simulation_.hold_io = false;
  turn(6);
  EXPECT_EQ(first.error, 0);
  EXPECT_EQ(second.error, 0);
}

TEST_F(ControllerTest, OptionsThatCannotWorkAreExplained) {
  options_.ctrl_loss_timeout = seconds(5);
  options_.fast_io_fail_timeout = seconds(6);
  const auto made = Controller::create(shards_, options_,
                                       std::make_unique<SimulatedTransport>(simulation_), nullptr);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().text.find("fast_io_fail_tmo"), std::string::npos);
}

}  // namespace
}  // namespace nvublk::nvme
