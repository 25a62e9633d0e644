#include "nvme/rdma/rdma_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/rdma/capsule_builder.h"
#include "nvme/rdma/rdma_environment.h"

namespace nvublk::nvme::rdma {
namespace {

using ::testing::HasSubstr;

TransportOptions usual() {
  TransportOptions options;
  options.id.trtype = Trtype::kRdma;
  options.id.traddr = "192.0.2.1";
  options.id.trsvcid = "4420";
  options.id.subnqn = "nqn.2026-01.io.nvublk:test";
  return options;
}

std::string refusal(const TransportOptions& options) {
  const auto made = make_rdma_transport(options);
  return made ? "" : made.error().text;
}

TEST(RdmaTransport, RefusesWhatCannotBeRight) {
  TransportOptions options = usual();
  options.header_digest = true;
  EXPECT_THAT(refusal(options), HasSubstr("digests are TCP's"));
  options = usual();
  options.ack_timeout = 32;
  EXPECT_THAT(refusal(options), HasSubstr("not in 0 to 31"));
  options = usual();
  options.id.traddr = "target.example";
  EXPECT_THAT(refusal(options), HasSubstr("not an IPv4 or IPv6 address"));
  options = usual();
  options.host_traddr = "2001:db8::1";
  EXPECT_THAT(refusal(options), HasSubstr("not of the same family"));
  options = usual();
  options.host_trsvcid = "65536";
  EXPECT_THAT(refusal(options), HasSubstr("not a port"));
  options = usual();
  options.host_iface = "no-such-interface";
  EXPECT_THAT(refusal(options), HasSubstr("no network interface"));
}

TEST(RdmaTransport, WhatTheMachineLacksIsSaid) {
  const Status environment = check_rdma_environment();
  EXPECT_EQ(refusal(usual()), environment ? "" : environment.error().text);
  if (!environment) {
    EXPECT_THAT(environment.error().text,
                ::testing::AnyOf(HasSubstr("modprobe"), HasSubstr("ibverbs-providers"),
                                 HasSubstr("/dev/infiniband")));
  }
}

TEST(CapsuleLimits, TheAdminQueueHasNoDataInCapsules) {
  QueueTransportOptions options;
  options.in_capsule_bytes = 8192;
  options.max_descriptors = 16;
  const CapsuleLimits limits = capsule_limits(options, 32);
  EXPECT_EQ(limits.in_capsule_bytes, 0u);
  EXPECT_EQ(limits.max_descriptors, 1u);
}

TEST(CapsuleLimits, FollowTheControllerAndTheDevice) {
  QueueTransportOptions options;
  options.qid = 1;
  options.in_capsule_bytes = 4096;
  options.max_descriptors = 256;
  EXPECT_EQ(capsule_limits(options, 32).in_capsule_bytes, 4096u);
  EXPECT_EQ(capsule_limits(options, 32).max_descriptors, 16u);
  EXPECT_EQ(capsule_limits(options, 1).in_capsule_bytes, 0u) << "a send of one piece";
  options.in_capsule_bytes = 64;
  EXPECT_EQ(capsule_limits(options, 32).max_descriptors, 4u) << "what the capsule has room for";
  options.in_capsule_bytes = 0;
  EXPECT_EQ(capsule_limits(options, 32).max_descriptors, 1u);
}

}  // namespace
}  // namespace nvublk::nvme::rdma
