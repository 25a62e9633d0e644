// Commands as bytes written by hand from the specification. CID and data pointer stay zero.

#include "nvme/management_command.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/hex.h"

namespace nvublk::nvme {
namespace {

using test::bytes_of;
using test::bytes_of_hex;

struct Case {
  std::string name;
  spec::SubmissionEntry sqe;
  std::string head;  ///< opcode, flags, CID, NSID
  std::string tail;  ///< dwords 10 to 15
};

void check(const std::vector<Case>& cases) {
  for (const Case& each : cases) {
    EXPECT_EQ(bytes_of(each.sqe), bytes_of_hex(each.head + " 00*32 " + each.tail)) << each.name;
  }
}

TEST(ManagementCommand, Admin) {
  check({
      {"format", command::format({.nsid = 1, .lba_format = 0x25}), "80000000 01000000",
       "05200000 00*20"},
      {"format with everything",
       command::format({.nsid = 0xffffffff,
                        .lba_format = 1,
                        .metadata_extends_block = true,
                        .protection_type = 2,
                        .protection_first = true,
                        .secure_erase = 2}),
       "80000000 ffffffff", "51050000 00*20"},
      {"sanitize", command::sanitize({}), "84000000 00000000", "02000000 00*20"},
      {"sanitize by overwriting",
       command::sanitize({.action = command::SanitizeAction::kOverwrite,
                          .allow_unrestricted_exit = true,
                          .overwrite_passes = 3,
                          .invert_between_passes = true,
                          .no_deallocate = true,
                          .overwrite_pattern = 0x11223344}),
       "84000000 00000000", "3b030000 44332211 00*16"},
      {"16 passes are 0",
       command::sanitize({.action = command::SanitizeAction::kOverwrite, .overwrite_passes = 16}),
       "84000000 00000000", "03000000 00*20"},
      {"firmware download", command::firmware_download(0x10000, 4096), "11000000 00000000",
       "ff030000 00400000 00*16"},
      {"firmware commit",
       command::firmware_commit(command::FirmwareAction::kReplaceAndActivateNow, 2),
       "10000000 00000000", "1a000000 00*20"},
      {"create a namespace", command::create_namespace(2), "0d000000 00000000",
       "00000000 00000002 00*16"},
      {"delete a namespace", command::delete_namespace(7), "0d000000 07000000", "01000000 00*20"},
      {"attach", command::attach_namespace(7, true), "15000000 07000000", "00*24"},
      {"detach", command::attach_namespace(7, false), "15000000 07000000", "01000000 00*20"},
      {"security send",
       command::security_send({.protocol = 0xea,
                               .protocol_specific = 0x0102,
                               .nvme_specific = 3,
                               .length_bytes = 512}),
       "81000000 00000000", "030201ea 00020000 00*16"},
      {"security receive", command::security_receive({.protocol = 1, .length_bytes = 4096}),
       "82000000 00000000", "00000001 00100000 00*16"},
      {"self test", command::self_test(command::SelfTest::kAbort, 0xffffffff), "14000000 ffffffff",
       "0f000000 00*20"},
      {"directive send",
       command::directive_send(
           {.nsid = 1, .operation = 1, .type = 0, .specific = 0x0a0b, .cdw12 = 0x101}),
       "19000000 01000000", "00000000 01000b0a 01010000 00*12"},
      {"directive receive",
       command::directive_receive({.nsid = 1, .operation = 1, .type = 1, .length_bytes = 4096}),
       "1a000000 01000000", "ff030000 01010000 00*16"},
  });
}

TEST(ManagementCommand, ReservationsAndCopy) {
  check({
      {"register",
       command::reservation_register(1, command::RegisterAction::kReplace, true,
                                     command::PersistThroughPowerLoss::kSet),
       "0d000000 01000000", "0a0000c0 00*20"},
      {"acquire",
       command::reservation_acquire(1, command::AcquireAction::kPreemptAndAbort, false,
                                    command::ReservationType::kExclusiveAccessRegistrants),
       "11000000 01000000", "02040000 00*20"},
      {"release",
       command::reservation_release(1, command::ReleaseAction::kClear, true,
                                    command::ReservationType::kWriteExclusive),
       "15000000 01000000", "09010000 00*20"},
      {"report", command::reservation_report(1, 4096, true), "0e000000 01000000",
       "ff030000 01000000 00*16"},
      {"copy", command::copy(1, 0x0102030405060708, 256, 1), "19000000 01000000",
       "08070605 04030201 ff010000 00*12"},
  });
}

}  // namespace
}  // namespace nvublk::nvme
