#include "nvme/error_injection.h"

#include "nvme/library/library_fixture.h"
#include "nvme/namespace_io.h"

namespace nvublk::nvme {
namespace {

using spec::AdminOpcode;
using spec::GenericStatus;
using spec::NvmOpcode;

constexpr auto kRead = static_cast<std::uint8_t>(NvmOpcode::kRead);
constexpr auto kWrite = static_cast<std::uint8_t>(NvmOpcode::kWrite);
constexpr auto kGetFeatures = static_cast<std::uint8_t>(AdminOpcode::kGetFeatures);

TEST(ErrorInjector, StrikesAnOpcodeAsOftenAsItIsTold) {
  ErrorInjector injector;
  EXPECT_TRUE(injector.empty());
  injector.add({kRead, 2, spec::NvmeStatus::make(GenericStatus::kInternalError), true});
  EXPECT_FALSE(injector.take(kWrite).strikes);
  for (int i = 0; i < 2; i++) {
    const InjectedOutcome outcome = injector.take(kRead);
    EXPECT_TRUE(outcome.strikes && outcome.do_not_submit);
    EXPECT_TRUE(outcome.status.is(GenericStatus::kInternalError));
  }
  EXPECT_FALSE(injector.take(kRead).strikes);
  EXPECT_TRUE(injector.empty());
}

TEST(ErrorInjector, TheLastWordOnAnOpcodeHolds) {
  ErrorInjector injector;
  injector.add({kRead, 5, spec::NvmeStatus::make(GenericStatus::kInternalError)});
  injector.add({kWrite, 1, spec::NvmeStatus::make(GenericStatus::kInvalidField)});
  injector.add({kRead, 1, spec::NvmeStatus::make(GenericStatus::kLbaOutOfRange)});
  EXPECT_TRUE(injector.take(kRead).status.is(GenericStatus::kLbaOutOfRange));
  EXPECT_FALSE(injector.take(kRead).strikes) << "replaced, not added";
  injector.add({kWrite, 0, {}});
  EXPECT_TRUE(injector.empty()) << "a count of 0 takes it away";
  injector.remove(kWrite);
}

class InjectionTest : public LibraryTest {
 protected:
  void start() {
    attach();
    queue_ = allocate();
  }
  void TearDown() override {
    queue_.reset();
    LibraryTest::TearDown();
  }
  InjectedError error(std::uint8_t opcode) {
    InjectedError result;
    result.opcode = opcode;
    result.status = spec::NvmeStatus::make(GenericStatus::kInternalError, true);
    return result;
  }
  bool finish(const Outcome& outcome) {
    return poll_until([&] {
      queue_->process_completions();
      return outcome.done;
    });
  }
  AdminCommand admin(Outcome& outcome) {
    AdminCommand command;
    command.sqe = command::get_features(spec::FeatureId::kTemperatureThreshold);
    command.done = [&outcome](spec::NvmeStatus status, const spec::CompletionEntry& entry) {
      Outcome::record(&outcome, status, entry);
    };
    return command;
  }

