#pragma once

// What the TCP transport keeps of one command, for the slot of its Request. Made with the queue and
// reused. Shard-affine.

#include <cstdint>

#include "engine/intrusive_list.h"
#include "nvme/request.h"
#include "nvme/spec/cqe.h"
#include "nvme/spec/opcodes.h"
#include "nvme/tcp/data_cursor.h"

namespace nvublk::nvme::tcp {

struct CapsuleTag;
struct TransferTag;
struct HeldTag;

/// A range of the command's data that the controller asked for with an R2T.
struct R2tRange {
  std::uint16_t ttag = 0;
  std::uint32_t offset = 0;  ///< of what is not sent yet
  std::uint32_t left = 0;    ///< bytes not sent yet; 0: no R2T
};

// On the list of capsules to send, of R2Ts to answer, and of completions that wait for the send.
struct TcpCommand : ListHook<CapsuleTag>, ListHook<TransferTag>, ListHook<HeldTag> {
  const Request* request = nullptr;
  bool active = false;      ///< given to us, not completed
  bool in_capsule = false;  ///< its data goes with the capsule
  spec::DataDirection direction = spec::DataDirection::kNone;
  std::uint32_t length = 0;  ///< bytes of data

  // Controller to host.
  std::uint32_t received = 0;  ///< bytes of data in place
  bool last_seen = false;      ///< a C2HData with LAST_PDU has come
  bool digest_error = false;
  DataCursor receive_at;

  // Host to controller. Invariant: requested - (current.left + next.left) bytes are sent or being
  // sent; requested <= length.
  std::uint32_t requested = 0;  ///< bytes that R2Ts have asked for
  R2tRange current;
  R2tRange next;
  DataCursor send_at;
  std::uint64_t send_end = 0;  ///< stream position after the last byte of ours in a batch

  spec::CompletionEntry held_entry;
};

}  // namespace nvublk::nvme::tcp
