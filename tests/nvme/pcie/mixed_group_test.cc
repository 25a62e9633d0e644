// One poll group, queue pairs of two transports: a simulated drive, and nvublk-target over TCP.

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/initiator.h"
#include "nvme/library/tcp_target.h"
#include "nvme/pcie/simulated_drives.h"
#include "nvme/poll_group.h"
#include "nvme/suite/library_suite.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme::pcie {
namespace {

using test::SuiteIo;

class MixedGroupTest : public testing::Test {
 protected:
  void SetUp() override {
    auto shard = Shard::adopt_current_thread({});
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    drives_ = std::make_unique<SimulatedDrives>(*shard_);
    drives_->plug(kAddress, {.size_blocks = 4096});
    ControllerOptions defaults;
    defaults.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    defaults.ctrl_loss_timeout = seconds(0);
    const auto make = [this](const TransportOptions& options) {
      return options.id.is_fabrics() ? make_transport(options) : drives_->make_transport(options);
    };
    initiator_ = std::make_unique<Initiator>(*shard_, make, defaults);
    group_ = std::make_unique<PollGroup>();
  }
  void TearDown() override {
    queues_ = {};
    EXPECT_EQ(group_->destroy(), 0);
    group_.reset();
    initiator_.reset();
    drives_.reset();
    shard_.reset();
  }

  void connect() {
    const std::array ids{SimulatedDrives::id_of(kAddress), target_.id()};
    for (std::size_t i = 0; i < ids.size(); i++) {
      const Result<Controller*> controller = initiator_->connect(ids.at(i));
      ASSERT_TRUE(controller) << controller.error().text;
      auto queue = (*controller)->allocate_io_queue_pair({.create_only = true});
      ASSERT_TRUE(queue) << queue.error().text;
      queues_.at(i) = std::move(*queue);
      ASSERT_EQ(group_->add(*queues_.at(i)), 0);
      ASSERT_EQ(queues_.at(i)->connect(), 0);
    }
    while (group_->all_connected() == -EAGAIN && Clock::now() < limit_) {
      group_->process_completions(0, nullptr);
    }
    ASSERT_EQ(group_->all_connected(), 0);
  }
  int submit(IoQueuePair& queue, std::size_t i, bool write) {
    ios_[i].done = false;
    return queue.submit(ios_[i].make(write ? command::write(1, i, 1) : command::read(1, i, 1)));
  }

  static inline const std::string kAddress = "0000:01:00.0";
  const Instant limit_ = Clock::now() + seconds(60);
  TcpTarget target_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<SimulatedDrives> drives_;
  std::unique_ptr<Initiator> initiator_;
  std::unique_ptr<PollGroup> group_;
  std::array<IoQueuePair::Pointer, 2> queues_;  ///< the drive's, the target's
  std::vector<SuiteIo> ios_ = std::vector<SuiteIo>(40, SuiteIo(4096));
};

TEST_F(MixedGroupTest, APollGroupServesTwoTransports) {
  ASSERT_NO_FATAL_FAILURE(connect());
  const auto all_done = [this] { return std::ranges::all_of(ios_, &SuiteIo::done); };
  for (const bool write : {true, false}) {
    for (std::size_t i = 0; i < ios_.size(); i++) {
      std::ranges::fill(ios_[i].data, write ? static_cast<std::byte>(i) : std::byte{0xee});
      ASSERT_EQ(submit(*queues_.at(i % 2), i, write), 0);
    }
    std::int64_t completions = 0;
    while (!all_done() && Clock::now() < limit_) {
      const std::int64_t done = group_->process_completions(4, nullptr);
      ASSERT_GE(done, 0);
      completions += done;
    }
    EXPECT_EQ(completions, 40);
  }
  for (std::size_t i = 0; i < ios_.size(); i++) {
    EXPECT_TRUE(ios_[i].status.ok());
    EXPECT_EQ(ios_[i].data, std::vector<std::byte>(4096, static_cast<std::byte>(i)));
  }
}

TEST_F(MixedGroupTest, OneTransportsQueuePairGoesOnWithoutTheOthers) {
  ASSERT_NO_FATAL_FAILURE(connect());
  target_.stop();
  std::vector<IoQueuePair*> lost;
  const auto note = [](void* context, IoQueuePair& queue) {
    static_cast<std::vector<IoQueuePair*>*>(context)->push_back(&queue);
  };
  while (lost.empty() && Clock::now() < limit_) group_->process_completions(0, note, &lost);
  ASSERT_FALSE(lost.empty());
  EXPECT_EQ(lost.front(), queues_[1].get());
  ASSERT_EQ(submit(*queues_[0], 0, false), 0);
  while (!ios_[0].done && Clock::now() < limit_) {
    EXPECT_EQ(group_->process_completions(0, nullptr), -ENXIO);
  }
  EXPECT_TRUE(ios_[0].status.ok());
}

}  // namespace
}  // namespace nvublk::nvme::pcie
