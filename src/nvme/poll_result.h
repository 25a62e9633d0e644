#pragma once

// What polling several queue pairs has brought in all. Pure.

#include <cstdint>

namespace nvublk::nvme {

/// Adds up the results of members: numbers of completions, or negative errnos.
class PollResult {
 public:
  void add(int result) {
    if (result >= 0) {
      completions_ += result;
    } else if (error_ == 0) {
      error_ = result;
    }
  }
  std::int64_t completions() const { return completions_; }
  /// The first error if there was one, else the number of completions.
  std::int64_t value() const { return error_ != 0 ? error_ : completions_; }

 private:
  std::int64_t completions_ = 0;
  int error_ = 0;
};

}  // namespace nvublk::nvme
