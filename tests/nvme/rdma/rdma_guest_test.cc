// What the library does over RDMA and not over other transports, and its suite, against the target
// that the environment names: RDMA_ADDRESS, RDMA_PORT and RDMA_NQN, whose namespace 1 has blocks of
// 512 bytes; and RDMA_CHANGING_NQN, whose namespace 8 the file RDMA_CHANGING_SWITCH takes away.

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/initiator.h"
#include "nvme/namespace_io.h"
#include "nvme/poll_group.h"
#include "nvme/rdma/rdma_statistics.h"
#include "nvme/suite/library_suite.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme {
namespace {

using test::LibrarySuite;

constexpr std::uint32_t kBlock = 512;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  EXPECT_NE(value, nullptr) << name;
  return value != nullptr ? value : "";
}

TransportId id_of(const std::string& subnqn) {
  TransportId id;
  id.trtype = Trtype::kRdma;
  id.traddr = environment("RDMA_ADDRESS");
  id.trsvcid = environment("RDMA_PORT");
  id.subnqn = subnqn;
  EXPECT_TRUE(id.complete());
  return id;
}

struct Io {
  bool done = false;
  spec::NvmeStatus status;
  std::vector<std::byte> data = std::vector<std::byte>(kBlock);
  iovec piece{data.data(), data.size()};

