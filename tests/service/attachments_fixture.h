#pragma once

// A daemon's attachments on front-ends that show nothing, and a target in this process.

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/attachments.h"
#include "service/fake_frontends.h"
#include "service/reports.h"
#include "service/shard_pool.h"
#include "service/temporary_folder.h"
#include "target/target.h"

namespace nvublk::service {

inline constexpr char kHost[] = "nqn.2026-01.io.nvublk:test-host";

class AttachmentsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pool = ShardPool::start({.io_shards = 1, .mode = IdleMode::kInterrupt});
    ASSERT_TRUE(pool.has_value()) << pool.error().text;
    pool_ = std::move(*pool);
    frontends_ = std::make_unique<test::FakeFrontends>(pool_->control());
    attachments_ =
        std::make_unique<Attachments>(pool_->set(), *frontends_, identities_, folder_.path());
    start_target();
  }
  void TearDown() override {
    frontends_->hangs.clear();
    frontends_->stop_hangs.clear();
    frontends_->release();
    if (!left_) {
      detach_everything();
      turn_until([this] { return attachments_->empty(); });
    }
    attachments_.reset();
    frontends_.reset();
    pool_.reset();
  }

  void start_target() {
    target::Options options;
    options.listen = {{"127.0.0.1", 0}};
    for (int i = 0; i < 3; i++) {
      options.namespaces.push_back({.size_bytes = 1 << 20});
    }
    target_ = std::make_unique<target::Target>(options);
    ASSERT_TRUE(target_->start().has_value());
  }
  AttachRequest request() {
    AttachRequest request;
    request.controller.transport.id = {nvme::Trtype::kTcp, nvme::Adrfam::kIpv4, "127.0.0.1",
                                       std::to_string(target_->port()), target_->options().subnqn};
    request.hostnqn = kHost;
    return request;
  }
  template <typename Predicate>
  void turn_until(Predicate done) {
    const Instant give_up = Clock::now() + seconds(60);
    while (!done()) {
      ASSERT_LT(Clock::now(), give_up);
      pool_->control().reactor().turn(false);
    }
  }
  /// Attaches and waits; the name, or why not.
  Result<std::string> attach(AttachRequest wanted) {
    std::optional<Status> outcome;
    const auto name = attachments_->attach(
        std::move(wanted), [&outcome](Status status) { outcome = std::move(status); });
    if (!name) {
      return name;
    }
    turn_until([&] { return outcome.has_value(); });
    if (!*outcome) {
      return std::unexpected(outcome->error());
    }
    return *name;
  }
  Attachments::Detached detach(const std::string& what, bool force = false) {
    std::optional<Attachments::Detached> outcome;
    attachments_->detach(what, force, [&](Attachments::Detached result) { outcome = result; });
    turn_until([&] { return outcome.has_value(); });
    return outcome.value_or(Attachments::Detached{});
  }
  Attachments::Detached detach_everything(bool force = true) {
    std::optional<Attachments::Detached> outcome;
    attachments_->detach_all(force, [&](Attachments::Detached result) { outcome = result; });
    turn_until([&] { return outcome.has_value(); });
    return outcome.value_or(Attachments::Detached{});
  }
  void expect_nothing_left() {
    turn_until([this] { return attachments_->empty(); });
    EXPECT_TRUE(frontends_->shown.empty());
    turn_until([this] { return target_->controllers().empty(); });
  }

  test::TemporaryFolder folder_;
  HostIdentitySource identities_{HostIdentityPaths{.hostnqn = folder_ / "hostnqn",
                                                   .hostid = folder_ / "hostid",
                                                   .dmi_uuid = folder_ / "uuid",
                                                   .kept_directory = folder_.path()}};
  std::unique_ptr<target::Target> target_;
  std::unique_ptr<ShardPool> pool_;
  std::unique_ptr<test::FakeFrontends> frontends_;
  std::unique_ptr<Attachments> attachments_;
  bool left_ = false;  ///< the attachments have left; there is nothing to detach
};

}  // namespace nvublk::service
