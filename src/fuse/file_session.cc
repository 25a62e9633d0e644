#define FUSE_USE_VERSION 314
#include "fuse/file_session.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/check.h"

namespace nvublk::fuse {

namespace {

/// The file changes in size only, and then the kernel is made to ask.
constexpr double kCacheSeconds = 86400.0;

FileSession& self_of(fuse_req_t request) {
  return *static_cast<FileSession*>(fuse_req_userdata(request));
}

}  // namespace

struct FileSessionCallbacks {
  static FileSession& of(void* self) { return *static_cast<FileSession*>(self); }

  static struct stat attributes(const FileSession& self, fuse_ino_t node) {
    const FileLimits& limits = self.options_.limits;
    struct stat attributes{};
    attributes.st_ino = node;
    attributes.st_nlink = 1;
    attributes.st_uid = ::geteuid();
    attributes.st_gid = ::getegid();
    attributes.st_atim.tv_sec = attributes.st_mtim.tv_sec = attributes.st_ctim.tv_sec =
        self.started_s_;
    if (node == abi::kRootNode) {
      attributes.st_mode = S_IFDIR | 0700;
      attributes.st_nlink = 2;
      return attributes;
    }
    attributes.st_mode = S_IFREG | (limits.read_only ? 0400U : 0600U);
    attributes.st_size = static_cast<off_t>(limits.size_bytes);
    attributes.st_blocks = static_cast<blkcnt_t>(limits.size_bytes / 512);
    attributes.st_blksize = static_cast<blksize_t>(limits.block_size_bytes);
    return attributes;
  }

  static void init(void* user, fuse_conn_info* connection) {
    FileSession& self = of(user);
    const FileSession::Options& options = self.options_;
    connection->max_write = options.limits.max_transfer_bytes;
    connection->max_read = options.limits.max_transfer_bytes;
    connection->max_background = options.max_background;
    connection->congestion_threshold = options.max_background;
    const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS;
    connection->want = wanted & connection->capable;
  }

  static void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
    FileSession& self = self_of(request);
    if (parent != abi::kRootNode || self.options_.name != name) {
      fuse_reply_err(request, ENOENT);
      return;
    }
    fuse_entry_param entry{};
    entry.ino = kFileNode;
    entry.generation = 1;
    entry.attr = attributes(self, kFileNode);
    entry.attr_timeout = kCacheSeconds;
    entry.entry_timeout = kCacheSeconds;
    fuse_reply_entry(request, &entry);
  }

  static void getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
    const struct stat current = attributes(self_of(request), node);
    fuse_reply_attr(request, &current, kCacheSeconds);
  }

  // Like a block device: a new size is not obeyed, times are not kept; both are no error, so that
  // "cp image FILE" works. Owner and mode stay.
  static void setattr(fuse_req_t request, fuse_ino_t node, struct stat*, int to_set,
                      fuse_file_info*) {
    if ((to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
      fuse_reply_err(request, EPERM);
      return;
    }
    getattr(request, node, nullptr);
  }

  static void readdir(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset,
                      fuse_file_info*) {
    FileSession& self = self_of(request);
    const std::array<std::pair<const char*, fuse_ino_t>, 3> entries = {
        {{".", node}, {"..", abi::kRootNode}, {self.options_.name.c_str(), kFileNode}}};
    std::array<char, 1024> buffer;
    const std::size_t room = std::min(size, buffer.size());
    std::size_t used = 0;
    for (auto next = static_cast<std::size_t>(std::max<off_t>(offset, 0)); next < entries.size();
         next++) {
      const struct stat entry = attributes(self, entries[next].second);
      const std::size_t needed =
          fuse_add_direntry(request, buffer.data() + used, room - used, entries[next].first, &entry,
                            static_cast<off_t>(next + 1));
      if (needed > room - used) {
        break;
      }
      used += needed;
    }
    fuse_reply_buf(request, buffer.data(), used);
  }

  // The loop driver takes the block size for its discard granularity, and offers no discard if
  // this fails.
  static void statfs(fuse_req_t request, fuse_ino_t) {
    const FileSession::Options& options = self_of(request).options_;
    if (!options.limits.write_zeroes) {
      fuse_reply_err(request, EOPNOTSUPP);
      return;
    }
    const std::uint32_t unit =
        std::max(options.limits.block_size_bytes, options.discard_granularity_bytes);
    struct statvfs answer{};
    answer.f_bsize = answer.f_frsize = unit;
    answer.f_blocks = options.limits.size_bytes / unit;
    answer.f_files = 1;
    answer.f_namemax = 255;
    fuse_reply_statfs(request, &answer);
  }

  static fuse_lowlevel_ops operations() {
    fuse_lowlevel_ops table{};
    table.init = init;
    table.lookup = lookup;
    table.getattr = getattr;
    table.setattr = setattr;
    table.readdir = readdir;
    table.statfs = statfs;
    return table;
  }

  static ssize_t write_reply(int, struct iovec* parts, int count, void* user) {
    return of(user).write_reply(parts, count);
  }
  static ssize_t read_request(int, void*, std::size_t, void*) {
    // We read the requests ourselves and hand them over.
    errno = EOPNOTSUPP;
    return -1;
  }
};

