// What people see: error lines, sizes, tables.

#include <filesystem>

#include <gtest/gtest.h>

#include "service/error_line.h"
#include "service/temporary_folder.h"
#include "service/text_output.h"

namespace nvublk::service {
namespace {

TEST(ErrorLine, SaysWhatFailedAtWhichStepAndWhatToTry) {
  EXPECT_EQ(error_line("attach", Error{ErrorCode::kUnreachable, "no route", "TCP connect", 0}),
            "nvublk: attach: no route (step: TCP connect); check the address and the port (-a, -s),"
            " and that the target runs");
  EXPECT_EQ(error_line("detach", Error{ErrorCode::kBusy, "/dev/ublkb0 is mounted on /mnt", "", 0}),
            "nvublk: detach: /dev/ublkb0 is mounted on /mnt; unmount or close it first, or use "
            "--force");
}

TEST(ErrorLine, AnAdviceInTheTextIsEnough) {
  EXPECT_EQ(error_line("attach",
                       Error{ErrorCode::kUnreachable, "refused; check the port", "TCP connect", 0}),
            "nvublk: attach: refused (step: TCP connect); check the port");
}

TEST(DeviceLink, IsResolvedHoweverThePathIsGiven) {
  const test::TemporaryFolder folder;
  const std::string real = std::filesystem::canonical(folder.path());
  folder.write("device", "");
  std::filesystem::create_symlink("device", folder / "link");
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  EXPECT_EQ(resolve_device_link(folder / "link"), real + "/device");
  EXPECT_EQ(resolve_device_link("./link"), real + "/device");
  EXPECT_EQ(resolve_device_link("device"), "device") << "a name, and no block device";
  EXPECT_EQ(resolve_device_link("nvublk0"), "nvublk0");
  EXPECT_EQ(resolve_device_link("nqn.2026-01.io.nvublk:a/b"), "nqn.2026-01.io.nvublk:a/b");
  EXPECT_EQ(resolve_device_link("./nothing"), "./nothing");
  EXPECT_EQ(resolve_device_link(""), "");
  std::filesystem::current_path(before);
}

TEST(ErrorLine, StaysOneLine) {
  const std::string line = error_line("attach", Error{ErrorCode::kSystem, "a\nb", "c\nd", 0});
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(ErrorJson, HasMessageStepAndCode) {
  EXPECT_EQ(error_json(Error{ErrorCode::kTimeout, "late", "read CAP", 0}).dump(),
            R"({"error":{"message":"late","step":"read CAP","code":"timeout"}})");
}

TEST(FormatSize, UsesPowersOfThousand) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(999), "999 B");
  EXPECT_EQ(format_size(1000), "1.00 kB");
  EXPECT_EQ(format_size(1073741824), "1.07 GB");
  EXPECT_EQ(format_size(999'999'999), "1.00 GB");
  EXPECT_EQ(format_size(18446744073709551615ULL), "18.45 EB");
}

TEST(FormatMilliseconds, ShowsSecondsFromOneOn) {
  EXPECT_EQ(format_milliseconds(800), "800 ms");
  EXPECT_EQ(format_milliseconds(61250), "61.2 s");
}

TEST(FormatTable, AlignsColumnsWithoutTrailingBlanks) {
  EXPECT_EQ(format_table({{"a", "bb", "c"}, {"aaa", "b", "c"}}), "a    bb  c\naaa  b   c\n");
}

TEST(StatusText, ShowsHangingControllersFirst) {
  const Json report = Json::parse(R"({
    "daemon":{"version":"1","pid":5,"uptime_s":3,"shards":[{"id":0,"cpu":0,"mode":"busy"}]},
    "controllers":[
      {"name":"fine","state":"live","step":"","step_since_ms":0,"step_deadline_ms":null,
       "transport_id":{"trtype":"tcp","traddr":"::1","trsvcid":"1","subnqn":"nqn.a"},
       "host":{"nqn":"h","id":"i"},"cntlid":1,"model":"m","serial":"s","firmware":"f",
       "version":"2.1","keep_alive_ms":5000,"queues":[],"namespaces":[]},
      {"name":"stuck","state":"connecting","step":"read CAP","step_since_ms":900,
       "step_deadline_ms":4100,
       "transport_id":{"trtype":"tcp","traddr":"1.2.3.4","trsvcid":"1","subnqn":"nqn.b"},
       "host":{"nqn":"h","id":"i"},"cntlid":0,"model":"","serial":"","firmware":"","version":"",
       "keep_alive_ms":0,"queues":[],"namespaces":[]}],
    "devices":[]})");
  const std::string text = status_text(report);
  EXPECT_LT(text.find("stuck: connecting"), text.find("fine: live"));
  EXPECT_NE(text.find("read CAP, for 900 ms, given up in 4.1 s"), std::string::npos) << text;
  EXPECT_NE(text.find("[::1]:1"), std::string::npos);
}

}  // namespace
}  // namespace nvublk::service
