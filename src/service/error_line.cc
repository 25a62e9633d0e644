#include "service/error_line.h"

#include <algorithm>
#include <filesystem>

namespace nvublk::service {

namespace {

/// What to try, empty when the text says it or nothing general can be said.
std::string_view hint(std::string_view command, ErrorCode code) {
  const bool attach = command == "attach" || command == "discover";
  switch (code) {
    case ErrorCode::kUnreachable:
      return attach ? "check the address and the port (-a, -s), and that the target runs" : "";
    case ErrorCode::kTimeout:
      return attach ? "check the address and the port (-a, -s), and firewalls on the way" : "";
    case ErrorCode::kProtocol:
      return attach ? "check that an NVMe/TCP target listens on this port" : "";
    case ErrorCode::kDisconnected:
      return attach ? "check the port (-s), and the target's log" : "";
    case ErrorCode::kAlreadyExists:
      return command == "attach" ? "detach it first to attach it in another way" : "";
    case ErrorCode::kBusy:
      return command == "detach" ? "unmount or close it first, or use --force" : "";
    case ErrorCode::kNotFound:
      return attach ? "" : "'nvublk list' shows what there is";
    case ErrorCode::kNvmeStatus:
    case ErrorCode::kPermission:
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
    case ErrorCode::kNoResources:
    case ErrorCode::kCancelled:
    case ErrorCode::kSystem:
      return "";
  }
  return "";
}

}  // namespace

std::string error_line(std::string_view command, const Error& error) {
  // Many texts say themselves what to try, after a semicolon; the step belongs before that.
  const std::size_t end = std::min(error.text.find("; "), error.text.size());
  std::string line = "nvublk: " + std::string(command) + ": " + error.text.substr(0, end);
  if (!error.step.empty()) {
    line += " (step: " + error.step + ")";
  }
  if (end < error.text.size()) {
    line += error.text.substr(end);
  } else if (const std::string_view advice = hint(command, error.code); !advice.empty()) {
    line += "; " + std::string(advice);
  }
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

Json error_json(const Error& error) {
  Json body;
  body["message"] = error.text;
  body["step"] = error.step;
  body["code"] = error_code_name(error.code);
  return Json{{"error", std::move(body)}};
}

std::string resolve_device_link(const std::string& target) {
  std::error_code failure;
  const bool is_path = target.find('/') != std::string::npos ||
                       std::filesystem::is_block_file(std::filesystem::path(target), failure);
  if (!is_path) {
    return target;
  }
  const std::filesystem::path real = std::filesystem::canonical(target, failure);
  return failure ? target : real.string();
}

}  // namespace nvublk::service
