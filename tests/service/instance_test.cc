#include "service/instance.h"

#include <cstring>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "service/socket_path.h"
#include "service/temporary_folder.h"

namespace nvublk::service {
namespace {

class InstanceTest : public ::testing::Test {
 protected:
  Result<Instance> claim() { return Instance::claim(socket_, run_directory_of(socket_)); }
  bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

  /// Makes a socket at the path, which nobody listens on.
  UniqueFd bind_another() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket_.c_str(), sizeof(address.sun_path) - 1);
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  test::TemporaryFolder folder_;
  std::string socket_ = folder_ / "deep/er/nvublk.sock";
};

TEST_F(InstanceTest, ListensForItsOwnerOnly) {
  auto instance = claim();
  ASSERT_TRUE(instance.has_value()) << instance.error().text;
  struct stat status{};
  ASSERT_EQ(::stat(socket_.c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 07777, 0600U);
}

TEST_F(InstanceTest, LeavesNothingBehind) {
  {
    auto instance = claim();
    ASSERT_TRUE(instance.has_value());
    EXPECT_TRUE(exists(run_directory_of(socket_)));
  }
  EXPECT_FALSE(exists(socket_));
  EXPECT_FALSE(exists(socket_ + ".lock"));
  EXPECT_FALSE(exists(run_directory_of(socket_)));
}

TEST_F(InstanceTest, RefusesASecondOneAndNamesTheFirst) {
  auto first = claim();
  ASSERT_TRUE(first.has_value());
  auto second = claim();
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
  EXPECT_NE(second.error().text.find(std::to_string(::getpid())), std::string::npos)
      << second.error().text;
  EXPECT_TRUE(exists(socket_)) << "the refusal must not take the first one's socket";
}

TEST_F(InstanceTest, ReplacesAStaleSocket) {
  {
    auto instance = claim();
    ASSERT_TRUE(instance.has_value());
  }
  const UniqueFd dead = bind_another();
  EXPECT_TRUE(claim().has_value());
}

TEST_F(InstanceTest, DoesNotRemoveWhatIsNoSocket) {
  std::filesystem::create_directories(folder_ / "deep/er");
  folder_.write("deep/er/nvublk.sock", "precious");
  auto instance = claim();
  ASSERT_FALSE(instance.has_value());
  EXPECT_TRUE(exists(socket_));
}

TEST_F(InstanceTest, RemovesNoSocketButItsOwn) {
  UniqueFd another;
  {
    auto instance = claim();
    ASSERT_TRUE(instance.has_value());
    ASSERT_EQ(::unlink(socket_.c_str()), 0);
    another = bind_another();
  }
  EXPECT_TRUE(exists(socket_));
}

TEST(SocketPath, EveryOtherSocketHasARunDirectoryOfItsOwn) {
  EXPECT_EQ(run_directory_of("/run/nvublk/nvublk.sock"), "/run/nvublk");
  EXPECT_EQ(run_directory_of("/run/nvublk/two.sock"), "/run/nvublk/two.sock.d");
}

}  // namespace
}  // namespace nvublk::service
