#include "service/io_uring_features.h"

#include <array>
#include <cstdlib>
#include <memory>

#include <liburing.h>

#include "engine/uring.h"

namespace nvublk::service {

namespace {

// By bit number. [include/uapi/linux/io_uring.h]
constexpr std::array<std::string_view, 18> kFeatures = {
    "SINGLE_MMAP", "NODROP",      "SUBMIT_STABLE",   "RW_CUR_POS",   "CUR_PERSONALITY",
    "FAST_POLL",   "POLL_32BITS", "SQPOLL_NONFIXED", "EXT_ARG",      "NATIVE_WORKERS",
    "RSRC_TAGS",   "CQE_SKIP",    "LINKED_FILE",     "REG_REG_RING", "RECVSEND_BUNDLE",
    "MIN_TIMEOUT", "RW_ATTR",     "NO_IOWAIT",
};

// By opcode. [include/uapi/linux/io_uring.h]
constexpr std::array<std::string_view, 65> kOps = {
    "nop",
    "readv",
    "writev",
    "fsync",
    "read_fixed",
    "write_fixed",
    "poll_add",
    "poll_remove",
    "sync_file_range",
    "sendmsg",
    "recvmsg",
    "timeout",
    "timeout_remove",
    "accept",
    "async_cancel",
    "link_timeout",
    "connect",
    "fallocate",
    "openat",
    "close",
    "files_update",
    "statx",
    "read",
    "write",
    "fadvise",
    "madvise",
    "send",
    "recv",
    "openat2",
    "epoll_ctl",
    "splice",
    "provide_buffers",
    "remove_buffers",
    "tee",
    "shutdown",
    "renameat",
    "unlinkat",
    "mkdirat",
    "symlinkat",
    "linkat",
    "msg_ring",
    "fsetxattr",
    "setxattr",
    "fgetxattr",
    "getxattr",
    "socket",
    "uring_cmd",
    "send_zc",
    "sendmsg_zc",
    "read_multishot",
    "waitid",
    "futex_wait",
    "futex_wake",
    "futex_waitv",
    "fixed_fd_install",
    "ftruncate",
    "bind",
    "listen",
    "recv_zc",
    "epoll_wait",
    "readv_fixed",
    "writev_fixed",
    "pipe",
    "nop128",
    "uring_cmd128",
};

}  // namespace

Result<IoUringFeatures> probe_io_uring() {
  auto ring = Uring::create({.entries = 4, .cq_entries = 8});
  if (!ring) {
    return std::unexpected(std::move(ring.error()));
  }
  IoUringFeatures result;
  for (unsigned bit = 0; bit < 32; bit++) {
    if (((*ring)->raw().features >> bit & 1U) != 0) {
      result.features.push_back(bit < kFeatures.size() ? std::string(kFeatures[bit])
                                                       : "BIT_" + std::to_string(bit));
    }
  }
  const std::unique_ptr<io_uring_probe, void (*)(io_uring_probe*)> probe(
      io_uring_get_probe_ring(&(*ring)->raw()), io_uring_free_probe);
  if (probe == nullptr) {
    return result;
  }
  for (unsigned op = 0; op <= probe->last_op; op++) {
    if (io_uring_opcode_supported(probe.get(), static_cast<int>(op)) != 0) {
      result.ops.push_back(op < kOps.size() ? std::string(kOps[op]) : "op_" + std::to_string(op));
    }
  }
  return result;
}

}  // namespace nvublk::service
