#pragma once

// Where memory and processors are on a machine on which that differs (NUMA).

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace nvublk {

/// For a node: none, any, or not known.
constexpr int kNoNumaNode = -1;

/// A node that has processors, and memory near to them.
struct NumaNode {
  int id = kNoNumaNode;   ///< the kernel's number for it
  std::vector<int> cpus;  ///< in ascending order
};

/// The CPUs that a list of the kernel names, such as "0-3,8"; none if it is no such list.
std::vector<int> parse_cpu_list(std::string_view text);

/// The nodes of this machine that have CPUs, in order of their ids; none where the kernel knows no
/// nodes. `sysfs` is where the kernel shows devices.
std::vector<NumaNode> numa_nodes(const std::string& sysfs = "/sys");

/// Has pages of `memory` that have not been touched yet come from `node`, as long as it has any
/// left. `memory` starts at a page. Without effect where the kernel knows no nodes.
void prefer_numa_node(void* memory, std::size_t length_bytes, int node);

}  // namespace nvublk
