#include "nvme/ana_log.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace nvublk::nvme {

const char* ana_state_name(spec::AnaState state) {
  switch (state) {
    case spec::AnaState::kOptimized:
      return "optimized";
    case spec::AnaState::kNonOptimized:
      return "non-optimized";
    case spec::AnaState::kInaccessible:
      return "inaccessible";
    case spec::AnaState::kPersistentLoss:
      return "persistent-loss";
    case spec::AnaState::kChange:
      return "change";
  }
  return "unknown";
}

Result<std::vector<AnaGroup>> decode_ana_log(std::span<const std::byte> data) {
  spec::AnaLogHeader header;
  if (data.size() < sizeof(header)) {
    return fail(ErrorCode::kProtocol, "the ANA log is shorter than its header");
  }
  std::memcpy(&header, data.data(), sizeof(header));
  data = data.subspan(sizeof(header));
  std::vector<AnaGroup> groups;
  for (std::uint32_t i = 0; i < header.ngrps.get(); i++) {
    spec::AnaGroupDescriptor descriptor;
    if (data.size() < sizeof(descriptor)) {
      return fail(ErrorCode::kProtocol, "the ANA log ends before its group " + std::to_string(i));
    }
    std::memcpy(&descriptor, data.data(), sizeof(descriptor));
    data = data.subspan(sizeof(descriptor));
    const std::size_t count = descriptor.nnsids.get();
    if (count > data.size() / sizeof(Le32)) {
      return fail(ErrorCode::kProtocol, "the ANA log claims " + std::to_string(count) +
                                            " namespaces in a group, more than it has room for");
    }
    AnaGroup& group = groups.emplace_back();
    group.id = descriptor.grpid.get();
    group.change_count = descriptor.change_count.get();
    group.state = descriptor.state();
    for (std::size_t n = 0; n < count; n++) {
      Le32 nsid;
      std::memcpy(&nsid, data.data() + n * sizeof(nsid), sizeof(nsid));
      group.nsids.push_back(nsid.get());
    }
    std::ranges::sort(group.nsids);
    data = data.subspan(count * sizeof(Le32));
  }
  return groups;
}

}  // namespace nvublk::nvme
