#pragma once

// Everything a FUSE connection is asked besides data: the handshake, looking up and listing the one
// file, its attributes. libfuse decodes and answers; this says what is true. Affine to the control
// shard.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/error.h"
#include "fuse/file_request.h"

struct fuse_session;
struct iovec;

namespace nvublk::fuse {

class FileSession {
 public:
  struct Options {
    std::string name;  ///< of the file
    FileLimits limits;
    std::uint32_t discard_granularity_bytes = 0;
    unsigned max_background = 128;  ///< how many asynchronous requests the kernel sends at once
  };

  static Result<std::unique_ptr<FileSession>> create(Options options);
  ~FileSession();
  FileSession(const FileSession&) = delete;
  FileSession& operator=(const FileSession&) = delete;

  /// Answers one request by writing to `fd`, the descriptor that it was read from.
  void process(std::span<std::byte> request, int fd);
  /// Whether the handshake is over: the kernel now sends requests.
  bool initialized() const { return initialized_; }
  /// Whether libfuse refused the handshake.
  bool handshake_failed() const { return handshake_failed_; }

  /// The kernel learns of it when it asks for the attributes again.
  void resize(std::uint64_t size_bytes) { options_.limits.size_bytes = size_bytes; }

  const Options& options() const { return options_; }

 private:
  friend struct FileSessionCallbacks;

  explicit FileSession(Options options) : options_(std::move(options)) {}
  long write_reply(struct iovec* parts, int count);

  Options options_;
  fuse_session* session_ = nullptr;
  std::int64_t started_s_ = 0;
  int reply_fd_ = -1;
  bool handshake_ = false;  ///< the request being answered is the handshake
  bool initialized_ = false;
  bool handshake_failed_ = false;
};

}  // namespace nvublk::fuse
