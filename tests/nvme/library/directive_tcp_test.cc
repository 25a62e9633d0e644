// Security Send and Receive, and directives over TCP. [Base 2.1 §5.1.23, §5.1.24, §8.1.8]

#include "nvme/library/management_fixture.h"
#include "nvme/spec/directive.h"

namespace nvublk::nvme {
namespace {

using spec::CommandStatus;
using spec::DirectiveParameters;
using spec::DirectiveType;
using spec::GenericStatus;
using spec::LogPage;
using spec::StreamsParameters;

using SecurityTest = ManagementTest;

TEST_F(SecurityTest, TheListOfProtocolsHasTheOneThatInforms) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  EXPECT_TRUE(host.controller->profile().identify.supports_security());
  std::vector<std::byte> page(512, std::byte{0xee});
  EXPECT_EQ(host.admin(command::security_receive({.length_bytes = 512}), page).status, good());
  std::vector<std::byte> expected(512);
  expected[7] = std::byte{1};  // a list of one byte: protocol 00h
  EXPECT_EQ(page, expected);
  page.assign(512, std::byte{0xee});
  EXPECT_EQ(
      host.admin(command::security_receive({.protocol_specific = 1, .length_bytes = 512}), page)
          .status,
      good());
  EXPECT_EQ(page, std::vector<std::byte>(512)) << "no certificate";
  std::vector<std::byte> head(8, std::byte{0xee});
  EXPECT_EQ(host.admin(command::security_receive({.length_bytes = 8}), head).status, good());
  EXPECT_EQ(head.back(), std::byte{1});
}

TEST_F(SecurityTest, OtherProtocolsAreInvalidFields) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  std::vector<std::byte> page(512);
  for (const std::uint8_t protocol : {std::uint8_t{1}, std::uint8_t{0xea}, std::uint8_t{0xef}}) {
    EXPECT_TRUE(
        host.admin(command::security_receive({.protocol = protocol, .length_bytes = 512}), page)
            .status.is(GenericStatus::kInvalidField));
    EXPECT_TRUE(
        host.admin(command::security_send({.protocol = protocol, .length_bytes = 512}), page)
            .status.is(GenericStatus::kInvalidField));
  }
  EXPECT_TRUE(
      host.admin(command::security_receive({.protocol_specific = 2, .length_bytes = 512}), page)
          .status.is(GenericStatus::kInvalidField));
  EXPECT_TRUE(host.admin(command::security_send({.length_bytes = 512}), page)
                  .status.is(GenericStatus::kInvalidField))
      << "there is nothing to be sent";
}

class DirectiveTest : public ManagementTest {
 protected:
  static constexpr auto kStreams = static_cast<std::uint8_t>(DirectiveType::kStreams);

