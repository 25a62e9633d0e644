#pragma once

// Statuses for people, and for the kernel's block layer.

#include <string>
#include <string_view>

#include "nvme/spec/status.h"

namespace nvublk::nvme {

/// Which commands a status comes from: some command specific codes mean one thing for Fabrics
/// commands and another for those of the NVM command set.
enum class StatusOf { kCommand, kFabricsCommand };

/// A fixed name such as "LBA_OUT_OF_RANGE", or empty for a code that is not defined.
std::string_view status_name(spec::NvmeStatus status, StatusOf of = StatusOf::kCommand);

/// One line such as "the LBA is beyond the end of the namespace (LBA_OUT_OF_RANGE, type 0h code
/// 80h, do not retry)"; also for codes that are not defined.
std::string status_text(spec::NvmeStatus status, StatusOf of = StatusOf::kCommand);

/// The positive errno value with which an I/O of this status fails, 0 for success. The values are
/// those of Linux's own initiator where it has one, so that file systems and tools react as they do
/// to a native NVMe device.
int errno_of(spec::NvmeStatus status);

}  // namespace nvublk::nvme
