// A controller over TCP on a real target, with I/O shards that are threads: what the daemon does
// below its front-ends.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/controller.h"
#include "nvme/tcp/tcp_transport.h"
#include "support/allocation_guard.h"
#include "support/block_workload.h"
#include "target/target.h"

namespace nvublk::nvme {
namespace {

class LiveControllerTest : public testing::Test {
 protected:
  static constexpr unsigned kShards = 2;

  void SetUp() override {
    Shard::Options options;
    auto control = Shard::adopt_current_thread(options);
    ASSERT_TRUE(control) << control.error().text;
    control_ = std::move(*control);
    shards_.control = control_.get();
    for (unsigned i = 0; i < kShards; i++) {
      options.id = i;
      options.name = "io-" + std::to_string(i);
      auto shard = Shard::start(options);
      ASSERT_TRUE(shard) << shard.error().text;
      io_.push_back(std::move(*shard));
      shards_.io.push_back(io_.back().get());
    }
    target_options_.listen = {{"127.0.0.1", 0}};
    target_options_.namespaces = {{.size_bytes = 64 << 20, .block_size = 4096},
                                  {.size_bytes = 16 << 20, .block_size = 512}};
  }

  void TearDown() override {
    if (controller_) {
      bool done = false;
      controller_->disconnect([&done](Status) { done = true; });
      EXPECT_TRUE(turn_until([&done] { return done; }));
      controller_.reset();
    }
    io_.clear();
    control_.reset();
  }

  bool turn_until(const std::function<bool()>& ready) {
    const Instant limit = Clock::now() + seconds(60);
    while (!ready()) {
      control_->reactor().turn(false);
      std::this_thread::yield();
      if (Clock::now() > limit) return false;
    }
    return true;
  }

  void use_tls() {
    constexpr char kKey[] = "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";
    target_options_.tls_key = target::TlsKey::parse(kKey).value();
    options_.tls_key = TlsKey::parse(kKey).value();
  }

  void start_target() {
    target_ = std::make_unique<target::Target>(target_options_);
    ASSERT_TRUE(target_->start());
    options_.name = "nvublk0";
    options_.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    options_.host.id.bytes[15] = 1;
    options_.transport.id.traddr = "127.0.0.1";
    options_.transport.id.trsvcid = std::to_string(target_->port());
    options_.transport.id.subnqn = target_options_.subnqn;
    ASSERT_TRUE(options_.transport.id.complete());
  }

  Status connect() {
    const auto wanted = transport_options(options_);
    if (!wanted) return std::unexpected(wanted.error());
    auto transport = tcp::make_tcp_transport(*wanted);
    if (!transport) return std::unexpected(transport.error());
    auto made = Controller::create(shards_, options_, std::move(*transport), nullptr);
    if (!made) return std::unexpected(made.error());
    controller_ = std::move(*made);
    std::optional<Status> result;
    controller_->connect([&result](Status status) { result = std::move(status); });
    EXPECT_TRUE(turn_until([&result] { return result.has_value(); }));
    return result.value_or(fail(ErrorCode::kTimeout, "connect never ended"));
  }

  // One workload per queue of namespace `nsid`, each on a part of its own.
  void run_workloads(std::uint32_t nsid, test::BlockWorkload::Options options) {
    Namespace* ns = controller_->find_namespace(nsid);
    ASSERT_NE(ns, nullptr);
    std::vector<std::unique_ptr<test::BlockWorkload>> workloads;
    for (unsigned i = 0; i < ns->queue_count(); i++) {
      options.first_lba = i * options.span_blocks;
      options.seed = i + 1;
      workloads.push_back(std::make_unique<test::BlockWorkload>(
          *shards_.io[ns->queue_shard(i)], ns->queue(i), ns->geometry(), options));
    }
    for (auto& workload : workloads) workload->start();
    EXPECT_TRUE(turn_until([&workloads] {
      for (auto& workload : workloads) {
        if (!workload->finished()) return false;
      }
      return true;
    }));
    for (auto& workload : workloads) {
      EXPECT_EQ(workload->errors(), 0u);
      EXPECT_EQ(workload->mismatches(), 0u);
      EXPECT_EQ(workload->completed(), options.operations);
    }
  }