  IoQueuePair::Pointer queue_;
};

TEST_F(InjectionTest, NeitherSubmittedNorInTime) {
  start();
  InjectedError late = error(kRead);
  late.do_not_submit = true;
  late.delay = milliseconds(10);
  queue_->inject_error(late);
  Outcome outcome;
  const Instant began = Clock::now();
  ASSERT_EQ(read(*queue_, outcome), 0);
  EXPECT_EQ(queue_->process_completions(), 0);
  ASSERT_TRUE(finish(outcome));
  EXPECT_GE(Clock::now() - began, milliseconds(9));
  EXPECT_TRUE(outcome.status.is(GenericStatus::kInternalError));
  EXPECT_TRUE(outcome.status.dnr());
  EXPECT_EQ(simulation_.io_submitted, 0);
}

TEST_F(InjectionTest, ADelayWithoutAnErrorIsOnlyLate) {
  start();
  InjectedError late;
  late.opcode = kRead;
  late.delay = milliseconds(5);
  queue_->inject_error(late);
  Outcome outcome;
  ASSERT_EQ(read(*queue_, outcome), 0);
  ASSERT_TRUE(finish(outcome));
  EXPECT_TRUE(outcome.status.ok());
  EXPECT_EQ(simulation_.io_submitted, 1);
}

TEST_F(InjectionTest, ItStrikesCommandsThatHadToWait) {
  start();
  simulation_.hold_io = true;
  std::vector<Outcome> before(4);
  for (Outcome& each : before) ASSERT_EQ(read(*queue_, each), 0);
  queue_->inject_error(error(kRead));
  Outcome waited;
  ASSERT_EQ(read(*queue_, waited), 0);
  EXPECT_EQ(queue_->waiting(), 1u);
  simulation_.hold_io = false;
  ASSERT_TRUE(finish(waited));
  EXPECT_TRUE(waited.status.is(GenericStatus::kInternalError));
  for (const Outcome& each : before) EXPECT_TRUE(each.status.ok());
}

TEST_F(InjectionTest, OnePieceOfASplitCommandIsEnough) {
  start();
  NamespaceIo io(*controller_, *controller_->find_namespace(1), *queue_);
  queue_->inject_error(error(kRead));
  std::vector<std::byte> memory(100 * 4096);
  const iovec segment{memory.data(), memory.size()};
  Outcome outcome;
  BlockIo read;
  read.blocks = 100;
  read.data = {&segment, 1};
  read.done = &Outcome::record;
  read.context = &outcome;
  ASSERT_EQ(io.read(read), 0);
  ASSERT_TRUE(finish(outcome));
  EXPECT_TRUE(outcome.status.is(GenericStatus::kInternalError));
  EXPECT_EQ(simulation_.io_seen.size(), 4u);
  Outcome second;
  read.context = &second;
  ASSERT_EQ(io.read(read), 0);
  ASSERT_TRUE(finish(second));
  EXPECT_TRUE(second.status.ok());
}

TEST_F(InjectionTest, AnotherQueuePairIsNotStruck) {
  start();
  auto other = allocate();
  queue_->inject_error(error(kRead));
  Outcome outcome;
  ASSERT_EQ(read(*other, outcome), 0);
  ASSERT_TRUE(poll_until([&] { return other->process_completions() > 0; }));
  EXPECT_TRUE(outcome.status.ok());
}

TEST_F(InjectionTest, DelayedCommandsEndWithTheConnection) {
  start();
  InjectedError never = error(kRead);
  never.count = 2;
  never.delay = seconds(1000);
  queue_->inject_error(never);
  Outcome answered;
  ASSERT_EQ(read(*queue_, answered), 0);
  ASSERT_TRUE(poll_until([&] {
    queue_->process_completions();
    return queue_->outstanding() == 0;
  }));
  simulation_.hold_io = true;
  Outcome cut_off;
  ASSERT_EQ(read(*queue_, cut_off), 0);
  poll(2);
  EXPECT_FALSE(answered.done);
  queue_->disconnect();
  ASSERT_TRUE(finish(answered));
  ASSERT_TRUE(finish(cut_off));
  EXPECT_TRUE(answered.status.is(GenericStatus::kInternalError));
  EXPECT_TRUE(cut_off.status.is(GenericStatus::kAbortedSqDeletion));
  EXPECT_EQ(queue_->process_completions(), -ENXIO);
}

TEST_F(InjectionTest, DelayedCommandsEndWithAResetAndWithTheirQueuePair) {
  start();
  InjectedError never = error(kRead);
  never.count = 2;
  never.delay = seconds(1000);
  never.do_not_submit = true;
  queue_->inject_error(never);
  Outcome first;
  ASSERT_EQ(read(*queue_, first), 0);
  ASSERT_TRUE(reset());
  ASSERT_TRUE(finish(first));
  ASSERT_EQ(queue_->reconnect(), 0);
  ASSERT_TRUE(queue_->wait_connected());
  Outcome second;
  ASSERT_EQ(read(*queue_, second), 0);
  queue_.reset();
  EXPECT_TRUE(second.done) << "what was injected survives a reset, and ends with the queue pair";
}

TEST_F(InjectionTest, OnTheAdminQueuePerOpcodeAndCount) {
  start();
  InjectedError twice = error(kGetFeatures);
  twice.count = 2;
  controller_->admin().inject_error(twice);
  simulation_.admin_seen.clear();
  std::vector<Outcome> outcomes(3);
  for (Outcome& each : outcomes) ASSERT_EQ(controller_->admin().submit(admin(each)), 0);
  ASSERT_TRUE(poll_until([&] {
    controller_->process_admin_completions();
    return outcomes[2].done;
  }));
  EXPECT_TRUE(outcomes[0].status.is(GenericStatus::kInternalError));
  EXPECT_TRUE(outcomes[1].status.is(GenericStatus::kInternalError));
  EXPECT_TRUE(outcomes[2].status.ok());
  EXPECT_EQ(simulation_.admin_seen.size(), 3u) << "the controller sees all of them";
  controller_->admin().inject_error(twice);
  controller_->admin().remove_injected_error(kGetFeatures);
  Outcome removed;
  ASSERT_EQ(controller_->admin().submit(admin(removed)), 0);
  ASSERT_TRUE(poll_until([&] {
    controller_->process_admin_completions();
    return removed.done;
  }));
  EXPECT_TRUE(removed.status.ok());
}

TEST_F(InjectionTest, DelayedAdminCommandsEndWithTheirConnection) {
  start();
  InjectedError never = error(kGetFeatures);
  never.count = 3;
  never.delay = seconds(1000);
  controller_->admin().inject_error(never);
  Outcome delayed;
  ASSERT_EQ(controller_->admin().submit(admin(delayed)), 0);
  ASSERT_TRUE(poll_until([&] { return controller_->admin().outstanding() == 0; }));
  EXPECT_FALSE(delayed.done);
  ASSERT_TRUE(reset());
  controller_->process_admin_completions();
  EXPECT_TRUE(delayed.done);
  EXPECT_TRUE(delayed.status.is(GenericStatus::kInternalError));
  Outcome last;
  ASSERT_EQ(controller_->admin().submit(admin(last)), 0);
  queue_.reset();
  detach();
}

}  // namespace
}  // namespace nvublk::nvme
