#include "target/self_test.h"

#include <algorithm>
#include <utility>

#include "target/block_data.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

constexpr std::uint64_t kChunkBytes = 1u << 20;
/// The only segment there is: that blocks can be read.
constexpr std::uint8_t kMediaSegment = 1;

}  // namespace

// A short test reads the first and the last chunk of each namespace, an extended one all of them.
class SelfTests::Plan {
 public:
  explicit Plan(const Request& request) {
    for (const auto& ns : request.namespaces) {
      const std::uint64_t step = std::max<std::uint64_t>(kChunkBytes >> ns->block_shift(), 1);
      const std::uint64_t chunks = (ns->size_blocks() + step - 1) / step;
      for (std::uint64_t i = 0; i < chunks; i++) {
        if (request.test == SelfTest::kShort && i != 0 && i + 1 != chunks) continue;
        ranges_.push_back({ns, {i * step, static_cast<std::uint32_t>(step)}});
      }
    }
  }

  std::uint64_t pieces() const { return ranges_.size(); }
  const std::optional<Failure>& failure() const { return failure_; }

  bool run(std::uint64_t index) {
    const auto& [ns, whole] = ranges_[index];
    const std::uint64_t size = ns->size_blocks();
    if (whole.lba >= size) return true;  // it has shrunk
    BlockRange range = whole;
    range.blocks =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(whole.blocks, size - whole.lba));
    if (read(*ns, range).ok()) return true;
    for (; range.blocks != 0; range.lba++, range.blocks--) {
      const NvmeStatus status = read(*ns, {range.lba, 1});
      if (status.ok()) continue;
      failure_ = Failure{ns->nsid(), range.lba, status};
      return false;
    }
    return true;  // it was written meanwhile
  }

 private:
  NvmeStatus read(const Namespace& ns, const BlockRange& range) {
    const ProtectionControl unchecked;
    buffer_.resize(std::size_t{range.blocks} * wire_block_bytes(ns.format(), unchecked));
    return read_blocks(ns, range, unchecked, buffer_.data());
  }

  std::vector<std::pair<std::shared_ptr<Namespace>, BlockRange>> ranges_;
  std::vector<std::uint8_t> buffer_;
  std::optional<Failure> failure_;
};

NvmeStatus SelfTests::begin(const Background& background, Request request) {
  const auto shared = std::make_shared<const Request>(std::move(request));
  const auto plan = std::make_shared<Plan>(*shared);
  const std::lock_guard lock(mutex_);
  if (running_ != nullptr) return NvmeStatus::make(CommandStatus::kSelfTestInProgress, true);
  running_ = shared;
  Operation::Work work;
  work.pieces = plan->pieces();
  work.piece = [plan](std::uint64_t index) { return plan->run(index); };
  work.least = shared->least;
  work.done = [this, plan, shared](bool good) {
    const std::lock_guard again(mutex_);
    if (running_ != shared) return;
    record(*shared, good ? Outcome::kPassed : Outcome::kSegmentFailed, plan->failure());
    running_.reset();
  };
  operation_.begin(background, std::move(work));
  return {};
}

void SelfTests::abort(Outcome outcome) {
  const std::lock_guard lock(mutex_);
  abort_locked(outcome);
}

void SelfTests::abort_locked(Outcome outcome) {
  if (running_ == nullptr) return;
  operation_.cancel();
  record(*running_, outcome, std::nullopt);
  running_.reset();
}

void SelfTests::controller_reset(std::uint16_t cntlid) {
  const std::lock_guard lock(mutex_);
  if (running_ != nullptr && running_->cntlid == cntlid && running_->test == SelfTest::kShort) {
    abort_locked(Outcome::kAbortedByReset);
  }
}

void SelfTests::namespace_removed(std::uint32_t nsid) {
  const std::lock_guard lock(mutex_);
  if (running_ != nullptr && std::ranges::any_of(running_->namespaces, [nsid](const auto& ns) {
        return ns->nsid() == nsid;
      })) {
    abort_locked(Outcome::kNamespaceRemoved);
  }
}

void SelfTests::record(const Request& request, Outcome outcome,
                       const std::optional<Failure>& failure) {
  SelfTestResult result;
  result.status_byte = static_cast<std::uint8_t>((static_cast<unsigned>(request.test) << 4) |
                                                 static_cast<unsigned>(outcome));
  result.power_on_hours = request.power_on_hours();
  if (failure) {
    result.segment = kMediaSegment;
    result.valid = SelfTestResult::kNsidValid | SelfTestResult::kLbaValid |
                   SelfTestResult::kStatusTypeValid | SelfTestResult::kStatusCodeValid;
    result.nsid = failure->nsid;
    result.failing_lba = failure->lba;
    result.status_type = static_cast<std::uint8_t>(failure->status.sct());
    result.status_code = failure->status.sc();
  }
  results_.push_front(result);
  if (results_.size() > SelfTestLog{}.results.size()) results_.pop_back();
}

SelfTestLog SelfTests::log() const {
  const std::lock_guard lock(mutex_);
  SelfTestLog log;
  if (running_ != nullptr) {
    log.current = static_cast<std::uint8_t>(running_->test);
    log.completion = static_cast<std::uint8_t>(operation_.progress(100));
  }
  std::ranges::copy(results_, log.results.begin());
  return log;
}

}  // namespace nvublk::target
