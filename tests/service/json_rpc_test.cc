#include "service/json_rpc.h"

#include <gtest/gtest.h>

namespace nvublk::service {
namespace {

RpcMessage parsed(std::string_view line) {
  auto message = parse_message(line);
  EXPECT_TRUE(message.has_value()) << line;
  return message ? std::move(*message) : RpcMessage{};
}

TEST(JsonRpc, ReadsARequest) {
  const RpcMessage message = parsed(R"({"jsonrpc":"2.0","id":7,"method":"list","params":{"a":1}})");
  ASSERT_EQ(message.elements.size(), 1U);
  EXPECT_FALSE(message.batch);
  const auto& request = message.elements[0].request;
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->method, "list");
  EXPECT_EQ(request->id, 7);
  EXPECT_FALSE(request->notification);
  EXPECT_EQ(request->params["a"], 1);
}

TEST(JsonRpc, ARequestWithoutIdWantsNoAnswer) {
  const RpcMessage message = parsed(R"({"jsonrpc":"2.0","method":"list"})");
  ASSERT_TRUE(message.elements.at(0).request.has_value());
  EXPECT_TRUE(message.elements[0].request->notification);
  EXPECT_TRUE(message.elements[0].request->params.is_object());
}

TEST(JsonRpc, RefusesWhatIsNoRequestAndKeepsItsId) {
  struct Case {
    const char* line;
    Json id;
  };
  const Case cases[] = {
      {R"(1)", nullptr},
      {R"("list")", nullptr},
      {R"({"id":3,"method":"list"})", 3},
      {R"({"jsonrpc":"1.0","id":3,"method":"list"})", 3},
      {R"({"jsonrpc":"2.0","id":"x"})", "x"},
      {R"({"jsonrpc":"2.0","id":3,"method":5})", 3},
      {R"({"jsonrpc":"2.0","id":{},"method":"list"})", nullptr},
      {R"({"jsonrpc":"2.0","id":3,"method":"list","params":"x"})", 3},
  };
  for (const Case& each : cases) {
    const RpcMessage message = parsed(each.line);
    ASSERT_EQ(message.elements.size(), 1U);
    const RpcMessage::Element& element = message.elements[0];
    ASSERT_FALSE(element.request.has_value()) << each.line;
    EXPECT_EQ(element.request.error().code, RpcError::kInvalidRequest) << each.line;
    EXPECT_EQ(element.id, each.id) << each.line;
  }
}

TEST(JsonRpc, SaysWhatIsNoJsonAtAll) {
  for (const char* line : {"{", "nonsense", "\x80\xff", "{\"a\":1}}"}) {
    const auto message = parse_message(line);
    ASSERT_FALSE(message.has_value()) << line;
    EXPECT_EQ(message.error().code, RpcError::kParseError);
  }
  const auto empty = parse_message("[]");
  ASSERT_FALSE(empty.has_value());
  EXPECT_EQ(empty.error().code, RpcError::kInvalidRequest);
}

TEST(JsonRpc, SurvivesDeepNesting) {
  const std::string deep(60000, '[');
  EXPECT_FALSE(parse_message(deep).has_value());
  const std::string closed = std::string(30000, '[') + std::string(30000, ']');
  EXPECT_TRUE(parse_message(closed).has_value());
}

TEST(JsonRpc, ReadsABatchElementByElement) {
  const RpcMessage message =
      parsed(R"([{"jsonrpc":"2.0","id":1,"method":"list"},5,{"jsonrpc":"2.0","method":"x"}])");
  EXPECT_TRUE(message.batch);
  ASSERT_EQ(message.elements.size(), 3U);
  EXPECT_TRUE(message.elements[0].request.has_value());
  EXPECT_FALSE(message.elements[1].request.has_value());
  EXPECT_TRUE(message.elements[2].request->notification);
}

TEST(JsonRpc, ErrorsKeepStepAndCodeAcrossTheWire) {
  const Error error{ErrorCode::kTimeout, "no answer within 5000 ms", "read CAP", 0};
  const RpcError sent = RpcError::of(error);
  const Json answer = Json::parse(to_line(make_error(1, sent)));
  EXPECT_EQ(answer["error"]["data"]["step"], "read CAP");
  EXPECT_EQ(answer["error"]["data"]["code"], "timeout");
  RpcError received;
  received.message = answer["error"]["message"];
  received.data = answer["error"]["data"];
  const Error read = received.to_error();
  EXPECT_EQ(read.code, error.code);
  EXPECT_EQ(read.step, error.step);
  EXPECT_EQ(read.text, error.text);
}

TEST(JsonRpc, WritesTextThatIsNoUtf8) {
  EXPECT_NO_THROW(EXPECT_NE(to_line(Json{{"model", "\xff\xfe"}}), ""));
}

TEST(LineBuffer, CutsLinesWhereverTheBytesAreCut) {
  const std::string stream = "one\ntwo\r\n\nthree\n";
  for (std::size_t piece = 1; piece <= stream.size(); piece++) {
    LineBuffer buffer(100);
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      buffer.append(std::string_view(stream).substr(at, piece));
      while (auto line = buffer.next()) {
        lines.push_back(*line);
      }
    }
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "", "three"})) << piece;
    EXPECT_FALSE(buffer.overflown());
  }
}

TEST(LineBuffer, SaysWhenALineIsTooLong) {
  LineBuffer open_line(4);
  open_line.append("12345");
  EXPECT_TRUE(open_line.overflown());
  EXPECT_EQ(open_line.next(), std::nullopt);
  LineBuffer closed_line(4);
  closed_line.append("12345\n");
  EXPECT_TRUE(closed_line.overflown());
  EXPECT_EQ(closed_line.next(), std::nullopt);
  LineBuffer fits(5);
  fits.append("12345\n");
  EXPECT_FALSE(fits.overflown());
  EXPECT_EQ(fits.next(), "12345");
}

}  // namespace
}  // namespace nvublk::service
