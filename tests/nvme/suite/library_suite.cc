#include "nvme/suite/library_suite.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <thread>

#include "nvme/management_command.h"
#include "nvme/namespace_io.h"
#include "nvme/poll_group.h"

namespace nvublk::nvme::test {

namespace {

constexpr seconds kLimit{60};

bool all_done(const std::vector<SuiteIo>& ios) {
  return std::ranges::all_of(ios, &SuiteIo::done);
}

}  // namespace

IoCommand SuiteIo::make(const spec::SubmissionEntry& sqe) {
  piece = {data.data(), data.size()};
  IoCommand io;
  io.sqe = sqe;
  io.iov = &piece;
  io.iov_count = 1;
  io.context = this;
  io.done = &SuiteIo::finish;
  return io;
}

void SuiteIo::finish(void* context, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
  auto* self = static_cast<SuiteIo*>(context);
  EXPECT_FALSE(self->done) << "completed twice";
  self->done = true;
  self->status = status;
  self->result = entry.result();
}

std::unique_ptr<Shard> LibrarySuite::adopt() const {
  Shard::Options options;
  options.reactor.mode = place_->interrupts ? IdleMode::kInterrupt : IdleMode::kBusy;
  auto shard = Shard::adopt_current_thread(options);
  EXPECT_TRUE(shard) << (shard ? "" : shard.error().text);
  return shard ? std::move(*shard) : nullptr;
}

void LibrarySuite::SetUp() {
  place_ = GetParam()();
  ASSERT_NE(place_, nullptr);
  shard_ = adopt();
  ASSERT_NE(shard_, nullptr);
  ControllerOptions defaults;
  defaults.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
  defaults.host.id.bytes[0] = 1;
  defaults.ctrl_loss_timeout = seconds(0);
  initiator_ = place_->make_initiator(*shard_, defaults);
}

void LibrarySuite::TearDown() {
  initiator_.reset();
  place_.reset();
  shard_.reset();
}

void LibrarySuite::connect() {
  const Result<Controller*> controller = initiator_->connect(place_->id());
  ASSERT_TRUE(controller) << controller.error().text;
  const Namespace* block = (*controller)->find_namespace(place_->nsid);
  ASSERT_NE(block, nullptr);
  block_bytes_ = block->geometry().block_size_bytes;
  controller_ = *controller;
}

IoQueuePair::Pointer LibrarySuite::allocate(const IoQueuePairOptions& options) {
  auto queue = controller_->allocate_io_queue_pair(options);
  EXPECT_TRUE(queue) << (queue ? "" : queue.error().text);
  return queue ? std::move(*queue) : nullptr;
}

bool LibrarySuite::process_until(const std::function<bool()>& ready, IoQueuePair* queue) {
  const Instant limit = Clock::now() + kLimit;
  while (!ready()) {
    if (Clock::now() > limit) return false;
    if (queue != nullptr) {
      queue->process_completions();
    } else {
      controller_->process_admin_completions();
    }
  }
  return true;
}

SuiteIo LibrarySuite::admin(const spec::SubmissionEntry& sqe, std::span<std::byte> data) {
  SuiteIo ended;
  AdminCommand command;
  command.sqe = sqe;
  command.data = data;
  command.done = [&ended](spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    SuiteIo::finish(&ended, status, entry);
  };
  EXPECT_EQ(controller_->admin().submit(std::move(command)), 0);
  EXPECT_TRUE(process_until([&ended] { return ended.done; }));
  return ended;
}

SuiteIo LibrarySuite::read_block(IoQueuePair& queue, std::uint64_t lba) {
  SuiteIo io(block_bytes_, std::byte{0xee});
  EXPECT_EQ(queue.submit(io.make(command::read(place_->nsid, lba, 1))), 0);
  EXPECT_TRUE(process_until([&io] { return io.done; }, &queue));
  return io;
}

void LibrarySuite::write_block(IoQueuePair& queue, std::uint64_t lba, std::byte value) {
  SuiteIo io(block_bytes_, value);
  EXPECT_EQ(queue.submit(io.make(command::write(place_->nsid, lba, 1))), 0);
  EXPECT_TRUE(process_until([&io] { return io.done; }, &queue));
  EXPECT_TRUE(io.status.ok());
}

bool LibrarySuite::comes_back(IoQueuePair& queue, std::byte value) {
  write_block(queue, 77, value);
  const SuiteIo read = read_block(queue, 77);
  EXPECT_TRUE(read.status.ok());
  return read.data == block_of(value);
}

void LibrarySuite::rescan() {
  std::optional<Status> looked;
  controller_->rescan([&looked](Status status) { looked = std::move(status); });
  ASSERT_TRUE(process_until([&looked] { return looked.has_value(); }));
  EXPECT_TRUE(*looked) << looked->error().text;
}

TEST_P(LibrarySuite, ProbeFindsIt) {
  const TransportId wanted = place_->id();
  Controller* found = nullptr;
  std::string failure;
  ProbeCallbacks callbacks;
  callbacks.probe = [&wanted](const TransportId& id, ControllerOptions&) {
    return id.traddr == wanted.traddr && id.subnqn == wanted.subnqn;
  };
  callbacks.attach = [&found](const TransportId&, Controller& controller,
                              const ControllerOptions&) { found = &controller; };
  callbacks.attach_fail = [&failure](const TransportId&, const Error& error) {
    failure = error.text;
  };
  ASSERT_TRUE(initiator_->probe(place_->probe_id(), callbacks));
  EXPECT_EQ(failure, "");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->state(), ControllerState::kLive);
  const Result<Controller*> again = initiator_->connect(wanted);
  ASSERT_TRUE(again) << again.error().text;
  EXPECT_EQ(*again, found) << "what is attached is shared";
}

