#pragma once

// Blocks that a host made unreadable with Write Uncorrectable. Thread-safe. [NVM 1.1 §3.3.7]

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>

namespace nvublk::target {

class BadBlocks {
 public:
  void add(std::uint64_t lba, std::uint64_t blocks);
  /// They have been written to.
  void remove(std::uint64_t lba, std::uint64_t blocks);
  /// Whether one of these is bad.
  bool any(std::uint64_t lba, std::uint64_t blocks) const;

 private:
  void cut(std::uint64_t lba, std::uint64_t end);  // with mutex_ held

  mutable std::mutex mutex_;
  std::atomic<bool> some_{false};                  ///< so that I/O without bad blocks takes no lock
  std::map<std::uint64_t, std::uint64_t> ranges_;  ///< first block to the one after the last one
};

}  // namespace nvublk::target
