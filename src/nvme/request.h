#pragma once

// One NVMe command under way: a slot of a queue pair's RequestTable. Made with the queue, reused,
// never moved. Shard-affine, like its queue pair.

#include <array>
#include <cstddef>
#include <cstdint>

#include <sys/uio.h>

#include "engine/block.h"
#include "engine/intrusive_list.h"
#include "engine/time.h"
#include "nvme/spec/cqe.h"
#include "nvme/spec/opcodes.h"
#include "nvme/spec/sqe.h"
#include "nvme/spec/status.h"

namespace nvublk::nvme {

struct RequestTag;

/// See the top of this file.
struct Request : ListHook<RequestTag> {
  /// How the command ended. `cqe` is the completion (its DW0 and DW1 are the result), or one made
  /// here when the command never got an answer; the request's slot is free again when this runs.
  using Done = void (*)(void* context, spec::NvmeStatus status, const spec::CompletionEntry& cqe);

  spec::SubmissionEntry sqe;  ///< complete but for the CID and the data pointer

  ///@{
  /// Host memory of the data: `length_bytes` in `iov_count` pieces from `iov`. One piece lives in
  /// `single`. The direction is the SQE's.
  const iovec* iov = nullptr;
  std::uint32_t iov_count = 0;
  std::uint32_t length_bytes = 0;
  iovec single{};
  ///@}
  /// Metadata in a buffer of its own, for transports with TransportLimits::separate_metadata.
  void* metadata = nullptr;
  std::uint32_t metadata_bytes = 0;   ///< its length; 0: none
  std::array<std::byte, 16> small{};  ///< room for one DSM range; data may point here

  Done done = nullptr;            ///< unless `block` is set
  void* context = nullptr;        ///< what `done` gets
  BlockRequest* block = nullptr;  ///< the block layer's request that this command carries out

  // The queue pair's.
  std::uint16_t slot = 0;     ///< index in the table, below its size
  std::uint16_t cid = 0;      ///< slot and generation; what goes on the wire
  bool active = false;        ///< the slot is in use
  Instant deadline = kNever;  ///< when it should have been answered
  bool abort_sent = false;    ///< it had no answer in time, and Abort was asked for

  /// One piece of data, `length` bytes at `data`, which stays until the command has ended.
  void set_data(void* data, std::uint32_t length) {
    single = {data, length};
    iov = &single;
    iov_count = 1;
    length_bytes = length;
  }
  /// A command without data.
  void set_no_data() {
    iov = nullptr;
    iov_count = 0;
    length_bytes = 0;
  }
};

}  // namespace nvublk::nvme
