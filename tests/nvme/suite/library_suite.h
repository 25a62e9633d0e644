#pragma once

// The library as an application uses it, the same over any transport. A program links
// library_suite.cc and says where its controllers are:
//
//   INSTANTIATE_TEST_SUITE_P(Tcp, LibrarySuite, testing::Values(&make_place));

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/initiator.h"

namespace nvublk::nvme::test {

/// Where a controller is that the suite may use as it likes. Destroyed after its initiator and
/// before the shard.
class SuitePlace {
 public:
  virtual ~SuitePlace() = default;
  virtual std::unique_ptr<Initiator> make_initiator(Shard& shard,
                                                    const ControllerOptions& defaults) = 0;
  /// The controller.
  virtual TransportId id() const = 0;
  /// What to probe for it.
  virtual std::optional<TransportId> probe_id() const = 0;
  /// Where there is no controller.
  virtual TransportId nowhere() const = 0;

  std::uint32_t nsid = 1;  ///< of a namespace of at least 4 MiB, which may be overwritten
  bool formats = false;    ///< whether Format NVM is carried out
  bool attaches = false;   ///< whether namespaces are attached and detached
  bool threads = true;     ///< whether it serves queue pairs of several threads
  bool interrupts = true;  ///< whether an application can sleep until something completes
};

using MakeSuitePlace = std::unique_ptr<SuitePlace> (*)();

/// A command and what became of it.
struct SuiteIo {
  explicit SuiteIo(std::size_t size_bytes = 0, std::byte value = {}) : data(size_bytes, value) {}
  IoCommand make(const spec::SubmissionEntry& sqe);

  bool done = false;
  spec::NvmeStatus status;
  std::uint64_t result = 0;
  std::vector<std::byte> data;
  iovec piece{};

  /// What an IoCommand or a BlockIo calls, with the SuiteIo as its context.
  static void finish(void* context, spec::NvmeStatus status, const spec::CompletionEntry& entry);
};

class LibrarySuite : public testing::TestWithParam<MakeSuitePlace> {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::unique_ptr<Shard> adopt() const;
  /// Sets controller_ and block_bytes_; on failure controller_ stays null, and the test has failed.
  void connect();
  IoQueuePair::Pointer allocate(const IoQueuePairOptions& options = {});
  /// Turns `queue`, or else the controller, until `ready`.
  bool process_until(const std::function<bool()>& ready, IoQueuePair* queue = nullptr);
  SuiteIo admin(const spec::SubmissionEntry& sqe, std::span<std::byte> data = {});
  SuiteIo read_block(IoQueuePair& queue, std::uint64_t lba);
  void write_block(IoQueuePair& queue, std::uint64_t lba, std::byte value);
  /// Whether a block of `value` is read as it was written.
  bool comes_back(IoQueuePair& queue, std::byte value);
  std::vector<std::byte> block_of(std::byte value) const { return {block_bytes_, value}; }
  void rescan();

  std::unique_ptr<Shard> shard_;
  std::unique_ptr<SuitePlace> place_;
  std::unique_ptr<Initiator> initiator_;
  Controller* controller_ = nullptr;
  std::uint32_t block_bytes_ = 0;
};

}  // namespace nvublk::nvme::test
