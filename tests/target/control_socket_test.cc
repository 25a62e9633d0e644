// Where the control socket is made, and what of it is removed.

#include <cstring>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "target/control_server.h"
#include "target/target_fixture.h"

namespace nvublk::target {
namespace {

using ::testing::HasSubstr;

class ControlSocketTest : public TargetTest {
 protected:
  void SetUp() override { ASSERT_NE(mkdtemp(folder_.data()), nullptr); }
  void TearDown() override {
    target_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string path() const { return folder_ + "/control"; }
  Options options() const {
    Options options = defaults();
    options.control_path = path();
    return options;
  }
  bool answers() const { return call_control(path(), "stats", "").has_value(); }
  /// A socket at path() that nobody listens on.
  int bound_socket() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path().c_str(), sizeof(address.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  std::string folder_ = std::filesystem::temp_directory_path() / "control-XXXXXX";
};

TEST_F(ControlSocketTest, OneThatIsInUseIsLeftAlone) {
  start(options());
  {
    Target second(options());
    const Status started = second.start();
    ASSERT_FALSE(started);
    EXPECT_THAT(started.error().text, HasSubstr("in use by another process"));
    EXPECT_TRUE(answers());
  }
  EXPECT_TRUE(answers()) << "nor is it removed at the end";
}

TEST_F(ControlSocketTest, OneThatIsStaleIsReplaced) {
  close(bound_socket());
  start(options());
  EXPECT_TRUE(answers());
}

TEST_F(ControlSocketTest, WhatIsNoSocketIsLeftAlone) {
  std::ofstream(path()) << "precious";
  {
    Target target(options());
    const Status started = target.start();
    ASSERT_FALSE(started);
    EXPECT_THAT(started.error().text, HasSubstr("is no socket"));
  }
  EXPECT_EQ(std::filesystem::file_size(path()), 8u);
}

TEST_F(ControlSocketTest, AnotherThatCameInItsPlaceIsLeftAlone) {
  start(options());
  std::filesystem::remove(path());
  const int other = bound_socket();
  target_->stop();
  EXPECT_TRUE(std::filesystem::exists(path()));
  close(other);
}

}  // namespace
}  // namespace nvublk::target
