#include "engine/cpus.h"

#include <pthread.h>
#include <sched.h>

namespace nvublk {

std::vector<int> usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
      if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) {
        cpus.push_back(cpu);
      }
    }
  }
  return cpus;
}

void keep_current_thread_on(std::span<const int> cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) {
      CPU_SET(static_cast<unsigned>(cpu), &set);
    }
  }
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

}  // namespace nvublk
