#pragma once

// The only channel between shards: messages posted from any thread, delivered in order on the
// mailbox's own shard. Intrusive; a message belongs to the receiver until its handler runs.

#include <atomic>

#include "engine/fd.h"

namespace nvublk {

/// What is posted. It stays where it is until one of its two functions has been called.
struct Message {
  /// Runs on the receiver's shard; from then on the message is its owner's again.
  using Deliver = void (*)(Message& message);
  Deliver deliver = nullptr;  ///< never null
  Deliver discard = nullptr;  ///< instead of `deliver`, if the mailbox dies first; may be null
  Message* next = nullptr;    ///< the mailbox's
};

/// The messages for one shard.
class Mailbox {
 public:
  Mailbox();
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// Any thread. Wakes the receiver if it sleeps.
  void post(Message& message);

  /// Receiver only: delivers all that has arrived, oldest first; returns how many.
  unsigned deliver();
  /// Receiver only: announces that it is about to sleep. False if there is mail: do not sleep.
  bool prepare_sleep();
  /// Receiver only: whether nothing has arrived; what is being posted may be missed.
  bool empty() const { return head_.load(std::memory_order_relaxed) == nullptr; }
  /// Receiver only: it sleeps no more.
  void awake() { sleeping_.store(false, std::memory_order_relaxed); }
  /// Readable (8 bytes, an eventfd) after a post to a sleeping receiver.
  int wake_fd() const { return wake_fd_.get(); }

 private:
  /// Everything that has arrived, oldest first.
  Message* take_all();

  // Newest first; take_all() reverses. One exchange takes everything.
  std::atomic<Message*> head_{nullptr};
  std::atomic<bool> sleeping_{false};
  UniqueFd wake_fd_;
};

}  // namespace nvublk
