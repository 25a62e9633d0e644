#include "service/policy.h"

#include <gtest/gtest.h>

namespace nvublk::service {
namespace {

std::string refusal(const std::vector<std::string>& words) {
  const auto read = parse_settings(words);
  return read ? "" : read.error().text;
}

TEST(Policy, SettingsAreReadWithEitherDash) {
  const auto read = parse_settings(
      {"ctrl-loss-tmo=-1", "fast_io_fail_tmo=5", "io_timeout=9", "timeout-action=abort"});
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(*read, (Json{{"ctrl_loss_tmo", -1},
                         {"fast_io_fail_tmo", 5},
                         {"io_timeout", 9},
                         {"timeout_action", "abort"}}));
}

TEST(Policy, SettingsThatAreNoneAreExplained) {
  EXPECT_NE(refusal({"ctrl-loss-tmo"}).find("NAME=VALUE"), std::string::npos);
  EXPECT_NE(refusal({"loss=1"}).find("keep-alive-tmo"), std::string::npos);
  EXPECT_NE(refusal({"io-timeout=1s"}).find("number of seconds"), std::string::npos);
  EXPECT_NE(refusal({"io-timeout="}).find("number of seconds"), std::string::npos);
  EXPECT_NE(refusal({"io-timeout=1", "io_timeout=2"}).find("twice"), std::string::npos);
  EXPECT_NE(refusal({"keep-alive-tmo=4294968"}).find("from 0 to 4294967"), std::string::npos);
}

TEST(Policy, WhatIsWrittenIsRead) {
  nvme::ControllerOptions options;
  options.ctrl_loss_timeout = seconds(-1);
  options.fast_io_fail_timeout = seconds(7);
  options.reconnect_delay = seconds(3);
  options.keep_alive = seconds(4);
  options.io_timeout = seconds(12);
  options.admin_timeout = seconds(13);
  options.timeout_action = nvme::TimeoutAction::kNone;
  Json json;
  write_policy(options, json);
  nvme::ControllerOptions read;
  JsonFields fields(json);
  read_policy(fields, read);
  ASSERT_TRUE(fields.finish());
  Json again;
  write_policy(read, again);
  EXPECT_EQ(again, json);
  EXPECT_EQ(json.size(), setting_names().size());
}

TEST(Policy, OutOfRangeIsRefused) {
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, Json>>{{"io_timeout", 0},
                                                 {"admin_timeout", 90000},
                                                 {"timeout_action", "retry"},
                                                 {"keep_alive_tmo", -1}}) {
    nvme::ControllerOptions options;
    const Json json{{key, value}};
    JsonFields fields(json);
    read_policy(fields, options);
    const Status right = fields.finish();
    ASSERT_FALSE(right) << key;
    EXPECT_NE(right.error().text.find(key), std::string::npos) << right.error().text;
  }
}

TEST(Policy, CombinationsThatCannotWorkAreExplained) {
  const auto refused = [](auto change) {
    nvme::ControllerOptions options;
    change(options);
    const Status right = nvme::check_policy(options);
    return right ? std::string() : right.error().text;
  };
  using Options = nvme::ControllerOptions;
  EXPECT_EQ(refused([](Options&) {}), "");
  EXPECT_NE(refused([](Options& o) {
              o.fast_io_fail_timeout = seconds(601);
            }).find("longer than ctrl-loss-tmo (600 s)"),
            std::string::npos);
  EXPECT_NE(refused([](Options& o) { o.ctrl_loss_timeout = seconds(5); }).find("reconnect-delay"),
            std::string::npos);
  EXPECT_EQ(refused([](Options& o) { o.ctrl_loss_timeout = seconds(0); }), "");
  EXPECT_NE(refused([](Options& o) {
              o.keep_alive = milliseconds(0);
              o.timeout_action = nvme::TimeoutAction::kNone;
            }).find("gone silent"),
            std::string::npos);
}

}  // namespace
}  // namespace nvublk::service
