#include "nvme/pcie/bar_guard.h"

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>

#include <sys/mman.h>

namespace nvublk::nvme::pcie {

namespace {

struct Range {
  std::atomic<std::uintptr_t> begin{0};  // 0: free
  std::atomic<std::size_t> length{0};
};

// A signal handler reads it: no lock, no list.
std::array<Range, 256> ranges;
std::mutex ranges_mutex;
std::once_flag installed;
struct sigaction previous;

bool replace(std::uintptr_t address) {
  for (Range& range : ranges) {
    const std::uintptr_t begin = range.begin.load(std::memory_order_acquire);
    const std::size_t length = range.length.load(std::memory_order_relaxed);
    if (begin == 0 || address < begin || address - begin >= length) {
      continue;
    }
    // The address comes out of mmap(); it was a pointer before it was a number.
    void* memory = reinterpret_cast<void*>(begin);  // NOLINT(performance-no-int-to-ptr)
    if (::mmap(memory, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
               0) == MAP_FAILED) {
      return false;
    }
    std::memset(memory, 0xff, length);
    return true;
  }
  return false;
}

void on_sigbus(int number, siginfo_t* info, void*) {
  if (!replace(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    // Not ours: whoever had the signal before gets it when the instruction is tried again.
    ::sigaction(number, &previous, nullptr);
  }
}

void install() {
  struct sigaction action{};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &previous);
}

}  // namespace

bool BarGuard::add(void* memory, std::size_t length_bytes) {
  std::call_once(installed, install);
  const std::lock_guard lock(ranges_mutex);
  for (Range& range : ranges) {
    if (range.begin.load(std::memory_order_relaxed) == 0) {
      range.length.store(length_bytes, std::memory_order_relaxed);
      range.begin.store(reinterpret_cast<std::uintptr_t>(memory), std::memory_order_release);
      return true;
    }
  }
  return false;
}

void BarGuard::remove(void* memory) {
  const std::lock_guard lock(ranges_mutex);
  for (Range& range : ranges) {
    if (range.begin.load(std::memory_order_relaxed) == reinterpret_cast<std::uintptr_t>(memory)) {
      range.begin.store(0, std::memory_order_release);
    }
  }
}

}  // namespace nvublk::nvme::pcie
