#pragma once

#include <string>

#include "engine/block.h"
#include "nvme/controller_profile.h"
#include "nvme/namespace.h"

namespace nvublk::nvme {

/// The block device that `profile` is, within the limits of its controller and of the transport.
/// [Base 2.1 §5.1.13.2.1] [NVM 1.1 §4.1.5]
BlockGeometry namespace_geometry(const NamespaceProfile& profile,
                                 const ControllerProfile& controller,
                                 const TransportLimits& transport);

/// Why `profile` cannot be shown as a block device; empty if it can.
std::string namespace_unusable(const NamespaceProfile& profile);

/// What its requests need for the protection information of its format, if it has any.
BlockProtection namespace_protection(const NamespaceProfile& profile);

NamespaceIdentity namespace_identity(const NamespaceProfile& profile);

}  // namespace nvublk::nvme
