#include "nvme/spec/identify.h"

#include <array>
#include <cstring>

#include <gtest/gtest.h>

#include "nvme/spec/features.h"
#include "nvme/spec/log_pages.h"
#include "nvme/spec/text.h"

namespace nvublk::nvme::spec {
namespace {

// Structures are filled through their bytes, at the offsets of the specification, so that a field
// at the wrong place is seen.
template <typename T>
class Bytes {
 public:
  Bytes& put(std::size_t offset, std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; i++) {
      bytes_[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
    }
    return *this;
  }
  Bytes& text(std::size_t offset, std::string_view value) {
    std::memcpy(bytes_.data() + offset, value.data(), value.size());
    return *this;
  }
  T value() const {
    T value;
    std::memcpy(&value, bytes_.data(), sizeof(T));
    return value;
  }

 private:
  std::array<std::uint8_t, sizeof(T)> bytes_{};
};

TEST(IdentifyController, ReadsFieldsAtTheirOffsets) {
  const IdentifyController id = Bytes<IdentifyController>()
                                    .text(4, "SN0001              ")
                                    .text(24, "Linux                                   ")
                                    .text(64, "6.12.0  ")
                                    .put(77, 5, 1)
                                    .put(78, 0x21, 2)
                                    .put(80, 0x00020000, 4)
                                    .put(92, 0x80000100, 4)
                                    .put(96, 0x8041, 4)
                                    .put(111, 1, 1)
                                    .put(128, 10, 2)
                                    .put(132, 30, 2)
                                    .put(258, 3, 1)
                                    .put(259, 7, 1)
                                    .put(261, 4, 1)
                                    .put(262, 127, 1)
                                    .put(263, 1, 1)
                                    .put(320, 10, 2)
                                    .put(514, 128, 2)
                                    .put(516, 1024, 4)
                                    .put(520, 0x0c, 2)
                                    .put(525, 7, 1)
                                    .put(526, 7, 2)
                                    .put(536, 0x00300005, 4)
                                    .text(768, "nqn.2014-08.org.example:s")
                                    .put(1792, 260, 4)
                                    .put(1796, 1, 4)
                                    .put(1803, 1, 1)
                                    .value();
  EXPECT_EQ(printable_text(id.sn), "SN0001");
  EXPECT_EQ(printable_text(id.mn), "Linux");
  EXPECT_EQ(printable_text(id.fr), "6.12.0");
  EXPECT_EQ(raw_text(id.subnqn), "nqn.2014-08.org.example:s");
  EXPECT_EQ(id.max_transfer_bytes(4096), 131072u);
  EXPECT_EQ(id.cntlid.get(), 0x21);
  EXPECT_EQ(id.ver.get(), 0x00020000u);
  EXPECT_EQ(id.oaes.get() & kAsyncNamespaceAttribute, kAsyncNamespaceAttribute);
  EXPECT_EQ(id.oaes.get() & kAsyncDiscoveryLog, kAsyncDiscoveryLog);
  EXPECT_TRUE(id.supports_128_bit_host_id());
  EXPECT_TRUE(id.traffic_based_keep_alive());
  EXPECT_TRUE(id.supports_extended_lba_formats());
  EXPECT_EQ(id.type(), ControllerType::kIo);
  EXPECT_EQ(id.command_retry_delay_ms(1), 1000u);
  EXPECT_EQ(id.command_retry_delay_ms(2), 0u);
  EXPECT_EQ(id.command_retry_delay_ms(3), 3000u);
  EXPECT_EQ(id.command_retry_delay_ms(0), 0u);
  EXPECT_EQ(id.abort_limit_count(), 4u);
  EXPECT_EQ(id.async_event_limit_count(), 8u);
  EXPECT_TRUE(id.supports_extended_log_data());
  EXPECT_EQ(id.error_log_entry_count(), 128u);
  EXPECT_EQ(id.power_state_count(), 2u);
  EXPECT_EQ(id.keep_alive_granularity_ms(), 1000u);
  EXPECT_EQ(id.maxcmd.get(), 128);
  EXPECT_EQ(id.nn.get(), 1024u);
  EXPECT_TRUE(id.supports_dataset_management());
  EXPECT_TRUE(id.supports_write_zeroes());
  EXPECT_FALSE(id.supports_compare());
  EXPECT_FALSE(id.supports_verify());
  EXPECT_TRUE(id.has_volatile_write_cache());
  EXPECT_TRUE(id.flush_supports_broadcast_nsid());
  EXPECT_EQ(id.atomic_write_block_count(), 8u);
  EXPECT_EQ(id.sgl_support(), 1u);
  EXPECT_TRUE(id.supports_keyed_sgl());
  EXPECT_TRUE(id.supports_offset_sgl());
  EXPECT_TRUE(id.supports_transport_sgl());
  EXPECT_EQ(id.in_capsule_data_bytes(), 4096u);
  EXPECT_EQ(id.response_capsule_bytes(), 16u);
  EXPECT_EQ(id.msdbd, 1);
}

TEST(IdentifyController, AbsurdValuesGiveNoLimitAndNoUnderflow) {
  IdentifyController id;
  EXPECT_EQ(id.max_transfer_bytes(4096), kNoLimit);
  id.mdts = 255;
  EXPECT_EQ(id.max_transfer_bytes(4096), kNoLimit);
  EXPECT_EQ(id.in_capsule_data_bytes(), 0u);
  id.ioccsz = 3;
  EXPECT_EQ(id.in_capsule_data_bytes(), 0u);
  id.ioccsz = 0xffffffff;
  EXPECT_EQ(id.in_capsule_data_bytes(), 0xffffffffull * 16 - 64);
}

TEST(IdentifyNamespace, ReadsFieldsAtTheirOffsets) {
  const IdentifyNamespace id = Bytes<IdentifyNamespace>()
                                   .put(0, 0x1000, 8)
                                   .put(8, 0x0fff, 8)
                                   .put(24, 0x12, 1)
                                   .put(25, 1, 1)
                                   .put(26, 0x11, 1)
                                   .put(29, 2, 1)
                                   .put(30, 1, 1)
                                   .put(33, 9, 1)
                                   .put(34, 15, 2)
                                   .put(46, 256, 2)
                                   .put(64, 7, 2)
                                   .put(68, 31, 2)
                                   .put(70, 63, 2)
                                   .put(72, 255, 2)
                                   .put(92, 5, 4)
                                   .put(99, 1, 1)
                                   .put(104, 0xaa, 1)
                                   .put(120, 0xbb, 1)
                                   .put(128, 0x00090000, 4)
                                   .put(132, 0x020c0008, 4)
                                   .value();
  EXPECT_EQ(id.nsze.get(), 0x1000u);
  EXPECT_TRUE(id.active());
  EXPECT_EQ(id.lba_format_count(), 2u);
  EXPECT_EQ(id.lba_format_index(), 1u);
  EXPECT_EQ(id.block_bytes(), 4096u);
  EXPECT_EQ(id.metadata_bytes(), 8u);
  EXPECT_TRUE(id.metadata_extends_block());
  EXPECT_EQ(id.protection_type(), 2u);
  EXPECT_TRUE(id.shared());
  EXPECT_TRUE(id.has_atomic_fields());
  EXPECT_EQ(id.atomic_write_block_count(), 16u);
  EXPECT_TRUE(id.deallocated_reads_zero());
  EXPECT_TRUE(id.write_zeroes_may_deallocate());
  EXPECT_EQ(id.noiob.get(), 256);
  EXPECT_TRUE(id.has_optimal_fields());
  EXPECT_EQ(id.preferred_write_block_count(), 8u);
  EXPECT_EQ(id.preferred_deallocate_block_count(), 32u);
  EXPECT_EQ(id.preferred_deallocate_alignment_block_count(), 64u);
  EXPECT_EQ(id.optimal_write_block_count(), 256u);
  EXPECT_EQ(id.anagrpid.get(), 5u);
  EXPECT_TRUE(id.write_protected());
  EXPECT_EQ(id.nguid[0], 0xaa);
  EXPECT_EQ(id.eui64[0], 0xbb);
}

TEST(IdentifyNamespace, FormatIndexUsesTheHighBitsOnlyAboveSixteenFormatsAndNeverLeavesTheTable) {
  IdentifyNamespace id;
  id.flbas = 0x61;
  id.nlbaf = 15;
  EXPECT_EQ(id.lba_format_index(), 1u);
  id.nlbaf = 16;
  EXPECT_EQ(id.lba_format_index(), 49u);
  id.nlbaf = 255;
  id.flbas = 0xff;
  EXPECT_EQ(id.lba_format_count(), kMaxLbaFormats);
  EXPECT_EQ(id.lba_format_index(), 63u);
}

LbaFormat format_of(unsigned lbads) {
  LbaFormat format;
  format.lbads = static_cast<std::uint8_t>(lbads);
  return format;
}

TEST(LbaFormat, RefusesBlockSizesThatCannotBe) {
  for (const unsigned bad : {0u, 1u, 8u, 32u, 255u}) {
    EXPECT_EQ((format_of(bad).block_bytes()), 0u) << bad;
  }
  EXPECT_EQ((format_of(9).block_bytes()), 512u);
  EXPECT_EQ((format_of(31).block_bytes()), 1u << 31);
}

TEST(IdentifyControllerNvm, LimitsOfZeroAreNone) {
  IdentifyControllerNvm id;
  EXPECT_EQ(id.write_zeroes_limit_bytes(4096), kNoLimit);
  EXPECT_EQ(id.deallocate_range_count(), 256u);
  EXPECT_EQ(id.deallocate_range_block_count(), 0xffffffffu);
  EXPECT_EQ(id.deallocate_block_count(), kNoLimit);
  id = Bytes<IdentifyControllerNvm>()
           .put(1, 8, 1)
           .put(3, 16, 1)
           .put(4, 65536, 4)
           .put(8, 1 << 20, 8)
           .value();
  EXPECT_EQ(id.write_zeroes_limit_bytes(4096), 1u << 20);
  EXPECT_EQ(id.deallocate_range_count(), 16u);
  EXPECT_EQ(id.deallocate_range_block_count(), 65536u);
  EXPECT_EQ(id.deallocate_block_count(), 1u << 20);
}

TEST(NumberOfQueues, IsZeroBasedOnTheWire) {
  EXPECT_EQ((NumberOfQueues{4, 4}.encode()), 0x00030003u);
  const NumberOfQueues granted = NumberOfQueues::decode(0x00010007);
  EXPECT_EQ(granted.submission_queue_count, 8u);
  EXPECT_EQ(granted.completion_queue_count, 2u);
  EXPECT_EQ(granted.pair_count(), 2u);
}

TEST(LogPages, ReadFieldsAtTheirOffsets) {
  const SmartLog smart =
      Bytes<SmartLog>().put(1, 310, 2).put(5, 3, 1).put(112, 42, 8).put(160, 1, 8).value();
  EXPECT_EQ(smart.composite_temperature_kelvin.get(), 310);
  EXPECT_EQ(smart.percentage_used, 3);
  EXPECT_EQ(smart.power_cycles.low(), 42u);
  EXPECT_EQ(smart.media_errors.low(), 1u);

  const ErrorLogEntry error =
      Bytes<ErrorLogEntry>().put(0, 9, 8).put(12, 0x8004, 2).put(16, 77, 8).put(24, 1, 4).value();
  EXPECT_EQ(error.error_count.get(), 9u);
  EXPECT_TRUE(error.status().is(GenericStatus::kInvalidField));
  EXPECT_TRUE(error.status().dnr());
  EXPECT_EQ(error.lba.get(), 77u);

  ChangedNamespaceListLog changed;
  EXPECT_FALSE(changed.overflowed());
  changed.nsid[0] = 0xffffffff;
  EXPECT_TRUE(changed.overflowed());

  SupportedLogPagesLog supported;
  supported.lids[0x0c] = 1;
  EXPECT_TRUE(supported.supports(LogPage::kAna));
  EXPECT_FALSE(supported.supports(LogPage::kSmartHealth));

  const FirmwareSlotLog firmware =
      Bytes<FirmwareSlotLog>().put(0, 0x21, 1).text(8, "1.0     ").value();
  EXPECT_EQ(firmware.active_slot(), 1u);
  EXPECT_EQ(firmware.next_slot(), 2u);
  EXPECT_EQ(printable_text(firmware.revision[0]), "1.0");
}

TEST(Text, IsTrimmedAndSafeToPrint) {
  std::array<char, 12> field{};
  fill_text(field, " a\x1b\xc3 b", ' ');
  EXPECT_EQ(printable_text(field), "a__ b");
  EXPECT_EQ(raw_text(field), " a\x1b\xc3 b      ");
  fill_text(field, "longer than the field", '\0');
  EXPECT_EQ(raw_text(field), "longer than ");
  EXPECT_EQ(printable_text(field), "longer than");
  fill_text(field, "", '\0');
  EXPECT_EQ(printable_text(field), "");
}

}  // namespace
}  // namespace nvublk::nvme::spec
