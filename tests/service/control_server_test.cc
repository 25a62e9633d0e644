#include "service/control_server.h"

#include <cstring>
#include <thread>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "engine/shard.h"
#include "service/instance.h"
#include "service/temporary_folder.h"

namespace nvublk::service {
namespace {

/// "echo" answers at once with its parameters, "later" when told to, "drop" never.
class EchoHandler final : public RpcHandler {
 public:
  void call(RpcCallId id, const std::string& method, const Json& params) override {
    calls.push_back(id);
    if (method == "echo") {
      server->answer(id, params);
    } else if (method == "big") {
      server->answer(id, Json(std::string(300000, 'x')));
    } else if (method == "fail") {
      server->answer(id, std::unexpected(RpcError::make(RpcError::kMethodNotFound, "no")));
    }
  }
  void abandoned(RpcCallId id) override { orphans.push_back(id); }

  ControlServer* server = nullptr;
  std::vector<RpcCallId> calls;
  std::vector<RpcCallId> orphans;
};

class ControlServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto shard = Shard::adopt_current_thread({.name = "control"});
    ASSERT_TRUE(shard.has_value()) << shard.error().text;
    shard_ = std::move(*shard);
    auto instance = Instance::claim(path_, folder_ / "run");
    ASSERT_TRUE(instance.has_value());
    instance_ = std::make_unique<Instance>(std::move(*instance));
    server_ =
        std::make_unique<ControlServer>(shard_->reactor(), instance_->take_listener(), handler_);
    handler_.server = server_.get();
    server_->start();
  }
  void TearDown() override {
    server_->close();
    turn_until([this] { return server_->closed(); });
    server_.reset();
    instance_.reset();
    shard_.reset();
  }

  UniqueFd client() {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  void send(const UniqueFd& fd, const std::string& text) {
    std::size_t sent = 0;
    turn_until([&] {
      const ssize_t count = ::send(fd.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      sent += count > 0 ? static_cast<std::size_t>(count) : 0;
      return sent == text.size() || (count < 0 && errno == EPIPE);
    });
  }
  /// The next line, or "" when the server has closed the connection.
  std::string line(const UniqueFd& fd) {
    std::string text;
    turn_until([&] {
      char c = 0;
      while (true) {
        const ssize_t count = ::recv(fd.get(), &c, 1, 0);
        if (count <= 0) {
          return count == 0 || errno == ECONNRESET;
        }
        if (c == '\n') {
          return true;
        }
        text += c;
      }
    });
    return text;
  }
  Json answer(const UniqueFd& fd) { return Json::parse(line(fd), nullptr, false); }
  template <typename Predicate>
  void turn_until(Predicate done) {
    const Instant give_up = Clock::now() + seconds(30);
    while (!done()) {
      ASSERT_LT(Clock::now(), give_up);
      shard_->reactor().turn(false);
    }
  }
  void turns(int count) {
    for (int i = 0; i < count; i++) {
      shard_->reactor().turn(false);
    }
  }

  test::TemporaryFolder folder_;
  std::string path_ = folder_ / "socket";
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<Instance> instance_;
  EchoHandler handler_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlServerTest, AnswersRequestsInPiecesAndInBunches) {
  const UniqueFd fd = client();
  const std::string request = R"({"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":1}})"
                              "\n";
  for (const char c : request) {
    send(fd, std::string(1, c));
    turns(1);
  }
  EXPECT_EQ(answer(fd)["result"]["a"], 1);
  send(fd, request + request + request);
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(answer(fd)["id"], 1);
  }
}

TEST_F(ControlServerTest, AnswersGarbageWithErrorsAndGoesOn) {
  const UniqueFd fd = client();
  send(fd, "garbage\n");
  EXPECT_EQ(answer(fd)["error"]["code"], RpcError::kParseError);
  send(fd, "{\"jsonrpc\":\"2.0\",\"id\":4}\n");
  const Json invalid = answer(fd);
  EXPECT_EQ(invalid["error"]["code"], RpcError::kInvalidRequest);
  EXPECT_EQ(invalid["id"], 4);
  send(fd, "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"echo\",\"params\":[1]}\n");
  EXPECT_EQ(answer(fd)["error"]["code"], RpcError::kInvalidParams);
  send(fd, "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"fail\"}\n");
  EXPECT_EQ(answer(fd)["error"]["code"], RpcError::kMethodNotFound);
}

TEST_F(ControlServerTest, NotificationsGetNoAnswer) {
  const UniqueFd fd = client();
  send(fd,
       "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}\n"
       "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\"}\n");
  EXPECT_EQ(answer(fd)["id"], 2);
  EXPECT_EQ(handler_.calls.size(), 2U);
}

TEST_F(ControlServerTest, ABatchIsAnsweredWhenTheLastCallIs) {
  const UniqueFd fd = client();
  send(fd, R"([{"jsonrpc":"2.0","id":1,"method":"later"},7,{"jsonrpc":"2.0","method":"echo"},)"
           R"({"jsonrpc":"2.0","id":2,"method":"echo"}])"
           "\n");
  turn_until([this] { return handler_.calls.size() == 3; });
  turns(3);
  server_->answer(handler_.calls[0], Json("late"));
  const Json answers = answer(fd);
  ASSERT_TRUE(answers.is_array());
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_EQ(answers[0]["error"]["code"], RpcError::kInvalidRequest);
  EXPECT_EQ(answers[1]["id"], 2);
  EXPECT_EQ(answers[2]["result"], "late");
}

TEST_F(ControlServerTest, ClientsDoNotWaitForEachOther) {
  const UniqueFd patient = client();
  const UniqueFd quick = client();
  send(patient, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"later\"}\n");
  send(quick, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\"}\n");
  EXPECT_EQ(answer(quick)["id"], 2);
  server_->answer(handler_.calls[0], Json("late"));
  EXPECT_EQ(answer(patient)["result"], "late");
}

TEST_F(ControlServerTest, SaysWhenAClientLeavesBeforeItsAnswer) {
  UniqueFd fd = client();
  send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"later\"}\n");
  turn_until([this] { return handler_.calls.size() == 1; });
  fd.reset();
  turn_until([this] { return handler_.orphans.size() == 1; });
  EXPECT_EQ(handler_.orphans[0], handler_.calls[0]);
  server_->answer(handler_.calls[0], Json("nobody listens"));
}

