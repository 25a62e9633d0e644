// Authentication over TCP with nvublk-target in this process: of admin and I/O queues, with every
// fault, after a reset, and once more at run time.

#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/initiator.h"
#include "nvme/transport_factory.h"
#include "target/target.h"

namespace nvublk::nvme {
namespace {

constexpr char kHost[] = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
constexpr char kKey[] = "DHHC-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:";
constexpr char kControllerKey[] =
    "DHHC-1:02:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vcSEgBQ==:";

DhchapKey key(const char* text) {
  return DhchapKey::parse(text).value();
}
DhchapKey wrong_key() {
  return DhchapKey::make(std::vector<std::byte>(32), std::nullopt).value();
}

class LiveAuthenticationTest : public testing::Test {
 protected:
  void SetUp() override {
    Shard::Options options;
    options.reactor.mode = IdleMode::kInterrupt;
    auto shard = Shard::adopt_current_thread(options);
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    target_options_.listen = {{"127.0.0.1", 0}};
    target_options_.namespaces = {{.size_bytes = 16 << 20, .block_size = 4096}};
    target_options_.dhchap.group = spec::DhchapGroup::kFfdhe2048;
    ASSERT_TRUE(target_options_.set_dhchap_key(std::string(kHost) + "=" + kKey, false));
    ASSERT_TRUE(target_options_.set_dhchap_key(std::string(kHost) + "=" + kControllerKey, true));
    options_.host.nqn = kHost;
    options_.host.id.bytes[0] = 1;
    options_.ctrl_loss_timeout = seconds(0);
    options_.dhchap_key = key(kKey);
  }
  void TearDown() override {
    initiator_.reset();
    target_.reset();
    shard_.reset();
  }

  Result<Controller*> connect() {
    if (!target_) {
      target_ = std::make_unique<target::Target>(target_options_);
      const Status started = target_->start();
      EXPECT_TRUE(started) << started.error().text;
    }
    initiator_ = std::make_unique<Initiator>(*shard_, make_transport, options_);
    TransportId id;
    id.traddr = "127.0.0.1";
    id.trsvcid = std::to_string(target_->port());
    id.subnqn = target_options_.subnqn;
    EXPECT_TRUE(id.complete());
    return initiator_->connect(id);
  }

  void fault(target::FaultKind kind, target::FaultQueues queues, bool send, std::uint64_t skip) {
    target::Fault fault;
    fault.kind = kind;
    fault.queues = queues;
    fault.opcode = spec::kFabricsOpcode;
    fault.fctype =
        static_cast<std::uint8_t>(send ? spec::FabricsCommandType::kAuthenticationSend
                                       : spec::FabricsCommandType::kAuthenticationReceive);
    fault.skip = skip;
    fault.status = spec::NvmeStatus::make(spec::GenericStatus::kInternalError, true);
    target_->inject(fault);
  }

  static Status authenticate(Controller& controller) {
    std::optional<Status> result;
    controller.authenticate([&result](Status status) { result = std::move(status); });
    while (!result) controller.process_admin_completions();
    return *result;
  }

  static bool reads(IoQueuePair& queue) {
    struct Io {
      std::optional<spec::NvmeStatus> status;
      std::vector<std::byte> data = std::vector<std::byte>(4096);
      iovec piece{data.data(), data.size()};
    } io;
    IoCommand command;
    command.sqe = command::read(1, 0, 1);
    command.iov = &io.piece;
    command.iov_count = 1;
    command.context = &io;
    command.done = [](void* context, spec::NvmeStatus how, const spec::CompletionEntry&) {
      static_cast<Io*>(context)->status = how;
    };
    if (queue.submit(command) != 0) return false;
    while (!io.status && queue.process_completions() >= 0) {
    }
    return io.status && io.status->ok();
  }