  static spec::NvmeStatus enable(Host& host, bool on, std::uint32_t nsid = 1) {
    return host
        .admin(command::directive_send(
            {.nsid = nsid,
             .operation = spec::kDirectiveEnable,
             .cdw12 = spec::directive_enable_cdw12(DirectiveType::kStreams, on)}))
        .status;
  }
  static DirectiveParameters parameters(Host& host) {
    DirectiveParameters data;
    const auto bytes = std::as_writable_bytes(std::span(&data, 1));
    EXPECT_EQ(host.admin(command::directive_receive(
                             {.nsid = 1, .operation = 1, .length_bytes = sizeof(data)}),
                         bytes)
                  .status,
              good());
    return data;
  }
  static bool enabled(Host& host) {
    return DirectiveParameters::has(parameters(host).enabled, DirectiveType::kStreams);
  }
  static StreamsParameters streams(Host& host, std::uint32_t nsid = 1) {
    StreamsParameters data;
    const auto bytes = std::as_writable_bytes(std::span(&data, 1));
    EXPECT_EQ(
        host.admin(
                command::directive_receive(
                    {.nsid = nsid, .operation = 1, .type = kStreams, .length_bytes = sizeof(data)}),
                bytes)
            .status,
        good());
    return data;
  }
  /// The identifiers of open streams.
  static std::vector<std::uint16_t> open(Host& host) {
    std::vector<Le16> data(256);
    const auto bytes = std::as_writable_bytes(std::span(data));
    EXPECT_EQ(host.admin(command::directive_receive(
                             {.nsid = 1, .operation = 2, .type = kStreams, .length_bytes = 512}),
                         bytes)
                  .status,
              good());
    std::vector<std::uint16_t> list;
    for (std::size_t i = 1; i <= data[0].get(); i++) list.push_back(data[i].get());
    return list;
  }
  static Ended allocate(Host& host, std::uint32_t count) {
    return host.admin(
        command::directive_receive({.nsid = 1, .operation = 3, .type = kStreams, .cdw12 = count}));
  }
  spec::NvmeStatus write_to(Host& host, std::uint16_t stream, std::uint8_t type = kStreams) {
    auto data = pattern(512, stream);
    spec::SubmissionEntry sqe = command::write(1, 0, 1);
    sqe.cdw12 = sqe.cdw12.get() | (std::uint32_t{type} << 20);
    sqe.cdw13 = std::uint32_t{stream} << 16;
    return host.submit(sqe, data);
  }
};

TEST_F(DirectiveTest, IdentifySaysWhatThereIsAndEnablesIt) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  EXPECT_NE(host.controller->profile().identify.oacs.get() & (1u << 5), 0);
  const DirectiveParameters before = parameters(host);
  EXPECT_EQ(before.supported[0], 0x3);
  EXPECT_EQ(before.enabled[0], 0x1);
  EXPECT_EQ(before.persistent[0], 0x0);
  EXPECT_EQ(enable(host, true), good());
  EXPECT_TRUE(enabled(host));
  Host& other = attach(1);
  EXPECT_FALSE(enabled(other)) << "it is of one host";
  EXPECT_EQ(enable(host, false), good());
  EXPECT_FALSE(enabled(host));
  EXPECT_EQ(enable(host, true, spec::kNsidBroadcast), good());
  EXPECT_TRUE(enabled(host));
  ASSERT_TRUE(host.initiator->reset(*host.controller));
  EXPECT_FALSE(enabled(host)) << "not persistent";
}

TEST_F(DirectiveTest, WhatCannotBeIsAnInvalidField) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  std::vector<std::byte> data(4096);
  const auto invalid = GenericStatus::kInvalidField;
  const auto receive = [&](const command::DirectiveArguments& arguments) {
    return host.admin(command::directive_receive(arguments), data).status;
  };
  EXPECT_TRUE(
      receive({.nsid = spec::kNsidBroadcast, .operation = 1, .length_bytes = 4096}).is(invalid));
  EXPECT_TRUE(receive({.nsid = 1, .operation = 2, .length_bytes = 4096}).is(invalid));
  EXPECT_TRUE(
      receive({.nsid = 1, .operation = 1, .type = kStreams, .length_bytes = 4096}).is(invalid))
      << "it is not enabled";
  EXPECT_TRUE(receive({.nsid = 1, .operation = 1, .type = 2, .length_bytes = 4096}).is(invalid));
  EXPECT_TRUE(receive({.nsid = 9, .operation = 1, .length_bytes = 4096})
                  .is(GenericStatus::kInvalidNamespaceOrFormat));
  for (const DirectiveType type : {DirectiveType::kIdentify, DirectiveType::kDataPlacement}) {
    EXPECT_TRUE(
        host.admin(command::directive_send({.nsid = 1,
                                            .operation = spec::kDirectiveEnable,
                                            .cdw12 = spec::directive_enable_cdw12(type, true)}))
            .status.is(invalid));
  }
  EXPECT_TRUE(host.admin(command::directive_send({.nsid = 1, .operation = 1, .type = kStreams}))
                  .status.is(invalid))
      << "it is not enabled";
}