// The caller polls and is never kept waiting.
TEST_P(LibrarySuite, ConnectsAndDetachesBesidesOtherWork) {
  const TransportId id = place_->id();
  Controller* controller = nullptr;
  ProbeCallbacks callbacks;
  callbacks.attach = [&controller](const TransportId&, Controller& attached,
                                   const ControllerOptions&) { controller = &attached; };
  const auto poll = [](auto& context) {
    const Instant limit = Clock::now() + kLimit;
    int polled = -EAGAIN;
    while ((polled = context.poll()) == -EAGAIN && Clock::now() < limit) {
    }
    return polled;
  };
  for (int round = 0; round < 2; round++) {
    auto connecting = initiator_->connect_async(id, initiator_->default_options(), callbacks);
    ASSERT_TRUE(connecting) << connecting.error().text;
    EXPECT_EQ(controller, nullptr) << "not before it is polled";
    ASSERT_EQ(poll(**connecting), 0);
    ASSERT_NE(controller, nullptr);
    EXPECT_EQ(controller->state(), ControllerState::kLive);
    DetachContext detaching;
    ASSERT_TRUE(initiator_->detach_async(*std::exchange(controller, nullptr), detaching));
    EXPECT_TRUE(initiator_->attached().empty());
    EXPECT_EQ(poll(detaching), 0);
  }
}

TEST_P(LibrarySuite, WhereThereIsNoneConnectingFails) {
  const Result<Controller*> controller = initiator_->connect(place_->nowhere());
  ASSERT_FALSE(controller);
  EXPECT_FALSE(controller.error().text.empty());
  EXPECT_TRUE(initiator_->attached().empty());
}

TEST_P(LibrarySuite, MoreThanTheDepthGoesThereAndBack) {
  ASSERT_NO_FATAL_FAILURE(connect());
  auto queue = allocate();
  ASSERT_NE(queue, nullptr);
  std::vector<SuiteIo> ios;
  for (unsigned i = 0; i < 500; i++) ios.emplace_back(block_bytes_, static_cast<std::byte>(i));
  for (std::size_t i = 0; i < ios.size(); i++) {
    ASSERT_EQ(queue->submit(ios[i].make(command::write(place_->nsid, i, 1))), 0);
  }
  ASSERT_TRUE(process_until([&ios] { return all_done(ios); }, queue.get()));
  for (std::size_t i = 0; i < ios.size(); i++) {
    EXPECT_TRUE(ios[i].status.ok());
    ios[i].done = false;
    std::ranges::fill(ios[i].data, std::byte{0});
    ASSERT_EQ(queue->submit(ios[i].make(command::read(place_->nsid, i, 1))), 0);
  }
  ASSERT_TRUE(process_until([&ios] { return all_done(ios); }, queue.get()));
  for (std::size_t i = 0; i < ios.size(); i++) {
    EXPECT_EQ(ios[i].data, block_of(static_cast<std::byte>(i)));
  }
}

