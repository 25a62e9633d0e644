#include "engine/wake_time.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/cpus.h"
#include "engine/fd.h"

namespace nvublk {

namespace {

constexpr std::size_t kRounds = 21;

void wake(const UniqueFd& event) {
  const std::uint64_t one = 1;
  CHECK(::write(event.get(), &one, sizeof(one)) == sizeof(one));
}

void wait(const UniqueFd& event) {
  std::uint64_t value = 0;
  while (::read(event.get(), &value, sizeof(value)) != sizeof(value)) {
    CHECK(errno == EINTR);
  }
}

}  // namespace

Duration measure_wake_time() {
  const UniqueFd there(::eventfd(0, EFD_CLOEXEC));
  const UniqueFd back(::eventfd(0, EFD_CLOEXEC));
  CHECK(there && back);
  // Where both are on one CPU, waking up is no more than a switch between them.
  const std::vector<int> cpus = usable_cpus();
  const auto keep_on = [&cpus](std::size_t i) {
    if (cpus.size() > 1) {
      keep_current_thread_on(std::span(cpus).subspan(i, 1));
    }
  };
  std::thread answers([&] {
    keep_on(0);
    for (std::size_t i = 0; i < kRounds; i++) {
      wait(there);
      wake(back);
    }
  });
  std::array<Duration, kRounds> rounds{};
  std::thread asks([&] {
    keep_on(cpus.size() / 2);
    for (Duration& round : rounds) {
      const Instant began = Clock::now();
      wake(there);
      wait(back);
      round = Clock::now() - began;
    }
  });
  asks.join();
  answers.join();
  const auto median = rounds.begin() + kRounds / 2;
  std::ranges::nth_element(rounds, median);
  return *median / 2;  // a round has two wake-ups
}

}  // namespace nvublk
