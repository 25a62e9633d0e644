#include "nvme/rdma/cm_text.h"

#include <array>
#include <cerrno>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nvublk::nvme::rdma {
namespace {

using ::testing::HasSubstr;

std::array<std::byte, 4> reject(std::uint16_t format, std::uint16_t status) {
  return {static_cast<std::byte>(format & 0xff), static_cast<std::byte>(format >> 8),
          static_cast<std::byte>(status & 0xff), static_cast<std::byte>(status >> 8)};
}

TEST(RejectText, NamesEachStatusOfTheSpecification) {
  std::set<std::string> texts;
  for (std::uint16_t status = 1; status <= 9; status++) {
    const std::string text = reject_text(kRejectConsumer, reject(0, status));
    EXPECT_THAT(text, HasSubstr("(RDMA ")) << status;
    texts.insert(text);
  }
  EXPECT_EQ(texts.size(), 9u);
  EXPECT_THAT(reject_text(kRejectConsumer, reject(0, 6)), HasSubstr("--queue-size"));
  EXPECT_THAT(reject_text(kRejectConsumer, reject(0, 77)), HasSubstr("unknown status 77"));
}

TEST(RejectText, BelievesNoPrivateDataThatIsShortOrOfAnotherFormat) {
  const auto data = reject(0, 6);
  for (std::size_t length = 0; length < data.size(); length++) {
    EXPECT_THAT(reject_text(kRejectConsumer, std::span(data).first(length)),
                HasSubstr("gave no reason"));
  }
  EXPECT_THAT(reject_text(kRejectConsumer, reject(1, 6)), HasSubstr("a format"));
}

TEST(RejectText, ExplainsTheConnectionManagersOwnReasons) {
  EXPECT_THAT(reject_text(kRejectInvalidService, {}), HasSubstr("nothing listens"));
  EXPECT_THAT(reject_text(-ECONNREFUSED, {}), HasSubstr("nothing listens"));
  EXPECT_THAT(reject_text(kRejectStaleConnection, {}), HasSubstr("old connection"));
  EXPECT_THAT(reject_text(-ENOMEM, {}), HasSubstr("memory"));
  EXPECT_THAT(reject_text(33, {}), HasSubstr("33"));
}

}  // namespace
}  // namespace nvublk::nvme::rdma
