#pragma once

// What a daemon keeps for the one after it: enough to connect again, to know the namespaces, and to
// find the devices. Pure; what is read may be anything.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nvme/namespace.h"
#include "service/attach_request.h"
#include "service/json.h"

namespace nvublk::service {

struct SavedDevice {
  std::string name;                  ///< "nvublk0n1"
  int id = -1;                       ///< the number in its path
  std::uint16_t key = 0;             ///< BlockExportOptions::resume_key
  nvme::NamespaceIdentity identity;  ///< with the NSID
  std::string serial;                ///< of the controller; an identity where there is no other
  std::uint64_t size_bytes = 0;
  std::uint32_t block_size_bytes = 512;
  unsigned queues = 0;
  unsigned depth = 0;
  std::vector<std::string> features;
  bool volatile_cache = false;  ///< the kernel flushes it
  bool failed = false;          ///< its I/O fails, and goes on to: its namespace is another one now
  std::string problem;          ///< why

  std::string path() const { return "/dev/ublkb" + std::to_string(id); }
};

struct SavedAttachment {
  AttachRequest request;  ///< with name, host identity and all options in effect
  std::string frontend;   ///< "ublk"
  std::optional<std::string> drive_returns_to;  ///< PciLease::returns_to()
  std::vector<SavedDevice> devices;
};

struct SavedState {
  /// The format that we write; others are not read.
  static constexpr int kFormat = 1;
  /// No command of the daemon was left with any controller when it wrote this.
  bool quiet = false;
  std::vector<SavedAttachment> attachments;

  /// As text, for a file.
  std::string to_text() const;
  static Result<SavedState> from_text(std::string_view text);
};

}  // namespace nvublk::service
