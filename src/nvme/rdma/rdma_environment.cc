#include "nvme/rdma/rdma_environment.h"

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>

#include <infiniband/verbs.h>
#include <unistd.h>

namespace nvublk::nvme::rdma {

namespace {

constexpr const char* kDevices = "/sys/class/infiniband";
constexpr const char* kNodes = "/dev/infiniband";
constexpr const char* kManagerNode = "/dev/infiniband/rdma_cm";

// The name of the first entry of `folder` that begins with `prefix`, "" if there is none.
std::string first_entry(const char* folder, const std::string& prefix) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix)) {
      return name;
    }
  }
  return "";
}

Status check_node(const std::string& path) {
  if (::access(path.c_str(), R_OK | W_OK) == 0) {
    return {};
  }
  return fail_errno(errno, "cannot open " + path);
}

struct FreeDevices {
  void operator()(ibv_device** list) const { ::ibv_free_device_list(list); }
};

}  // namespace

Status check_rdma_environment() {
  const std::string device = first_entry(kDevices, "");
  if (device.empty()) {
    return fail(ErrorCode::kNotFound,
                "this machine has no RDMA device; load the driver of its adapter, or make a "
                "software device with \"modprobe rdma_rxe\" and \"rdma link add rxe0 type rxe "
                "netdev INTERFACE\"");
  }
  const std::string node = first_entry(kNodes, "uverbs");
  if (node.empty()) {
    return fail(ErrorCode::kNotFound,
                "the RDMA device " + device +
                    " cannot be used from user space; load the module with \"modprobe ib_uverbs\"");
  }
  if (::access(kManagerNode, F_OK) != 0) {
    return fail(ErrorCode::kNotFound,
                "the RDMA connection manager is not there; load the module with \"modprobe "
                "rdma_ucm\"");
  }
  for (const std::string& path : {std::string(kNodes) + "/" + node, std::string(kManagerNode)}) {
    if (Status status = check_node(path); !status) {
      return status;
    }
  }
  int count = 0;
  const std::unique_ptr<ibv_device*, FreeDevices> list(::ibv_get_device_list(&count));
  if (!list || count == 0) {
    return fail(ErrorCode::kNotFound, "there is no user-space driver for the RDMA device " +
                                          device + "; install the package ibverbs-providers");
  }
  return {};
}

}  // namespace nvublk::nvme::rdma
