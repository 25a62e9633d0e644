#pragma once

// What this kernel and machine offer to nvublk.

#include <string>

#include "service/json.h"

namespace nvublk::service {

/// {"kernel","ublk":{..},"fuse":{..},"vfio":{..},"rdma":{..},"huge_pages":[..],"io_uring":{..}}.
/// Tries to load the drivers, so it may block: any thread but a shard's.
Json features_report();

}  // namespace nvublk::service
