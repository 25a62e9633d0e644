#include "engine/endian.h"

#include <cstring>

#include <gtest/gtest.h>

namespace nvublk {
namespace {

TEST(Endian, LittleEndianBytesAreInWireOrder) {
  Le32 value{0x11223344};
  unsigned char bytes[4];
  std::memcpy(bytes, &value, 4);
  EXPECT_EQ(bytes[0], 0x44);
  EXPECT_EQ(bytes[3], 0x11);
  EXPECT_EQ(value.get(), 0x11223344u);
}

TEST(Endian, PartialWidthKeepsOnlyItsBytes) {
  Le24 value{0xAABBCCDD};
  EXPECT_EQ(value.get(), 0xBBCCDDu);
}

}  // namespace
}  // namespace nvublk
