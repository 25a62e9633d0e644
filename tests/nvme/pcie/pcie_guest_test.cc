// The library as an application uses it on a drive of QEMU's: PCI_ADDRESS, bound to vfio-pci, whose
// namespace PCI_NSID has blocks of 512 bytes and may be overwritten.

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/initiator.h"
#include "nvme/management_command.h"
#include "nvme/poll_group.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme {
namespace {

constexpr std::uint32_t kBlock = 512;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  EXPECT_NE(value, nullptr) << name;
  return value != nullptr ? value : "";
}

struct Ended {
  bool done = false;
  spec::NvmeStatus status;
  std::uint64_t result = 0;
  static void record(void* context, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    auto* self = static_cast<Ended*>(context);
    EXPECT_FALSE(self->done) << "completed twice";
    *self = {true, status, entry.result()};
  }
};

class PcieGuestTest : public testing::Test {
 protected:
  void SetUp() override {
    auto shard = Shard::adopt_current_thread({});
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    ControllerOptions defaults;
    defaults.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    defaults.ctrl_loss_timeout = seconds(0);
    initiator_ = std::make_unique<Initiator>(*shard_, make_transport, defaults);
    nsid_ = static_cast<std::uint32_t>(std::stoul(environment("PCI_NSID")));
    // Without an id: all that vfio-pci has.
    ProbeCallbacks callbacks;
    callbacks.probe = [](const TransportId& id, ControllerOptions&) {
      return id.traddr == environment("PCI_ADDRESS");
    };
    callbacks.attach = [this](const TransportId&, Controller& controller,
                              const ControllerOptions&) { controller_ = &controller; };
    callbacks.attach_fail = [](const TransportId&, const Error& error) {
      ADD_FAILURE() << error.text;
    };
    ASSERT_TRUE(initiator_->probe(std::nullopt, callbacks));
    ASSERT_NE(controller_, nullptr);
  }
  void TearDown() override {
    initiator_.reset();
    shard_.reset();
  }

  bool process_until(const std::function<bool()>& ready, IoQueuePair* queue = nullptr) {
    const Instant limit = Clock::now() + seconds(60);
    while (!ready()) {
      if (Clock::now() > limit) return false;
      controller_->process_admin_completions();
      if (queue != nullptr) queue->process_completions();
    }
    return true;
  }
  Ended admin(const spec::SubmissionEntry& sqe, std::span<std::byte> data = {}) {
    Ended ended;
    AdminCommand command;
    command.sqe = sqe;
    command.data = data;
    command.done = [&ended](spec::NvmeStatus status, const spec::CompletionEntry& entry) {
      Ended::record(&ended, status, entry);
    };
    EXPECT_EQ(controller_->admin().submit(std::move(command)), 0);
    EXPECT_TRUE(process_until([&ended] { return ended.done; }));
    return ended;
  }
  void rescan() {
    std::optional<Status> looked;
    controller_->rescan([&looked](Status status) { looked = std::move(status); });
    ASSERT_TRUE(process_until([&looked] { return looked.has_value(); }));
    EXPECT_TRUE(*looked) << looked->error().text;
  }
  // One command with the data of one block.
  Ended io(IoQueuePair& queue, const spec::SubmissionEntry& sqe, std::vector<std::byte>& data) {
    Ended ended;
    const iovec iov{data.data(), data.size()};
    IoCommand command;
    command.sqe = sqe;
    command.iov = &iov;
    command.iov_count = 1;
    command.done = &Ended::record;
    command.context = &ended;
    EXPECT_EQ(queue.submit(command), 0);
    EXPECT_TRUE(process_until([&ended] { return ended.done; }, &queue));
    return ended;
  }
  bool comes_back(IoQueuePair& queue, std::byte value) {
    std::vector<std::byte> data(kBlock, value);
    EXPECT_TRUE(io(queue, command::write(nsid_, 77, 1), data).status.ok());
    std::ranges::fill(data, ~value);
    EXPECT_TRUE(io(queue, command::read(nsid_, 77, 1), data).status.ok());
    return data == std::vector<std::byte>(kBlock, value);
  }
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<Initiator> initiator_;
  Controller* controller_ = nullptr;
  std::uint32_t nsid_ = 0;
};

