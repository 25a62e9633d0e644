// Namespaces with metadata on a drive of QEMU's: PCI_ADDRESS, bound to vfio-pci, of which those in
// PCI_METADATA_NSIDS ("3,4") may be overwritten.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/initiator.h"
#include "nvme/namespace_io.h"
#include "nvme/suite/library_suite.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme {
namespace {

using test::SuiteIo;

std::vector<std::uint32_t> nsids() {
  std::vector<std::uint32_t> found;
  const char* list = std::getenv("PCI_METADATA_NSIDS");
  std::istringstream words(list != nullptr ? list : "");
  for (std::string word; std::getline(words, word, ',');) {
    found.push_back(static_cast<std::uint32_t>(std::stoul(word)));
  }
  EXPECT_FALSE(found.empty()) << "PCI_METADATA_NSIDS";
  return found;
}

class QemuMetadataTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    auto shard = Shard::adopt_current_thread({});
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    initiator_ = std::make_unique<Initiator>(*shard_, make_transport, ControllerOptions{});
    TransportId id;
    id.trtype = Trtype::kPcie;
    const char* address = std::getenv("PCI_ADDRESS");
    ASSERT_NE(address, nullptr);
    id.traddr = address;
    const Result<Controller*> controller = initiator_->connect(id);
    ASSERT_TRUE(controller) << controller.error().text;
    controller_ = *controller;
    auto queue = controller_->allocate_io_queue_pair();
    ASSERT_TRUE(queue) << queue.error().text;
    queue_ = std::move(*queue);
    auto region = DmaRegion::allocate(std::size_t{1} << 20);
    ASSERT_TRUE(region);
    region_ = std::move(*region);
    if (GetParam()) {
      entry_ = std::make_unique<DmaEntry>(region_);
      shard_->reactor().dma_catalog().add(*entry_);
    }
  }
  void TearDown() override {
    if (entry_) shard_->reactor().dma_catalog().remove(*entry_);
    queue_.reset();
    initiator_.reset();
    shard_.reset();
  }
  spec::NvmeStatus run(NamespaceIo& subject, int (NamespaceIo::*what)(const BlockIo&), BlockIo io) {
    SuiteIo ended;
    io.done = &SuiteIo::finish;
    io.context = &ended;
    EXPECT_EQ((subject.*what)(io), 0);
    const Instant limit = Clock::now() + seconds(60);
    while (!ended.done && Clock::now() < limit) queue_->process_completions();
    EXPECT_TRUE(ended.done);
    return ended.status;
  }

  std::unique_ptr<Shard> shard_;
  std::unique_ptr<Initiator> initiator_;
  Controller* controller_ = nullptr;
  IoQueuePair::Pointer queue_;
  DmaRegion region_;
  std::unique_ptr<DmaEntry> entry_;
};

// Metadata without protection QEMU moves in units of 512 bytes, and of 800 only the first 288: so
// there is a multiple of it.
constexpr std::uint64_t kLba = 32;
constexpr std::size_t kBlocks = 64;

// Memory for the blocks and their metadata, in one region.
struct Buffers {
  Buffers(const DmaRegion& region, const MetadataFormat& format, std::uint32_t flags)
      : data(region.span().first(kBlocks * format.data_bytes(flags))),
        metadata(
            region.span().subspan(std::size_t{512} * 1024, kBlocks * format.separate_bytes(flags))),
        piece{data.data(), data.size()} {}
  void fill(unsigned seed) {
    for (std::size_t i = 0; i < data.size(); i++) data[i] = static_cast<std::byte>(i * 7 + seed);
    for (std::size_t i = 0; i < metadata.size(); i++) {
      metadata[i] = static_cast<std::byte>(i * 5 + seed);
    }
  }
  void clear() {
    std::ranges::fill(data, std::byte{0});
    std::ranges::fill(metadata, std::byte{0});
  }
  std::vector<std::byte> contents() const {
    std::vector<std::byte> all(data.begin(), data.end());
    all.insert(all.end(), metadata.begin(), metadata.end());
    return all;
  }
  BlockIo io(std::uint32_t flags) const {
    return {.lba = kLba,
            .blocks = kBlocks,
            .data = {&piece, 1},
            .metadata = metadata,
            .io_flags = flags};
  }
  std::span<std::byte> data;
  std::span<std::byte> metadata;
  iovec piece;
};

TEST_P(QemuMetadataTest, MetadataGoesThereAndBack) {
  for (const std::uint32_t nsid : nsids()) {
    SCOPED_TRACE(nsid);
    const Namespace* found = controller_->find_namespace(nsid);
    ASSERT_NE(found, nullptr);
    NamespaceIo subject(*controller_, *found, *queue_);
    EXPECT_GT(subject.format().metadata_bytes, 0u);
    Buffers buffers(region_, subject.format(), 0);
    buffers.fill(nsid);
    const std::vector<std::byte> written = buffers.contents();
    ASSERT_TRUE(run(subject, &NamespaceIo::write, buffers.io(0)).ok());
    buffers.clear();
    ASSERT_TRUE(run(subject, &NamespaceIo::read, buffers.io(0)).ok());
    const std::vector<std::byte> back = buffers.contents();
    const auto wrong = std::ranges::mismatch(back, written).in1 - back.begin();
    EXPECT_TRUE(back == written) << "from byte " << wrong << " on, of which the metadata begins at "
                                 << buffers.data.size();
  }
}

// What the host makes, the drive checks, and the other way round.
TEST_P(QemuMetadataTest, ProtectionOfTheHostsIsTheDrivesToo) {
  for (const std::uint32_t nsid : nsids()) {
    SCOPED_TRACE(nsid);
    const Namespace* found = controller_->find_namespace(nsid);
    ASSERT_NE(found, nullptr);
    NamespaceIo subject(*controller_, *found, *queue_);
    if (!subject.format().is_protected()) continue;
    const std::uint32_t tag =
        subject.format().protection_type == 3 ? 0 : command::kIoCheckReferenceTag;
    const std::uint32_t checks = command::kIoCheckGuard | tag;
    Buffers buffers(region_, subject.format(), checks);
    buffers.fill(nsid + 100);
    BlockIo io = buffers.io(checks);
    io.host_protection = true;
    ASSERT_TRUE(run(subject, &NamespaceIo::write, io).ok()) << "the drive checked it";
    ASSERT_TRUE(run(subject, &NamespaceIo::read, io).ok()) << "and so did we";
    io.host_protection = false;
    buffers.data[100] ^= std::byte{1};
    EXPECT_TRUE(run(subject, &NamespaceIo::write, io).is(spec::MediaStatus::kGuardCheckError));
    if (!subject.format().strips(command::kIoProtectionAction)) continue;
    // Now the drive makes it, and the host checks.
    Buffers plain(region_, subject.format(), command::kIoProtectionAction);
    plain.fill(nsid);
    ASSERT_TRUE(
        run(subject, &NamespaceIo::write, plain.io(command::kIoProtectionAction | checks)).ok());
    buffers.clear();
    io.host_protection = true;
    EXPECT_TRUE(run(subject, &NamespaceIo::read, io).ok());
  }
}

INSTANTIATE_TEST_SUITE_P(Memory, QemuMetadataTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "Shared" : "Copied"; });

}  // namespace
}  // namespace nvublk::nvme
