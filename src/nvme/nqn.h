#pragma once

// NVMe Qualified Names. [Base 2.1 §4.7]

#include <string>
#include <string_view>

#include "engine/error.h"
#include "nvme/spec/fabrics.h"
#include "nvme/uuid.h"

namespace nvublk::nvme {

/// What every NQN that is sent or stored must be: 1 to 223 bytes of UTF-8 without control
/// characters. Targets in use accept names that have not the form of check_nqn_format(), so
/// connecting asks for no more than this. `what` begins the message, such as "the subsystem NQN".
Status check_nqn_usable(std::string_view nqn, std::string_view what);

/// Whether `nqn` also has one of the forms of the specification: nqn.yyyy-mm.reverse.domain:name,
/// or the UUID form. For names that we are asked to make. [Base 2.1 §4.7]
Status check_nqn_format(std::string_view nqn, std::string_view what);

/// "nqn.2014-08.org.nvmexpress:uuid:" and the UUID. [Base 2.1 §4.7]
std::string uuid_nqn(const Uuid& uuid);

/// The UUID of a name of the UUID form; fails for other names.
Result<Uuid> uuid_of_nqn(std::string_view nqn);

/// The well-known discovery subsystem.
inline bool is_discovery_nqn(std::string_view nqn) {
  return nqn == spec::kDiscoveryNqn;
}

}  // namespace nvublk::nvme