TEST_F(DirectiveTest, WritesOpenStreams) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  EXPECT_EQ(write_to(host, 5), good()) << "the fields mean nothing yet";
  ASSERT_EQ(enable(host, true), good());
  const StreamsParameters before = streams(host);
  EXPECT_EQ(before.msl.get(), 16);
  EXPECT_EQ(before.nssa.get(), 16);
  EXPECT_EQ(before.nso.get(), 0);
  EXPECT_EQ(before.sws.get(), 128u) << "blocks of 512 bytes";
  EXPECT_EQ(write_to(host, 9), good());
  EXPECT_EQ(write_to(host, 5), good());
  EXPECT_EQ(write_to(host, 5), good());
  EXPECT_EQ(write_to(host, 0), good()) << "no stream";
  EXPECT_TRUE(write_to(host, 5, 2).is(GenericStatus::kInvalidField)) << "data placement";
  EXPECT_EQ(open(host), (std::vector<std::uint16_t>{5, 9}));
  EXPECT_EQ(streams(host).nso.get(), 2);
  EXPECT_EQ(streams(host).nsso.get(), 2);
  EXPECT_EQ(host.admin(command::directive_send(
                           {.nsid = 1, .operation = 1, .type = kStreams, .specific = 5}))
                .status,
            good());
  EXPECT_EQ(open(host), std::vector<std::uint16_t>{9});
  for (std::uint16_t stream = 100; stream < 120; stream++) {
    EXPECT_EQ(write_to(host, stream), good());
  }
  EXPECT_EQ(open(host).size(), 16u) << "others are closed for new ones";
  ASSERT_EQ(host.admin(command::sanitize({})).status, good());
  ASSERT_TRUE(host.admin_until([&] {
    return host.log<spec::SanitizeStatusLog>(LogPage::kSanitizeStatus).global_data_erased();
  }));
  EXPECT_TRUE(open(host).empty()) << "a sanitize operation closes all";
}

TEST_F(DirectiveTest, StreamsAreAllocatedForAHostAndANamespace) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  Host& other = attach(1);
  EXPECT_TRUE(allocate(host, 4).status.is(GenericStatus::kInvalidField)) << "not enabled";
  ASSERT_EQ(enable(host, true), good());
  ASSERT_EQ(enable(other, true), good());
  const Ended some = allocate(host, 4);
  EXPECT_EQ(some.status, good());
  EXPECT_EQ(some.result, 4u);
  EXPECT_EQ(streams(host).nsa.get(), 4);
  EXPECT_EQ(streams(host).nssa.get(), 12);
  EXPECT_TRUE(allocate(host, 4).status.is(GenericStatus::kInvalidField)) << "it has some";
  const Ended rest = allocate(other, 100);
  EXPECT_EQ(rest.result, 12u) << "as many as there are";
  EXPECT_EQ(streams(other).nsa.get(), 12);
  for (std::uint16_t stream = 1; stream <= 9; stream++) {
    EXPECT_EQ(write_to(host, stream), good());
  }
  EXPECT_EQ(streams(host).nso.get(), 4);
  EXPECT_EQ(streams(host, spec::kNsidBroadcast).nssa.get(), 0);
  EXPECT_EQ(
      host.admin(command::directive_send({.nsid = 1, .operation = 2, .type = kStreams})).status,
      good());
  EXPECT_EQ(streams(host).nsa.get(), 0);
  EXPECT_EQ(streams(host).nssa.get(), 4);
  ASSERT_EQ(enable(other, false), good());
  EXPECT_EQ(streams(host).nssa.get(), 16) << "what is disabled gives its streams back";
  EXPECT_EQ(allocate(host, 16).result, 16u);
  ASSERT_EQ(enable(other, true), good());
  EXPECT_TRUE(allocate(other, 1).status.is(CommandStatus::kStreamAllocationFailed));
}

}  // namespace
}  // namespace nvublk::nvme
