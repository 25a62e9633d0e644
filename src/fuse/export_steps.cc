#include "fuse/export_steps.h"

namespace nvublk::fuse {

namespace {

constexpr Duration kPoll = milliseconds(10);
/// udev and its like look into a device for a moment.
constexpr Duration kMomentary = milliseconds(100);
constexpr int kMomentaryAttempts = 10;

}  // namespace

std::span<const StartSteps::Row> StartSteps::rows() {
  using S = StartSteps;
  using A = ExportAction;
  static constexpr Row kRows[] = {
      {"make the mount point", "", &S::limit, &S::begin<A::kPrepare>, &S::next},
      {"mount FUSE", "", &S::limit, &S::begin<A::kMount>, &S::next},
      {"start the queues", "", &S::limit, &S::begin<A::kStartQueues>, &S::next},
      {"FUSE handshake", "", &S::limit, &S::begin<A::kAwaitHandshake>, &S::next},
      {"configure the loop device", "", &S::long_limit, &S::begin<A::kAttachLoop>, &S::next},
      {"wait for the block device", "", &S::long_limit, &S::begin<A::kProbeDevice>, &S::next},
  };
  return kRows;
}

StepNext StartSteps::next(const ExportOutcome& outcome) {
  return outcome.again ? StepNext::repeat(kPoll) : StepNext::next();
}

std::span<const ReleaseSteps::Row> ReleaseSteps::rows() {
  using S = ReleaseSteps;
  static constexpr Row kRows[] = {
      {"release the loop device", "", &S::limit, &S::begin, &S::decide, true},
  };
  return kRows;
}

StepNext ReleaseSteps::decide(const ExportOutcome& outcome) {
  if (!outcome.failure) {
    return StepNext::next();
  }
  if (outcome.again && ++attempts_ < kMomentaryAttempts) {
    return StepNext::repeat(kMomentary);
  }
  return StepNext::fail(*outcome.failure);
}

std::span<const TeardownSteps::Row> TeardownSteps::rows() {
  using S = TeardownSteps;
  using A = ExportAction;
  static constexpr Row kRows[] = {
      {"stop the queues", "", &S::limit, &S::begin<A::kSever>, &S::next, true},
      {"end the FUSE connection", "", &S::limit, &S::begin<A::kCloseDescriptors>, &S::next, true},
      {"wait for a system call", "", &S::limit, &S::begin<A::kAwaitCall>, &S::next, true},
      {"clear the loop device", "", &S::limit, &S::begin<A::kClearLoop>, &S::next, true},
      {"unmount FUSE", "", &S::limit, &S::begin<A::kUnmount>, &S::next, true},
      {"wait for the device", "", &S::limit, &S::begin<A::kDrain>, &S::next, true},
  };
  return kRows;
}

}  // namespace nvublk::fuse
