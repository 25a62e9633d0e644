#include "engine/numa.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>

#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace nvublk {

namespace {

/// As many as a cpu_set_t has room for.
constexpr int kMaxCpu = CPU_SETSIZE;
constexpr int kMaxNode = 1024;

std::optional<int> number(std::string_view text, int limit) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0 || value >= limit) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

std::vector<int> parse_cpu_list(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
    text.remove_suffix(1);
  }
  std::vector<int> cpus;
  for (bool more = !text.empty(); more;) {
    const std::size_t comma = text.find(',');
    const std::string_view range = text.substr(0, comma);
    more = comma != std::string_view::npos;
    text.remove_prefix(more ? comma + 1 : text.size());
    const std::size_t dash = range.find('-');
    const auto first = number(range.substr(0, dash), kMaxCpu);
    const auto last =
        dash == std::string_view::npos ? first : number(range.substr(dash + 1), kMaxCpu);
    if (!first || !last || *last < *first) {
      return {};
    }
    for (int cpu = *first; cpu <= *last; cpu++) {
      cpus.push_back(cpu);
    }
  }
  std::ranges::sort(cpus);
  return cpus;
}

std::vector<NumaNode> numa_nodes(const std::string& sysfs) {
  std::vector<NumaNode> nodes;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(sysfs + "/devices/system/node", error)) {
    const std::string name = entry.path().filename();
    const auto id = name.starts_with("node") ? number(name.substr(4), kMaxNode) : std::nullopt;
    std::string list;
    if (!id || !std::getline(std::ifstream(entry.path() / "cpulist"), list)) {
      continue;
    }
    if (NumaNode node{*id, parse_cpu_list(list)}; !node.cpus.empty()) {
      nodes.push_back(std::move(node));
    }
  }
  std::ranges::sort(nodes, {}, &NumaNode::id);
  return nodes;
}

void prefer_numa_node(void* memory, std::size_t length_bytes, int node) {
  if (node < 0 || node >= kMaxNode) {
    return;
  }
  constexpr unsigned kBits = 8 * sizeof(unsigned long);
  unsigned long mask[kMaxNode / kBits] = {};
  const auto bit = static_cast<unsigned>(node);
  mask[bit / kBits] = 1UL << (bit % kBits);
  // glibc has no function for it. The kernel looks at one bit less than it is told of.
  ::syscall(SYS_mbind, memory, length_bytes, MPOL_PREFERRED, mask, kMaxNode + 1UL, 0U);
}

}  // namespace nvublk
