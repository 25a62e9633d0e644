#pragma once

#include <string>

namespace nvublk::fuse {

/// Whether exports can work here, for `nvublk features` and for choosing a front-end.
struct Features {
  bool available = false;
  std::string reason;  ///< why not, a sentence
  std::string libfuse_version;
  bool over_io_uring = false;  ///< the kernel offers FUSE over io_uring, and it is enabled
};

/// Opens /dev/fuse and /dev/loop-control, loading their modules if need be: may block.
Features probe_features();

}  // namespace nvublk::fuse
