#include "service/host_identity.h"

#include <gtest/gtest.h>

#include "service/temporary_folder.h"

namespace nvublk::service {
namespace {

constexpr char kUuid[] = "7a1b2c3d-0000-4000-8000-000000000001";
constexpr char kOtherUuid[] = "7a1b2c3d-0000-4000-8000-000000000002";
constexpr char kPrefix[] = "nqn.2014-08.org.nvmexpress:uuid:";

class HostIdentityTest : public ::testing::Test {
 protected:
  HostIdentitySource source() {
    return HostIdentitySource({.hostnqn = folder_ / "hostnqn",
                               .hostid = folder_ / "hostid",
                               .dmi_uuid = folder_ / "product_uuid",
                               .kept_directory = folder_ / "kept"});
  }
  nvme::HostIdentity find(const std::string& nqn = "", const std::string& id = "") {
    auto identity = source().find(nqn, id);
    EXPECT_TRUE(identity.has_value()) << (identity ? "" : identity.error().text);
    return identity.value_or(nvme::HostIdentity{});
  }

  test::TemporaryFolder folder_;
};

TEST_F(HostIdentityTest, TakesTheMachinesFiles) {
  folder_.write("hostnqn", "nqn.2026-01.org.example:me\n");
  folder_.write("hostid", std::string("# ours\n  ") + kUuid + " \n");
  folder_.write("product_uuid", kOtherUuid);
  EXPECT_EQ(find().nqn, "nqn.2026-01.org.example:me");
  EXPECT_EQ(find().id.to_string(), kUuid);
}

TEST_F(HostIdentityTest, OptionsComeFirst) {
  folder_.write("hostnqn", "nqn.2026-01.org.example:me\n");
  folder_.write("hostid", kUuid);
  const auto identity = find("nqn.2026-01.org.example:other", kOtherUuid);
  EXPECT_EQ(identity.nqn, "nqn.2026-01.org.example:other");
  EXPECT_EQ(identity.id.to_string(), kOtherUuid);
}

TEST_F(HostIdentityTest, AnNqnWithAUuidBringsItsId) {
  folder_.write("hostid", kUuid);
  EXPECT_EQ(find(std::string(kPrefix) + kOtherUuid).id.to_string(), kOtherUuid);
  EXPECT_EQ(find("nqn.2026-01.org.example:other").id.to_string(), kUuid);
}

TEST_F(HostIdentityTest, TheIdFollowsFromTheNqnFileAlone) {
  folder_.write("hostnqn", std::string(kPrefix) + kUuid);
  folder_.write("product_uuid", kOtherUuid);
  EXPECT_EQ(find().id.to_string(), kUuid);
}

TEST_F(HostIdentityTest, TakesTheDmiUuidInLowerCase) {
  folder_.write("product_uuid", "7A1B2C3D-0000-4000-8000-000000000001\n");
  EXPECT_EQ(find().nqn, std::string(kPrefix) + kUuid);
  EXPECT_EQ(find().id.to_string(), kUuid);
}

TEST_F(HostIdentityTest, MakesOneOnceWhereThereIsNone) {
  for (const char* useless : {"00000000-0000-0000-0000-000000000000",
                              "03000200-0400-0500-0006-000700080009", "Not Specified"}) {
    folder_.write("product_uuid", useless);
    const auto first = find();
    EXPECT_TRUE(first.nqn.starts_with(kPrefix));
    EXPECT_EQ(first.nqn, kPrefix + first.id.to_string());
    EXPECT_EQ(find().nqn, first.nqn) << "a second daemon has the same";
  }
}

TEST_F(HostIdentityTest, KeepsOneForItsLifeWhereNothingCanBeWritten) {
  HostIdentitySource source({.hostnqn = folder_ / "hostnqn",
                             .hostid = folder_ / "hostid",
                             .dmi_uuid = folder_ / "product_uuid",
                             .kept_directory = "/proc/nowhere"});
  const auto first = source.find("", "");
  const auto second = source.find("", "");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->nqn, second->nqn);
}

TEST_F(HostIdentityTest, NamesTheFileThatIsWrong) {
  folder_.write("hostid", "not a uuid");
  const auto identity = source().find("", "");
  ASSERT_FALSE(identity.has_value());
  EXPECT_NE(identity.error().text.find(folder_ / "hostid"), std::string::npos);
}

TEST_F(HostIdentityTest, RefusesIdsThatAreNone) {
  EXPECT_FALSE(source().find("", "xyz").has_value());
  EXPECT_FALSE(source().find("", "00000000-0000-0000-0000-000000000000").has_value());
  EXPECT_FALSE(source().find(std::string(300, 'n'), kUuid).has_value());
}

}  // namespace
}  // namespace nvublk::service
