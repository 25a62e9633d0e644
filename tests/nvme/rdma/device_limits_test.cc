// What the user wants of a connection reaches rdma-core, and what a device cannot do is respected:
// a real device of which rdma-core says less (watched_verbs.h). Against the target that the
// environment names, as in rdma_guest_test.cc.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/initiator.h"
#include "nvme/rdma/watched_verbs.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme::rdma {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;

class DeviceLimitsTest : public testing::Test {
 protected:
  static constexpr std::size_t kBlock = 512;
  struct Io {
    bool done = false;
    spec::NvmeStatus status;
    std::vector<std::byte> data;
    iovec piece{};
  };

  void SetUp() override {
    watched_verbs() = {};
    Shard::Options options;
    options.reactor.mode = IdleMode::kInterrupt;
    shard_ = Shard::adopt_current_thread(options).value();
    defaults_.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    defaults_.host.id.bytes[0] = 1;
    defaults_.ctrl_loss_timeout = seconds(0);
  }
  void TearDown() override {
    queue_.reset();
    initiator_.reset();
    shard_.reset();
    watched_verbs() = {};
  }

  static TransportId id() {
    TransportId id;
    id.trtype = Trtype::kRdma;
    id.traddr = std::getenv("RDMA_ADDRESS");
    id.trsvcid = std::getenv("RDMA_PORT");
    id.subnqn = std::getenv("RDMA_NQN");
    EXPECT_TRUE(id.complete());
    return id;
  }
  /// One I/O queue pair with room for `commands`; why there is none.
  Error connect(std::uint32_t commands) {
    ControllerOptions options = defaults_;
    options.queue_size = commands;
    initiator_.reset();
    initiator_ = std::make_unique<Initiator>(*shard_, make_transport, options);
    const Result<Controller*> controller = initiator_->connect(id());
    if (!controller) return controller.error();
    IoQueuePairOptions wanted;
    wanted.queue_size = commands;
    auto queue = (*controller)->allocate_io_queue_pair(wanted);
    if (!queue) return queue.error();
    queue_ = std::move(*queue);
    return {};
  }
  void run(Io& io, const spec::SubmissionEntry& sqe) {
    io.piece = {io.data.data(), io.data.size()};
    IoCommand command;
    command.sqe = sqe;
    command.iov = &io.piece;
    command.iov_count = 1;
    command.context = &io;
    command.done = [](void* context, spec::NvmeStatus status, const spec::CompletionEntry&) {
      static_cast<Io*>(context)->done = true;
      static_cast<Io*>(context)->status = status;
    };
    ASSERT_EQ(queue_->submit(command), 0);
    const Instant limit = Clock::now() + seconds(60);
    while (!io.done && queue_->process_completions() >= 0 && Clock::now() < limit) {
    }
    EXPECT_TRUE(io.done && io.status.ok());
  }
  /// Blocks in and beyond a capsule are read as they were written.
  void expect_data_comes_back() {
    for (const std::uint32_t blocks : {1u, 64u}) {
      Io written;
      for (std::size_t i = 0; i < blocks * kBlock; i++) {
        written.data.push_back(static_cast<std::byte>(i * 7 / 3 + blocks));
      }
      run(written, command::write(1, 0, blocks));
      Io read;
      read.data.resize(blocks * kBlock);
      run(read, command::read(1, 0, blocks));
      EXPECT_EQ(read.data, written.data);
    }
  }

  std::unique_ptr<Shard> shard_;
  ControllerOptions defaults_;
  std::unique_ptr<Initiator> initiator_;
  IoQueuePair::Pointer queue_;
};

TEST_F(DeviceLimitsTest, TypeOfServiceAndAckTimeoutAreSetOnEachConnection) {
  defaults_.transport.tos = 32;
  defaults_.transport.ack_timeout = 14;
  EXPECT_EQ(connect(16).text, "");
  using Option = WatchedVerbs::Option;
  EXPECT_THAT(watched_verbs().options,
              ElementsAre(Option{RDMA_OPTION_ID_TOS, 32}, Option{RDMA_OPTION_ID_ACK_TIMEOUT, 14},
                          Option{RDMA_OPTION_ID_TOS, 32}, Option{RDMA_OPTION_ID_ACK_TIMEOUT, 14}));
  expect_data_comes_back();
}

TEST_F(DeviceLimitsTest, WhatIsNotWishedIsLeftToTheSystem) {
  EXPECT_EQ(connect(16).text, "");
  EXPECT_TRUE(watched_verbs().options.empty());
}

TEST_F(DeviceLimitsTest, AQueueThatIsTooLongForTheDeviceIsRefusedInWords) {
  watched_verbs().max_qp_wr = 40;
  EXPECT_EQ(connect(39).text, "");
  expect_data_comes_back();
  queue_.reset();
  EXPECT_THAT(connect(40).text, HasSubstr("at most 40 work requests; use a smaller --queue-size"));
}

TEST_F(DeviceLimitsTest, ADeviceThatGathersNothingSendsNoDataWithTheCapsule) {
  watched_verbs().max_sge = 1;
  EXPECT_EQ(connect(16).text, "");
  EXPECT_THAT(watched_verbs().queue_pairs, Each(Field(&ibv_qp_cap::max_send_sge, 1u)));
  expect_data_comes_back();
}

TEST_F(DeviceLimitsTest, ADeviceThatTakesNothingByValueIsSentItFromMemory) {
  watched_verbs().refuses_inline = true;
  EXPECT_EQ(connect(16).text, "");
  ASSERT_EQ(watched_verbs().queue_pairs.size(), 4u) << "each is tried twice";
  EXPECT_EQ(watched_verbs().queue_pairs[3].max_inline_data, 0u);
  expect_data_comes_back();
}

TEST_F(DeviceLimitsTest, CompletionQueuesAreNoLongerThanTheDevicesAre) {
  watched_verbs().max_cqe = 80;  // enough for the admin queue's 32 commands alone
  EXPECT_EQ(connect(32).text, "");
  EXPECT_THAT(watched_verbs().completion_queues, ElementsAre(80, 80));
  expect_data_comes_back();
  queue_.reset();
  EXPECT_THAT(connect(120).text, HasSubstr("cannot have a completion queue of 241 entries"));
}

}  // namespace
}  // namespace nvublk::nvme::rdma
