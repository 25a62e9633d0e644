// Jobs over TCP on a target in this process.

#include "perf/job.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "nvme/initiator.h"
#include "nvme/transport_factory.h"
#include "support/allocation_guard.h"
#include "target/target.h"

namespace nvublk::perf {
namespace {

class JobTest : public testing::Test {
 protected:
  void SetUp() override {
    target::Options target_options;
    target_options.listen = {{"127.0.0.1", 0}};
    target_options.namespaces = {{.size_bytes = 4 << 20, .block_size = 512}};
    target_options.max_transfer_bytes = 64 << 10;
    target_ = std::make_unique<target::Target>(target_options);
    const Status started = target_->start();
    ASSERT_TRUE(started) << started.error().text;
    auto shard = Shard::adopt_current_thread({});
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
    nvme::ControllerOptions defaults;
    defaults.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    defaults.host.id.bytes[0] = 1;
    defaults.ctrl_loss_timeout = seconds(0);
    initiator_ = std::make_unique<nvme::Initiator>(*shard_, nvme::make_transport, defaults);
    nvme::TransportId id;
    id.traddr = "127.0.0.1";
    id.trsvcid = std::to_string(target_->port());
    id.subnqn = target_->options().subnqn;
    const auto controller = initiator_->connect(id);
    ASSERT_TRUE(controller) << controller.error().text;
    controller_ = *controller;
    group_ = std::make_unique<nvme::PollGroup>();
    options_.depth = 8;
    options_.io_size_bytes = 4096;
    options_.pattern = Pattern::kRandWrite;
    options_.verify = true;
  }
  void TearDown() override {
    group_.reset();
    initiator_.reset();
    shard_.reset();
  }

  JobPlan plan(std::uint64_t number_ios) {
    JobPlan plan;
    plan.controller = controller_;
    plan.subject = controller_->namespaces().front();
    plan.device = "TCP";
    plan.unit_count = plan.subject->geometry().size_bytes() / options_.io_size_bytes;
    plan.number_ios = number_ios;
    return plan;
  }
  std::unique_ptr<Job> make(const JobPlan& plan) {
    auto job = Job::create(options_, plan, *group_);
    EXPECT_TRUE(job) << (job ? "" : job.error().text);
    return job ? std::move(*job) : nullptr;
  }
  void poll_until_idle(Job& job) {
    const Instant limit = Clock::now() + seconds(60);
    while (!job.idle() && Clock::now() < limit) {
      group_->process_completions(
          0,
          [](void* context, nvme::IoQueuePair& queue) {
            static_cast<Job*>(context)->lost(queue.failure_text());
          },
          &job);
    }
    EXPECT_TRUE(job.idle());
  }
  void run(Job& job) {
    job.begin_measuring(Clock::now());
    job.start();
    poll_until_idle(job);
    job.end_measuring(Clock::now());
  }

  Options options_;
  std::unique_ptr<target::Target> target_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<nvme::Initiator> initiator_;
  nvme::Controller* controller_ = nullptr;
  std::unique_ptr<nvme::PollGroup> group_;
};

TEST_F(JobTest, DoesItsNumberOfIosAndFindsWhatItWrote) {
  auto job = make(plan(1000));
  ASSERT_TRUE(job);
  run(*job);
  EXPECT_TRUE(job->ended());
  EXPECT_EQ(job->result().writes, 1000u);
  EXPECT_EQ(job->result().reads, 0u);
  EXPECT_EQ(job->result().latency.count(), 1000u);
  EXPECT_GT(job->result().elapsed_s, 0);
  job->begin_check();
  poll_until_idle(*job);
  EXPECT_GT(job->result().verified, 500u) << "of 1024 units, 1000 writes hit more than half";
  EXPECT_FALSE(job->failed()) << job->result().first_error;
}

TEST_F(JobTest, MixesReadsAndWritesAsAsked) {
  options_.pattern = Pattern::kRandRw;
  options_.read_percent = 70;
  auto job = make(plan(4000));
  ASSERT_TRUE(job);
  run(*job);
  EXPECT_EQ(job->result().ios(), 4000u);
  EXPECT_NEAR(static_cast<double>(job->result().reads), 2800, 200);
  EXPECT_GT(job->result().verified, 0u) << "reads of what was written before";
  EXPECT_FALSE(job->failed()) << job->result().first_error;
}

TEST_F(JobTest, SeesWhenSomebodyElseWroteThere) {
  options_.pattern = Pattern::kWrite;
  auto job = make(plan(100));
  ASSERT_TRUE(job);
  run(*job);
  JobPlan vandal_plan = plan(1);
  vandal_plan.first_lba = 50 * 8;
  vandal_plan.unit_count = 100;
  vandal_plan.seed = 99;
  auto vandal = make(vandal_plan);
  ASSERT_TRUE(vandal);
  run(*vandal);
  job->begin_check();
  poll_until_idle(*job);
  EXPECT_EQ(job->result().verify_errors, 1u);
  EXPECT_EQ(job->result().first_error, "block 400 is not what was written");
  EXPECT_TRUE(job->failed());
}

TEST_F(JobTest, IosBeyondTheTransferLimitAreCut) {
  options_.io_size_bytes = 256 << 10;
  options_.depth = 2;
  auto job = make(plan(40));
  ASSERT_TRUE(job);
  run(*job);
  job->begin_check();
  poll_until_idle(*job);
  EXPECT_EQ(job->result().writes, 40u);
  EXPECT_GT(job->result().verified, 0u);
  EXPECT_FALSE(job->failed()) << job->result().first_error;
}

TEST_F(JobTest, ALostConnectionEndsIt) {
  auto job = make(plan(0));
  ASSERT_TRUE(job);
  job->begin_measuring(Clock::now());
  job->start();
  EXPECT_GT(target_->drop_connections(), 0u);
  poll_until_idle(*job);
  EXPECT_TRUE(job->ended());
  EXPECT_TRUE(job->failed());
  EXPECT_NE(job->result().first_error, "");
}

TEST_F(JobTest, AllocatesNothingOnceItRuns) {
  auto job = make(plan(20000));
  ASSERT_TRUE(job);
  job->start();
  for (int i = 0; i < 2000; i++) group_->process_completions(0, nullptr);
  job->begin_measuring(Clock::now());
  const std::uint64_t before = test::sealed_allocations();
  {
    const test::SealedScope sealed;
    poll_until_idle(*job);
  }
  EXPECT_EQ(test::sealed_allocations(), before);
  EXPECT_EQ(job->result().ios(), 20000u) << "the first ones do not count";
  EXPECT_FALSE(job->failed()) << job->result().first_error;
}

}  // namespace
}  // namespace nvublk::perf
