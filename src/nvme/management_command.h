#pragma once

// Builders of the commands that manage a device, and of reservations and copies. As those of
// command.h: pure, everything but the CID and the data pointer, counts are counts. What a command
// takes as data or returns is its caller's.

#include <cstdint>

#include "nvme/spec/directive.h"
#include "nvme/spec/firmware.h"
#include "nvme/spec/reservation.h"
#include "nvme/spec/sanitize.h"
#include "nvme/spec/self_test.h"
#include "nvme/spec/sqe.h"

namespace nvublk::nvme::command {

// Admin commands.

/// What Format NVM does. [Base 2.1 §5.1.10]
struct FormatArguments {
  std::uint32_t nsid = 0;               ///< kNsidBroadcast: all
  std::uint8_t lba_format = 0;          ///< index, below 64
  bool metadata_extends_block = false;  ///< MSET
  std::uint8_t protection_type = 0;     ///< 0 none, 1 to 3
  bool protection_first = false;        ///< in the metadata's first bytes
  std::uint8_t secure_erase = 0;        ///< 0 none, 1 user data, 2 cryptographic
};
spec::SubmissionEntry format(const FormatArguments& arguments);  ///< [Base 2.1 §5.1.10]

using spec::SanitizeAction;
/// What Sanitize does. The overwrite's fields matter to that only. [Base 2.1 §5.1.22]
struct SanitizeArguments {
  SanitizeAction action = SanitizeAction::kBlockErase;  ///< how user data goes
  bool allow_unrestricted_exit = false;                 ///< AUSE: unrestricted completion mode
  std::uint8_t overwrite_passes = 1;                    ///< 1 to 16
  bool invert_between_passes = false;   ///< OIPBP: every other pass writes the pattern inverted
  bool no_deallocate = false;           ///< NDAS: blocks are not deallocated afterwards
  std::uint32_t overwrite_pattern = 0;  ///< OVRPAT, 32 bits
};
spec::SubmissionEntry sanitize(const SanitizeArguments& arguments);  ///< [Base 2.1 §5.1.22]

/// A piece of an image: both in bytes, multiples of 4. [Base 2.1 §5.1.9]
spec::SubmissionEntry firmware_download(std::uint64_t offset_bytes, std::uint32_t length_bytes);
using spec::FirmwareAction;
/// `slot` 0 lets the controller choose, 1 to 7. [Base 2.1 §5.1.8]
spec::SubmissionEntry firmware_commit(FirmwareAction action, std::uint8_t slot);

/// Takes 4096 bytes that describe the namespace; DW0 of the completion is its NSID.
/// [Base 2.1 §5.1.21]
spec::SubmissionEntry create_namespace(std::uint8_t csi);
/// Deletes one namespace, or with kNsidBroadcast all. [Base 2.1 §5.1.21]
spec::SubmissionEntry delete_namespace(std::uint32_t nsid);
/// Takes a controller list of 4096 bytes. [Base 2.1 §5.1.20]
spec::SubmissionEntry attach_namespace(std::uint32_t nsid, bool attach);

/// What Security Send and Security Receive carry. [Base 2.1 §5.1.23, §5.1.24]
struct SecurityArguments {
  std::uint8_t protocol = 0;            ///< SECP
  std::uint16_t protocol_specific = 0;  ///< SPSP, both bytes
  std::uint8_t nvme_specific = 0;       ///< NSSF
  std::uint32_t length_bytes = 0;       ///< of the data: TL of Send, AL of Receive
  std::uint32_t nsid = 0;               ///< 0, unless `protocol` says otherwise
};
spec::SubmissionEntry security_send(const SecurityArguments& arguments);     ///< [Base 2.1 §5.1.24]
spec::SubmissionEntry security_receive(const SecurityArguments& arguments);  ///< [Base 2.1 §5.1.23]

using spec::SelfTest;
/// `nsid` 0: the controller only; kNsidBroadcast: all namespaces too. [Base 2.1 §5.1.5]
spec::SubmissionEntry self_test(SelfTest which, std::uint32_t nsid);

/// What Directive Send and Directive Receive carry. [Base 2.1 §5.1.6, §5.1.7]
struct DirectiveArguments {
  std::uint32_t nsid = 0;          ///< where the directive is of a namespace
  std::uint8_t operation = 0;      ///< DOPER
  std::uint8_t type = 0;           ///< DTYPE
  std::uint16_t specific = 0;      ///< DSPEC
  std::uint32_t length_bytes = 0;  ///< a multiple of 4; 0: no data
  std::uint32_t cdw12 = 0;         ///< specific to the operation
};
spec::SubmissionEntry directive_send(const DirectiveArguments& arguments);  ///< [Base 2.1 §5.1.7]
spec::SubmissionEntry directive_receive(
    const DirectiveArguments& arguments);  ///< [Base 2.1 §5.1.6]

// I/O commands.

using spec::AcquireAction;
using spec::PersistThroughPowerLoss;
using spec::RegisterAction;
using spec::ReleaseAction;
using spec::ReservationType;
/// Takes 16 bytes: the current key, the new key. [Base 2.1 §7.6]
spec::SubmissionEntry reservation_register(std::uint32_t nsid, RegisterAction action,
                                           bool ignore_key, PersistThroughPowerLoss persist);
/// Takes 16 bytes: the current key, the key to preempt. [Base 2.1 §7.5]
spec::SubmissionEntry reservation_acquire(std::uint32_t nsid, AcquireAction action, bool ignore_key,
                                          ReservationType type);
/// Takes 8 bytes: the current key. [Base 2.1 §7.7]
spec::SubmissionEntry reservation_release(std::uint32_t nsid, ReleaseAction action, bool ignore_key,
                                          ReservationType type);
/// Returns `length_bytes`, a multiple of 4. `extended`: with 128-bit host ids. [Base 2.1 §7.8]
spec::SubmissionEntry reservation_report(std::uint32_t nsid, std::uint32_t length_bytes,
                                         bool extended);
/// Takes `range_count` (1 to 256) source descriptors of `format`. [NVM 1.1 §3.3.2]
spec::SubmissionEntry copy(std::uint32_t nsid, std::uint64_t destination_lba,
                           std::uint32_t range_count, std::uint8_t format);

}  // namespace nvublk::nvme::command
