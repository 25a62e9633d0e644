#pragma once

// Control commands to the ublk driver, through the ring of the control shard. The driver runs them
// on kernel workers, where some block for long (START_DEV scans partitions, STOP_DEV waits for
// requests), so no thread of ours waits. Shard-affine, to a shard whose ring has 128-byte SQEs.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "engine/fd.h"
#include "engine/shard.h"
#include "ublk/ublk_abi.h"

namespace nvublk::ublk {

/// A command and what comes with it.
struct ControlRequest {
  std::uint32_t command = 0;  ///< abi::kAddDev, ...
  std::uint32_t device = abi::kAnyDevice;
  std::uint64_t data = 0;
  std::uint16_t buffer_bytes = 0;  ///< how much of `buffer` the command reads or writes
  alignas(8) std::array<std::byte, 128> buffer{};

  template <typename T>
  void put(const T& value, std::size_t length = sizeof(T)) {
    static_assert(sizeof(T) <= sizeof(buffer));
    __builtin_memcpy(buffer.data(), &value, length);
    buffer_bytes = static_cast<std::uint16_t>(length);
  }
  template <typename T>
  T get() const {
    static_assert(sizeof(T) <= sizeof(buffer));
    T value{};
    __builtin_memcpy(&value, buffer.data(), sizeof(T));
    return value;
  }
};

/// Fills the SQE of `request`; its buffer must stay until the command has completed.
void prepare_control_sqe(io_uring_sqe& sqe, int control_fd, const ControlRequest& request);

class Control {
 public:
  /// `result` is 0 or a negative errno; `request` has what the driver filled in.
  using Done = std::move_only_function<void(std::int32_t result, const ControlRequest& request)>;

  Control(Shard& shard, UniqueFd control_fd);
  /// Abandons what is under way.
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  /// One command at a time; the previous one must have completed or been wound up.
  void send(const ControlRequest& request, Done done);
  /// Ends the command under way, whose `done` never runs, then runs `ended`, at once if nothing has
  /// to be waited for. What makes or changes a device is waited for, as the driver would not keep
  /// the order of what comes next; where the driver itself waits for something, it is told to give
  /// up; a device that was just being made is deleted. The rest is forgotten.
  void wind_up(std::move_only_function<void()> ended);

 private:
  struct Operation;
  void abandon();

  Shard& shard_;
  UniqueFd fd_;
  Operation* current_ = nullptr;  ///< owns itself until its completion
};

}  // namespace nvublk::ublk
