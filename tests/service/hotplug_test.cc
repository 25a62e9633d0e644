// Which of the kernel's messages say that a drive has come.

#include "service/hotplug.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace nvublk::service {
namespace {

using namespace std::string_literals;

std::string message(const std::string& action, const std::string& subsystem,
                    const std::string& more) {
  return action + "@/devices/pci0000:00/0000:00:03.0/0000:01:00.0\0ACTION="s + action +
         "\0SUBSYSTEM="s + subsystem + "\0PCI_CLASS=10802\0"s + more + "SEQNUM=7\0"s;
}

TEST(ArrivedFunction, ADriveThatComes) {
  const auto address = arrived_function(message("add", "pci", "PCI_SLOT_NAME=0000:01:00.0\0"s));
  ASSERT_TRUE(address);
  EXPECT_EQ(address->to_string(), "0000:01:00.0");
}

TEST(ArrivedFunction, ADriveThatTheKernelTakes) {
  EXPECT_TRUE(
      arrived_function(message("bind", "pci", "DRIVER=nvme\0PCI_SLOT_NAME=0000:01:00.0\0"s)));
  EXPECT_FALSE(
      arrived_function(message("bind", "pci", "DRIVER=vfio-pci\0PCI_SLOT_NAME=0000:01:00.0\0"s)));
}

TEST(ArrivedFunction, AnythingElse) {
  for (const std::string& other :
       {message("remove", "pci", "PCI_SLOT_NAME=0000:01:00.0\0"s),
        message("add", "block", "PCI_SLOT_NAME=0000:01:00.0\0"s), message("add", "pci", ""),
        message("add", "pci", "PCI_SLOT_NAME=nonsense\0"s), ""s, "\0\0\0"s, "ACTION=add"s,
        "libudev\0\xfe\xed\xca\xfe"s}) {
    EXPECT_FALSE(arrived_function(other));
  }
}

// Whatever comes, cut off anywhere, is read to its end and no further.
TEST(ArrivedFunction, CutOffAnywhere) {
  const std::string whole = message("add", "pci", "PCI_SLOT_NAME=0000:01:00.0\0"s);
  for (std::size_t length = 0; length < whole.size(); length++) {
    const auto address = arrived_function(std::string(whole, 0, length));
    EXPECT_TRUE(!address || address->to_string() == "0000:01:00.0");
  }
}

}  // namespace
}  // namespace nvublk::service
