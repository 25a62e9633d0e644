// What the library does on local drives and not over other transports, or not in the way of others,
// on simulated controllers.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/initiator.h"
#include "nvme/management_command.h"
#include "nvme/namespace_io.h"
#include "nvme/pcie/simulated_drives.h"
#include "nvme/poll_group.h"
#include "nvme/suite/library_suite.h"

namespace nvublk::nvme::pcie {
namespace {

using sim::DeviceFault;
using sim::SimulatedController;
using test::LibrarySuite;

struct Ended {
  bool done = false;
  spec::NvmeStatus status;
  static void record(void* context, spec::NvmeStatus status, const spec::CompletionEntry&) {
    auto* self = static_cast<Ended*>(context);
    EXPECT_FALSE(self->done) << "completed twice";
    self->done = true;
    self->status = status;
  }
};

class LibraryPcieTest : public testing::Test {
 protected:
  void SetUp() override {
    Shard::Options shard_options;
    shard_options.reactor.mode = IdleMode::kBusy;
    auto shard = Shard::adopt_current_thread(shard_options);
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    drives_ = std::make_unique<SimulatedDrives>(*shard_);
    ControllerOptions options;
    options.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    options.ctrl_loss_timeout = seconds(0);
    options.admin_timeout = milliseconds(500);
    options.queue_size = 16;
    initiator_ = drives_->make_initiator(options);
  }

  void TearDown() override {
    initiator_.reset();
    drives_.reset();
    shard_.reset();
  }

  void plug(const std::string& address, SimulatedController::Options options = {}) {
    options.size_blocks = 4096;
    options.out_of_order = true;
    drives_->plug(address, options);
  }
  SimulatedController& drive() { return drives_->at(kFirst); }
  static TransportId id_of(const std::string& address) { return SimulatedDrives::id_of(address); }
  Controller* attach() {
    plug(kFirst);
    const Result<Controller*> controller = initiator_->connect(id_of(kFirst));
    EXPECT_TRUE(controller) << controller.error().text;
    return controller.value_or(nullptr);
  }

  /// A drive that is plugged in and attached, with a queue pair and memory of the shard, which
  /// needs no copies.
  struct Subject {
    Subject(LibraryPcieTest& test, const std::string& address,
            const SimulatedController::Options& options)
        : catalog(test.shard_->reactor().dma_catalog()),
          controller(
              (test.plug(address, options), *test.initiator_->connect(id_of(address)).value())),
          queue(controller.allocate_io_queue_pair().value()),
          io(controller, *controller.find_namespace(1), *queue),
          region(DmaRegion::allocate(1 << 20).value()),
          entry(region) {
      catalog.add(entry);
    }
    ~Subject() { catalog.remove(entry); }
    Subject(const Subject&) = delete;
    Subject& operator=(const Subject&) = delete;

    DmaCatalog& catalog;
    Controller& controller;
    IoQueuePair::Pointer queue;
    NamespaceIo io;
    DmaRegion region;
    DmaEntry entry;
  };

