#pragma once

// Directives: Identify and Streams. A host has them for each namespace, whichever of its
// controllers it uses. Streams only count here: data goes where it goes. Thread-safe.
// [Base 2.1 §8.1.8]

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "nvme/spec/directive.h"
#include "nvme/spec/status.h"

namespace nvublk::target {

class Directives {
 public:
  using NvmeStatus = nvme::spec::NvmeStatus;
  using HostId = std::array<std::uint8_t, 16>;
  static constexpr std::uint16_t kMaxStreams = 16;           ///< MSL
  static constexpr std::uint32_t kStreamWriteBytes = 65536;  ///< SWS
  static constexpr std::uint16_t kStreamGranularity = 16;    ///< SGS

  /// Enable Directive, of these namespaces.
  NvmeStatus enable(const HostId& host, std::span<const std::uint32_t> nsids, std::uint32_t cdw12);
  nvme::spec::DirectiveParameters parameters(const HostId& host, std::uint32_t nsid) const;

  // Streams; all but release_* need the directive to be enabled.
  bool streams_enabled(const HostId& host, std::uint32_t nsid) const;
  /// `block_bytes` 0: for no namespace.
  nvme::spec::StreamsParameters streams(const HostId& host, std::uint32_t nsid,
                                        std::uint32_t block_bytes) const;
  /// The identifiers of open streams, ascending; of the subsystem with the broadcast NSID.
  std::vector<std::uint16_t> open_streams(const HostId& host, std::uint32_t nsid) const;
  /// `streams`: how many are wanted, and then how many there are.
  NvmeStatus allocate(const HostId& host, std::uint32_t nsid, std::uint16_t& streams);
  void release_stream(const HostId& host, std::uint32_t nsid, std::uint16_t stream);
  void release_resources(const HostId& host, std::uint32_t nsid);

  /// A write with a directive: opens its stream.
  NvmeStatus admit_write(const HostId& host, std::uint32_t nsid, std::uint8_t type,
                         std::uint16_t stream);

  void namespace_removed(std::uint32_t nsid);
  /// The last controller of a host was reset.
  void host_gone(const HostId& host);
  /// A sanitize operation begins. [Base 2.1 §8.1.24.4]
  void close_streams();

 private:
  struct Use {
    std::uint16_t allocated = 0;
    std::set<std::uint16_t> open;
  };
  using Key = std::pair<HostId, std::uint32_t>;

  // All with mutex_ held.
  std::uint16_t available() const;
  std::uint16_t open_of_subsystem() const;

  mutable std::mutex mutex_;
  std::map<Key, Use> uses_;  ///< where Streams is enabled; by mutex_
};

}  // namespace nvublk::target
