#pragma once

// A BlockDevice as /dev/ublkbN. Shard-affine, to the control shard, whose ring must have been
// created with 128-byte SQEs.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/block_export.h"
#include "engine/blocking_call.h"
#include "engine/shard_set.h"
#include "engine/step_runner.h"
#include "ublk/control.h"
#include "ublk/device_start.h"
#include "ublk/device_stop.h"
#include "ublk/ublk_queue.h"

namespace nvublk::ublk {

class UblkExport final : public BlockExport {
 public:
  /// The shards and the device must outlive it.
  UblkExport(const ShardSet& shards, BlockDevice& device, BlockExportOptions options);
  /// Only when stopped, or never started.
  ~UblkExport() override;

  void start(Done done) override;
  /// Takes over the device with this id, which a server that died has left quiesced; instead of
  /// start(). `options.id`, queues and depth are those of the device. On failure the device stays
  /// quiesced.
  void take_over(int id, Done done);
  void stop(bool force, Done done) override;
  void leave(Done done) override;
  void resize(Done done) override;
  BlockExportInfo info() const override;
  BlockExportStatistics statistics() const override;

  /// The step that start or stop is at, "" if neither runs.
  const char* step_name() const;

 private:
  enum class State : std::uint8_t { kStopped, kStarting, kLive, kLeaving, kStopping, kFailed };

  template <typename Machine>
  class Driver;

  void begin_start(const DeviceStart::Plan& plan, Done done);
  void start_ended();
  void begin_stop(const DeviceStop::Plan& plan);
  void stop_ended();
  void settle();
  void refuse_soon(Done done, Error error);

  // What the steps ask for. Each reports its outcome later, never before it returns.
  void perform(const DeviceAction& action);
  void report(std::uint64_t ticket, DeviceOutcome outcome);
  void report_soon(DeviceOutcome outcome);
  void open_control();
  void send(const ControlRequest& request);
  std::int32_t open_server_node(std::uint32_t id);
  Status make_queues(const DeviceAction& action);
  void wind_up();
  void take_back();
  void close_server_node();
  void try_block_node(const std::string& path);
  void check_unused();
  /// Runs `work` on the shard of each queue, then reports. By then the kernel has got what the
  /// queues have prepared, so that whatever comes next finds it there.
  void work_on_queues(void (*work)(UblkQueue& queue));
  /// Runs `work` on the shard of each queue, then `then` here.
  void on_queues(const std::function<void(UblkQueue& queue)>& work,
                 std::move_only_function<void()> then);
  void send_size(std::uint64_t size_blocks);
  void resized(Status status);
  void drain_queues();
  void queue_drained();
  void queue_idle();
  void queue_failed(int error);
  std::string disk() const { return "ublkb" + std::to_string(device_info_.dev_id); }

  ShardSet shards_;
  Shard& control_shard_;
  BlockDevice& device_;
  BlockExportOptions options_;
  State state_ = State::kStopped;
  std::unique_ptr<Control> control_;
  UniqueFd server_node_;  ///< /dev/ublkcN; before queues_, which use it
  std::vector<std::unique_ptr<UblkQueue>> queues_;
  bool taking_back_ = false;
  unsigned queues_busy_ = 0;  ///< not idle yet, once taking_back_
  std::uint64_t ticket_ = 0;  ///< of the latest action; outcomes of earlier ones are late
  abi::DeviceInfo device_info_{};
  Features driver_features_;
  BlockExportStatistics past_;  ///< of queues that are gone
  std::unique_ptr<Driver<DeviceStart>> starting_;
  std::unique_ptr<Driver<DeviceStop>> stopping_;
  Status start_result_;
  Status stop_result_;
  std::vector<Done> start_waiting_;
  std::vector<Done> stop_waiting_;
  Done leave_done_;
  unsigned queues_undrained_ = 0;
  Done resize_done_;            ///< of a resize that is under way
  bool stop_by_force_ = false;  ///< of a stop that waits for it
  bool settling_ = false;       ///< stopped but for blocking calls that have not returned
  BlockingCall open_call_;
  BlockingCall look_call_;
};

}  // namespace nvublk::ublk