  bool poll_until(IoQueuePair& queue, const std::function<bool()>& ready) {
    const Instant limit = Clock::now() + seconds(30);
    while (!ready()) {
      if (Clock::now() > limit) return false;
      queue.process_completions();
    }
    return true;
  }
  static int submit(IoQueuePair& queue, const spec::SubmissionEntry& sqe, const iovec* iov,
                    std::uint32_t count, Ended& ended) {
    IoCommand io;
    io.sqe = sqe;
    io.iov = iov;
    io.iov_count = count;
    io.done = &Ended::record;
    io.context = &ended;
    return queue.submit(io);
  }
  // Writes and reads back `data` from `lba`, in `pieces` pieces; true if it is the same.
  bool comes_back(IoQueuePair& queue, std::vector<std::byte>& data, std::uint64_t lba,
                  std::size_t pieces) {
    const std::vector<std::byte> written = data;
    const auto blocks = static_cast<std::uint32_t>(data.size() / 4096);
    std::vector<iovec> iov;
    const std::size_t each = data.size() / pieces;
    for (std::size_t i = 0; i < pieces; i++) iov.push_back({data.data() + i * each, each});
    const auto count = static_cast<std::uint32_t>(iov.size());
    Ended write;
    EXPECT_EQ(submit(queue, command::write(1, lba, blocks), iov.data(), count, write), 0);
    EXPECT_TRUE(poll_until(queue, [&] { return write.done; }));
    EXPECT_TRUE(write.status.ok());
    std::ranges::fill(data, std::byte{0xee});
    Ended read;
    EXPECT_EQ(submit(queue, command::read(1, lba, blocks), iov.data(), count, read), 0);
    EXPECT_TRUE(poll_until(queue, [&] { return read.done; }));
    EXPECT_TRUE(read.status.ok());
    return data == written;
  }
  struct AdminEnded {
    bool done = false;
    spec::NvmeStatus status;
    std::uint64_t result = 0;
  };
  // An admin command, until it has ended.
  AdminEnded admin(Controller& controller, const spec::SubmissionEntry& sqe,
                   std::span<std::byte> data = {}) {
    AdminEnded ended;
    AdminCommand command;
    command.sqe = sqe;
    command.data = data;
    command.done = [&ended](spec::NvmeStatus status, const spec::CompletionEntry& entry) {
      ended = {true, status, entry.result()};
    };
    EXPECT_EQ(controller.admin().submit(std::move(command)), 0);
    const Instant limit = Clock::now() + seconds(30);
    while (!ended.done && Clock::now() < limit) controller.process_admin_completions();
    EXPECT_TRUE(ended.done);
    return ended;
  }
  void rescan(Controller& controller) {
    std::optional<Status> looked;
    controller.rescan([&looked](Status status) { looked = std::move(status); });
    const Instant limit = Clock::now() + seconds(30);
    while (!looked && Clock::now() < limit) controller.process_admin_completions();
    ASSERT_TRUE(looked && *looked);
  }
  static std::vector<std::byte> noise(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> data(size);
    for (std::byte& each : data) each = static_cast<std::byte>(random());
    return data;
  }

