// A controller over PCIe on a simulated device: connect, I/O, every way in which a device may break
// the rules or go away, and the end. Whatever happens, the host releases nothing that the device
// may still write to, and no I/O is lost or done wrong.

#include "nvme/pcie/pcie_transport.h"

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/controller.h"
#include "sim/simulated_controller.h"
#include "support/allocation_guard.h"
#include "support/block_workload.h"

namespace nvublk::nvme::pcie {
namespace {

using sim::DeviceFault;
using sim::SimulatedController;

class PcieTransportTest : public testing::Test, private Poller {
 protected:
  void SetUp() override {
    Shard::Options options;
    options.reactor.mode = IdleMode::kBusy;
    auto shard = Shard::adopt_current_thread(options);
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    shard_->reactor().add_poller(*this);
    shards_.control = shard_.get();
    shards_.io = {shard_.get()};
    options_.name = "simulated";
    options_.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    options_.transport.id.trtype = Trtype::kPcie;
    options_.transport.id.traddr = "0000:01:00.0";
    options_.io_queues = 1;
    options_.reconnect_delay = seconds(1);
    options_.admin_timeout = milliseconds(300);
    options_.io_timeout = milliseconds(300);
    ASSERT_TRUE(options_.transport.id.complete());
  }

  void TearDown() override {
    disconnect();
    shard_->reactor().remove_poller(*this);
    shard_.reset();
  }
  void disconnect() {
    if (controller_) {
      bool done = false;
      controller_->disconnect([&done](Status) { done = true; });
      EXPECT_TRUE(turn_until([&done] { return done; }));
      controller_.reset();
      turn_until([turns = 0]() mutable { return ++turns > 5; });
    }
    if (device_) {
      EXPECT_TRUE(device_->violations().empty()) << device_->violations().front();
      EXPECT_EQ(device_->mapping_count(), 0u);
      EXPECT_EQ(device_->io_queue_count(), 0u);
    }
  }

  bool turn_until(const std::function<bool()>& ready) {
    const Instant limit = Clock::now() + seconds(60);
    while (!ready()) {
      shard_->reactor().turn(false);
      if (Clock::now() > limit) return false;
    }
    return true;
  }

  void make_device(const SimulatedController::Options& options = {}) {
    device_ = std::make_shared<SimulatedController>(options);
  }
  Status connect() {
    auto transport = std::make_unique<PcieTransport>(
        [this]() -> Result<std::shared_ptr<PcieDevice>> { return device_; });
    auto made = Controller::create(shards_, options_, std::move(transport), nullptr);
    if (!made) return std::unexpected(made.error());
    controller_ = std::move(*made);
    std::optional<Status> result;
    controller_->connect([&result](Status status) { result = std::move(status); });
    EXPECT_TRUE(turn_until([&result] { return result.has_value(); }));
    return result.value_or(fail(ErrorCode::kTimeout, "connect never ended"));
  }

  std::unique_ptr<test::BlockWorkload> workload(test::BlockWorkload::Options options) {
    Namespace* ns = controller_->find_namespace(1);
    auto made =
        std::make_unique<test::BlockWorkload>(*shard_, ns->queue(0), ns->geometry(), options);
    made->start();
    return made;
  }
  void run(test::BlockWorkload::Options options) {
    const auto work = workload(options);
    ASSERT_TRUE(turn_until([&work] { return work->finished(); }));
    EXPECT_EQ(work->errors(), 0u);
    EXPECT_EQ(work->mismatches(), 0u);
    EXPECT_EQ(work->completed(), options.operations);
  }
  // A workload in whose middle `fault` strikes: it has to end well all the same.
  void run_over(DeviceFault fault, std::int64_t strike_at, std::uint64_t seed = 1) {
    const auto work = workload({.depth = 32, .operations = 4000, .mixed = false, .seed = seed});
    device_->arm_fault(fault, strike_at);
    ASSERT_TRUE(turn_until([&] {
      if (device_->gone() && controller_->state() == ControllerState::kReconnecting) {
        device_->revive();
      }
      return work->finished();
    }));
    EXPECT_TRUE(device_->struck());
    EXPECT_EQ(work->errors(), 0u);
    EXPECT_EQ(work->mismatches(), 0u);
  }

  std::unique_ptr<Shard> shard_;
  ShardSet shards_;
  ControllerOptions options_;
  std::shared_ptr<SimulatedController> device_;
  std::unique_ptr<Controller> controller_;

