#pragma once

// Counts what is in flight, so that its owner can be torn down in order: close the gate, and the
// callback runs once the last one has left. Shard-affine.

#include <cstdint>

#include "engine/check.h"

namespace nvublk {

class Gate {
 public:
  using Empty = void (*)(void* context);

  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() { CHECK(count_ == 0); }

  /// False once the gate is closed: nothing new may start.
  bool try_enter() {
    if (closed_) {
      return false;
    }
    count_++;
    return true;
  }
  void leave() {
    CHECK(count_ > 0);
    count_--;
    if (closed_ && count_ == 0) {
      notify();
    }
  }
  /// Lets nobody in any more; `empty(context)` runs when the last has left, at once if none is in.
  void close(Empty empty, void* context) {
    CHECK(!closed_);
    closed_ = true;
    empty_ = empty;
    context_ = context;
    if (count_ == 0) {
      notify();
    }
  }
  /// Opens a gate that was closed and is empty.
  void reopen() {
    CHECK(count_ == 0);
    closed_ = false;
  }
  bool closed() const { return closed_; }
  std::uint32_t count() const { return count_; }

 private:
  void notify() {
    if (Empty empty = empty_) {
      empty_ = nullptr;
      empty(context_);
    }
  }

  std::uint32_t count_ = 0;
  bool closed_ = false;
  Empty empty_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace nvublk
