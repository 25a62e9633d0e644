// The suite, and SGLs, on a drive of QEMU's: PCI_ADDRESS, bound to vfio-pci, whose namespace
// PCI_NSID may be overwritten.

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "nvme/command.h"
#include "nvme/suite/library_suite.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme {
namespace {

using test::LibrarySuite;

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  EXPECT_NE(value, nullptr) << name;
  return value != nullptr ? value : otherwise;
}

TransportId id_of(const std::string& address) {
  TransportId id;
  id.trtype = Trtype::kPcie;
  id.traddr = address;
  EXPECT_TRUE(id.complete());
  return id;
}

class QemuPlace final : public test::SuitePlace {
 public:
  QemuPlace() {
    nsid = static_cast<std::uint32_t>(std::stoul(environment("PCI_NSID", "1")));
    formats = true;
    attaches = true;
  }
  std::unique_ptr<Initiator> make_initiator(Shard& shard,
                                            const ControllerOptions& defaults) override {
    return std::make_unique<Initiator>(shard, make_transport, defaults);
  }
  TransportId id() const override { return id_of(environment("PCI_ADDRESS", "0000:01:00.0")); }
  std::optional<TransportId> probe_id() const override { return std::nullopt; }
  TransportId nowhere() const override { return id_of("0000:7f:00.0"); }
};

// Pieces that PRPs cannot name, of memory that the drive reaches: an SGL does. The data is there
// before anybody has looked at the completion, so the drive has put it there.
TEST(QemuSgl, PiecesAtOddAddressesAreReadAndWrittenWhereTheyAre) {
  constexpr std::size_t kPieces = 24;
  constexpr std::size_t kStep = 1300;
  const std::unique_ptr<Shard> shard = Shard::adopt_current_thread({}).value();
  const auto initiator = std::make_unique<Initiator>(*shard, make_transport, ControllerOptions{});
  const QemuPlace place;
  const Result<Controller*> controller = initiator->connect(place.id());
  ASSERT_TRUE(controller) << controller.error().text;
  auto queue = (*controller)->allocate_io_queue_pair({.delay_submit = false});
  ASSERT_TRUE(queue) << queue.error().text;
  DmaRegion region = DmaRegion::allocate(2 * kPieces * kStep).value();
  DmaEntry entry(region);
  shard->reactor().dma_catalog().add(entry);
  const std::uint32_t block =
      (*controller)->find_namespace(place.nsid)->geometry().block_size_bytes;
  const auto pieces_from = [&](std::byte* at) {
    std::vector<iovec> pieces;
    for (std::size_t i = 0; i < kPieces; i++) pieces.push_back({at + 4 + i * kStep, block});
    return pieces;
  };
  const std::vector<iovec> out = pieces_from(region.data());
  const std::vector<iovec> in = pieces_from(region.data() + kPieces * kStep);
  const auto submit = [&](const spec::SubmissionEntry& sqe, const std::vector<iovec>& pieces,
                          test::SuiteIo& io) {
    IoCommand command = io.make(sqe);
    command.iov = pieces.data();
    command.iov_count = kPieces;
    ASSERT_EQ((*queue)->submit(command), 0);
  };
  const auto end = [&](const test::SuiteIo& io) {
    const Instant limit = Clock::now() + seconds(60);
    while (!io.done && Clock::now() < limit) (*queue)->process_completions();
    EXPECT_TRUE(io.done && io.status.ok());
  };
  for (std::size_t i = 0; i < kPieces * kStep; i++) {
    region.data()[i] = static_cast<std::byte>(i * 7 / 3);
  }
  test::SuiteIo written;
  submit(command::write(place.nsid, 8, kPieces), out, written);
  end(written);
  test::SuiteIo read;
  submit(command::read(place.nsid, 8, kPieces), in, read);
  const auto arrived = [&] {
    std::atomic_thread_fence(std::memory_order_acquire);
    return std::equal(out.begin(), out.end(), in.begin(), [](const iovec& a, const iovec& b) {
      return std::memcmp(a.iov_base, b.iov_base, a.iov_len) == 0;
    });
  };
  const Instant limit = Clock::now() + seconds(60);
  while (!arrived() && Clock::now() < limit) std::this_thread::yield();
  EXPECT_TRUE(arrived());
  EXPECT_FALSE(read.done);
  end(read);
  EXPECT_EQ(region.data()[kPieces * kStep], std::byte{0}) << "and nothing beside them";
  shard->reactor().dma_catalog().remove(entry);
}

INSTANTIATE_TEST_SUITE_P(Qemu, LibrarySuite,
                         testing::Values([]() -> std::unique_ptr<test::SuitePlace> {
                           return std::make_unique<QemuPlace>();
                         }));

}  // namespace
}  // namespace nvublk::nvme