 private:
  unsigned poll() override { return device_ ? device_->step() : 0; }
  bool arm() override { return true; }
};

TEST_F(PcieTransportTest, WhatIsWrittenIsRead) {
  make_device();
  const Status connected = connect();
  ASSERT_TRUE(connected) << connected.error().text << " at " << connected.error().step;
  EXPECT_EQ(device_->io_queue_count(), 1u);
  run({.depth = 64, .operations = 20000});
  run({.depth = 16, .blocks_per_request = 2, .operations = 2000});
  run({.depth = 16, .blocks_per_request = 32, .operations = 2000});
}

TEST_F(PcieTransportTest, ACommandOfTheUsersOwnHasItsMetadata) {
  make_device({.metadata_bytes = 8});
  ASSERT_TRUE(connect());
  std::vector<std::byte> data(4096, std::byte{0x5a});
  std::vector<std::byte> metadata(8, std::byte{0x77});
  const auto run_own = [&](const spec::SubmissionEntry& sqe) {
    std::optional<spec::NvmeStatus> ended;
    IoPassthrough own;
    own.sqe = sqe;
    own.data = data;
    own.metadata = metadata;
    own.done = [&ended](spec::NvmeStatus status, const spec::CompletionEntry&) { ended = status; };
    EXPECT_EQ(controller_->submit_io(std::move(own)), 0);
    EXPECT_TRUE(turn_until([&ended] { return ended.has_value(); }));
    return ended.has_value() && ended->ok();
  };
  EXPECT_TRUE(run_own(command::write(1, 9, 1)));
  EXPECT_EQ(device_->metadata()[9 * 8], std::byte{0x77});
  std::ranges::fill(metadata, std::byte{0});
  EXPECT_TRUE(run_own(command::read(1, 9, 1)));
  EXPECT_EQ(metadata, std::vector<std::byte>(8, std::byte{0x77}));
}

TEST_F(PcieTransportTest, MoreRequestsThanCommandsWait) {
  options_.queue_size = 16;
  make_device({.max_queue_entries = 17});
  ASSERT_TRUE(connect());
  run({.depth = 200, .operations = 20000});
}

TEST_F(PcieTransportTest, CompletionsInAnyOrder) {
  make_device({.seed = 7, .out_of_order = true});
  ASSERT_TRUE(connect());
  run({.depth = 64, .operations = 20000});
}

TEST_F(PcieTransportTest, ShadowDoorbellsLoseNothing) {
  make_device({.shadow_doorbells = true});
  ASSERT_TRUE(connect());
  EXPECT_TRUE(device_->has_shadows());
  run({.depth = 64, .operations = 20000});
  run({.depth = 1, .operations = 2000});
  run_over(DeviceFault::kWrongCid, 500);
  EXPECT_TRUE(device_->has_shadows());
}

TEST_F(PcieTransportTest, ADriveThatReadsShadowDoorbellsByItselfIsNotRung) {
  make_device({.shadow_doorbells = true, .awake = true});
  ASSERT_TRUE(connect());
  run({.depth = 64, .operations = 20000});
  run({.depth = 1, .operations = 2000});
  EXPECT_GE(device_->io_commands(), 22000u);
}

TEST_F(PcieTransportTest, DoorbellsMayBeFarApart) {
  for (const bool shadows : {false, true}) {
    options_.io_queues = 4;
    make_device({.shadow_doorbells = shadows, .awake = shadows, .doorbell_stride = 4});
    ASSERT_TRUE(connect());
    EXPECT_EQ(device_->has_shadows(), shadows);
    run({.depth = 16, .operations = 2000});
    disconnect();
  }
}

TEST_F(PcieTransportTest, ALiveShardAllocatesNothing) {
  make_device();
  ASSERT_TRUE(connect());
  // The device allocates on the same thread: let it do that first.
  run({.depth = 128, .operations = 2000, .mixed = false});
  const std::uint64_t before = test::sealed_allocations();
  run({.depth = 128, .operations = 20000, .mixed = false, .seal = true});
  run({.depth = 64, .blocks_per_request = 32, .operations = 1000, .mixed = false, .seal = true});
  EXPECT_EQ(test::sealed_allocations() - before, 0u);
}

TEST_F(PcieTransportTest, FaultsLoseNothing) {
  make_device();
  ASSERT_TRUE(connect());
  for (const DeviceFault fault :
       {DeviceFault::kErrorStatus, DeviceFault::kWrongCid, DeviceFault::kWrongQueue,
        DeviceFault::kTwice, DeviceFault::kStalePhase, DeviceFault::kFatal, DeviceFault::kGone,
        DeviceFault::kPulled}) {
    SCOPED_TRACE(static_cast<int>(fault));
    run_over(fault, 500);
  }
}

TEST_F(PcieTransportTest, SeededFaultsLoseNothing) {
  make_device({.seed = 3, .out_of_order = true});
  ASSERT_TRUE(connect());
  for (std::uint64_t seed = 1; seed <= 12; seed++) {
    SCOPED_TRACE(seed);
    constexpr std::array kFaults = {DeviceFault::kWrongCid, DeviceFault::kTwice,
                                    DeviceFault::kWrongQueue};
    run_over(kFaults[seed % kFaults.size()], static_cast<std::int64_t>(seed * 7919 % 3900), seed);
  }
}

TEST_F(PcieTransportTest, AnotherDriveIsNotTakenForTheOneThatLeft) {
  make_device();
  ASSERT_TRUE(connect());
  const auto work = workload({.depth = 8, .operations = 2000, .mixed = false});
  device_->arm_fault(DeviceFault::kGone, 500);
  ASSERT_TRUE(turn_until([&] { return device_->gone(); }));
  device_->revive("ANOTHER");
  ASSERT_TRUE(turn_until([&] {
    const auto error = controller_->status().last_error;
    return error && error->text.find("ANOTHER") != std::string::npos;
  }));
  EXPECT_FALSE(work->finished());
  device_->revive();
  controller_->reconnect_now();
  ASSERT_TRUE(turn_until([&] { return work->finished(); }));
  EXPECT_EQ(work->errors(), 0u);
  EXPECT_EQ(work->mismatches(), 0u);
}

TEST_F(PcieTransportTest, ADeviceThatTheKernelWantsBackIsLetGo) {
  options_.ctrl_loss_timeout = seconds(0);
  make_device();
  ASSERT_TRUE(connect());
  const long users = device_.use_count();
  EXPECT_GT(users, 1);
  device_->ask_for_removal();
  EXPECT_TRUE(turn_until([this] { return device_.use_count() == 1; }));
  EXPECT_EQ(controller_->state(), ControllerState::kFailed);
}

TEST_F(PcieTransportTest, AControllerThatIsNeverReadyIsNamed) {
  make_device({.enabled_at_start = false});
  device_->never_ready = true;
  const Status status = connect();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().step, "wait CSTS.RDY=1");
  EXPECT_EQ(status.error().code, ErrorCode::kTimeout);
}

TEST_F(PcieTransportTest, AControllerThatCannotBeDisabledIsNamed) {
  make_device();
  device_->never_ready = true;
  const Status status = connect();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().step, "wait CSTS.RDY=0");
}

