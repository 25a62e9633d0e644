#pragma once

// What Identify returned as JSON, with nvme-cli's names and order. Pure.

#include "nvme/spec/identify.h"
#include "service/json.h"

namespace nvublk::service {

/// SN, MN and FR keep their padding, as nvme-cli has it; bytes that are not printable are '_'.
Json id_ctrl_report(const nvme::spec::IdentifyController& controller);
Json id_ns_report(const nvme::spec::IdentifyNamespace& block);
/// {"nsid_list":[{"nsid":1}]}
Json ns_list_report(const nvme::spec::NamespaceList& list);

}  // namespace nvublk::service