  static void finish(void* context, spec::NvmeStatus how, const spec::CompletionEntry&) {
    auto* self = static_cast<Io*>(context);
    EXPECT_FALSE(self->done) << "completed twice";
    self->done = true;
    self->status = how;
  }
  IoCommand make(const spec::SubmissionEntry& sqe) {
    IoCommand io;
    io.sqe = sqe;
    io.iov = &piece;
    io.iov_count = 1;
    io.context = this;
    io.done = &Io::finish;
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

// A counter of the only device.
std::uint64_t counted(Shard& shard, std::string_view label) {
  const CounterGroups& groups = shard.reactor().counter_groups();
  EXPECT_EQ(groups.size(), 1u);
  for (std::size_t index = 0; index < rdma::kCounterLabels.size(); index++) {
    if (rdma::kCounterLabels[index] == label) {
      return groups.at(0).counter(index).get();
    }
  }
  ADD_FAILURE() << "there is no counter " << label;
  return 0;
}

class RdmaGuestTest : public testing::Test {
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
    EXPECT_EQ(counted(*shard_, "completion_queues"), 0u)
        << "the last queue pair takes the device along";
    shard_.reset();
  }

  Controller* connect() {
    const Result<Controller*> controller = initiator_->connect(id_of(environment("RDMA_NQN")));
    EXPECT_TRUE(controller) << (controller ? "" : controller.error().text);
    return controller ? *controller : nullptr;
  }
  static bool process_until(IoQueuePair& queue, const std::function<bool()>& ready) {
    const Instant limit = Clock::now() + seconds(60);
    while (!ready()) {
      if (queue.process_completions() < 0 || Clock::now() > limit) return false;
    }
    return true;
  }

  std::unique_ptr<Shard> shard_;
  std::unique_ptr<Initiator> initiator_;
};

// Whole regions are registered once; nothing of them is copied.
TEST_F(RdmaGuestTest, MemoryOfTheCatalogIsUsedWhereItIs) {
  constexpr std::uint32_t kBytes = 1 << 20;
  Controller* controller = connect();
  ASSERT_NE(controller, nullptr);
  auto queue = controller->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  DmaRegion region = DmaRegion::allocate(std::size_t{2} * kBytes).value();
  DmaEntry entry(region);
  shard_->reactor().dma_catalog().add(entry);
  const std::uint64_t registrations = counted(*shard_, "registrations");
  const std::uint64_t copies = counted(*shard_, "copies");
  NamespaceIo subject(*controller, *controller->find_namespace(1), **queue);
  for (std::uint32_t i = 0; i < kBytes; i++) region.data()[i] = static_cast<std::byte>(i * 7 / 3);
  const iovec written{region.data(), kBytes};
  const iovec read{region.data() + kBytes, kBytes};
  for (int round = 0; round < 4; round++) {
    std::fill_n(region.data() + kBytes, kBytes, std::byte{0});
    Io write_io;
    BlockIo io{.lba = 0, .blocks = kBytes / kBlock, .data = {&written, 1}};
    io.done = &Io::finish;
    io.context = &write_io;
    ASSERT_EQ(subject.write(io), 0);
    ASSERT_TRUE(process_until(**queue, [&] { return write_io.done; }));
    EXPECT_TRUE(write_io.status.ok());
    Io read_io;
    io.data = {&read, 1};
    io.context = &read_io;
    ASSERT_EQ(subject.read(io), 0);
    ASSERT_TRUE(process_until(**queue, [&] { return read_io.done; }));
    EXPECT_TRUE(read_io.status.ok());
    EXPECT_TRUE(std::equal(region.data(), region.data() + kBytes, region.data() + kBytes));
  }
  EXPECT_EQ(counted(*shard_, "registrations"), registrations + 1);
  EXPECT_EQ(counted(*shard_, "copies"), copies);
  shard_->reactor().dma_catalog().remove(entry);
}

// In many pieces, at odd addresses, in memory that nobody has registered.
TEST_F(RdmaGuestTest, OtherMemoryIsCopied) {
  constexpr std::size_t kBytes = 300 * 1024;
  Controller* controller = connect();
  ASSERT_NE(controller, nullptr);
  auto queue = controller->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  NamespaceIo subject(*controller, *controller->find_namespace(1), **queue);
  std::vector<std::byte> out(kBytes + 1);
  std::vector<std::byte> in(kBytes + 3);
  for (std::size_t i = 0; i < out.size(); i++) out[i] = static_cast<std::byte>(i * 5 / 2);
  std::vector<iovec> out_pieces;
  std::vector<iovec> in_pieces;
  for (std::size_t at = 0; at < kBytes; at += 1024) out_pieces.push_back({&out[at + 1], 1024});
  for (std::size_t at = 0; at < kBytes; at += 4096) in_pieces.push_back({&in[at + 3], 4096});
  Io write_io;
  BlockIo io{.lba = 8, .blocks = kBytes / kBlock, .data = out_pieces};
  io.done = &Io::finish;
  io.context = &write_io;
  ASSERT_EQ(subject.write(io), 0);
  ASSERT_TRUE(process_until(**queue, [&] { return write_io.done; }));
  EXPECT_TRUE(write_io.status.ok());
  Io read_io;
  io.data = in_pieces;
  io.context = &read_io;
  ASSERT_EQ(subject.read(io), 0);
  ASSERT_TRUE(process_until(**queue, [&] { return read_io.done; }));
  EXPECT_TRUE(read_io.status.ok());
  EXPECT_TRUE(std::equal(out.begin() + 1, out.end(), in.begin() + 3));
  EXPECT_GT(counted(*shard_, "copies"), 0u);
}

TEST_F(RdmaGuestTest, APollGroupPollsOneCompletionQueue) {
  Controller* controller = connect();
  ASSERT_NE(controller, nullptr);
  PollGroupOptions group_options;
  group_options.interrupts = true;
  PollGroup group(group_options);
  std::vector<IoQueuePair::Pointer> queues;
  IoQueuePairOptions options;
  options.create_only = true;
  options.interrupts = true;
  options.delay_submit = false;
  for (int i = 0; i < 2; i++) {
    auto queue = controller->allocate_io_queue_pair(options);
    ASSERT_TRUE(queue) << queue.error().text;
    ASSERT_EQ(group.add(**queue), 0);
    ASSERT_EQ((*queue)->connect(), 0);
    queues.push_back(std::move(*queue));
  }
  std::vector<Io> ios(64);
  for (std::size_t i = 0; i < ios.size(); i++) {
    ASSERT_EQ(queues[i % 2]->submit(ios[i].make(command::read(1, i, 1))), 0);
  }
  std::int64_t completions = 0;
  const Instant limit = Clock::now() + seconds(60);
  while (completions < 64 && Clock::now() < limit) {
    EXPECT_EQ(group.wait(seconds(5)), 0);
    const std::int64_t done = group.process_completions(8, nullptr);
    ASSERT_GE(done, 0);
    completions += done;
  }
  EXPECT_EQ(completions, 64);
  EXPECT_EQ(counted(*shard_, "completion_queues"), 1u) << "of the admin queue and both I/O queues";
  EXPECT_GT(counted(*shard_, "completions"), 64u);
  EXPECT_GE(counted(*shard_, "polls"), counted(*shard_, "idle_polls"));
  EXPECT_GT(counted(*shard_, "receive_doorbells"), 0u);
  EXPECT_LT(counted(*shard_, "send_doorbells"), counted(*shard_, "send_requests"))
      << "what is submitted in one turn is posted at once";
  queues.clear();
  EXPECT_EQ(group.destroy(), 0);
}

// The target's administrator takes namespace 8 of another subsystem away and gives it back.
TEST_F(RdmaGuestTest, ANamespaceThatGoesAndComesBackIsNoticed) {
  const auto connected = initiator_->connect(id_of(environment("RDMA_CHANGING_NQN")));
  ASSERT_TRUE(connected) << connected.error().text;
  Controller& controller = **connected;
  Namespace* block = controller.find_namespace(8);
  ASSERT_NE(block, nullptr);
  const std::string enable = environment("RDMA_CHANGING_SWITCH");
  const auto wait_until = [&](const std::function<bool()>& ready) {
    const Instant limit = Clock::now() + seconds(60);
    while (!ready() && Clock::now() < limit) controller.process_admin_completions();
    EXPECT_TRUE(ready());
  };
  std::ofstream(enable) << 0;
  wait_until([&] { return controller.find_namespace(8) == nullptr; });
  EXPECT_FALSE(block->active());
  std::ofstream(enable) << 1;
  wait_until([&] { return controller.find_namespace(8) != nullptr; });
  EXPECT_TRUE(controller.find_namespace(8)->active());
  EXPECT_NE(controller.find_namespace(1), nullptr) << "the others are not touched";
}

// The suite on the target.
class RdmaPlace final : public test::SuitePlace {
 public:
  ~RdmaPlace() override {
    EXPECT_EQ(counted(*shard_, "completion_queues"), 0u)
        << "the last queue pair takes the device along";
  }
  std::unique_ptr<Initiator> make_initiator(Shard& shard,
                                            const ControllerOptions& defaults) override {
    shard_ = &shard;
    return std::make_unique<Initiator>(shard, make_transport, defaults);
  }
  TransportId id() const override { return id_of(environment("RDMA_NQN")); }
  std::optional<TransportId> probe_id() const override {
    return id_of("nqn.2014-08.org.nvmexpress.discovery");
  }
  TransportId nowhere() const override {
    TransportId wrong = id();
    wrong.trsvcid = "9";
    return wrong;
  }

 private:
  Shard* shard_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Rdma, LibrarySuite,
                         testing::Values([]() -> std::unique_ptr<test::SuitePlace> {
                           return std::make_unique<RdmaPlace>();
                         }));

}  // namespace
}  // namespace nvublk::nvme