  std::unique_ptr<Shard> control_;
  std::vector<std::unique_ptr<Shard>> io_;
  ShardSet shards_;
  target::Options target_options_;
  std::unique_ptr<target::Target> target_;
  ControllerOptions options_;
  std::unique_ptr<Controller> controller_;
};

TEST_F(LiveControllerTest, WhatIsWrittenIsReadOnEveryQueue) {
  start_target();
  ASSERT_TRUE(connect());
  EXPECT_EQ(controller_->status().queues.size(), 1 + kShards);
  run_workloads(1, {.depth = 64, .operations = 20000});
  run_workloads(2, {.depth = 300, .blocks_per_request = 8, .operations = 5000});
  run_workloads(1, {.depth = 8, .blocks_per_request = 256, .operations = 400, .span_blocks = 4096});
}

TEST_F(LiveControllerTest, WithDigestsToo) {
  options_.transport.header_digest = true;
  options_.transport.data_digest = true;
  start_target();
  ASSERT_TRUE(connect());
  run_workloads(1, {.depth = 32, .operations = 5000});
  run_workloads(2, {.depth = 16, .blocks_per_request = 128, .operations = 500});
}

TEST_F(LiveControllerTest, WithTlsToo) {
  use_tls();
  start_target();
  const Status connected = connect();
  ASSERT_TRUE(connected) << connected.error().text;
  run_workloads(1, {.depth = 64, .operations = 5000});
  run_workloads(2, {.depth = 300, .blocks_per_request = 8, .operations = 2000});
  run_workloads(1, {.depth = 8, .blocks_per_request = 256, .operations = 200, .span_blocks = 4096});
}

TEST_F(LiveControllerTest, ProtectionIsTheControllersBusiness) {
  for (target::NamespaceOptions& each : target_options_.namespaces) each.metadata_bytes = 8;
  target_options_.namespaces[0].protection_type = 1;
  target_options_.namespaces[1].protection_type = 3;
  start_target();
  ASSERT_TRUE(connect());
  run_workloads(1, {.depth = 32, .operations = 5000});
  run_workloads(2, {.depth = 16, .blocks_per_request = 16, .operations = 500});
}

// A target may ignore the wish to do without SQ flow control ... [Base 2.1 §6.3]
TEST_F(LiveControllerTest, ATargetMayKeepFlowControl) {
  target_options_.sq_flow_control_disable = false;
  start_target();
  ASSERT_TRUE(connect());
  EXPECT_FALSE(controller_->status().sq_flow_control_disabled);
  run_workloads(1, {.depth = 32, .operations = 5000});
}

// ... or refuse the command that has it: then it is sent without, on each queue.
TEST_F(LiveControllerTest, ATargetMayRefuseToDoWithoutFlowControl) {
  start_target();
  options_.io_queues = 1;
  target::Fault refusal{.kind = target::FaultKind::kStatus,
                        .opcode = spec::kFabricsOpcode,
                        .fctype = static_cast<std::uint8_t>(spec::FabricsCommandType::kConnect),
                        .count = 1,
                        .status = spec::NvmeStatus::make(spec::FabricsStatus::kInvalidParameters)};
  target_->inject(refusal);
  refusal.skip = 2;  // the first Connect of the I/O queue
  target_->inject(refusal);
  const Status connected = connect();
  ASSERT_TRUE(connected) << connected.error().text;
  EXPECT_FALSE(controller_->status().sq_flow_control_disabled);
  EXPECT_EQ(controller_->status().queues[1].completed, 2u) << "two Connects";
  run_workloads(1, {.depth = 32, .operations = 5000});
}

TEST_F(LiveControllerTest, ALiveShardAllocatesNothing) {
  start_target();
  ASSERT_TRUE(connect());
  run_workloads(1, {.depth = 32, .operations = 200});
  const std::uint64_t before = test::sealed_allocations();
  run_workloads(1, {.depth = 200, .operations = 20000, .seal = true});
  run_workloads(1, {.depth = 4, .blocks_per_request = 64, .operations = 1000, .seal = true});
  EXPECT_EQ(test::sealed_allocations() - before, 0u);
}

// OpenSSL has its own memory, by malloc.
TEST_F(LiveControllerTest, WithTlsALiveShardAllocatesNothingItself) {
  if (test::allocation_guard_counts_malloc()) {
    GTEST_SKIP() << "under sanitizers OpenSSL's own allocations are counted, too";
  }
  use_tls();
  start_target();
  ASSERT_TRUE(connect());
  run_workloads(1, {.depth = 32, .operations = 200});
  const std::uint64_t before = test::sealed_allocations();
  run_workloads(1, {.depth = 200, .operations = 5000, .seal = true});
  run_workloads(1, {.depth = 4, .blocks_per_request = 64, .operations = 500, .seal = true});
  EXPECT_EQ(test::sealed_allocations() - before, 0u);
}

TEST_F(LiveControllerTest, TheAllocationGuardSeesAnAllocation) {
  const std::uint64_t before = test::sealed_allocations();
  Shard::seal_current_thread(true);
  auto allocated = std::make_unique<std::vector<int>>(100);
  Shard::seal_current_thread(false);
  EXPECT_GT(test::sealed_allocations(), before);
  EXPECT_EQ(allocated->size(), 100u);
}

TEST_F(LiveControllerTest, DroppedConnectionsLoseNothing) {
  options_.reconnect_delay = seconds(1);
  start_target();
  ASSERT_TRUE(connect());
  Namespace* ns = controller_->find_namespace(1);
  test::BlockWorkload workload(*shards_.io[0], ns->queue(0), ns->geometry(),
                               {.depth = 32, .operations = 30000, .mixed = false});
  workload.start();
  for (int i = 0; i < 3; i++) {
    ASSERT_TRUE(turn_until([this] { return controller_->state() == ControllerState::kLive; }));
    target_->drop_connections();
    ASSERT_TRUE(
        turn_until([this] { return controller_->state() == ControllerState::kReconnecting; }));
  }
  ASSERT_TRUE(turn_until([&workload] { return workload.finished(); }));
  EXPECT_EQ(workload.errors(), 0u);
  EXPECT_EQ(workload.mismatches(), 0u);
}

TEST_F(LiveControllerTest, DroppedConnectionsLoseNothingWithTls) {
  use_tls();
  options_.reconnect_delay = seconds(1);
  start_target();
  ASSERT_TRUE(connect());
  Namespace* ns = controller_->find_namespace(1);
  test::BlockWorkload workload(*shards_.io[0], ns->queue(0), ns->geometry(),
                               {.depth = 32, .operations = 10000, .mixed = false});
  workload.start();
  target_->drop_connections();
  ASSERT_TRUE(turn_until([&workload] { return workload.finished(); }));
  EXPECT_EQ(workload.errors(), 0u);
  EXPECT_EQ(workload.mismatches(), 0u);
  EXPECT_EQ(controller_->status().tls_cipher, "TLS_AES_128_GCM_SHA256");
}

TEST_F(LiveControllerTest, ConnectionsCutInTheMiddleOfTheirDataLoseNothing) {
  options_.io_queues = 1;
  options_.reconnect_delay = seconds(1);
  start_target();
  ASSERT_TRUE(connect());
  // In a header, and in the data of a small and of a late PDU.
  for (const std::uint64_t at_byte : {1u, 5000u, 300001u}) {
    SCOPED_TRACE(at_byte);
    target_->inject({.kind = target::FaultKind::kDrop,
                     .queues = target::FaultQueues::kIo,
                     .count = 1,
                     .at_byte = at_byte});
    run_workloads(1, {.depth = 32, .blocks_per_request = 8, .operations = 2000, .mixed = false});
    EXPECT_TRUE(target_->faults().empty()) << "it has been cut";
  }
}

TEST_F(LiveControllerTest, AnUnknownSubsystemIsNamed) {
  start_target();
  options_.transport.id.subnqn = "nqn.2026-01.io.nvublk:nobody";
  const Status status = connect();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().step, "Fabrics Connect");
  EXPECT_NE(status.error().text.find("nqn.2026-01.io.nvublk:nobody"), std::string::npos);
}

TEST_F(LiveControllerTest, AHostThatIsNotAllowedIsTold) {
  target_options_.allowed_hosts = {"nqn.2026-01.io.nvublk:somebody"};
  start_target();
  const Status status = connect();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().step, "Fabrics Connect");
  EXPECT_NE(status.error().text.find(options_.host.nqn), std::string::npos);
}

}  // namespace
}  // namespace nvublk::nvme
