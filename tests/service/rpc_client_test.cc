#include "service/rpc_client.h"

#include <functional>
#include <thread>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "service/instance.h"
#include "service/temporary_folder.h"

namespace nvublk::service {
namespace {

class RpcClientTest : public ::testing::Test {
 protected:
  /// What a client says to a peer that sends `reply` to its first request, and closes then.
  Result<Json> ask(const std::string& reply) {
    auto instance = Instance::claim(socket_, folder_ / "run");
    EXPECT_TRUE(instance.has_value());
    const UniqueFd listener = instance->take_listener();
    std::thread peer([&] {
      const UniqueFd client(::accept(listener.get(), nullptr, nullptr));
      char request[1024];
      EXPECT_GT(::read(client.get(), request, sizeof(request)), 0);
      EXPECT_EQ(::send(client.get(), reply.data(), reply.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(reply.size()));
    });
    auto client = RpcClient::connect(socket_);
    EXPECT_TRUE(client.has_value());
    Result<Json> answer = client->call("list", Json::object(), seconds(60));
    peer.join();
    return answer;
  }
  /// Why there is no daemon at `path`.
  static Error refused(const std::string& path) {
    const auto client = RpcClient::connect(path);
    EXPECT_FALSE(client.has_value());
    return client ? Error() : client.error();
  }

  test::TemporaryFolder folder_;
  std::string socket_ = folder_ / "x.sock";
};

TEST_F(RpcClientTest, TakesTheAnswerOfADaemon) {
  const auto answer = ask(R"({"jsonrpc":"2.0","id":1,"result":{"devices":[]}})"
                          "\n");
  ASSERT_TRUE(answer.has_value()) << answer.error().text;
  EXPECT_EQ(*answer, (Json{{"devices", Json::array()}}));
  const auto refusal =
      ask(R"({"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}})"
          "\n");
  ASSERT_FALSE(refusal.has_value());
  EXPECT_EQ(refusal.error().text, "no such method");
  const auto unread =
      ask(R"({"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"too long"}})"
          "\n");
  ASSERT_FALSE(unread.has_value());
  EXPECT_EQ(unread.error().text, "too long");
}

TEST_F(RpcClientTest, TakesNothingElse) {
  for (const char* reply :
       {"HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail.example ESMTP\r\n", "\x15\x03\x01",
        "{\"result\":{}}\n", "{\"id\":1,\"result\":{}}\n",
        "{\"jsonrpc\":\"1.0\",\"id\":1,\"result\":{}}\n",
        "{\"jsonrpc\":2.0,\"id\":1,\"result\":{}}\n", "{\"jsonrpc\":\"2.0\",\"result\":{}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":{}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{}}\n", "{\"jsonrpc\":\"2.0\",\"id\":1}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"error\":{}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":\"bad\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":\"x\",\"message\":\"y\"}}\n", "[]\n",
        "7\n"}) {
    const auto answer = ask(reply);
    ASSERT_FALSE(answer.has_value()) << reply;
    EXPECT_EQ(answer.error().code, ErrorCode::kProtocol) << reply;
    EXPECT_EQ(answer.error().text, "what answers at " + socket_ +
                                       " is not an nvublk daemon; look at --socket and "
                                       "NVUBLK_SOCKET")
        << reply;
  }
}

TEST_F(RpcClientTest, ADaemonThatEndsMeanwhileIsTold) {
  for (const char* reply : {"", "{\"jsonrpc\":\"2.0\",\"id\":1,\"res"}) {
    const auto answer = ask(reply);
    ASSERT_FALSE(answer.has_value()) << reply;
    EXPECT_EQ(answer.error().code, ErrorCode::kDisconnected) << reply;
  }
}

TEST_F(RpcClientTest, SaysWhyNoneCanBeStarted) {
  EXPECT_EQ(refused(socket_).text,
            "no daemon answers at " + socket_ + "; 'nvublk attach' starts one");
  EXPECT_EQ(refused(socket_).code, ErrorCode::kNotFound);
  const std::string nowhere = folder_ / "no";
  const std::string path = nowhere + "/such/x.sock";
  EXPECT_EQ(refused(path).text, "no daemon answers at " + path +
                                    ", and none can be started: there is no directory " + nowhere +
                                    "; make it, or give another --socket");
  EXPECT_NE(refused(path).code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace nvublk::service