TEST_F(PcieGuestTest, InjectedErrorsResetsAndWhatFollows) {
  auto queue = controller_->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  const auto status = spec::NvmeStatus::make(spec::GenericStatus::kInvalidField, true);
  (*queue)->inject_error({.opcode = static_cast<std::uint8_t>(spec::NvmOpcode::kRead),
                          .count = 1,
                          .status = status,
                          .do_not_submit = true});
  std::vector<std::byte> data(kBlock);
  EXPECT_FALSE(io(**queue, command::read(nsid_, 0, 1), data).status.ok());
  for (int round = 0; round < 10; round++) {
    EXPECT_TRUE(comes_back(**queue, static_cast<std::byte>(round)));
    std::optional<Status> reset;
    controller_->reset([&reset](Status ended) { reset = std::move(ended); });
    ASSERT_TRUE(process_until([&reset] { return reset.has_value(); }, queue->get()));
    ASSERT_TRUE(*reset) << reset->error().text;
    ASSERT_EQ((*queue)->reconnect(), 0);
    ASSERT_TRUE((*queue)->wait_connected());
  }
}

TEST_F(PcieGuestTest, APollGroupServesTwoQueuePairs) {
  PollGroup group;
  std::vector<IoQueuePair::Pointer> queues;
  for (int i = 0; i < 2; i++) {
    auto queue = controller_->allocate_io_queue_pair({.create_only = true});
    ASSERT_TRUE(queue) << queue.error().text;
    ASSERT_EQ(group.add(**queue), 0);
    ASSERT_EQ((*queue)->connect(), 0);
    queues.push_back(std::move(*queue));
  }
  const auto lost = [](void*, IoQueuePair& queue) { ADD_FAILURE() << queue.failure_text(); };
  const Instant limit = Clock::now() + seconds(60);
  while (group.all_connected() == -EAGAIN && Clock::now() < limit) {
    group.process_completions(0, lost);
  }
  ASSERT_EQ(group.all_connected(), 0);
  std::vector<std::byte> data(kBlock);
  const iovec iov{data.data(), data.size()};
  std::vector<Ended> ended(64);
  for (std::size_t i = 0; i < ended.size(); i++) {
    IoCommand command;
    command.sqe = command::write(nsid_, i, 1);
    command.iov = &iov;
    command.iov_count = 1;
    command.done = &Ended::record;
    command.context = &ended[i];
    ASSERT_EQ(queues[i % 2]->submit(command), 0);
  }
  const auto all = [&] { return std::ranges::all_of(ended, [](auto& each) { return each.done; }); };
  while (!all() && Clock::now() < limit) group.process_completions(0, lost);
  EXPECT_TRUE(all());
  for (auto& queue : queues) {
    queue->disconnect();
    while (group.remove(*queue) == -EINVAL && Clock::now() < limit) {
      group.process_completions(0, [](void*, IoQueuePair&) {});
    }
  }
}

// QEMU executes at once, so that there is nothing left to abort: it says so.
TEST_F(PcieGuestTest, AnAbortIsAnswered) {
  auto queue = controller_->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  Ended aborted;
  EXPECT_EQ(
      controller_->abort(**queue, 3,
                         [&aborted](spec::NvmeStatus status, const spec::CompletionEntry& entry) {
                           Ended::record(&aborted, status, entry);
                         }),
      0);
  EXPECT_TRUE(process_until([&aborted] { return aborted.done; }));
  EXPECT_TRUE(aborted.status.ok());
  EXPECT_EQ(aborted.result & 1, 1u);
  EXPECT_TRUE(comes_back(**queue, std::byte{0x31}));
}

TEST_F(PcieGuestTest, AFormatLeavesNothing) {
  auto queue = controller_->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  ASSERT_TRUE(comes_back(**queue, std::byte{0x77}));
  const Namespace* block = controller_->find_namespace(nsid_);
  ASSERT_NE(block, nullptr);
  const auto format = static_cast<std::uint8_t>(block->profile().data.lba_format_index());
  EXPECT_TRUE(admin(command::format({.nsid = nsid_, .lba_format = format})).status.ok());
  rescan();
  std::vector<std::byte> data(kBlock, std::byte{1});
  EXPECT_TRUE(io(**queue, command::read(nsid_, 77, 1), data).status.ok());
  EXPECT_EQ(data, std::vector<std::byte>(kBlock));
}

// This version of QEMU makes none.
TEST_F(PcieGuestTest, ANamespaceThatCannotBeMadeIsAnErrorStatus) {
  std::vector<std::byte> wanted(4096);
  EXPECT_FALSE(admin(command::create_namespace(0), wanted).status.ok());
  rescan();
  auto queue = controller_->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  EXPECT_TRUE(comes_back(**queue, std::byte{0x11}));
}

}  // namespace
}  // namespace nvublk::nvme
