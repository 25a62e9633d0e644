// What a daemon keeps for the next one: there and back, and whatever else may be in the file.

#include "service/saved_state.h"

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/state_file.h"
#include "service/temporary_folder.h"

namespace nvublk::service {
namespace {

SavedDevice device_of(int id, std::uint32_t nsid) {
  SavedDevice device;
  device.name = "disk" + std::string("n") + std::to_string(nsid);
  device.id = id;
  device.key = static_cast<std::uint16_t>(1000 + id);
  device.identity.nsid = nsid;
  device.identity.uuid = "7a1b2c3d-0000-4000-8000-000000000001";
  device.identity.nguid = "00112233445566778899aabbccddeeff";
  device.serial = "S/N \"1\"";
  device.size_bytes = std::uint64_t{1} << 42;
  device.block_size_bytes = 4096;
  device.queues = 2;
  device.depth = 64;
  device.features = {"USER_RECOVERY", "QUIESCE"};
  return device;
}

SavedState state() {
  SavedAttachment attachment;
  attachment.request.controller.name = "disk";
  attachment.request.controller.transport.id = {nvme::Trtype::kTcp, nvme::Adrfam::kIpv4,
                                                "192.0.2.1", "4421", "nqn.2026-01.org.example:d"};
  attachment.request.controller.ctrl_loss_timeout = seconds(-1);
  attachment.request.hostnqn = "nqn.2026-01.org.example:host";
  attachment.request.hostid = "7a1b2c3d-0000-4000-8000-000000000002";
  attachment.request.controller.dhchap_key =
      nvme::DhchapKey::make(std::vector<std::byte>(48, std::byte{7}), std::nullopt).value();
  attachment.request.controller.tls_key =
      nvme::TlsKey::make(std::vector<std::byte>(32, std::byte{9}), nvme::spec::TlsHash::kSha256)
          .value();
  attachment.request.nsids = {1, 7};
  attachment.frontend = "ublk";
  attachment.devices = {device_of(0, 1), device_of(5, 7)};
  attachment.devices[1].failed = true;
  attachment.devices[1].problem = "it is another disk";
  attachment.drive_returns_to = "nvme";
  SavedState state;
  state.quiet = true;
  state.attachments.push_back(std::move(attachment));
  return state;
}

Json json() {
  return Json::parse(state().to_text());
}

std::string refusal(const Json& changed) {
  const auto read = SavedState::from_text(changed.dump());
  EXPECT_FALSE(read.has_value()) << changed.dump(2);
  return read ? "" : read.error().text;
}

TEST(SavedState, ComesBackAsItWas) {
  const auto read = SavedState::from_text(state().to_text());
  ASSERT_TRUE(read.has_value()) << read.error().text;
  EXPECT_EQ(read->to_text(), state().to_text());
  EXPECT_TRUE(read->quiet);
  ASSERT_EQ(read->attachments.size(), 1U);
  const SavedAttachment& attachment = read->attachments[0];
  EXPECT_EQ(attachment.request.to_params(), state().attachments[0].request.to_params());
  EXPECT_EQ(attachment.request.controller.dhchap_key,
            state().attachments[0].request.controller.dhchap_key)
      << "to authenticate again";
  EXPECT_EQ(attachment.request.controller.tls_key,
            state().attachments[0].request.controller.tls_key)
      << "to connect again";
  EXPECT_EQ(attachment.drive_returns_to, "nvme");
  ASSERT_EQ(attachment.devices.size(), 2U);
  EXPECT_EQ(attachment.devices[1].path(), "/dev/ublkb5");
  EXPECT_EQ(attachment.devices[1].key, 1005);
  EXPECT_EQ(attachment.devices[1].identity, state().attachments[0].devices[1].identity);
  EXPECT_EQ(attachment.devices[1].size_bytes, std::uint64_t{1} << 42);
  EXPECT_EQ(attachment.devices[1].features, state().attachments[0].devices[1].features);
  EXPECT_TRUE(attachment.devices[1].failed);
}

TEST(SavedState, TakesTheDefaultsThatEarlierDaemonsWrote) {
  Json old = json();
  Json& request = old["attachments"][0]["request"];
  request["id"] = -1;
  request["queues"] = 0;
  request["nr_io_queues"] = 0;
  const auto read = SavedState::from_text(old.dump());
  ASSERT_TRUE(read.has_value()) << read.error().text;
  EXPECT_EQ(read->to_text(), state().to_text());
  request["queues"] = -1;
  EXPECT_NE(refusal(old).find("queues"), std::string::npos);
}

TEST(SavedState, RefusesAnotherFormatByItsNumber) {
  Json other = json();
  other["format"] = 2;
  EXPECT_NE(refusal(other).find("format 2"), std::string::npos);
  other["format"] = "1";
  EXPECT_NE(refusal(other), "");
  other.erase("format");
  EXPECT_NE(refusal(other), "");
}

TEST(SavedState, RefusesWhatCannotBe) {
  for (const char* text :
       {"", "{", "[]", "null", "7", "\"text\"", "{}", "{\"format\":1}",
        "{\"format\":1,\"attachments\":{}}", "{\"format\":1,\"attachments\":[1]}",
        "{\"format\":1,\"attachments\":[],\"more\":1}"}) {
    EXPECT_FALSE(SavedState::from_text(text).has_value()) << text;
  }
  const std::pair<const char*, Json> changes[] = {
      {"id", -1},           {"id", 1 << 21},
      {"id", "0"},          {"key", 0},
      {"key", 70000},       {"nsid", 0},
      {"nsid", nullptr},    {"size_bytes", 0},
      {"size_bytes", 5000}, {"size_bytes", -4096},
      {"block_size", 0},    {"block_size", 5000},
      {"features", "x"},    {"features", Json::array({1})},
      {"name", 1},          {"uuid", Json::array()},
      {"depth", -1},        {"failed", 1},
      {"unknown", true}};
  for (const auto& [key, value] : changes) {
    Json changed = json();
    changed["attachments"][0]["devices"][0][key] = value;
    EXPECT_NE(refusal(changed), "") << key;
  }
  for (const char* key : {"name", "id", "key", "nsid", "size_bytes", "block_size"}) {
    Json changed = json();
    changed["attachments"][0]["devices"][0].erase(key);
    EXPECT_NE(refusal(changed).find(key), std::string::npos);
  }
  for (const char* key : {"request", "frontend", "devices"}) {
    Json changed = json();
    changed["attachments"][0].erase(key);
    EXPECT_NE(refusal(changed), "");
  }
}

TEST(SavedState, RefusesTwoOfTheSameName) {
  Json twice = json();
  twice["attachments"].push_back(twice["attachments"][0]);
  EXPECT_NE(refusal(twice).find("two controllers"), std::string::npos);
  Json same = json();
  same["attachments"][0]["devices"][1]["id"] = 0;
  EXPECT_NE(refusal(same).find("two devices"), std::string::npos);
}

// Bytes changed, lost and doubled, at random but the same in every run: never a crash, and what is
// accepted can be written and read again.
TEST(SavedState, SurvivesAnyDamage) {
  std::mt19937 random(6);
  const std::string good = state().to_text();
  unsigned accepted = 0;
  for (int round = 0; round < 20000; round++) {
    std::string text = good;
    for (unsigned change = 0; change <= random() % 3 && !text.empty(); change++) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 40);
          break;
        case 2:
          text.insert(at, text.substr(random() % text.size(), random() % 40));
          break;
        default:
          text.resize(at + 1);
      }
    }
    if (const auto read = SavedState::from_text(text); read) {
      accepted++;
      EXPECT_TRUE(SavedState::from_text(read->to_text()).has_value()) << text;
    } else {
      EXPECT_FALSE(read.error().text.empty());
    }
  }
  EXPECT_GT(accepted, 0U);
}

