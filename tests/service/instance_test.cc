#include "service/instance.h"

#include <csignal>
#include <cstring>
#include <optional>
#include <thread>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
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
  std::string socket_ = folder_ / "nvublk.sock";
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

TEST_F(InstanceTest, RefusesADirectoryThatAnotherOneHasAndNamesIt) {
  const std::string directory = folder_ / "run";
  auto first = Instance::claim(socket_, directory);
  ASSERT_TRUE(first.has_value()) << first.error().text;
  const std::string other = folder_ / "other.sock";
  auto second = Instance::claim(other, directory, milliseconds(1));
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(second.error().text, "another nvublkd (pid " + std::to_string(::getpid()) +
                                     ") has the run directory " + directory +
                                     "; end that one first, or give this one another --run-dir");
  EXPECT_FALSE(exists(other) || exists(other + ".lock")) << "nothing stays of the second one";
  EXPECT_TRUE(exists(directory + "/lock"));
}

/// Claims a socket and `directory` in a process of its own, which ends when it is told to.
class Holder {
 public:
  Holder(const std::string& socket, const std::string& directory) {
    int ready[2];
    int end[2];
    EXPECT_TRUE(::pipe(ready) == 0 && ::pipe(end) == 0);
    pid_ = ::fork();
    char byte = 0;
    if (pid_ == 0) {
      ::close(end[1]);
      {
        const auto instance = Instance::claim(socket, directory);
        [[maybe_unused]] ssize_t moved = ::write(ready[1], instance ? "y" : "n", 1);
        moved = ::read(end[0], &byte, 1);
      }
      ::_exit(0);
    }
    ::close(ready[1]);
    ::close(end[0]);
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
    ::close(ready[0]);
    end_ = UniqueFd(end[1]);
  }
  ~Holder() { ::waitpid(pid_, nullptr, 0); }
  void end() { end_.reset(); }
  void kill() const { ::kill(pid_, SIGKILL); }

 private:
  pid_t pid_ = -1;
  UniqueFd end_;
};

TEST_F(InstanceTest, WaitsForAPredecessorThatEnds) {
  const std::string directory = folder_ / "run";
  for (const bool killed : {false, true, false, true, false, true}) {
    Holder holder(folder_ / "old.sock", directory);
    EXPECT_FALSE(Instance::claim(socket_, directory, milliseconds(1)).has_value());
    std::optional<Result<Instance>> claimed;
    std::thread successor(
        [&] { claimed.emplace(Instance::claim(socket_, directory, seconds(60))); });
    if (killed) {
      holder.kill();
    } else {
      holder.end();
    }
    successor.join();
    EXPECT_TRUE(claimed->has_value()) << claimed->error().text;
  }
}

TEST_F(InstanceTest, MakesNoTreeOfDirectories) {
  const std::string nowhere = folder_ / "no";
  const auto lost = Instance::claim(nowhere + "/such/x.sock", nowhere + "/such/x.sock.d");
  ASSERT_FALSE(lost.has_value());
  EXPECT_EQ(lost.error().text,
            "there is no directory " + nowhere + "; make it, or give another --socket");
  const auto astray = Instance::claim(socket_, nowhere + "/run");
  ASSERT_FALSE(astray.has_value());
  EXPECT_EQ(astray.error().text,
            "there is no directory " + nowhere + "; make it, or give another --run-dir");
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(InstanceTest, MakesTheDirectoryOfTheSocket) {
  const std::string socket = folder_ / "second/x.sock";
  const auto claimed = Instance::claim(socket, socket + ".d");
  EXPECT_TRUE(claimed.has_value()) << claimed.error().text;
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
  folder_.write("nvublk.sock", "precious");
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