// Of whole blocks, at addresses that nothing but the rule of four bytes speaks for [Base 2.1
// §4.3.1]; with PRPs each piece is a command, and all of them must fit into the queue pair.
TEST_P(LibrarySuite, ManyPiecesAtOddAddressesGoThereAndBack) {
  constexpr std::size_t kBytes = 320 * 1024;
  ASSERT_NO_FATAL_FAILURE(connect());
  auto queue = allocate();
  ASSERT_NE(queue, nullptr);
  NamespaceIo subject(*controller_, *controller_->find_namespace(place_->nsid), *queue);
  std::vector<std::byte> out(kBytes + 4);
  std::vector<std::byte> in(kBytes + 12);
  for (std::size_t i = 0; i < out.size(); i++) out[i] = static_cast<std::byte>(i * 5 / 2);
  std::vector<iovec> out_pieces;
  std::vector<iovec> in_pieces;
  for (std::size_t at = 0; at < kBytes; at += 4096) out_pieces.push_back({&out[at + 4], 4096});
  for (std::size_t at = 0; at < kBytes; at += 16384) in_pieces.push_back({&in[at + 12], 16384});
  SuiteIo write;
  BlockIo io{
      .lba = 8, .blocks = static_cast<std::uint32_t>(kBytes / block_bytes_), .data = out_pieces};
  io.done = &SuiteIo::finish;
  io.context = &write;
  ASSERT_EQ(subject.write(io), 0);
  ASSERT_TRUE(process_until([&write] { return write.done; }, queue.get()));
  EXPECT_TRUE(write.status.ok());
  SuiteIo read;
  io.data = in_pieces;
  io.context = &read;
  ASSERT_EQ(subject.read(io), 0);
  ASSERT_TRUE(process_until([&read] { return read.done; }, queue.get()));
  EXPECT_TRUE(read.status.ok());
  EXPECT_TRUE(std::equal(out.begin() + 4, out.end(), in.begin() + 12));
}

TEST_P(LibrarySuite, InjectedErrorsComeBackAndThenTheRealThing) {
  ASSERT_NO_FATAL_FAILURE(connect());
  auto queue = allocate();
  ASSERT_NE(queue, nullptr);
  const auto status = spec::NvmeStatus::make(spec::GenericStatus::kInvalidField, true);
  queue->inject_error({.opcode = static_cast<std::uint8_t>(spec::NvmOpcode::kRead),
                       .count = 2,
                       .status = status,
                       .do_not_submit = true});
  for (int i = 0; i < 3; i++) {
    const SuiteIo read = read_block(*queue, 0);
    EXPECT_EQ(read.status.ok(), i == 2);
    EXPECT_TRUE(i == 2 || read.data == block_of(std::byte{0xee})) << "it was not submitted";
  }
}

TEST_P(LibrarySuite, AResetDisconnectsAndTheQueuePairReconnects) {
  ASSERT_NO_FATAL_FAILURE(connect());
  auto queue = allocate();
  ASSERT_NE(queue, nullptr);
  for (unsigned round = 0; round < 10; round++) {
    EXPECT_TRUE(comes_back(*queue, static_cast<std::byte>(round)));
    const Status reset = initiator_->reset(*controller_);
    ASSERT_TRUE(reset) << reset.error().text;
    int begun = -EAGAIN;
    ASSERT_TRUE(process_until(
        [&] {
          begun = queue->reconnect();
          return begun != -EAGAIN;
        },
        queue.get()));
    ASSERT_EQ(begun, 0);
    ASSERT_TRUE(queue->wait_connected());
  }
  EXPECT_EQ(read_block(*queue, 77).data, block_of(std::byte{9}));
}

TEST_P(LibrarySuite, APollGroupServesSeveralQueuePairs) {
  ASSERT_NO_FATAL_FAILURE(connect());
  PollGroup group(PollGroupOptions{.interrupts = place_->interrupts});
  std::vector<IoQueuePair::Pointer> queues;
  IoQueuePairOptions options;
  options.create_only = true;
  options.interrupts = place_->interrupts;
  options.delay_submit = !place_->interrupts;
  for (int i = 0; i < 3; i++) {
    auto queue = allocate(options);
    ASSERT_NE(queue, nullptr);
    ASSERT_EQ(group.add(*queue), 0);
    ASSERT_EQ(queue->connect(), 0);
    queues.push_back(std::move(queue));
  }
  const auto lost = [](void*, IoQueuePair& queue) { ADD_FAILURE() << queue.failure_text(); };
  const Instant limit = Clock::now() + kLimit;
  while (group.all_connected() == -EAGAIN && Clock::now() < limit) {
    ASSERT_GE(group.process_completions(0, lost), 0);
  }
  ASSERT_EQ(group.all_connected(), 0);
  std::vector<SuiteIo> ios(64, SuiteIo(block_bytes_));
  for (std::size_t i = 0; i < ios.size(); i++) {
    ASSERT_EQ(queues[i % 3]->submit(ios[i].make(command::read(place_->nsid, i, 1))), 0);
  }
  std::int64_t completions = 0;
  while (completions < 64 && Clock::now() < limit) {
    if (place_->interrupts) {
      EXPECT_EQ(group.wait(seconds(5)), 0);
    }
    const std::int64_t done = group.process_completions(8, lost);
    ASSERT_GE(done, 0);
    completions += done;
  }
  EXPECT_EQ(completions, 64);
  EXPECT_TRUE(all_done(ios));
  for (auto& queue : queues) {
    queue->disconnect();
    while (group.remove(*queue) == -EINVAL && Clock::now() < limit) {
      group.process_completions(0, [](void*, IoQueuePair&) {});
    }
  }
  queues.clear();
  EXPECT_EQ(group.destroy(), 0);
}

