#pragma once

// Shows a BlockDevice as a file on a FUSE mount of its own, and as a loop device on that file.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/block_export.h"
#include "engine/blocking_call.h"
#include "engine/shard_set.h"
#include "engine/step_runner.h"
#include "fuse/export_steps.h"
#include "fuse/file_session.h"
#include "fuse/fuse_queue.h"
#include "fuse/mount.h"

namespace nvublk::fuse {

/// Why a device with `geometry` cannot be shown through FUSE; empty if it can.
std::string cannot_show(const BlockGeometry& geometry);

/// Affine to the control shard.
class FuseExport final : public BlockExport,
                         private FuseQueueClient,
                         private StepOwner<StartSteps, ExportAction>,
                         private StepOwner<ReleaseSteps, ExportAction>,
                         private StepOwner<TeardownSteps, ExportAction> {
 public:
  /// `device` must outlive this. `options.id` is the number in /dev/loopN. `multishot` false: as on
  /// kernels that have no multishot reads.
  FuseExport(const ShardSet& shards, BlockDevice& device, BlockExportOptions options,
             bool multishot = true);
  ~FuseExport() override;

  void start(Done done) override;
  void stop(bool force, Done done) override;
  void leave(Done done) override;
  void resize(Done done) override;
  BlockExportInfo info() const override;
  BlockExportStatistics statistics() const override;

  /// The file behind the block device; empty unless mounted.
  const std::string& file() const { return at_.file; }

 private:
  enum class State : std::uint8_t { kNew, kStarting, kLive, kFailed, kStopping, kStopped };
  /// What several shards report before the action is over.
  struct Gathering {
    unsigned left = 0;
    ExportOutcome outcome;
  };

  void forwarded(ForwardedRequest& request) override;
  void connection_ended() override;
  void perform(StartSteps&, const ExportAction& action) override { perform_action(action); }
  void perform(ReleaseSteps&, const ExportAction& action) override { perform_action(action); }
  void perform(TeardownSteps&, const ExportAction& action) override { perform_action(action); }
  void ended(StartSteps& steps) override;
  void ended(ReleaseSteps& steps) override;
  void ended(TeardownSteps& steps) override;

  void perform_action(ExportAction action);
  void perform_start_action(ExportAction action);
  void perform_teardown_action(ExportAction action);
  void prepare();
  void mount();
  void start_queues();
  void attach_loop();
  void probe_device();
  void resize_loop();
  void resized(const Status& status);
  void release_loop();
  void clear_loop();
  void unmount();
  /// Has `task(queue, report)` run on each started queue's shard; `report(Status)` ends its part.
  template <typename Task>
  void on_every_queue(const Task& task);
  template <typename Work, typename Keep>
  void call(Work work, Keep keep);
  void report(std::uint64_t action, ExportOutcome outcome);
  void report_later(ExportOutcome outcome);
  void begin_teardown(State state);
  void finish_stop(const Status& status);
  ExportOutcome handshake_outcome() const;
  const char* state_name() const;
  unsigned queue_count() const;

  const ShardSet shards_;
  BlockDevice& device_;
  const BlockExportOptions options_;
  FileLimits limits_;
  const bool multishot_;

  State state_ = State::kNew;
  bool force_ = false;
  Done start_done_;
  Status start_status_;
  std::vector<Done> stop_done_;

  // What there is to be taken apart.
  MountPoint at_;
  Mount mount_;
  std::unique_ptr<FileSession> session_;
  std::vector<std::unique_ptr<FuseQueue>> queues_;
  int loop_ = -1;
  bool loop_direct_ = false;

  Done resize_done_;             ///< of a resize that is under way
  std::size_t resize_left_ = 0;  ///< queues that have not heard of it
  BlockingCall call_;
  BlockingCall resize_call_;
  std::uint64_t action_ = 0;  ///< the current action; reports of earlier ones are late
  Gathering gathering_;
  bool awaits_handshake_ = false;
  bool awaits_call_ = false;
  StartSteps start_steps_;
  ReleaseSteps release_steps_;
  TeardownSteps teardown_steps_;
  StepRunner<StartSteps, ExportAction, ExportOutcome> start_runner_;
  StepRunner<ReleaseSteps, ExportAction, ExportOutcome> release_runner_;
  StepRunner<TeardownSteps, ExportAction, ExportOutcome> teardown_runner_;
};

}  // namespace nvublk::fuse
