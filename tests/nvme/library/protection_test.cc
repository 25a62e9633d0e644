#include "nvme/protection.h"

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/spec/protection.h"

namespace nvublk::nvme {
namespace {

using command::ProtectionTags;
using spec::MediaStatus;
using spec::ProtectionInformation;

constexpr std::uint32_t kGuard = command::kIoCheckGuard;
constexpr std::uint32_t kApplication = command::kIoCheckApplicationTag;
constexpr std::uint32_t kReference = command::kIoCheckReferenceTag;
constexpr std::uint32_t kAll = kGuard | kApplication | kReference;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// CRC-16/T10-DIF of the catalogue of parametrised CRC algorithms.
TEST(Protection, TheGuardIsThatOfT10) {
  EXPECT_EQ(guard_crc(0, bytes_of("123456789")), 0xd0db);
  EXPECT_EQ(guard_crc(guard_crc(0, bytes_of("1234")), bytes_of("56789")), 0xd0db);
  EXPECT_EQ(guard_crc(0, std::vector<std::byte>(512)), 0);
  EXPECT_EQ(guard_crc(0, std::vector<std::byte>(32, std::byte{0xff})), 0xa293);
}

TEST(Protection, FieldsAreBigEndian) {
  const auto information = ProtectionInformation::make(0x1234, 0x5678, 0x9abcdef0);
  const unsigned char want[] = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0};
  EXPECT_EQ(std::memcmp(&information, want, 8), 0);
  EXPECT_EQ(information.guard(), 0x1234);
  EXPECT_EQ(information.application_tag(), 0x5678);
  EXPECT_EQ(information.reference_tag(), 0x9abcdef0u);
}

MetadataFormat make_format(std::uint8_t type, std::uint32_t metadata_bytes = 8, bool first = false,
                           bool extends = true) {
  MetadataFormat format;
  format.metadata_bytes = metadata_bytes;
  format.protection_type = type;
  format.protection_first = first;
  format.extends_block = extends;
  return format;
}

/// Blocks in memory, cut at odd places or in one piece.
struct Memory {
  Memory(const MetadataFormat& format, std::uint64_t blocks, std::size_t piece_bytes)
      : format_(format), blocks_(blocks) {
    const std::size_t step = 512 + (format.extends_block ? format.metadata_bytes : 0);
    data.resize(blocks * step);
    for (std::size_t i = 0; i < data.size(); i++) data[i] = static_cast<std::byte>(i * 31 + 5);
    if (!format.extends_block) metadata.resize(blocks * format.metadata_bytes, std::byte{0x77});
    for (std::size_t at = 0; at < data.size(); at += piece_bytes) {
      pieces.push_back({data.data() + at, std::min(piece_bytes, data.size() - at)});
      pieces.push_back({nullptr, 0});
    }
  }
  ProtectedMemory view() { return {pieces, metadata.empty() ? nullptr : metadata.data(), blocks_}; }
  std::byte* metadata_of(std::uint64_t block) {
    return format_.extends_block ? data.data() + block * (512 + format_.metadata_bytes) + 512
                                 : metadata.data() + block * format_.metadata_bytes;
  }
  std::byte* information_of(std::uint64_t block) {
    return metadata_of(block) + (format_.protection_first ? 0 : format_.metadata_bytes - 8);
  }
  ProtectionInformation information(std::uint64_t block) {
    ProtectionInformation result;
    std::memcpy(&result, information_of(block), sizeof(result));
    return result;
  }
  void set(std::uint64_t block, const ProtectionInformation& information) {
    std::memcpy(information_of(block), &information, sizeof(information));
  }

