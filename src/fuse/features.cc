#define FUSE_USE_VERSION 314
#include "fuse/features.h"

#include <fstream>

#include <fuse3/fuse_lowlevel.h>
#include <unistd.h>

#include "fuse/loop_device.h"
#include "fuse/mount.h"

namespace nvublk::fuse {

Features probe_features() {
  Features features;
  features.libfuse_version = fuse_pkgversion();
  std::ifstream parameter("/sys/module/fuse/parameters/enable_uring");
  features.over_io_uring = parameter.get() == 'Y';
  if (auto device = open_fuse_device(); !device) {
    features.reason = device.error().text;
  } else if (Status loop = probe_loop_control(); !loop) {
    features.reason = loop.error().text;
  } else if (::geteuid() != 0) {
    features.reason = "mounting FUSE and configuring loop devices need root";
  } else {
    features.available = true;
  }
  return features;
}

}  // namespace nvublk::fuse
