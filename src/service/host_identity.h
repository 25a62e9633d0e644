#pragma once

// Who this host is to fabrics controllers, in this order: what the user says; /etc/nvme/hostnqn and
// /etc/nvme/hostid, as nvme-cli and the kernel have them; the machine's DMI UUID; a UUID made once
// and kept in /var/lib/nvublk. Targets give access by this name, so it must not change by itself.

#include <string>

#include "engine/error.h"
#include "nvme/controller_options.h"

namespace nvublk::service {

/// Where the identity is looked for; tests point it elsewhere.
struct HostIdentityPaths {
  std::string hostnqn = "/etc/nvme/hostnqn";
  std::string hostid = "/etc/nvme/hostid";
  std::string dmi_uuid = "/sys/class/dmi/id/product_uuid";
  std::string kept_directory = "/var/lib/nvublk";
};

class HostIdentitySource {
 public:
  explicit HostIdentitySource(HostIdentityPaths paths) : paths_(std::move(paths)) {}

  /// The identity to use when the user asked for `nqn` and `id`; either may be empty. An NQN of the
  /// UUID form that the user gave alone brings its own id.
  Result<nvme::HostIdentity> find(const std::string& nqn, const std::string& id);

 private:
  Result<std::string> machine_nqn();
  Result<nvme::HostId> machine_id(const std::string& nqn);
  Result<nvme::Uuid> machine_uuid();
  Result<nvme::Uuid> kept_uuid();

  HostIdentityPaths paths_;
  /// Made when there was nowhere to keep it: stays the same as long as the daemon runs.
  nvme::Uuid unkept_{};
};

}  // namespace nvublk::service