Result<std::unique_ptr<FileSession>> FileSession::create(Options options) {
  std::unique_ptr<FileSession> self(new FileSession(std::move(options)));
  self->started_s_ = std::time(nullptr);
  char program[] = "nvublk";
  char option[] = "-o";
  // libfuse compares it with what init() says.
  std::string max_read = "max_read=" + std::to_string(self->options_.limits.max_transfer_bytes);
  char* arguments[] = {program, option, max_read.data(), nullptr};
  fuse_args args = {3, arguments, 0};
  const fuse_lowlevel_ops operations = FileSessionCallbacks::operations();
  self->session_ = fuse_session_new(&args, &operations, sizeof(operations), self.get());
  fuse_opt_free_args(&args);
  if (self->session_ == nullptr) {
    return fail(ErrorCode::kNoResources, "libfuse could not create a session");
  }
  fuse_custom_io io{};
  io.writev = FileSessionCallbacks::write_reply;
  io.read = FileSessionCallbacks::read_request;
  // libfuse wants to own a descriptor; ours belong to the queues, and only our writev is used.
  const int placeholder = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (placeholder < 0) {
    return fail_errno(errno, "cannot open /dev/null");
  }
  if (fuse_session_custom_io(self->session_, &io, placeholder) != 0) {
    ::close(placeholder);
    return fail(ErrorCode::kNoResources, "libfuse refused our way of reading requests");
  }
  return self;
}

FileSession::~FileSession() {
  if (session_ != nullptr) {
    fuse_session_destroy(session_);
  }
}

void FileSession::process(std::span<std::byte> request, int fd) {
  CHECK(request.size() >= sizeof(abi::InHeader));
  abi::InHeader header;
  std::memcpy(&header, request.data(), sizeof(header));
  handshake_ = static_cast<abi::Opcode>(header.opcode) == abi::Opcode::kInit;
  reply_fd_ = fd;
  fuse_buf buffer{};
  buffer.size = request.size();
  buffer.mem = request.data();
  fuse_session_process_buf(session_, &buffer);
  handshake_failed_ = handshake_ && !initialized_;
  reply_fd_ = -1;
}

long FileSession::write_reply(struct iovec* parts, int count) {
  abi::InitOut init;
  if (handshake_ && count == 2 && parts[1].iov_len == sizeof(init)) {
    // A buffer that does not begin at a page needs a page more than its length says; without it the
    // kernel would cut requests in the middle of a block.
    std::memcpy(&init, parts[1].iov_base, sizeof(init));
    init.max_pages++;
    parts[1].iov_base = &init;
  }
  const ssize_t written = ::writev(reply_fd_, parts, count);
  if (handshake_ && written > 0 && count == 2) {
    initialized_ = true;
  }
  return written;
}

}  // namespace nvublk::fuse
