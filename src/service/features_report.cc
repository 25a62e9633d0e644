#include "service/features_report.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <vector>

#include <sys/utsname.h>

#include "fuse/features.h"
#include "service/io_uring_features.h"
#include "ublk/features.h"

namespace nvublk::service {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool exists(const fs::path& path) {
  std::error_code failure;
  return fs::exists(path, failure);
}

std::uint64_t number_in(const fs::path& path) {
  std::uint64_t number = 0;
  std::ifstream(path) >> number;
  return number;
}

std::string kernel_version() {
  utsname name{};
  return ::uname(&name) == 0 ? name.release : "";
}

Json ublk_features() {
  const auto found = ublk::probe_features();
  Json json;
  json["available"] = found.has_value();
  json["reason"] = found ? "" : found.error().text;
  json["flags"] = found ? Json(found->names()) : Json::array();
  return json;
}

Json fuse_features() {
  const fuse::Features found = fuse::probe_features();
  Json json;
  json["available"] = found.available;
  json["reason"] = found.reason;
  json["libfuse"] = found.libfuse_version;
  json["over_io_uring"] = found.over_io_uring;
  return json;
}

Json vfio_features() {
  const bool container = exists("/dev/vfio/vfio");
  const bool iommufd = exists("/dev/iommu");
  const std::size_t groups = names_in("/sys/kernel/iommu_groups").size();
  std::string reason;
  if (!container && !iommufd) {
    reason = "there is no /dev/vfio/vfio: the kernel has no VFIO, or vfio-pci is not loaded";
  } else if (groups == 0) {
    reason = "the kernel knows no IOMMU groups: no IOMMU, or it is off (intel_iommu=on)";
  }
  Json json;
  json["available"] = reason.empty();
  json["reason"] = reason;
  json["iommu_groups"] = groups;
  json["iommufd"] = iommufd;
  return json;
}

Json rdma_features() {
  const std::vector<std::string> devices = names_in("/sys/class/infiniband");
  std::string reason;
  if (devices.empty()) {
    reason = "there is no RDMA device";
  } else if (!exists("/dev/infiniband/rdma_cm")) {
    reason = "there is no /dev/infiniband/rdma_cm: load the module rdma_ucm";
  }
  Json json;
  json["available"] = reason.empty();
  json["reason"] = reason;
  json["devices"] = devices;
  return json;
}

/// "hugepages-2048kB" to 2097152.
std::uint64_t page_size_of(const std::string& folder) {
  constexpr std::string_view kPrefix = "hugepages-";
  std::uint64_t size_kib = 0;
  if (folder.starts_with(kPrefix)) {
    std::from_chars(folder.data() + kPrefix.size(), folder.data() + folder.size(), size_kib);
  }
  return size_kib * 1024;
}

Json huge_page_features() {
  const fs::path folder = "/sys/kernel/mm/hugepages";
  Json pools = Json::array();
  for (const std::string& name : names_in(folder)) {
    Json pool;
    pool["size_bytes"] = page_size_of(name);
    pool["total"] = number_in(folder / name / "nr_hugepages");
    pool["free"] = number_in(folder / name / "free_hugepages");
    pools.push_back(std::move(pool));
  }
  std::sort(pools.begin(), pools.end(), [](const Json& a, const Json& b) {
    return a["size_bytes"].get<std::uint64_t>() < b["size_bytes"].get<std::uint64_t>();
  });
  return pools;
}

Json io_uring_features() {
  const auto found = probe_io_uring();
  Json json;
  json["available"] = found.has_value();
  json["reason"] = found ? "" : found.error().text;
  json["features"] = found ? Json(found->features) : Json::array();
  json["ops"] = found ? Json(found->ops) : Json::array();
  return json;
}

}  // namespace

Json features_report() {
  Json report;
  report["kernel"] = kernel_version();
  report["ublk"] = ublk_features();
  report["fuse"] = fuse_features();
  report["vfio"] = vfio_features();
  report["rdma"] = rdma_features();
  report["huge_pages"] = huge_page_features();
  report["io_uring"] = io_uring_features();
  return report;
}

}  // namespace nvublk::service