class StateFileTest : public ::testing::Test {
 protected:
  std::string content() {
    std::ifstream file(path_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  test::TemporaryFolder folder_;
  std::string path_ = state_path_of(folder_.path());
};

TEST_F(StateFileTest, IsWrittenAndReadAndGoneWhenThereIsNothingToKeep) {
  ASSERT_TRUE(write_state_file(path_, state()).has_value());
  struct stat status{};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  FoundState found = read_state_file(path_);
  EXPECT_EQ(found.problem, "");
  EXPECT_EQ(found.state.to_text(), state().to_text());
  ASSERT_TRUE(write_state_file(path_, {}).has_value());
  EXPECT_FALSE(std::filesystem::exists(path_));
  found = read_state_file(path_);
  EXPECT_EQ(found.problem, "");
  EXPECT_TRUE(found.state.attachments.empty());
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(StateFileTest, AWriterThatDiedHalfWayLeavesTheOldFile) {
  ASSERT_TRUE(write_state_file(path_, state()).has_value());
  folder_.write("state.json.new", "{ \"format\": 1, \"atta");
  EXPECT_EQ(read_state_file(path_).state.to_text(), state().to_text());
  SavedState other = state();
  other.quiet = false;
  ASSERT_TRUE(write_state_file(path_, other).has_value());
  EXPECT_FALSE(read_state_file(path_).state.quiet);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
}

TEST_F(StateFileTest, KeepsADamagedFileAsideAndTellsOfIt) {
  folder_.write("state.json", "{ damaged");
  FoundState found = read_state_file(path_);
  EXPECT_TRUE(found.state.attachments.empty());
  EXPECT_NE(found.problem.find(path_ + " cannot be used"), std::string::npos) << found.problem;
  EXPECT_TRUE(std::filesystem::exists(path_)) << "who only looks changes nothing";
  keep_aside(path_, found.problem);
  EXPECT_NE(found.problem.find("kept as " + path_ + ".damaged"), std::string::npos)
      << found.problem;
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_TRUE(std::filesystem::exists(path_ + ".damaged"));
  EXPECT_EQ(read_state_file(path_).problem, "");
}

TEST_F(StateFileTest, IsNotFooledByWhatIsNoFile) {
  folder_.write("elsewhere", state().to_text());
  ASSERT_EQ(::symlink((folder_ / "elsewhere").c_str(), path_.c_str()), 0);
  EXPECT_NE(read_state_file(path_).problem, "");
  ASSERT_EQ(::unlink(path_.c_str()), 0);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_NE(read_state_file(path_).problem, "");
  EXPECT_EQ(std::filesystem::file_size(folder_ / "elsewhere"), state().to_text().size());
}

TEST_F(StateFileTest, SaysWhereItCannotWrite) {
  const auto written = write_state_file(folder_ / "no/such/state.json", state());
  ASSERT_FALSE(written.has_value());
  EXPECT_NE(written.error().text.find("no/such/state.json"), std::string::npos);
}

}  // namespace
}  // namespace nvublk::service
