#pragma once

// One controller on a simulated target, with verified I/O on two queues all the while. What is
// written to a block is a number that only this write has; a block has one request under way at a
// time, so every read has exactly one right answer, or two after a write that failed.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "nvme/controller.h"
#include "nvme/recovery/simulated_world.h"

namespace nvublk::nvme {

class RecoverySimulation final : private ControllerListener {
 public:
  static constexpr unsigned kQueues = 2;
  static constexpr unsigned kJobs = 5;  ///< requests under way per queue

  explicit RecoverySimulation(std::uint64_t seed);
  ~RecoverySimulation();

  // To be changed before start().
  ControllerOptions options;
  SimulatedTime time;
  SimulatedTarget target;
  std::mt19937_64 random;
  Duration think = milliseconds(250);  ///< how long a job rests between two requests, at most

  /// Connects, and begins with the I/O.
  void start();
  Controller& controller() { return *controller_; }
  /// Lets the world go on until `ready`, for at most `limit`; whether it came to that.
  bool run_until(const std::function<bool()>& ready, Duration limit);
  void run_for(Duration duration);
  /// No new requests, and waits for those under way; complains about any that does not end.
  void drain(Duration limit);
  /// Detaches; complains if that does not end, or leaves connections.
  void finish(Duration limit = seconds(120));
  /// Compares every block of the target's with what was written.
  void check_media();

  bool ended() const { return controller_->state() == ControllerState::kFailed; }
  const std::vector<std::string>& problems() const { return problems_; }
  std::uint64_t completed() const { return completed_; }
  std::uint64_t errors() const { return errors_; }
  std::optional<Instant> first_error() const { return first_error_; }
  std::optional<Instant> lost_at() const { return lost_at_; }
  std::optional<Instant> live_at() const { return live_at_; }
  /// Names of all steps that status showed.
  const std::set<std::string>& steps() const { return steps_; }
  /// Called whenever status shows another step than before.
  std::function<void(const std::string& step)> on_step;

 private:
  struct Job : BlockRequest {
    RecoverySimulation* world = nullptr;
    unsigned queue_index = 0;
    std::uint64_t value = 0;
    alignas(4096) std::array<std::byte, 4096> buffer{};
  };

  void controller_state_changed(ControllerState state) override;
  void namespaces_changed(const std::vector<std::uint32_t>&) override {}
  void turn();
  void next(Job& job);
  void ended(Job& job);
  void complain(const std::string& text);
  void look_at_step();

  std::unique_ptr<Shard> shard_;
  std::unique_ptr<Controller> controller_;
  Namespace* namespace_ = nullptr;
  std::vector<std::unique_ptr<Job>> jobs_;
  std::set<std::uint64_t> busy_blocks_;
  std::vector<std::set<std::uint64_t>> right_ =
      std::vector<std::set<std::uint64_t>>(SimulatedTarget::kBlocks, {0});
  std::uint64_t last_value_ = 0;
  std::size_t under_way_ = 0;
  bool draining_ = false;
  std::uint64_t completed_ = 0;
  std::uint64_t errors_ = 0;
  std::optional<Instant> first_error_;
  std::optional<Instant> lost_at_;
  std::optional<Instant> live_at_;
  std::string step_;
  std::set<std::string> steps_;
  std::vector<std::string> problems_;
};

}  // namespace nvublk::nvme
