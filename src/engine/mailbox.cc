#include "engine/mailbox.h"

#include <cstdint>

#include <sys/eventfd.h>

#include "engine/check.h"

namespace nvublk {

Mailbox::Mailbox() : wake_fd_(::eventfd(0, EFD_CLOEXEC)) {
  CHECK(wake_fd_);
}

void Mailbox::post(Message& message) {
  CHECK(message.deliver != nullptr);
  Message* head = head_.load(std::memory_order_relaxed);
  do {
    message.next = head;
    // seq_cst: the store of the head must be ordered before the load of sleeping_, as the receiver
    // orders its store of sleeping_ before its load of the head; one of the two sees the other.
  } while (!head_.compare_exchange_weak(head, &message, std::memory_order_seq_cst,
                                        std::memory_order_relaxed));
  if (sleeping_.load(std::memory_order_seq_cst) &&
      sleeping_.exchange(false, std::memory_order_seq_cst)) {
    const std::uint64_t one = 1;
    const ssize_t written = ::write(wake_fd_.get(), &one, sizeof(one));
    CHECK(written == sizeof(one));
  }
}

Mailbox::~Mailbox() {
  Message* oldest = take_all();
  while (oldest != nullptr) {
    Message* next = oldest->next;
    if (oldest->discard != nullptr) {
      oldest->discard(*oldest);
    }
    oldest = next;
  }
}

Message* Mailbox::take_all() {
  // acquire: pairs with the poster's exchange, so that the message's content is visible.
  Message* newest = head_.exchange(nullptr, std::memory_order_acquire);
  Message* oldest = nullptr;
  while (newest != nullptr) {
    Message* next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  return oldest;
}

unsigned Mailbox::deliver() {
  // relaxed: mail that this misses is seen in the next turn; prepare_sleep() looks with more care.
  if (head_.load(std::memory_order_relaxed) == nullptr) {
    return 0;
  }
  Message* oldest = take_all();
  unsigned delivered = 0;
  while (oldest != nullptr) {
    Message* next = oldest->next;
    oldest->next = nullptr;
    oldest->deliver(*oldest);
    oldest = next;
    delivered++;
  }
  return delivered;
}

bool Mailbox::prepare_sleep() {
  sleeping_.store(true, std::memory_order_seq_cst);
  if (head_.load(std::memory_order_seq_cst) != nullptr) {
    sleeping_.store(false, std::memory_order_relaxed);
    return false;
  }
  return true;
}

}  // namespace nvublk