  std::unique_ptr<Shard> shard_;
  target::Options target_options_;
  std::unique_ptr<target::Target> target_;
  ControllerOptions options_;
  std::unique_ptr<Initiator> initiator_;
};

TEST_F(LiveAuthenticationTest, AdminAndIoQueuesAuthenticate) {
  for (const bool bidirectional : {false, true}) {
    options_.dhchap_ctrlr_key = bidirectional ? key(kControllerKey) : DhchapKey{};
    const auto controller = connect();
    ASSERT_TRUE(controller) << controller.error().text;
    const ControllerStatus status = (*controller)->status();
    ASSERT_TRUE(status.authentication);
    EXPECT_EQ(status.authentication->digest, "sha256");
    EXPECT_EQ(status.authentication->dhgroup, "ffdhe2048");
    EXPECT_EQ(status.authentication->bidirectional, bidirectional);
    EXPECT_TRUE(status.options.dhchap_key.empty() && status.options.dhchap_ctrlr_key.empty());
    auto queue = (*controller)->allocate_io_queue_pair();
    ASSERT_TRUE(queue) << queue.error().text;
    EXPECT_TRUE(reads(**queue));

    ASSERT_TRUE(initiator_->reset(**controller));
    EXPECT_TRUE((*controller)->status().authentication);
    ASSERT_EQ((*queue)->reconnect(), 0);
    ASSERT_TRUE((*queue)->wait_connected());
    EXPECT_TRUE(reads(**queue));
  }
}

TEST_F(LiveAuthenticationTest, NobodyAuthenticatesWhereNobodyAsks) {
  target_options_.dhchap_hosts.clear();
  const auto controller = connect();
  ASSERT_TRUE(controller) << controller.error().text;
  EXPECT_FALSE((*controller)->status().authentication);
}

TEST_F(LiveAuthenticationTest, ATargetThatNeedNotAuthenticateItselfIsRefusedIfTheUserWantsIt) {
  target_options_.dhchap_hosts.clear();
  options_.dhchap_ctrlr_key = key(kControllerKey);
  const auto controller = connect();
  ASSERT_FALSE(controller);
  EXPECT_EQ(controller.error().step, "send AUTH_Negotiate");
}

TEST_F(LiveAuthenticationTest, MissingAndWrongKeysSayWhatToDo) {
  options_.dhchap_key = {};
  auto controller = connect();
  ASSERT_FALSE(controller);
  EXPECT_EQ(controller.error().code, ErrorCode::kPermission);
  EXPECT_EQ(controller.error().step, "Fabrics Connect");
  EXPECT_NE(controller.error().text.find("--dhchap-secret"), std::string::npos);

  options_.dhchap_key = wrong_key();
  controller = connect();
  ASSERT_FALSE(controller);
  EXPECT_EQ(controller.error().code, ErrorCode::kPermission);
  EXPECT_EQ(controller.error().step, "receive DH-HMAC-CHAP_Success1");
  EXPECT_NE(controller.error().text.find("authentication failed"), std::string::npos);

  options_.dhchap_key = key(kKey);
  options_.dhchap_ctrlr_key = wrong_key();
  controller = connect();
  ASSERT_FALSE(controller);
  EXPECT_EQ(controller.error().code, ErrorCode::kPermission);
  EXPECT_NE(controller.error().text.find("--dhchap-ctrl-secret"), std::string::npos);

  options_.dhchap_key = {};
  controller = connect();
  ASSERT_FALSE(controller);
  EXPECT_EQ(controller.error().code, ErrorCode::kInvalidArgument);
}

// Every command of it x every fault, on the admin queue and on an I/O queue.
TEST_F(LiveAuthenticationTest, FailsClosedWithEveryFault) {
  struct Command {
    bool send;
    std::uint64_t skip;
    const char* step;
  };
  const std::vector<Command> commands = {{true, 0, "send AUTH_Negotiate"},
                                         {false, 0, "receive DH-HMAC-CHAP_Challenge"},
                                         {true, 1, "send DH-HMAC-CHAP_Reply"},
                                         {false, 1, "receive DH-HMAC-CHAP_Success1"},
                                         {true, 2, "send DH-HMAC-CHAP_Success2"}};
  options_.dhchap_ctrlr_key = key(kControllerKey);
  for (const Command& command : commands) {
    for (const bool drop : {false, true}) {
      const auto kind = drop ? target::FaultKind::kDrop : target::FaultKind::kStatus;
      SCOPED_TRACE(std::string(command.step) + (drop ? ", drop" : ", status"));
      ASSERT_TRUE(connect());
      fault(kind, target::FaultQueues::kAdmin, command.send, command.skip);
      const auto controller = connect();
      target_->clear_faults();
      ASSERT_FALSE(controller);
      EXPECT_EQ(controller.error().step, drop ? "authenticate" : command.step);
      EXPECT_EQ(controller.error().text.find("--dhchap-secret") != std::string::npos, drop);

      const auto good = connect();
      ASSERT_TRUE(good) << good.error().text;
      fault(kind, target::FaultQueues::kIo, command.send, command.skip);
      const auto queue = (*good)->allocate_io_queue_pair();
      target_->clear_faults();
      ASSERT_FALSE(queue);
      if (!drop) {
        EXPECT_NE(queue.error().text.find(command.step), std::string::npos) << queue.error().text;
      }
      EXPECT_EQ((*good)->state(), ControllerState::kLive);
      const auto next = (*good)->allocate_io_queue_pair();
      ASSERT_TRUE(next) << next.error().text;
      EXPECT_TRUE(reads(**next));
    }
  }
}

TEST_F(LiveAuthenticationTest, ATargetThatSaysNothingIsGivenUpByTheStepsDeadline) {
  ASSERT_TRUE(connect());
  fault(target::FaultKind::kStuck, target::FaultQueues::kAdmin, false, 0);
  options_.admin_timeout = milliseconds(200);
  const auto controller = connect();
  ASSERT_FALSE(controller);
  EXPECT_EQ(controller.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(controller.error().step, "receive DH-HMAC-CHAP_Challenge");
}

TEST_F(LiveAuthenticationTest, AuthenticatesOnceMoreAndWithOtherKeys) {
  const auto connected = connect();
  ASSERT_TRUE(connected) << connected.error().text;
  Controller& controller = **connected;
  ASSERT_TRUE(authenticate(controller));

  ASSERT_TRUE(controller.set_keys({key(kKey), key(kControllerKey)}));
  ASSERT_TRUE(authenticate(controller));
  EXPECT_TRUE(controller.status().authentication->bidirectional);

  EXPECT_FALSE(controller.set_keys({{}, key(kControllerKey)}));
  ASSERT_TRUE(controller.set_keys({wrong_key(), {}}));
  const Status refused = authenticate(controller);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPermission);
  const auto queue = controller.allocate_io_queue_pair();
  EXPECT_FALSE(queue) << "with the wrong key";

  ASSERT_TRUE(controller.set_keys({key(kKey), {}}));
  ASSERT_TRUE(initiator_->reset(controller));
  EXPECT_EQ(controller.state(), ControllerState::kLive);
  EXPECT_TRUE(controller.allocate_io_queue_pair());
}

TEST_F(LiveAuthenticationTest, AnIoQueuePairAuthenticatesOnceMore) {
  const auto controller = connect();
  ASSERT_TRUE(controller) << controller.error().text;
  const auto queue = (*controller)->allocate_io_queue_pair();
  ASSERT_TRUE(queue) << queue.error().text;
  const auto outcome = [&queue] {
    EXPECT_EQ((*queue)->authenticate(), 0);
    EXPECT_EQ((*queue)->authenticate(), -EBUSY);
    EXPECT_FALSE((*queue)->authentication());
    while (!(*queue)->authentication()) (*queue)->process_completions();
    return *(*queue)->authentication();
  };
  EXPECT_TRUE(outcome());
  EXPECT_TRUE(reads(**queue));
  ASSERT_TRUE((*controller)->set_keys({wrong_key(), {}}));
  const Status refused = outcome();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPermission);
  ASSERT_TRUE((*controller)->set_keys({key(kKey), key(kControllerKey)}));
  EXPECT_TRUE(outcome());
  EXPECT_TRUE(reads(**queue));

