#pragma once

// What NamespaceIo keeps of commands under way; its own two sources know it and nobody else.

#include "nvme/namespace_io.h"

namespace nvublk::nvme {

/// One call.
struct NamespaceIo::Parent {
  NamespaceIo* owner = nullptr;
  IoCommand::Done done = nullptr;
  void* context = nullptr;
  std::uint32_t outstanding = 0;
  spec::NvmeStatus status;
  spec::CompletionEntry entry;
  spec::ReservationKeys keys;  ///< data of reservation commands
  iovec key_memory{};
};

/// One command of it.
struct NamespaceIo::Child {
  NamespaceIo* owner = nullptr;
  Parent* parent = nullptr;
  std::vector<iovec> segments;
  ProtectedMemory memory;
  command::ProtectionTags tags;
  std::uint32_t checks = 0;  ///< kIoCheck... of what was read
};

}  // namespace nvublk::nvme
