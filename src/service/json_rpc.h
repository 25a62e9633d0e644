#pragma once

// JSON-RPC 2.0 as the daemon speaks it: requests and answers are lines, ended by a newline each.
// Pure: no I/O.

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "service/json.h"

namespace nvublk::service {

/// The "error" member of an answer. `data` is {"step", "code"} for failures of ours.
struct RpcError {
  static constexpr int kParseError = -32700;
  static constexpr int kInvalidRequest = -32600;
  static constexpr int kMethodNotFound = -32601;
  static constexpr int kInvalidParams = -32602;
  static constexpr int kFailed = -32000;  ///< the method failed; data says at which step

  int code = kFailed;
  std::string message;
  Json data;

  static RpcError make(int code, std::string message);
  /// A failure of the control path; a wrong argument becomes kInvalidParams.
  static RpcError of(const Error& error);
  /// Back to what of() was given, as far as the wire keeps it.
  Error to_error() const;
};

struct RpcRequest {
  Json id;                    ///< a string, a number or null, for the answer
  bool notification = false;  ///< no answer wanted
  std::string method;
  Json params;  ///< an object; empty if there were none
};

/// What one line holds: a request, or a batch of them.
struct RpcMessage {
  bool batch = false;
  /// For each element its request, or why it is none and the id it seems to have.
  struct Element {
    std::expected<RpcRequest, RpcError> request;
    Json id;
  };
  std::vector<Element> elements;
};

/// Reads a line. An error is one for which there is no element to blame: no JSON, an empty batch.
std::expected<RpcMessage, RpcError> parse_message(std::string_view line);

Json make_result(const Json& id, Json result);
Json make_error(const Json& id, const RpcError& error);

/// Cuts a stream of bytes into lines of at most `limit` bytes.
class LineBuffer {
 public:
  explicit LineBuffer(std::size_t limit) : limit_(limit) {}
  void append(std::string_view bytes) { buffer_ += bytes; }
  /// The oldest complete line without its newline (and a carriage return before it).
  std::optional<std::string> next();
  /// Whether what is left, or the line that next() would return, is longer than a line may be.
  bool overflown() const;
  /// What has no newline yet, once next() has no more.
  std::string_view rest() const { return buffer_; }

 private:
  std::size_t limit_;
  std::string buffer_;
};

}  // namespace nvublk::service