TEST_F(PcieTransportTest, ASilentAdminQueueIsNamed) {
  make_device();
  device_->mute_admin = true;
  const Status status = connect();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().step, "identify controller");
}

TEST_F(PcieTransportTest, RefusedQueuesAreNamed) {
  make_device();
  device_->refuse_queues = true;
  const Status status = connect();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().step, "create completion queue");
  EXPECT_NE(status.error().text.find("queue 1"), std::string::npos);
}

TEST_F(PcieTransportTest, QueuesThatAreNotDeletedNeedAReset) {
  make_device();
  ASSERT_TRUE(connect());
  device_->keep_queues = true;
  run_over(DeviceFault::kWrongCid, 100);
}

TEST_F(PcieTransportTest, ADeviceThatCannotBeOpenedSaysWhy) {
  auto transport = std::make_unique<PcieTransport>([]() -> Result<std::shared_ptr<PcieDevice>> {
    return fail(ErrorCode::kPermission, "no permission");
  });
  auto made = Controller::create(shards_, options_, std::move(transport), nullptr);
  ASSERT_TRUE(made);
  controller_ = std::move(*made);
  std::optional<Status> result;
  controller_->connect([&result](Status status) { result = std::move(status); });
  ASSERT_TRUE(turn_until([&result] { return result.has_value(); }));
  ASSERT_FALSE(*result);
  EXPECT_EQ(result->error().text, "no permission");
  EXPECT_NE(result->error().step.find("open the device"), std::string::npos);
}

TEST_F(PcieTransportTest, ManyRoundsLeaveNothingBehind) {
  make_device();
  for (int round = 0; round < 50; round++) {
    ASSERT_TRUE(connect());
    run({.depth = 8, .operations = 50});
    bool done = false;
    controller_->disconnect([&done](Status) { done = true; });
    ASSERT_TRUE(turn_until([&done] { return done; }));
    controller_.reset();
    ASSERT_TRUE(turn_until([this] { return device_.use_count() == 1; }));
    ASSERT_EQ(device_->mapping_count(), 0u);
  }
}

}  // namespace
}  // namespace nvublk::nvme::pcie
