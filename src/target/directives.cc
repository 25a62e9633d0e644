#include "target/directives.h"

#include <algorithm>

#include "nvme/spec/opcodes.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

constexpr std::uint8_t bit(DirectiveType type) {
  return static_cast<std::uint8_t>(1u << static_cast<unsigned>(type));
}

}  // namespace

NvmeStatus Directives::enable(const HostId& host, std::span<const std::uint32_t> nsids,
                              std::uint32_t cdw12) {
  const auto type = static_cast<DirectiveType>((cdw12 >> 8) & 0xff);
  // Identify is always enabled. [Base 2.1 §8.1.8.2.2.1]
  if (type != DirectiveType::kStreams) return NvmeStatus::make(GenericStatus::kInvalidField, true);
  const std::lock_guard lock(mutex_);
  for (const std::uint32_t nsid : nsids) {
    if ((cdw12 & 1) != 0) {
      uses_.try_emplace({host, nsid});
    } else {
      uses_.erase({host, nsid});
    }
  }
  return {};
}

DirectiveParameters Directives::parameters(const HostId& host, std::uint32_t nsid) const {
  DirectiveParameters parameters;
  parameters.supported[0] = bit(DirectiveType::kIdentify) | bit(DirectiveType::kStreams);
  parameters.enabled[0] = bit(DirectiveType::kIdentify);
  if (streams_enabled(host, nsid)) parameters.enabled[0] |= bit(DirectiveType::kStreams);
  return parameters;
}

bool Directives::streams_enabled(const HostId& host, std::uint32_t nsid) const {
  const std::lock_guard lock(mutex_);
  return uses_.contains({host, nsid});
}

std::uint16_t Directives::available() const {
  std::uint16_t left = kMaxStreams;
  for (const auto& [key, use] : uses_) left = static_cast<std::uint16_t>(left - use.allocated);
  return left;
}

std::uint16_t Directives::open_of_subsystem() const {
  std::size_t open = 0;
  for (const auto& [key, use] : uses_) open += use.allocated == 0 ? use.open.size() : 0;
  return static_cast<std::uint16_t>(open);
}

StreamsParameters Directives::streams(const HostId& host, std::uint32_t nsid,
                                      std::uint32_t block_bytes) const {
  const std::lock_guard lock(mutex_);
  StreamsParameters parameters;
  parameters.msl = kMaxStreams;
  parameters.nssa = available();
  parameters.nsso = open_of_subsystem();
  if (block_bytes == 0) return parameters;
  parameters.sws = std::max<std::uint32_t>(kStreamWriteBytes / block_bytes, 1);
  parameters.sgs = kStreamGranularity;
  if (const auto use = uses_.find({host, nsid}); use != uses_.end()) {
    parameters.nsa = use->second.allocated;
    parameters.nso = static_cast<std::uint16_t>(use->second.open.size());
  }
  return parameters;
}

std::vector<std::uint16_t> Directives::open_streams(const HostId& host, std::uint32_t nsid) const {
  const std::lock_guard lock(mutex_);
  std::set<std::uint16_t> open;
  for (const auto& [key, use] : uses_) {
    // Of the whole subsystem: those for which nobody has streams of its own.
    const bool counts = nsid == kNsidBroadcast ? use.allocated == 0 : key == Key{host, nsid};
    if (counts) open.insert(use.open.begin(), use.open.end());
  }
  return {open.begin(), open.end()};
}

NvmeStatus Directives::allocate(const HostId& host, std::uint32_t nsid, std::uint16_t& streams) {
  const std::lock_guard lock(mutex_);
  const auto use = uses_.find({host, nsid});
  if (use == uses_.end() || use->second.allocated != 0) {
    return NvmeStatus::make(GenericStatus::kInvalidField, true);
  }
  const std::uint16_t granted = std::min(streams, available());
  if (granted == 0) return NvmeStatus::make(CommandStatus::kStreamAllocationFailed, true);
  use->second.allocated = streams = granted;
  while (use->second.open.size() > granted) use->second.open.erase(use->second.open.begin());
  return {};
}

void Directives::release_stream(const HostId& host, std::uint32_t nsid, std::uint16_t stream) {
  const std::lock_guard lock(mutex_);
  if (const auto use = uses_.find({host, nsid}); use != uses_.end()) {
    use->second.open.erase(stream);
  }
}

void Directives::release_resources(const HostId& host, std::uint32_t nsid) {
  const std::lock_guard lock(mutex_);
  if (const auto use = uses_.find({host, nsid}); use != uses_.end()) use->second = {};
}

// [Base 2.1 §8.1.8.1, §8.1.8.3]
NvmeStatus Directives::admit_write(const HostId& host, std::uint32_t nsid, std::uint8_t type,
                                   std::uint16_t stream) {
  const std::lock_guard lock(mutex_);
  const auto found = uses_.find({host, nsid});
  if (found == uses_.end()) return {};  // no directive is in use: the fields mean nothing
  if (type != static_cast<std::uint8_t>(DirectiveType::kStreams)) {
    return NvmeStatus::make(GenericStatus::kInvalidField, true);
  }
  Use& use = found->second;
  if (stream == 0 || use.open.contains(stream)) return {};
  if (use.allocated != 0) {
    if (use.open.size() == use.allocated) use.open.erase(use.open.begin());
    use.open.insert(stream);
    return {};
  }
  if (available() == 0) return {};  // all belong to somebody: a write like any other
  if (open_of_subsystem() >= available()) {
    const auto other = std::ranges::find_if(uses_, [](const auto& each) {
      return each.second.allocated == 0 && !each.second.open.empty();
    });
    other->second.open.erase(other->second.open.begin());
  }
  use.open.insert(stream);
  return {};
}

void Directives::namespace_removed(std::uint32_t nsid) {
  const std::lock_guard lock(mutex_);
  std::erase_if(uses_, [nsid](const auto& each) { return each.first.second == nsid; });
}

void Directives::host_gone(const HostId& host) {
  const std::lock_guard lock(mutex_);
  std::erase_if(uses_, [&host](const auto& each) { return each.first.first == host; });
}

void Directives::close_streams() {
  const std::lock_guard lock(mutex_);
  for (auto& [key, use] : uses_) use.open.clear();
}

}  // namespace nvublk::target