  fault(target::FaultKind::kDrop, target::FaultQueues::kIo, true, 1);
  const Status cut_off = outcome();
  ASSERT_FALSE(cut_off);
  EXPECT_EQ((*queue)->authenticate(), -ENOTCONN);
  target_->clear_faults();
  ASSERT_TRUE((*controller)->set_keys({{}, {}}));
  ASSERT_EQ((*queue)->reconnect(), 0);
  EXPECT_FALSE((*queue)->wait_connected()) << "without a key";
}

TEST_F(LiveAuthenticationTest, TheConnectionMayEndWhileItAuthenticatesOnceMore) {
  for (const bool receive : {false, true}) {
    const auto connected = connect();
    ASSERT_TRUE(connected) << connected.error().text;
    fault(target::FaultKind::kDrop, target::FaultQueues::kAdmin, !receive, 0);
    EXPECT_FALSE(authenticate(**connected));
    EXPECT_EQ((*connected)->state(), ControllerState::kFailed) << "ctrl_loss_timeout is 0";
    target_->clear_faults();
  }
}

TEST_F(LiveAuthenticationTest, ADiscoveryControllerMayAskForIt) {
  options_.discovery_allowed = true;
  target_options_.subnqn = target::Options{}.subnqn;
  target_ = std::make_unique<target::Target>(target_options_);
  ASSERT_TRUE(target_->start());
  target_options_.subnqn = spec::kDiscoveryNqn;
  for (const bool has_key : {true, false}) {
    options_.dhchap_key = has_key ? key(kKey) : DhchapKey{};
    const auto controller = connect();
    EXPECT_EQ(controller.has_value(), has_key);
  }
}

}  // namespace
}  // namespace nvublk::nvme
