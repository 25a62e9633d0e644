#pragma once

// What the kernel is told about a device, from the back-end's true limits. Pure.

#include <cstdint>

#include "engine/block.h"
#include "engine/error.h"
#include "ublk/ublk_abi.h"

namespace nvublk::ublk {

/// The size of one tag's buffer, a multiple of 4096: as large as the device's largest transfer, but
/// at most 1 MiB. All of it is in memory as long as the device exists, so that what all `tags` of a
/// device have together is bounded: 64 MiB, or 128 KiB each if that is more, up to 256 MiB.
std::uint32_t io_buffer_bytes(const BlockGeometry& geometry, unsigned tags);

/// The parameters for SET_PARAMS. An error if the kernel could not take this geometry.
Result<abi::Params> make_params(const BlockGeometry& geometry, bool read_only,
                                std::uint32_t buffer_bytes);

/// Whether a device with the limits `now` can serve a disk that was made with `then`; its size may
/// differ. The error says what cannot go on.
Status check_compatible(const abi::Params& then, const abi::Params& now);

}  // namespace nvublk::ublk
