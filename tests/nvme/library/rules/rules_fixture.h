#pragma once

// One test for each object and each rule of an NVMe initiator library, named after it: what an
// application can rely on, to be read from top to bottom. How each works in detail, and what else
// can go wrong, is in the tests of the folder above.

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/initiator.h"
#include "nvme/library/library_fixture.h"
#include "nvme/poll_group.h"

namespace nvublk::nvme {

/// An application with an initiator, and simulated controllers behind the NQNs that it asks for.
class RulesTest : public testing::Test, public ControllerListener {
 protected:
  void SetUp() override {
    Shard::Options shard_options;
    shard_options.reactor.mode = IdleMode::kInterrupt;
    auto shard = Shard::adopt_current_thread(shard_options);
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    options_.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    options_.ctrl_loss_timeout = seconds(0);
    options_.queue_size = 16;
    initiator_ = make_initiator();
    callbacks_.attach = [this](const TransportId&, Controller& controller,
                               const ControllerOptions&) { attached_.push_back(&controller); };
    callbacks_.attach_fail = [this](const TransportId&, const Error& error) {
      failures_.push_back(error);
    };
    callbacks_.listener = this;
  }
  void TearDown() override {
    initiator_.reset();
    for (auto& [nqn, simulation] : simulations_) EXPECT_EQ(simulation.queues_alive, 0) << nqn;
    shard_.reset();
  }

  std::unique_ptr<Initiator> make_initiator() {
    return std::make_unique<Initiator>(
        *shard_,
        [this](const TransportOptions& transport) -> Result<std::unique_ptr<Transport>> {
          transports_.push_back(transport.id);
          return std::make_unique<SimulatedTransport>(simulations_[transport.id.subnqn]);
        },
        options_);
  }
  TransportId id(const std::string& subnqn = "nqn.2026-01.io.nvublk:one") {
    TransportId made;
    made.traddr = "192.0.2.1";
    made.subnqn = subnqn;
    EXPECT_TRUE(made.complete());
    return made;
  }
  Simulation& simulation(const std::string& subnqn = "nqn.2026-01.io.nvublk:one") {
    return simulations_[subnqn];
  }
  std::unique_ptr<ProbeContext> connect_async(const TransportId& id) {
    auto context = initiator_->connect_async(id, options_, callbacks_);
    EXPECT_TRUE(context) << (context ? "" : context.error().text);
    return context ? std::move(*context) : nullptr;
  }
  Controller& attach(const std::string& subnqn = "nqn.2026-01.io.nvublk:one") {
    const std::unique_ptr<ProbeContext> context = connect_async(id(subnqn));
    finish(*context);
    EXPECT_FALSE(attached_.empty());
    return *attached_.back();
  }
  void finish(ProbeContext& context) {
    EXPECT_TRUE(poll_until([&context] { return context.poll() == 0; }));
  }
  IoQueuePair::Pointer allocate(Controller& controller, const IoQueuePairOptions& options = {}) {
    auto queue = controller.allocate_io_queue_pair(options);
    EXPECT_TRUE(queue) << (queue ? "" : queue.error().text);
    return queue ? std::move(*queue) : nullptr;
  }
  IoQueuePair::Pointer unconnected(Controller& controller, bool interrupts = false) {
    IoQueuePairOptions options;
    options.create_only = true;
    options.interrupts = interrupts;
    options.delay_submit = !interrupts;
    return allocate(controller, options);
  }
  int read(IoQueuePair& queue, Outcome& outcome) {
    IoCommand io;
    io.sqe = command::read(1, 0, 1);
    io.iov = &block_;
    io.iov_count = 1;
    io.done = &Outcome::record;
    io.context = &outcome;
    return queue.submit(io);
  }
  /// Turns of the loop that nobody took completions from.
  void idle(int turns) {
    for (int i = 0; i < turns; i++) shard_->reactor().turn(false);
  }
  bool poll_until(const std::function<bool()>& ready) {
    const Instant limit = Clock::now() + seconds(30);
    while (!ready()) {
      shard_->reactor().turn(false);
      if (Clock::now() > limit) return false;
    }
    return true;
  }

  void controller_state_changed(ControllerState) override {}
  void namespaces_changed(const std::vector<std::uint32_t>& nsids) override { changed_ = nsids; }

  std::unique_ptr<Shard> shard_;
  ControllerOptions options_;
  std::map<std::string, Simulation> simulations_;
  std::vector<TransportId> transports_;  ///< for which a transport was made
  std::unique_ptr<Initiator> initiator_;
  ProbeCallbacks callbacks_;
  std::vector<Controller*> attached_;
  std::vector<Error> failures_;
  std::vector<std::uint32_t> changed_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(4096);
  iovec block_{buffer_.data(), buffer_.size()};
};

}  // namespace nvublk::nvme
