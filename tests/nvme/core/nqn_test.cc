#include "nvme/nqn.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/uuid.h"

namespace nvublk::nvme {
namespace {

using testing::HasSubstr;

constexpr std::string_view kUuidText = "01234567-89ab-cdef-0123-456789abcdef";

TEST(Uuid, ReadsBothFormsAndWritesOne) {
  const Result<Uuid> grouped = Uuid::parse(kUuidText);
  ASSERT_TRUE(grouped);
  EXPECT_EQ(grouped->to_string(), kUuidText);
  EXPECT_EQ(grouped->bytes[0], 0x01);
  EXPECT_EQ(grouped->bytes[15], 0xef);
  EXPECT_EQ(*Uuid::parse("0123456789ABCDEF0123456789ABCDEF"), *grouped);
  EXPECT_FALSE(grouped->is_zero());
  EXPECT_TRUE(Uuid{}.is_zero());
}

TEST(Uuid, RefusesWhatIsNotOne) {
  for (const char* bad :
       {"", "0123", "01234567-89ab-cdef-0123-456789abcdeg", "0123456789ab-cdef-0123-456789abcdef-",
        "01234567-89ab-cdef-0123-456789abcde", "{01234567-89ab-cdef-0123-456789abcd}"}) {
    EXPECT_FALSE(Uuid::parse(bad)) << bad;
  }
}

TEST(Uuid, GeneratesRandomOnesOfVersion4) {
  const Result<Uuid> one = Uuid::generate();
  const Result<Uuid> two = Uuid::generate();
  ASSERT_TRUE(one && two);
  EXPECT_NE(*one, *two);
  EXPECT_EQ(one->to_string()[14], '4');
  EXPECT_THAT(std::string("89ab"), HasSubstr(one->to_string().substr(19, 1)));
}

TEST(Nqn, UsableIsAnyTextThatFits) {
  for (const std::string& good :
       {std::string("testnqn"), std::string(223, 'x'), std::string("nqn.2014-08.org:a b"),
        std::string("nqn.2024-01.com.example:\xc3\xa4")}) {
    EXPECT_TRUE(check_nqn_usable(good, "the NQN")) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string(224, 'x'), std::string("a\nb"), std::string("a\0b", 3),
        std::string("a\xc3"), std::string("\xc0\xaf"), std::string("\xed\xa0\x80"),
        std::string("\xf4\x90\x80\x80"), std::string("\xe0\x80\xaf")}) {
    EXPECT_FALSE(check_nqn_usable(bad, "the NQN")) << bad;
  }
  EXPECT_THAT(check_nqn_usable("", "the host NQN").error().text, HasSubstr("the host NQN"));
}

TEST(Nqn, FormatIsThatOfTheSpecification) {
  for (const std::string& good :
       {std::string("nqn.2014-08.org.nvmexpress.discovery"),
        std::string("nqn.2024-12.com.example:disk1"), std::string("nqn.2024-01.local:x"),
        std::string("nqn.2014-08.org.nvmexpress:uuid:") + std::string(kUuidText),
        std::string("nqn.2016-06.io.spdk:cnode1"), std::string("nqn.2024-01.3com:a:b:c")}) {
    EXPECT_TRUE(check_nqn_format(good, "the NQN")) << good;
  }
  for (const std::string& bad :
       {std::string("testnqn"), std::string("nqn.2024-13.com.example:x"),
        std::string("nqn.2024-00.com.example:x"), std::string("nqn.24-01.com.example:x"),
        std::string("nqn.2024-01.com.example"), std::string("nqn.2024-01.com.example:"),
        std::string("nqn.2024-01.-com.example:x"), std::string("nqn.2024-01.com..example:x"),
        std::string("nqn.2024-01.:x"), std::string("nqn.2024-01.com_example:x"),
        std::string("nqn.2014-08.org.nvmexpress:uuid:1234"), std::string("nqn."),
        std::string("nqn.2024-01." + std::string(64, 'a') + ":x")}) {
    EXPECT_FALSE(check_nqn_format(bad, "the NQN")) << bad;
  }
}

TEST(Nqn, UuidFormGoesBothWays) {
  const Uuid uuid = *Uuid::parse(kUuidText);
  const std::string nqn = uuid_nqn(uuid);
  EXPECT_EQ(nqn, "nqn.2014-08.org.nvmexpress:uuid:" + std::string(kUuidText));
  EXPECT_EQ(*uuid_of_nqn(nqn), uuid);
  EXPECT_FALSE(uuid_of_nqn("nqn.2024-01.com.example:x"));
  EXPECT_FALSE(uuid_of_nqn(nqn + "0"));
  EXPECT_FALSE(uuid_of_nqn("nqn.2014-08.org.nvmexpress:uuid:0123456789abcdef0123456789abcdef"));
}

}  // namespace
}  // namespace nvublk::nvme
