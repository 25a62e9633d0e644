#include "service/json_rpc.h"

#include <array>
#include <utility>

namespace nvublk::service {

namespace {

constexpr std::size_t kMaxBatch = 32;

constexpr std::array kCodes = {
    ErrorCode::kInvalidArgument, ErrorCode::kNotFound,
    ErrorCode::kAlreadyExists,   ErrorCode::kBusy,
    ErrorCode::kPermission,      ErrorCode::kUnsupported,
    ErrorCode::kUnreachable,     ErrorCode::kDisconnected,
    ErrorCode::kTimeout,         ErrorCode::kProtocol,
    ErrorCode::kNvmeStatus,      ErrorCode::kNoResources,
    ErrorCode::kCancelled,       ErrorCode::kSystem,
};

ErrorCode code_of_name(std::string_view name) {
  for (const ErrorCode code : kCodes) {
    if (error_code_name(code) == name) {
      return code;
    }
  }
  return ErrorCode::kSystem;
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

RpcMessage::Element parse_element(const Json& value) {
  const auto invalid = [](const Json& id, std::string why) {
    return RpcMessage::Element{
        std::unexpected(RpcError::make(RpcError::kInvalidRequest, std::move(why))), id};
  };
  if (!value.is_object()) {
    return invalid(nullptr, "a request must be an object");
  }
  RpcRequest request;
  const auto id = value.find("id");
  if (id == value.end()) {
    request.notification = true;
  } else if (id->is_string() || id->is_number() || id->is_null()) {
    request.id = *id;
  } else {
    return invalid(nullptr, "\"id\" must be a string, a number or null");
  }
  if (text_of(value, "jsonrpc") != "2.0") {
    return invalid(request.id, "\"jsonrpc\" must be \"2.0\"");
  }
  const auto method = value.find("method");
  if (method == value.end() || !method->is_string()) {
    return invalid(request.id, "\"method\" must be a string");
  }
  request.method = method->get<std::string>();
  request.params = Json::object();
  if (const auto params = value.find("params"); params != value.end()) {
    if (!params->is_object() && !params->is_array()) {
      return invalid(request.id, "\"params\" must be an object");
    }
    request.params = *params;
  }
  const Json element_id = request.id;
  return RpcMessage::Element{std::move(request), element_id};
}

}  // namespace

RpcError RpcError::make(int code, std::string message) {
  return RpcError{code, std::move(message), {}};
}

RpcError RpcError::of(const Error& error) {
  RpcError result;
  result.code = error.code == ErrorCode::kInvalidArgument ? kInvalidParams : kFailed;
  result.message = error.text;
  result.data = Json{{"step", error.step}, {"code", error_code_name(error.code)}};
  return result;
}

Error RpcError::to_error() const {
  Error error = Error::make(ErrorCode::kSystem, message);
  if (data.is_object()) {
    error.step = text_of(data, "step");
    error.code = code_of_name(text_of(data, "code"));
  } else if (code == kInvalidParams || code == kMethodNotFound) {
    error.code = ErrorCode::kInvalidArgument;
  } else if (code == kParseError || code == kInvalidRequest) {
    error.code = ErrorCode::kProtocol;
  }
  return error;
}

std::expected<RpcMessage, RpcError> parse_message(std::string_view line) {
  const Json value = Json::parse(line, nullptr, false);
  if (value.is_discarded()) {
    return std::unexpected(RpcError::make(RpcError::kParseError, "the line is no JSON"));
  }
  RpcMessage message;
  if (!value.is_array()) {
    message.elements.push_back(parse_element(value));
    return message;
  }
  if (value.empty()) {
    return std::unexpected(RpcError::make(RpcError::kInvalidRequest, "the batch is empty"));
  }
  if (value.size() > kMaxBatch) {
    return std::unexpected(
        RpcError::make(RpcError::kInvalidRequest,
                       "a batch may hold " + std::to_string(kMaxBatch) + " requests at most"));
  }
  message.batch = true;
  for (const Json& element : value) {
    message.elements.push_back(parse_element(element));
  }
  return message;
}

Json make_result(const Json& id, Json result) {
  Json answer;
  answer["jsonrpc"] = "2.0";
  answer["id"] = id;
  answer["result"] = std::move(result);
  return answer;
}

Json make_error(const Json& id, const RpcError& error) {
  Json answer;
  answer["jsonrpc"] = "2.0";
  answer["id"] = id;
  Json& body = answer["error"];
  body["code"] = error.code;
  body["message"] = error.message;
  if (!error.data.is_null()) {
    body["data"] = error.data;
  }
  return answer;
}

std::optional<std::string> LineBuffer::next() {
  const std::size_t end = buffer_.find('\n');
  if (end == std::string::npos || end > limit_) {
    return std::nullopt;
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  if (!line.empty() && line.back() == '\r') {
    line.pop_back();
  }
  return line;
}

bool LineBuffer::overflown() const {
  const std::size_t end = buffer_.find('\n');
  return (end == std::string::npos ? buffer_.size() : end) > limit_;
}

}  // namespace nvublk::service
