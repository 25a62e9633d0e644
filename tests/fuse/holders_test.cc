#include "fuse/holders.h"

#include <algorithm>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/fd.h"

namespace nvublk::fuse {
namespace {

TEST(Holders, UnescapesMountFields) {
  EXPECT_EQ(unescape_mount_field("/plain"), "/plain");
  EXPECT_EQ(unescape_mount_field("/with\\040space\\011tab\\134"), "/with space\ttab\\");
  EXPECT_EQ(unescape_mount_field("\\04"), "\\04");
  EXPECT_EQ(unescape_mount_field("\\999"), "\\999");
}

TEST(Holders, KnowsMountPoints) {
  EXPECT_TRUE(is_mount_point("/proc"));
  EXPECT_FALSE(is_mount_point("/proc/self"));
}

TEST(Holders, NamesTheProcessThatHasAFileOpen) {
  char pattern[] = "/tmp/nvublk-holders-XXXXXX";
  const std::string directory = ::mkdtemp(pattern);
  EXPECT_TRUE(find_holders("", directory).empty());
  const std::string path = directory + "/file";
  {
    const UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const Holders holders = find_holders("", directory);
    ASSERT_EQ(holders.processes.size(), 1U);
    EXPECT_NE(holders.text().find("(pid " + std::to_string(::getpid()) + ")"), std::string::npos);
    EXPECT_TRUE(holders.lasting.empty());
  }
  ::unlink(path.c_str());
  ::rmdir(directory.c_str());
}

}  // namespace
}  // namespace nvublk::fuse