TEST_P(LibrarySuite, QueuePairsBelongToTheThreadThatAllocatedThem) {
  if (!place_->threads) {
    GTEST_SKIP() << "the controller is simulated by the test's own thread";
  }
  ASSERT_NO_FATAL_FAILURE(connect());
  std::atomic<int> finished{0};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 2; t++) {
    threads.emplace_back([&, t] {
      const std::unique_ptr<Shard> shard = adopt();
      {
        auto queue = allocate();
        std::vector<SuiteIo> ios(100, SuiteIo(block_bytes_));
        for (std::size_t i = 0; queue && i < ios.size(); i++) {
          EXPECT_EQ(queue->submit(ios[i].make(command::write(place_->nsid, t * 100 + i, 1))), 0);
        }
        EXPECT_TRUE(queue && process_until([&ios] { return all_done(ios); }, queue.get()));
      }
      finished++;
    });
  }
  while (finished.load() < 2 && controller_->process_admin_completions() >= 0) {
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(finished.load(), 2);
}

TEST_P(LibrarySuite, AnAbortOfNothingIsAnswered) {
  ASSERT_NO_FATAL_FAILURE(connect());
  auto queue = allocate();
  ASSERT_NE(queue, nullptr);
  SuiteIo aborted;
  EXPECT_EQ(
      controller_->abort(*queue, 3,
                         [&aborted](spec::NvmeStatus status, const spec::CompletionEntry& entry) {
                           SuiteIo::finish(&aborted, status, entry);
                         }),
      0);
  EXPECT_TRUE(process_until([&aborted] { return aborted.done; }));
  EXPECT_TRUE(aborted.status.ok());
  EXPECT_EQ(aborted.result & 1, 1u) << "not aborted [Base 2.1 §5.1.1]";
  EXPECT_TRUE(comes_back(*queue, std::byte{0x31}));
}

TEST_P(LibrarySuite, AFormatLeavesNothingOrIsRefused) {
  ASSERT_NO_FATAL_FAILURE(connect());
  auto queue = allocate();
  ASSERT_NE(queue, nullptr);
  ASSERT_TRUE(comes_back(*queue, std::byte{0x77}));
  const Namespace* block = controller_->find_namespace(place_->nsid);
  const auto format = static_cast<std::uint8_t>(block->profile().data.lba_format_index());
  EXPECT_FALSE(admin(command::format({.nsid = 4711, .lba_format = format})).status.ok());
  EXPECT_EQ(admin(command::format({.nsid = place_->nsid, .lba_format = format})).status.ok(),
            place_->formats);
  rescan();
  const SuiteIo read = read_block(*queue, 77);
  EXPECT_TRUE(read.status.ok());
  EXPECT_EQ(read.data, block_of(place_->formats ? std::byte{0} : std::byte{0x77}));
}

TEST_P(LibrarySuite, ANamespaceThatCannotBeMadeIsAnErrorStatus) {
  ASSERT_NO_FATAL_FAILURE(connect());
  std::vector<std::byte> without_size(4096);
  EXPECT_FALSE(admin(command::create_namespace(0), without_size).status.ok());
  rescan();
  auto queue = allocate();
  ASSERT_NE(queue, nullptr);
  EXPECT_TRUE(comes_back(*queue, std::byte{0x11}));
}

TEST_P(LibrarySuite, ANamespaceIsDetachedAndAttachedOrThatIsRefused) {
  ASSERT_NO_FATAL_FAILURE(connect());
  auto queue = allocate();
  ASSERT_NE(queue, nullptr);
  ASSERT_TRUE(comes_back(*queue, std::byte{0x52}));
  const std::uint16_t cntlid = controller_->status().cntlid;
  std::vector<std::byte> list(4096);  // of one controller
  list[0] = std::byte{1};
  list[2] = static_cast<std::byte>(cntlid);
  list[3] = static_cast<std::byte>(cntlid >> 8);
  const auto change = [&](bool attach) {
    const bool done = admin(command::attach_namespace(place_->nsid, attach), list).status.ok();
    rescan();
    return done;
  };
  EXPECT_EQ(change(false), place_->attaches);
  EXPECT_EQ(controller_->find_namespace(place_->nsid) == nullptr, place_->attaches);
  EXPECT_FALSE(change(false)) << "not twice";
  EXPECT_EQ(change(true), place_->attaches);
  ASSERT_NE(controller_->find_namespace(place_->nsid), nullptr);
  EXPECT_EQ(read_block(*queue, 77).data, block_of(std::byte{0x52}));
}

}  // namespace nvublk::nvme::test