  static inline const std::string kFirst = "0000:01:00.0";
  static inline const std::string kSecond = "0000:02:00.0";
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<SimulatedDrives> drives_;
  std::unique_ptr<Initiator> initiator_;
};

TEST_F(LibraryPcieTest, ProbingWithoutAnIdFindsWhatVfioHas) {
  plug(kSecond);
  plug(kFirst);
  drives_->plug("0000:03:00.0", {}, "nvme");
  drives_->plug("0000:04:00.0", {}, "vfio-pci", "0x020000");
  std::vector<std::string> offered;
  std::vector<std::string> attached;
  ProbeCallbacks callbacks;
  callbacks.probe = [&offered](const TransportId& id, ControllerOptions& options) {
    offered.push_back(id.traddr);
    EXPECT_EQ(options.name, id.traddr);
    return true;
  };
  callbacks.attach = [&attached](const TransportId& id, Controller& controller,
                                 const ControllerOptions&) {
    EXPECT_EQ(controller.state(), ControllerState::kLive);
    attached.push_back(id.traddr);
  };
  ASSERT_TRUE(initiator_->probe(std::nullopt, callbacks));
  EXPECT_EQ(offered, (std::vector<std::string>{kFirst, kSecond}));
  std::ranges::sort(attached);
  EXPECT_EQ(attached, offered);
  EXPECT_EQ(initiator_->attached().size(), 2u);
}

TEST_F(LibraryPcieTest, ADriveThatIsGoneFromTheBusIsReportedOnce) {
  plug(kFirst);
  plug(kSecond);
  std::vector<std::string> removed;
  ProbeCallbacks callbacks;
  callbacks.remove = [this, &removed](Controller& controller) {
    removed.push_back(controller.name());
    EXPECT_TRUE(initiator_->detach(controller)) << "as often as it was attached";
    EXPECT_TRUE(initiator_->detach(controller));
  };
  ASSERT_TRUE(initiator_->probe(std::nullopt, callbacks));
  ASSERT_TRUE(initiator_->probe(std::nullopt, callbacks));
  EXPECT_EQ(initiator_->attached().size(), 2u);
  EXPECT_TRUE(removed.empty());
  drives_->unplug(kFirst);
  callbacks.probe = [](const TransportId&, ControllerOptions&) { return false; };
  ASSERT_TRUE(initiator_->probe(id_of(kSecond), callbacks));
  EXPECT_TRUE(removed.empty()) << "it looks for the other one only";
  ASSERT_TRUE(initiator_->probe(std::nullopt, callbacks));
  EXPECT_EQ(removed, std::vector<std::string>{kFirst});
  EXPECT_EQ(initiator_->attached().size(), 1u);
  drives_->unplug(kSecond);
  callbacks.remove = [&removed](Controller& controller) { removed.push_back(controller.name()); };
  ASSERT_TRUE(initiator_->probe(id_of(kSecond), callbacks));
  ASSERT_TRUE(initiator_->probe(std::nullopt, callbacks));
  EXPECT_EQ(removed, (std::vector<std::string>{kFirst, kSecond}));
  EXPECT_EQ(initiator_->attached().size(), 1u) << "it stays until it is detached";
}

TEST_F(LibraryPcieTest, MemoryOfAnyKindGoesThereAndBack) {
  Controller* controller = attach();
  auto queue = controller->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  for (const std::size_t size : {4096u, 8192u, 12288u, 65536u, 131072u}) {
    std::vector<std::byte> data = noise(size, static_cast<unsigned>(size));
    EXPECT_TRUE(comes_back(**queue, data, 7, 1)) << size;
    EXPECT_TRUE(comes_back(**queue, data, 64, 4)) << size;
    EXPECT_TRUE(comes_back(**queue, data, 128, size / 512)) << size;
  }
}

TEST_F(LibraryPcieTest, ARegionOfTheShardIsNotCopied) {
  Controller* controller = attach();
  auto queue = controller->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  auto region = DmaRegion::allocate(1 << 20);
  ASSERT_TRUE(region);
  DmaEntry entry(*region);
  shard_->reactor().dma_catalog().add(entry);
  const std::size_t before = drive().mapping_count();
  for (const std::size_t size : {4096u, 65536u, 131072u}) {
    iovec iov{region->data() + 4096, size};
    std::memset(iov.iov_base, static_cast<int>(size >> 12), size);
    const auto blocks = static_cast<std::uint32_t>(size / 4096);
    Ended write;
    ASSERT_EQ(submit(**queue, command::write(1, 0, blocks), &iov, 1, write), 0);
    ASSERT_TRUE(poll_until(**queue, [&] { return write.done; }));
    std::memset(iov.iov_base, 0, size);
    Ended read;
    ASSERT_EQ(submit(**queue, command::read(1, 0, blocks), &iov, 1, read), 0);
    ASSERT_TRUE(poll_until(**queue, [&] { return read.done; }));
    EXPECT_EQ(region->data()[4096 + size - 1], static_cast<std::byte>(size >> 12));
  }
  EXPECT_EQ(drive().mapping_count(), before + 2) << "the region and its list";
  shard_->reactor().dma_catalog().remove(entry);
  EXPECT_EQ(drive().mapping_count(), before);
}

TEST_F(LibraryPcieTest, PiecesAtOddPlacesGoBySglsWhereThereAreAny) {
  for (const bool sgl : {false, true}) {
    const std::string& address = sgl ? kSecond : kFirst;
    Subject subject(*this, address, {.sgl = sgl});
    std::vector<iovec> iov;
    std::size_t left = 65536;
    for (std::size_t at = 1; left > 0; at += 5000) {
      const std::size_t bytes = std::min<std::size_t>(left, 1 + at % 4099);
      iov.push_back({subject.region.data() + at, bytes});
      left -= bytes;
    }
    const std::vector<std::byte> pattern = noise(subject.region.size_bytes(), 3);
    std::ranges::copy(pattern, subject.region.data());
    const auto count = static_cast<std::uint32_t>(iov.size());
    Ended write;
    ASSERT_EQ(submit(*subject.queue, command::write(1, 8, 16), iov.data(), count, write), 0);
    ASSERT_TRUE(poll_until(*subject.queue, [&] { return write.done; }));
    for (const iovec& piece : iov) std::memset(piece.iov_base, 0, piece.iov_len);
    Ended read;
    ASSERT_EQ(submit(*subject.queue, command::read(1, 8, 16), iov.data(), count, read), 0);
    ASSERT_TRUE(poll_until(*subject.queue, [&] { return read.done; }));
    EXPECT_TRUE(write.status.ok() && read.status.ok());
    EXPECT_TRUE(std::ranges::equal(subject.region.span(), pattern));
    EXPECT_EQ(drives_->at(address).sgl_commands(), sgl ? 2u : 0u);
  }
}

// Blocks of which each lies in two pieces that end inside a page.
TEST_F(LibraryPcieTest, ABlockInOddPiecesIsSplitByTheRulesOfSglsWhereThereAreAny) {
  for (const bool sgl : {false, true}) {
    const std::string& address = sgl ? kSecond : kFirst;
    Subject subject(*this, address, {.sgl = sgl});
    const std::vector<std::byte> pattern = noise(subject.region.size_bytes(), 21);
    std::ranges::copy(pattern, subject.region.data());
    std::vector<iovec> iov;
    for (std::size_t i = 0; i < 32; i++) {
      iov.push_back({subject.region.data() + i * 5000 + 4, 2048});
    }
    Ended write;
    BlockIo io{.lba = 8, .blocks = 16, .data = iov, .done = &Ended::record, .context = &write};
    ASSERT_EQ(subject.io.write(io), sgl ? 0 : -EINVAL);
    if (sgl) {
      ASSERT_TRUE(poll_until(*subject.queue, [&] { return write.done; }));
      EXPECT_TRUE(write.status.ok());
      for (const iovec& piece : iov) std::memset(piece.iov_base, 0, piece.iov_len);
      Ended read;
      io.context = &read;
      ASSERT_EQ(subject.io.read(io), 0);
      ASSERT_TRUE(poll_until(*subject.queue, [&] { return read.done; }));
      EXPECT_TRUE(read.status.ok());
      EXPECT_TRUE(std::ranges::equal(subject.region.span(), pattern));
      EXPECT_EQ(drives_->at(address).sgl_commands(), 2u) << "neither split nor copied";
    }
  }
}

// 32 blocks, which is what one command may transfer, in 16 pieces each: a list has 256 descriptors.
TEST_F(LibraryPcieTest, MorePiecesThanAListHasRoomForAreSplit) {
  Subject subject(*this, kFirst, {.sgl = true});
  EXPECT_EQ(subject.io.limits().max_segments, 256u);
  std::vector<iovec> iov;
  for (std::size_t i = 0; i < 512; i++) iov.push_back({subject.region.data() + i * 272, 256});
  Ended write;
  ASSERT_EQ(subject.io.write(
                {.lba = 8, .blocks = 32, .data = iov, .done = &Ended::record, .context = &write}),
            0);
  ASSERT_TRUE(poll_until(*subject.queue, [&] { return write.done; }));
  EXPECT_TRUE(write.status.ok());
  EXPECT_EQ(drive().sgl_commands(), 2u);
  EXPECT_EQ(drive().io_commands(), 2u);
}

// 80 blocks are three commands. Once the metadata lies where the drive reaches it, once it has to
// be copied there and back; the second time at an address that MPTR cannot name, too.
TEST_F(LibraryPcieTest, SeparateMetadataGoesThereAndBackWithItsBlocks) {
  constexpr std::size_t kBlocks = 80;
  constexpr std::size_t kMetadata = 16;
  Subject subject(*this, kFirst, {.metadata_bytes = kMetadata});
  std::vector<std::byte> data = noise(kBlocks * 4096, 31);
  const std::vector<std::byte> written = data;
  const iovec piece{data.data(), data.size()};
  std::vector<std::byte> own(kBlocks * kMetadata + 4);
  const std::array places{subject.region.span().subspan(4096 + 4, kBlocks * kMetadata),
                          std::span(own).first(kBlocks * kMetadata),
                          std::span(own).subspan(1, kBlocks * kMetadata),
                          subject.region.span().subspan(1, kBlocks * kMetadata)};
  std::uint64_t lba = 5;
  for (std::size_t i = 0; i < places.size(); i++, lba += 100) {
    SCOPED_TRACE(i);
    const std::vector<std::byte> expected =
        noise(kBlocks * kMetadata, static_cast<unsigned>(i) + 40);
    std::ranges::copy(expected, places.at(i).begin());
    Ended write;
    BlockIo io{.lba = lba,
               .blocks = kBlocks,
               .data = {&piece, 1},
               .metadata = places.at(i),
               .done = &Ended::record,
               .context = &write};
    ASSERT_EQ(subject.io.write(io), 0);
    ASSERT_TRUE(poll_until(*subject.queue, [&] { return write.done; }));
    EXPECT_TRUE(write.status.ok());
    EXPECT_TRUE(std::ranges::equal(drive().metadata().subspan(lba * kMetadata, kBlocks * kMetadata),
                                   expected));
    std::ranges::fill(places.at(i), std::byte{0});
    std::ranges::fill(data, std::byte{0});
    Ended read;
    io.context = &read;
    ASSERT_EQ(subject.io.read(io), 0);
    ASSERT_TRUE(poll_until(*subject.queue, [&] { return read.done; }));
    EXPECT_TRUE(read.status.ok());
    EXPECT_TRUE(std::ranges::equal(places.at(i), expected));
    EXPECT_EQ(data, written);
  }
}

TEST_F(LibraryPcieTest, ProtectionOfTheHostsInSeparateMetadata) {
  constexpr std::size_t kBlocks = 40;
  Subject subject(*this, kFirst, {.metadata_bytes = 8});
  std::vector<std::byte> data = noise(kBlocks * 4096, 33);
  std::vector<std::byte> metadata(kBlocks * 8);
  const iovec piece{data.data(), data.size()};
  BlockIo io{.lba = 7, .blocks = kBlocks, .data = {&piece, 1}, .metadata = metadata};
  io.done = &Ended::record;
  io.io_flags = command::kIoCheckGuard | command::kIoCheckReferenceTag;
  io.host_protection = true;
  const auto run = [&](int (NamespaceIo::*what)(const BlockIo&)) {
    Ended ended;
    io.context = &ended;
    EXPECT_EQ((subject.io.*what)(io), 0);
    EXPECT_TRUE(poll_until(*subject.queue, [&] { return ended.done; }));
    return ended.status;
  };
  EXPECT_TRUE(run(&NamespaceIo::write).ok());
  spec::ProtectionInformation kept;
  std::memcpy(&kept, drive().metadata().data() + (7 + 36) * 8, sizeof(kept));
  EXPECT_EQ(kept.reference_tag(), 7u + 36);
  EXPECT_EQ(kept.guard(), guard_crc(0, std::span(data).subspan(std::size_t{36} * 4096, 4096)));
  EXPECT_TRUE(run(&NamespaceIo::read).ok());
  drive().metadata()[(7 + 36) * 8] ^= std::byte{1};
  EXPECT_TRUE(run(&NamespaceIo::read).is(spec::MediaStatus::kGuardCheckError));
  drive().metadata()[(7 + 36) * 8] ^= std::byte{1};
  drive().metadata()[(7 + 36) * 8 + 7] ^= std::byte{1};
  EXPECT_TRUE(run(&NamespaceIo::read).is(spec::MediaStatus::kReferenceTagCheckError));
}

// Memory of the application for the queues, as many pages as are asked for.
class Pages {
 public:
  explicit Pages(std::size_t count)
      : memory_(static_cast<std::byte*>(std::aligned_alloc(4096, count * 4096))), count_(count) {
    std::ranges::fill(span(), std::byte{0xff});
  }
  std::span<std::byte> span() const { return {memory_.get(), count_ * 4096}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t count_;
};

TEST_F(LibraryPcieTest, QueuesInTheApplicationsMemory) {
  Controller* controller = attach();
  const std::size_t before = drive().mapping_count();
  const Pages sq(2);
  const Pages cq(1);
  IoQueuePairOptions options;
  options.queue_size = 64;  // 65 entries of 64 bytes are more than a page
  options.memory = {sq.span(), cq.span()};
  auto queue = controller->allocate_io_queue_pair(options);
  ASSERT_TRUE(queue) << queue.error().text;
  std::vector<std::byte> data = noise(65536, 9);
  EXPECT_TRUE(comes_back(**queue, data, 64, 1));
  const auto* first = reinterpret_cast<const spec::SubmissionEntry*>(sq.span().data());
  EXPECT_EQ(first->opcode, static_cast<std::uint8_t>(spec::NvmOpcode::kWrite));
  const auto* ended = reinterpret_cast<const spec::CompletionEntry*>(cq.span().data());
  EXPECT_EQ(ended->sqid.get(), (*queue)->qid());
  // What lay there must not be taken for completions when it connects again.
  (*queue)->disconnect();
  ASSERT_TRUE(poll_until(**queue, [&] { return (*queue)->state() == QueueState::kDisconnected; }));
  ASSERT_EQ((*queue)->connect(), 0);
  ASSERT_TRUE((*queue)->wait_connected());
  EXPECT_TRUE(comes_back(**queue, data, 64, 1));
  queue->reset();
  EXPECT_EQ(drive().mapping_count(), before);
}

TEST_F(LibraryPcieTest, OneOfTheTwoQueuesMayBeInTheApplicationsMemory) {
  Controller* controller = attach();
  for (const bool submission : {false, true}) {
    const Pages pages(1);
    IoQueuePairOptions options;
    (submission ? options.memory.sq : options.memory.cq) = pages.span();
    auto queue = controller->allocate_io_queue_pair(options);
    ASSERT_TRUE(queue) << queue.error().text;
    std::vector<std::byte> data = noise(65536, 9);
    EXPECT_TRUE(comes_back(**queue, data, 64, 1));
  }
}

TEST_F(LibraryPcieTest, MemoryThatCannotHoldTheQueuesIsRefused) {
  Controller* controller = attach();
  const Pages pages(2);
  IoQueuePairOptions options;
  options.queue_size = 64;
  options.memory.sq = pages.span().first(4096);
  auto small = controller->allocate_io_queue_pair(options);
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(small.error().text.find("8192"), std::string::npos) << small.error().text;
  options.memory = {.sq = {}, .cq = pages.span().subspan(16)};
  auto odd = controller->allocate_io_queue_pair(options);
  ASSERT_FALSE(odd);
  EXPECT_NE(odd.error().text.find("begins at a page"), std::string::npos) << odd.error().text;
  EXPECT_TRUE(controller->allocate_io_queue_pair()) << "the queue id is free again";
}

TEST_F(LibraryPcieTest, PrioritiesReachTheDrive) {
  plug(kFirst, {.weighted = true});
  ProbeCallbacks callbacks;
  Controller* controller = nullptr;
  callbacks.probe = [](const TransportId&, ControllerOptions& options) {
    options.arbitration.weighted = true;
    return true;
  };
  callbacks.attach = [&controller](const TransportId&, Controller& attached,
                                   const ControllerOptions& used) {
    EXPECT_TRUE(used.arbitration.weighted);
    controller = &attached;
  };
  ASSERT_TRUE(initiator_->probe(id_of(kFirst), callbacks));
  ASSERT_NE(controller, nullptr);
  std::vector<IoQueuePair::Pointer> queues;
  for (const QueuePriority priority : {QueuePriority::kUrgent, QueuePriority::kHigh,
                                       QueuePriority::kMedium, QueuePriority::kLow}) {
    auto queue = controller->allocate_io_queue_pair({.priority = priority});
    ASSERT_TRUE(queue) << queue.error().text;
    EXPECT_EQ(drive().priority_of((*queue)->qid()), static_cast<std::uint8_t>(priority));
    std::vector<std::byte> data = noise(4096, 3);
    EXPECT_TRUE(comes_back(**queue, data, 3, 1));
    queues.push_back(std::move(*queue));
  }
}

TEST_F(LibraryPcieTest, SubmissionQueuesInTheControllersOwnMemory) {
  for (const bool old : {false, true}) {
    SCOPED_TRACE(old);
    const std::string& address = old ? kSecond : kFirst;
    plug(address, {.own_memory_bytes = 8192, .old_memory = old});
    ProbeCallbacks callbacks;
    Controller* controller = nullptr;
    callbacks.probe = [](const TransportId&, ControllerOptions& options) {
      options.transport.controller_memory = true;
      return true;
    };
    callbacks.attach = [&controller](const TransportId&, Controller& attached,
                                     const ControllerOptions&) { controller = &attached; };
    ASSERT_TRUE(initiator_->probe(id_of(address), callbacks));
    ASSERT_NE(controller, nullptr);
    // There is room for two of them.
    std::vector<IoQueuePair::Pointer> queues;
    for (int i = 0; i < 3; i++) {
      auto queue = controller->allocate_io_queue_pair();
      ASSERT_TRUE(queue) << queue.error().text;
      const std::uint64_t before = drives_->at(address).own_fetches();
      std::vector<std::byte> data = noise(12288, 3);
      for (int round = 0; round < 40; round++) {
        EXPECT_TRUE(comes_back(**queue, data, 3, 1));
      }
      EXPECT_EQ(drives_->at(address).own_fetches() - before, i < 2 ? 80u : 0u);
      queues.push_back(std::move(*queue));
    }
    // Their room is free again when they are gone.
    queues.clear();
    auto again = controller->allocate_io_queue_pair();
    ASSERT_TRUE(again) << again.error().text;
    const std::uint64_t before = drives_->at(address).own_fetches();
    std::vector<std::byte> data = noise(4096, 4);
    EXPECT_TRUE(comes_back(**again, data, 3, 1));
    EXPECT_EQ(drives_->at(address).own_fetches() - before, 2u);
  }
}

TEST_F(LibraryPcieTest, APollGroupServesQueuePairsOfTwoDrives) {
  plug(kFirst);
  plug(kSecond);
  PollGroup group;
  std::vector<IoQueuePair::Pointer> queues;
  for (const std::string& address : {kFirst, kSecond}) {
    const Result<Controller*> controller = initiator_->connect(id_of(address));
    ASSERT_TRUE(controller) << controller.error().text;
    for (int i = 0; i < 2; i++) {
      auto queue = (*controller)->allocate_io_queue_pair({.create_only = true});
      ASSERT_TRUE(queue) << queue.error().text;
      ASSERT_EQ(group.add(**queue), 0);
      ASSERT_EQ((*queue)->connect(), 0);
      queues.push_back(std::move(*queue));
    }
  }
  const auto lost = [](void*, IoQueuePair& queue) { ADD_FAILURE() << queue.failure_text(); };
  const Instant limit = Clock::now() + seconds(30);
  while (group.all_connected() == -EAGAIN && Clock::now() < limit) {
    group.process_completions(0, lost);
  }
  ASSERT_EQ(group.all_connected(), 0);
  std::vector<std::byte> data = noise(4096, 5);
  const iovec iov{data.data(), data.size()};
  std::vector<Ended> ended(64);
  for (std::size_t i = 0; i < ended.size(); i++) {
    ASSERT_EQ(submit(*queues[i % 4], command::write(1, i, 1), &iov, 1, ended[i]), 0);
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

TEST_F(LibraryPcieTest, AnAbortEndsTheCommandAtTheDrive) {
  Controller* controller = attach();
  auto queue = controller->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  drive().hold_io = true;
  std::vector<std::byte> data(4096);
  const iovec iov{data.data(), data.size()};
  std::vector<Ended> ended(8);
  for (std::size_t i = 0; i < ended.size(); i++) {
    ASSERT_EQ(submit(**queue, command::read(1, i, 1), &iov, 1, ended[i]), 0);
  }
  (*queue)->process_completions();
  EXPECT_EQ(controller->abort_tagged(**queue, &ended[5]), 0);
  ASSERT_TRUE(poll_until(**queue, [&] { return ended[5].done; }));
  EXPECT_TRUE(ended[5].status.is(spec::GenericStatus::kAbortRequested));
  EXPECT_EQ(std::ranges::count_if(ended, [](const Ended& each) { return each.done; }), 1);
  EXPECT_EQ(controller->abort_tagged(**queue, &data), -ENOENT);
  drive().hold_io = false;
  ASSERT_TRUE(poll_until(
      **queue, [&] { return std::ranges::all_of(ended, [](auto& each) { return each.done; }); }));
  EXPECT_TRUE(ended[0].status.ok());
}

TEST_F(LibraryPcieTest, NamespacesAreMadeAttachedAndDeleted) {
  Controller* controller = attach();
  std::vector<std::byte> page(4096);
  spec::IdentifyNamespace wanted;
  wanted.nsze = std::uint64_t{512};
  wanted.ncap = wanted.nsze;
  std::memcpy(page.data(), &wanted, sizeof(wanted));
  const AdminEnded made = admin(*controller, command::create_namespace(0), page);
  ASSERT_TRUE(made.status.ok());
  const auto nsid = static_cast<std::uint32_t>(made.result);
  EXPECT_EQ(nsid, 2u);
  rescan(*controller);
  EXPECT_EQ(controller->find_namespace(nsid), nullptr) << "it is not attached yet";
  std::vector<std::byte> list(4096);  // of controllers: one, which is 7
  list[0] = std::byte{1};
  list[2] = std::byte{7};
  EXPECT_TRUE(admin(*controller, command::attach_namespace(nsid, true), list).status.ok());
  EXPECT_FALSE(admin(*controller, command::attach_namespace(nsid, true), list).status.ok());
  rescan(*controller);
  const Namespace* found = controller->find_namespace(nsid);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->geometry().size_blocks, 512u);
  auto queue = controller->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  std::vector<std::byte> data = noise(4096, 17);
  Ended write;
  const iovec iov{data.data(), data.size()};
  ASSERT_EQ(submit(**queue, command::write(nsid, 5, 1), &iov, 1, write), 0);
  ASSERT_TRUE(poll_until(**queue, [&] { return write.done; }));
  EXPECT_TRUE(write.status.ok());
  EXPECT_TRUE(admin(*controller, command::attach_namespace(nsid, false), list).status.ok());
  rescan(*controller);
  EXPECT_EQ(controller->find_namespace(nsid), nullptr);
  EXPECT_TRUE(admin(*controller, command::delete_namespace(nsid)).status.ok());
  EXPECT_FALSE(admin(*controller, command::delete_namespace(nsid)).status.ok());
  EXPECT_EQ(drive().namespace_count(), 1u);
}

// A device that breaks the rules ends the connection and nothing else; a reset mends it.
TEST_F(LibraryPcieTest, FaultsEndTheCommandOnceEach) {
  Controller* controller = attach();
  auto queue = controller->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  std::vector<std::byte> data = noise(4096, 11);
  const iovec iov{data.data(), data.size()};
  for (const DeviceFault fault : {DeviceFault::kWrongCid, DeviceFault::kWrongQueue,
                                  DeviceFault::kTwice, DeviceFault::kFatal, DeviceFault::kGone}) {
    SCOPED_TRACE(static_cast<int>(fault));
    drive().arm_fault(fault, 5);
    std::vector<Ended> ended(12);
    for (std::size_t i = 0; i < ended.size(); i++) {
      ASSERT_EQ(submit(**queue, command::write(1, i, 1), &iov, 1, ended[i]), 0);
    }
    ASSERT_TRUE(poll_until(**queue, [&] {
      return std::ranges::all_of(ended, [](const Ended& each) { return each.done; }) &&
             (*queue)->state() != QueueState::kLive;
    }));
    EXPECT_TRUE(drive().struck());
    if (drive().gone()) drive().revive();
    const Status reset = initiator_->reset(*controller);
    ASSERT_TRUE(reset) << reset.error().text;
    int begun = -EAGAIN;
    ASSERT_TRUE(poll_until(**queue, [&] {
      begun = (*queue)->reconnect();
      return begun != -EAGAIN;
    }));
    ASSERT_EQ(begun, 0);
    ASSERT_TRUE((*queue)->wait_connected());
    ASSERT_TRUE(comes_back(**queue, data, 3, 1));
  }
}

TEST_F(LibraryPcieTest, AnOrderlyResetKeepsTheDeviceOpenAndOneAfterAFaultDoesNot) {
  Controller* controller = attach();
  auto queue = controller->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  std::vector<std::byte> data = noise(4096, 12);
  const auto reset = [&] {
    const Status done = initiator_->reset(*controller);
    ASSERT_TRUE(done) << done.error().text;
    ASSERT_TRUE(poll_until(**queue, [&] { return (*queue)->reconnect() != -EAGAIN; }));
    ASSERT_TRUE((*queue)->wait_connected());
    EXPECT_TRUE(comes_back(**queue, data, 5, 1));
  };
  for (int round = 0; round < 5; round++) reset();
  EXPECT_EQ(drives_->opens(), 1u);
  drive().arm_fault(DeviceFault::kFatal, 0);
  ASSERT_TRUE(poll_until(**queue, [&] {
    Ended ended;
    const iovec iov{data.data(), data.size()};
    if (submit(**queue, command::write(1, 0, 1), &iov, 1, ended) == 0) {
      poll_until(**queue, [&] { return ended.done; });
    }
    return (*queue)->state() != QueueState::kLive;
  }));
  reset();
  EXPECT_EQ(drives_->opens(), 2u);
}

// The suite on a simulated drive.
class SimulatedPlace final : public test::SuitePlace {
 public:
  SimulatedPlace() {
    formats = true;
    attaches = true;
    threads = false;
    interrupts = false;
  }
  std::unique_ptr<Initiator> make_initiator(Shard& shard,
                                            const ControllerOptions& defaults) override {
    drives_ = std::make_unique<SimulatedDrives>(shard);
    drives_->plug(kAddress, {.size_blocks = 4096, .out_of_order = true});
    return drives_->make_initiator(defaults);
  }
  TransportId id() const override { return SimulatedDrives::id_of(kAddress); }
  std::optional<TransportId> probe_id() const override { return std::nullopt; }
  TransportId nowhere() const override { return SimulatedDrives::id_of("0000:09:00.0"); }

 private:
  static inline const std::string kAddress = "0000:01:00.0";
  std::unique_ptr<SimulatedDrives> drives_;
};

INSTANTIATE_TEST_SUITE_P(Simulated, LibrarySuite,
                         testing::Values([]() -> std::unique_ptr<test::SuitePlace> {
                           return std::make_unique<SimulatedPlace>();
                         }));

}  // namespace
}  // namespace nvublk::nvme::pcie