TEST_F(ControlServerTest, AClientThatOnlyStopsSendingGetsItsAnswer) {
  const UniqueFd fd = client();
  send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"later\"}\n");
  ::shutdown(fd.get(), SHUT_WR);
  turn_until([this] { return handler_.calls.size() == 1; });
  turns(20);
  EXPECT_TRUE(handler_.orphans.empty());
  server_->answer(handler_.calls[0], Json("late"));
  EXPECT_EQ(answer(fd)["result"], "late");
  EXPECT_EQ(line(fd), "") << "and then the connection closes";
}

TEST_F(ControlServerTest, TheLastLineNeedsNoNewline) {
  const UniqueFd fd = client();
  send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"later\"}");
  ::shutdown(fd.get(), SHUT_WR);
  turn_until([this] { return handler_.calls.size() == 1; });
  server_->answer(handler_.calls[0], Json("heard"));
  EXPECT_EQ(answer(fd)["result"], "heard");
}

TEST_F(ControlServerTest, ALineThatNeverEndsIsCutOff) {
  const UniqueFd fd = client();
  send(fd, std::string(ControlConnection::kMaxLineBytes + 1, 'x'));
  EXPECT_EQ(answer(fd)["error"]["code"], RpcError::kInvalidRequest);
  EXPECT_EQ(line(fd), "");
}

TEST_F(ControlServerTest, AClientThatDoesNotReadIsNotReadFromEither) {
  const UniqueFd deaf = client();
  const std::string request = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"big\"}\n";
  std::string flood;
  for (int i = 0; i < 200; i++) {
    flood += request;
  }
  ::send(deaf.get(), flood.data(), flood.size(), MSG_NOSIGNAL);
  turns(200);
  const std::size_t kept = handler_.calls.size();
  EXPECT_LT(kept, 20U) << "answers of 300 kB each";
  const UniqueFd other = client();
  send(other, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"echo\"}\n");
  EXPECT_EQ(answer(other)["id"], 2);
  EXPECT_EQ(answer(deaf)["id"], 1);
}

TEST_F(ControlServerTest, ACrowdOfSilentClientsLocksNobodyOut) {
  std::vector<UniqueFd> crowd;
  for (std::size_t i = 0; i < ControlServer::kMaxClients + 20; i++) {
    crowd.push_back(client());
    turns(3);
  }
  const UniqueFd fd = client();
  send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n");
  EXPECT_EQ(answer(fd)["id"], 1);
}

TEST_F(ControlServerTest, TheLastAnswersLeaveBeforeItCloses) {
  const UniqueFd fd = client();
  send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"later\"}\n");
  turn_until([this] { return handler_.calls.size() == 1; });
  server_->answer(handler_.calls[0], Json("bye"));
  server_->close();
  EXPECT_EQ(answer(fd)["result"], "bye");
}

}  // namespace
}  // namespace nvublk::service
