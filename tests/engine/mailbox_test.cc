#include "engine/mailbox.h"

#include <array>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <poll.h>

namespace nvublk {
namespace {

struct Note : Message {
  std::vector<int>* log = nullptr;
  int number = 0;
};

void note_down(Message& message) {
  auto& note = static_cast<Note&>(message);
  note.log->push_back(note.number);
}

bool woken(const Mailbox& mailbox) {
  pollfd wait{.fd = mailbox.wake_fd(), .events = POLLIN, .revents = 0};
  return ::poll(&wait, 1, 0) == 1;
}

class MailboxTest : public testing::Test {
 protected:
  Note note(int number) {
    Note made;
    made.deliver = note_down;
    made.log = &log_;
    made.number = number;
    return made;
  }
  Mailbox mailbox_;
  std::vector<int> log_;
};

TEST_F(MailboxTest, DeliversInTheOrderOfPosting) {
  Note a = note(1), b = note(2), c = note(3);
  EXPECT_EQ(mailbox_.deliver(), 0U);
  mailbox_.post(a);
  mailbox_.post(b);
  mailbox_.post(c);
  EXPECT_EQ(mailbox_.deliver(), 3U);
  EXPECT_EQ(log_, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(mailbox_.deliver(), 0U);
}

TEST_F(MailboxTest, AMessageMayBePostedAgainFromItsHandler) {
  struct Again : Message {
    Mailbox* mailbox = nullptr;
    int left = 3;
  } again;
  again.mailbox = &mailbox_;
  again.deliver = [](Message& message) {
    auto& self = static_cast<Again&>(message);
    if (--self.left > 0) {
      self.mailbox->post(self);
    }
  };
  mailbox_.post(again);
  EXPECT_EQ(mailbox_.deliver(), 1U);
  EXPECT_EQ(mailbox_.deliver(), 1U);
  EXPECT_EQ(mailbox_.deliver(), 1U);
  EXPECT_EQ(mailbox_.deliver(), 0U);
}

TEST_F(MailboxTest, DoesNotSleepOnMail) {
  Note a = note(1);
  mailbox_.post(a);
  EXPECT_FALSE(mailbox_.prepare_sleep());
  EXPECT_FALSE(woken(mailbox_));
  mailbox_.deliver();
  EXPECT_TRUE(mailbox_.prepare_sleep());
  mailbox_.awake();
}

TEST_F(MailboxTest, WakesASleeperOnceAndNobodyElse) {
  Note a = note(1), b = note(2), c = note(3);
  mailbox_.post(a);
  EXPECT_FALSE(woken(mailbox_));
  mailbox_.deliver();
  ASSERT_TRUE(mailbox_.prepare_sleep());
  mailbox_.post(b);
  mailbox_.post(c);
  ASSERT_TRUE(woken(mailbox_));
  std::uint64_t wakes = 0;
  ASSERT_EQ(::read(mailbox_.wake_fd(), &wakes, sizeof(wakes)), 8);
  EXPECT_EQ(wakes, 1U);
  mailbox_.awake();
  EXPECT_EQ(mailbox_.deliver(), 2U);
}

TEST_F(MailboxTest, MailThatNobodyTakesIsDiscarded) {
  static int discarded;
  discarded = 0;
  Note kept = note(1);
  kept.discard = [](Message&) { discarded++; };
  Note plain = note(2);
  {
    Mailbox mailbox;
    mailbox.post(kept);
    mailbox.post(plain);
  }
  EXPECT_EQ(discarded, 1);
  EXPECT_TRUE(log_.empty());
}

// Posters race with a receiver that really sleeps: nothing is lost, reordered or delivered twice,
// and a lost wake-up would hang the receiver.
TEST(Mailbox, ManyPostersAndAReceiverThatSleeps) {
  constexpr unsigned kPosters = 4;
  constexpr unsigned kEach = 5000;
  struct Numbered : Message {
    std::vector<unsigned>* received = nullptr;
    unsigned number = 0;
  };
  Mailbox mailbox;
  std::array<std::vector<unsigned>, kPosters> received;
  std::array<std::unique_ptr<Numbered[]>, kPosters> messages;
  std::vector<std::thread> posters;
  posters.reserve(kPosters);
  for (unsigned p = 0; p < kPosters; p++) {
    messages[p] = std::make_unique<Numbered[]>(kEach);
    for (unsigned i = 0; i < kEach; i++) {
      Numbered& message = messages[p][i];
      message.received = &received[p];
      message.number = i;
      message.deliver = [](Message& m) {
        auto& self = static_cast<Numbered&>(m);
        self.received->push_back(self.number);
      };
    }
    posters.emplace_back([&mailbox, mine = messages[p].get()] {
      for (unsigned i = 0; i < kEach; i++) {
        mailbox.post(mine[i]);
        if (i % 64 == 0) {
          std::this_thread::yield();
        }
      }
    });
  }
  unsigned total = 0;
  while (total < kPosters * kEach) {
    total += mailbox.deliver();
    if (total < kPosters * kEach && mailbox.prepare_sleep()) {
      std::uint64_t wakes = 0;
      ASSERT_EQ(::read(mailbox.wake_fd(), &wakes, sizeof(wakes)), 8);
      mailbox.awake();
    }
  }
  for (std::thread& poster : posters) {
    poster.join();
  }
  for (const std::vector<unsigned>& numbers : received) {
    ASSERT_EQ(numbers.size(), kEach);
    for (unsigned i = 0; i < kEach; i++) {
      ASSERT_EQ(numbers[i], i);
    }
  }
}

}  // namespace
}  // namespace nvublk
