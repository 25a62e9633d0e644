#pragma once

// An application that polls: its thread has a shard that it never runs, and a controller behind the
// simulated transport.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/controller.h"
#include "nvme/controller/simulated_transport.h"

namespace nvublk::nvme {

/// What became of one command.
struct Outcome {
  bool done = false;
  spec::NvmeStatus status;
  spec::CompletionEntry entry;
  int order = 0;  ///< among all outcomes of the test
  std::function<void()> then;

  static inline int count = 0;
  static void record(void* context, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    auto* outcome = static_cast<Outcome*>(context);
    EXPECT_FALSE(outcome->done) << "completed twice";
    outcome->done = true;
    outcome->status = status;
    outcome->entry = entry;
    outcome->order = ++count;
    if (outcome->then) outcome->then();
  }
};

class LibraryTest : public testing::Test, public ControllerListener {
 protected:
  void SetUp() override {
    Shard::Options shard_options;
    shard_options.reactor.mode = IdleMode::kInterrupt;
    auto shard = Shard::adopt_current_thread(shard_options);
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    options_.name = "simulated";
    options_.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    options_.application_queues = true;
    options_.ctrl_loss_timeout = seconds(0);
    options_.queue_size = 4;
    options_.io_queue_requests = 16;
    simulation_.controller.queue_count = 4;
  }

  void TearDown() override {
    if (controller_) detach();
    poll(3);
    EXPECT_EQ(simulation_.queues_alive, 0);
    shard_.reset();
  }

  void make() {
    ShardSet shards;
    shards.control = shard_.get();
    auto made = Controller::create(shards, options_,
                                   std::make_unique<SimulatedTransport>(simulation_), this);
    ASSERT_TRUE(made) << made.error().text;
    controller_ = std::move(*made);
  }
  void attach() {
    make();
    std::optional<Status> result;
    controller_->connect([&result](Status status) { result = std::move(status); });
    ASSERT_TRUE(poll_until([&result] { return result.has_value(); }));
    ASSERT_TRUE(*result) << result->error().text << " at " << result->error().step;
  }
  void detach() {
    bool done = false;
    controller_->disconnect([&done](Status) { done = true; });
    EXPECT_TRUE(poll_until([&done] { return done; }));
    controller_.reset();
  }
  Status reset() {
    std::optional<Status> result;
    controller_->reset([&result](Status status) { result = std::move(status); });
    EXPECT_TRUE(poll_until([&result] { return result.has_value(); }));
    return result.value_or(fail(ErrorCode::kTimeout, "the reset never ended"));
  }

  void poll(int times) {
    for (int i = 0; i < times; i++) shard_->reactor().turn(false);
  }
  /// Polls until `ready`; false after a time that only a hang takes.
  bool poll_until(const std::function<bool()>& ready) {
    const Instant limit = Clock::now() + seconds(30);
    while (!ready()) {
      shard_->reactor().turn(false);
      if (Clock::now() > limit) return false;
    }
    return true;
  }

  IoQueuePair::Pointer allocate(const IoQueuePairOptions& options = {}) {
    auto made = controller_->allocate_io_queue_pair(options);
    EXPECT_TRUE(made) << made.error().text;
    return made ? std::move(*made) : nullptr;
  }
  int read(IoQueuePair& queue, Outcome& outcome, std::uint64_t lba = 0) {
    IoCommand io;
    io.sqe = command::read(1, lba, 1);
    io.iov = &block_;
    io.iov_count = 1;
    io.done = &Outcome::record;
    io.context = &outcome;
    return queue.submit(io);
  }

  // ControllerListener
  void controller_state_changed(ControllerState state) override { states_.push_back(state); }
  void namespaces_changed(const std::vector<std::uint32_t>& nsids) override { changed_ = nsids; }
  void event_received(const spec::AsyncEvent& event, std::span<const std::byte>) override {
    events_.push_back(event);
  }
  void namespaces_updated(const NamespaceChanges& changes) override {
    updated_ = changes;
    update_count_++;
  }

  std::unique_ptr<Shard> shard_;
  ControllerOptions options_;
  Simulation simulation_;
  std::unique_ptr<Controller> controller_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(4096);
  iovec block_{buffer_.data(), buffer_.size()};
  std::vector<ControllerState> states_;
  std::vector<std::uint32_t> changed_;
  std::vector<spec::AsyncEvent> events_;
  NamespaceChanges updated_;
  int update_count_ = 0;
};

}  // namespace nvublk::nvme
