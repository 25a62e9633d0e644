#include "nvme/protection.h"

#include <algorithm>
#include <cstring>

#include <isa-l/crc.h>

#include "engine/check.h"
#include "nvme/spec/protection.h"

namespace nvublk::nvme {

namespace {

using spec::ProtectionInformation;

// Walks through scattered bytes.
class Cursor {
 public:
  explicit Cursor(std::span<const iovec> pieces) : pieces_(pieces) {}

  template <typename Visit>
  void take(std::size_t length, Visit visit) {
    while (length > 0) {
      CHECK(index_ < pieces_.size());
      const iovec& piece = pieces_[index_];
      const std::size_t part = std::min(length, piece.iov_len - offset_);
      if (part > 0) visit(static_cast<std::byte*>(piece.iov_base) + offset_, part);
      length -= part;
      offset_ += part;
      if (offset_ == piece.iov_len) {
        index_++;
        offset_ = 0;
      }
    }
  }
  std::uint16_t crc(std::uint16_t crc, std::size_t length) {
    take(length,
         [&crc](const std::byte* at, std::size_t part) { crc = guard_crc(crc, {at, part}); });
    return crc;
  }
  void skip(std::size_t length) {
    take(length, [](std::byte*, std::size_t) {});
  }
  ProtectionInformation read() {
    ProtectionInformation information;
    auto* to = reinterpret_cast<std::byte*>(&information);
    take(sizeof(information), [&to](const std::byte* at, std::size_t part) {
      std::memcpy(to, at, part);
      to += part;
    });
    return information;
  }
  void write(const ProtectionInformation& information) {
    const auto* from = reinterpret_cast<const std::byte*>(&information);
    take(sizeof(information), [&from](std::byte* at, std::size_t part) {
      std::memcpy(at, from, part);
      from += part;
    });
  }

 private:
  std::span<const iovec> pieces_;
  std::size_t index_ = 0;
  std::size_t offset_ = 0;
};

// Calls visit(guard, cursor, index) for each block, with the cursor at its protection information,
// which the visitor takes; it returns false to end the walk.
template <typename Visit>
void each_block(const MetadataFormat& format, const ProtectedMemory& memory, Visit visit) {
  CHECK(format.is_protected() && (format.extends_block || memory.metadata != nullptr));
  const iovec separate{memory.metadata, memory.blocks * format.metadata_bytes};
  Cursor data(memory.data);
  Cursor other({&separate, 1});
  Cursor& metadata = format.extends_block ? data : other;
  const std::uint32_t rest = format.metadata_bytes - spec::kProtectionBytes;
  for (std::uint64_t i = 0; i < memory.blocks; i++) {
    std::uint16_t guard = data.crc(0, format.block_bytes);
    // The guard covers metadata only in front of it. [NVM 1.1 §5.3.1]
    if (!format.protection_first) guard = metadata.crc(guard, rest);
    if (!visit(guard, metadata, i)) return;
    if (format.protection_first) metadata.skip(rest);
  }
}

bool escaped(const MetadataFormat& format, const ProtectionInformation& information) {
  return information.application_tag() == spec::kUncheckedApplicationTag &&
         (format.protection_type != 3 ||
          information.reference_tag() == spec::kUncheckedReferenceTag);
}

}  // namespace

MetadataFormat MetadataFormat::of(const spec::IdentifyNamespace& data) {
  MetadataFormat format;
  format.block_bytes = data.block_bytes();
  format.metadata_bytes = data.metadata_bytes();
  format.protection_type = static_cast<std::uint8_t>(data.protection_type());
  format.protection_first = (data.dps & (1u << 3)) != 0;
  format.extends_block = data.metadata_extends_block();
  return format;
}

std::uint16_t guard_crc(std::uint16_t crc, std::span<const std::byte> bytes) {
  return crc16_t10dif(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

std::uint32_t reference_tag_after(const MetadataFormat& format, std::uint32_t reference_tag,
                                  std::uint64_t count) {
  return format.protection_type == 3 ? reference_tag
                                     : reference_tag + static_cast<std::uint32_t>(count);
}

bool valid_protection(const MetadataFormat& format, std::uint32_t io_flags,
                      const command::ProtectionTags& tags, std::uint64_t lba) {
  if (!format.is_protected()) {
    return (io_flags & command::kIoProtectionAction) == 0;
  }
  if ((io_flags & command::kIoCheckReferenceTag) == 0 || format.protection_type == 2) {
    return true;
  }
  return format.protection_type == 1 && tags.reference_tag == static_cast<std::uint32_t>(lba);
}

void generate_protection(const MetadataFormat& format, const ProtectedMemory& memory,
                         const command::ProtectionTags& tags) {
  each_block(format, memory, [&](std::uint16_t guard, Cursor& at, std::uint64_t index) {
    at.write(ProtectionInformation::make(guard, tags.application_tag,
                                         reference_tag_after(format, tags.reference_tag, index)));
    return true;
  });
}

std::optional<ProtectionError> check_protection(const MetadataFormat& format,
                                                const ProtectedMemory& memory,
                                                const command::ProtectionTags& tags,
                                                std::uint32_t io_flags) {
  std::optional<ProtectionError> error;
  each_block(format, memory, [&](std::uint16_t guard, Cursor& at, std::uint64_t index) {
    const ProtectionInformation information = at.read();
    if (escaped(format, information)) return true;
    const std::uint32_t differs = information.application_tag() ^ tags.application_tag;
    const std::uint32_t wanted = reference_tag_after(format, tags.reference_tag, index);
    if ((io_flags & command::kIoCheckGuard) != 0 && information.guard() != guard) {
      error = ProtectionError{index, spec::MediaStatus::kGuardCheckError};
    } else if ((io_flags & command::kIoCheckApplicationTag) != 0 &&
               (differs & tags.application_tag_mask) != 0) {
      error = ProtectionError{index, spec::MediaStatus::kApplicationTagCheckError};
    } else if ((io_flags & command::kIoCheckReferenceTag) != 0 && format.protection_type != 3 &&
               information.reference_tag() != wanted) {
      error = ProtectionError{index, spec::MediaStatus::kReferenceTagCheckError};
    }
    return !error.has_value();
  });
  return error;
}

}  // namespace nvublk::nvme