  MetadataFormat format_;
  std::uint64_t blocks_;
  std::vector<std::byte> data;
  std::vector<std::byte> metadata;
  std::vector<iovec> pieces;
};

TEST(Protection, GeneratedInEveryFormatAndFoundGood) {
  for (const std::uint8_t type : {std::uint8_t{1}, std::uint8_t{2}, std::uint8_t{3}}) {
    for (const std::uint32_t bytes : {8u, 16u, 64u}) {
      for (const bool first : {false, true}) {
        for (const bool extends : {false, true}) {
          for (const std::size_t piece : {100000u, 512u, 100u, 3u}) {
            const MetadataFormat format = make_format(type, bytes, first, extends);
            Memory memory(format, 5, piece);
            const ProtectionTags tags{0xfffffffe, 0xabcd, 0xffff};
            generate_protection(format, memory.view(), tags);
            EXPECT_EQ(check_protection(format, memory.view(), tags, kAll), std::nullopt);
            EXPECT_EQ(memory.information(0).application_tag(), 0xabcd);
            const std::uint32_t fourth = type == 3 ? 0xfffffffe : 1;
            EXPECT_EQ(memory.information(3).reference_tag(), fourth) << "it wraps";
            // The guard: of the data, and of metadata in front of it.
            const std::byte* data = memory.data.data();
            std::uint16_t guard = guard_crc(0, {data, 512});
            if (!first) guard = guard_crc(guard, {memory.metadata_of(0), bytes - 8});
            EXPECT_EQ(memory.information(0).guard(), guard);
          }
        }
      }
    }
  }
}

TEST(Protection, MetadataThatIsNotProtectionIsLeftAlone) {
  for (const bool first : {false, true}) {
    const MetadataFormat format = make_format(1, 16, first, false);
    Memory memory(format, 2, 4096);
    generate_protection(format, memory.view(), {});
    const std::byte* other = memory.metadata_of(1) + (first ? 8 : 0);
    for (int i = 0; i < 8; i++) EXPECT_EQ(other[i], std::byte{0x77});
  }
}

struct CheckCase {
  std::string name;
  std::uint8_t type;
  std::uint32_t flags;
  std::uint16_t application_tag;
  std::uint16_t mask;
  ProtectionInformation stored;  ///< of the second block; its guard is 1 off when it is 1
  std::optional<MediaStatus> want;
};

TEST(Protection, CheckTable) {
  // Blocks begin at reference tag 100; the second block's guard is put in for 0.
  const auto info = [](std::uint16_t wrong_guard, std::uint16_t application,
                       std::uint32_t reference) {
    return ProtectionInformation::make(wrong_guard, application, reference);
  };
  const std::vector<CheckCase> cases = {
      {"all good", 1, kAll, 7, 0xffff, info(0, 7, 101), {}},
      {"guard", 1, kAll, 7, 0xffff, info(1, 7, 101), MediaStatus::kGuardCheckError},
      {"guard, unasked", 1, kAll & ~kGuard, 7, 0xffff, info(1, 7, 101), {}},
      {"application tag", 1, kAll, 7, 0xffff, info(0, 6, 101),
       MediaStatus::kApplicationTagCheckError},
      {"application tag, unasked", 1, kAll & ~kApplication, 7, 0xffff, info(0, 6, 101), {}},
      {"application tag, masked", 1, kAll, 7, 0xfffe, info(0, 6, 101), {}},
      {"application tag, mask of one bit", 1, kAll, 7, 0x0001, info(0, 6, 101),
       MediaStatus::kApplicationTagCheckError},
      {"application tag, no mask", 1, kAll, 7, 0, info(0, 0x1234, 101), {}},
      {"reference tag", 1, kAll, 7, 0xffff, info(0, 7, 102), MediaStatus::kReferenceTagCheckError},
      {"reference tag, unasked", 1, kAll & ~kReference, 7, 0xffff, info(0, 7, 102), {}},
      {"type 2 likewise", 2, kAll, 7, 0xffff, info(0, 7, 102),
       MediaStatus::kReferenceTagCheckError},
      {"type 3 has none", 3, kAll, 7, 0xffff, info(0, 7, 9999), {}},
      {"the guard comes first", 1, kAll, 7, 0xffff, info(1, 6, 9), MediaStatus::kGuardCheckError},
      {"then the application tag", 1, kAll, 7, 0xffff, info(0, 6, 9),
       MediaStatus::kApplicationTagCheckError},
      {"escape of type 1", 1, kAll, 7, 0xffff, info(1, 0xffff, 9), {}},
      {"escape of type 2", 2, kAll, 7, 0xffff, info(1, 0xffff, 9), {}},
      {"half an escape of type 3", 3, kAll, 7, 0xffff, info(1, 0xffff, 9),
       MediaStatus::kGuardCheckError},
      {"escape of type 3", 3, kAll, 7, 0xffff, info(1, 0xffff, 0xffffffff), {}},
      {"nothing asked", 1, 0, 7, 0xffff, info(1, 6, 9), {}},
  };
  for (const CheckCase& each : cases) {
    const MetadataFormat format = make_format(each.type);
    Memory memory(format, 3, 700);
    const ProtectionTags tags{100, each.application_tag, each.mask};
    generate_protection(format, memory.view(), tags);
    const auto guard =
        static_cast<std::uint16_t>(memory.information(1).guard() ^ each.stored.guard());
    memory.set(1, ProtectionInformation::make(guard, each.stored.application_tag(),
                                              each.stored.reference_tag()));
    const auto got = check_protection(format, memory.view(), tags, each.flags);
    ASSERT_EQ(got.has_value(), each.want.has_value()) << each.name;
    if (got) {
      EXPECT_EQ(got->status, *each.want) << each.name;
      EXPECT_EQ(got->block, 1u) << each.name;
    }
  }
}

TEST(Protection, WhichCommandsCanBe) {
  const ProtectionTags five{5, 0, 0};
  EXPECT_TRUE(valid_protection(make_format(1), kReference, five, 5));
  EXPECT_TRUE(valid_protection(make_format(1), kReference, five, 0x1'0000'0005)) << "32 bits of it";
  EXPECT_FALSE(valid_protection(make_format(1), kReference, five, 6));
  EXPECT_TRUE(valid_protection(make_format(1), kGuard, five, 6)) << "it is not checked";
  EXPECT_TRUE(valid_protection(make_format(2), kReference, five, 6));
  EXPECT_FALSE(valid_protection(make_format(3), kReference, five, 5));
  EXPECT_TRUE(valid_protection(make_format(3), kGuard | kApplication, five, 5));
  EXPECT_FALSE(valid_protection(make_format(0), command::kIoProtectionAction, {}, 0));
  EXPECT_TRUE(valid_protection(make_format(0), 0, {}, 0));
}

TEST(Protection, HowMuchIsTransferred) {
  constexpr std::uint32_t kAction = command::kIoProtectionAction;
  EXPECT_EQ(make_format(1).data_bytes(0), 520u);
  EXPECT_EQ(make_format(1).data_bytes(kAction), 512u) << "all of it is the controller's";
  EXPECT_EQ(make_format(1, 16).data_bytes(kAction), 528u) << "8 bytes are the host's";
  EXPECT_EQ(make_format(0).data_bytes(kAction), 520u) << "there is no protection information";
  EXPECT_EQ(make_format(1, 8, false, false).data_bytes(0), 512u);
  EXPECT_EQ(make_format(1, 8, false, false).separate_bytes(0), 8u);
  EXPECT_EQ(make_format(1, 8, false, false).separate_bytes(kAction), 0u);
  EXPECT_EQ(make_format(1, 64, false, false).separate_bytes(kAction), 64u);
  EXPECT_EQ(make_format(1).separate_bytes(0), 0u);
}

TEST(Protection, AFormatIsReadFromIdentify) {
  spec::IdentifyNamespace data;
  data.lbaf[0].lbads = 12;
  data.lbaf[0].ms = std::uint16_t{16};
  data.flbas = 0x10;
  data.dps = 0x0a;
  const MetadataFormat format = MetadataFormat::of(data);
  EXPECT_EQ(format.block_bytes, 4096u);
  EXPECT_EQ(format.metadata_bytes, 16u);
  EXPECT_EQ(format.protection_type, 2);
  EXPECT_TRUE(format.protection_first);
  EXPECT_TRUE(format.extends_block);
}

}  // namespace
}  // namespace nvublk::nvme
