// Faults, over the library's API and over the control socket; options as text.

#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "nvme/spec/features.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/properties.h"
#include "target/control_server.h"
#include "target/target_fixture.h"

namespace nvublk::target {
namespace {

using namespace nvme::spec;
using nlohmann::json;

class FaultTest : public TargetTest {
 protected:
  /// Sends a request to the target as the control socket would; returns the result.
  json control(std::string_view method, const json& params = json::object()) {
    const json request{{"method", method}, {"params", params}};
    const json response = json::parse(handle_control_request(*target_, request.dump()));
    EXPECT_TRUE(response.contains("result")) << response.dump();
    return response.value("result", json{});
  }
  std::string refusal(std::string_view line) {
    const json response = json::parse(handle_control_request(*target_, line));
    EXPECT_TRUE(response.contains("error")) << response.dump();
    return response["error"].value("message", "");
  }
  SubmissionEntry read_of(WireClient& host) { return host.io(NvmOpcode::kRead, 1, 0, 1, 4096); }
  SubmissionEntry alive(WireClient& host) { return host.admin(AdminOpcode::kKeepAlive); }
};

TEST_F(FaultTest, AStatusIsGivenAsOftenAsAsked) {
  start();
  auto control_queue = admin();
  auto host = queue();
  control("fault", {{"kind", "status"},
                    {"opcode", "read"},
                    {"sct", 2},
                    {"sc", 0x81},
                    {"dnr", true},
                    {"count", 2},
                    {"skip", 1}});
  EXPECT_TRUE(host->run(read_of(*host)).status().ok());
  for (int i = 0; i < 2; i++) {
    const NvmeStatus status = host->run(read_of(*host)).status();
    EXPECT_TRUE(status.is(MediaStatus::kUnrecoveredReadError));
    EXPECT_TRUE(status.dnr());
  }
  EXPECT_TRUE(host->run(read_of(*host)).status().ok());
  EXPECT_TRUE(target_->faults().empty());
}

TEST_F(FaultTest, CommandsAreStuckWhileOthersGoOn) {
  start();
  auto control_queue = admin();
  auto host = queue();
  control("fault", {{"kind", "stuck"}, {"opcode", "read"}, {"count", 1}});
  host->send_command(read_of(*host));
  const SubmissionEntry second = read_of(*host);
  host->send_command(second);
  EXPECT_EQ(host->receive()->as<C2hData>().cccid.get(), second.cid.get());
}

TEST_F(FaultTest, AnAbortCompletesWhatIsStuckAndNothingElse) {
  start();
  auto control_queue = admin();
  auto host = queue();
  control("fault", {{"kind", "stuck"}, {"opcode", "read"}, {"count", 1}});
  const SubmissionEntry stuck = read_of(*host);
  host->send_command(stuck);
  EXPECT_TRUE(host->run(read_of(*host)).status().ok()) << "the stuck one has arrived by then";
  const auto abort_of = [&](std::uint16_t sqid, std::uint16_t cid) {
    SubmissionEntry sqe = control_queue->admin(AdminOpcode::kAbort);
    sqe.cdw10 = sqid | (std::uint32_t{cid} << 16);
    const Outcome outcome = control_queue->run(sqe);
    EXPECT_TRUE(outcome.status().ok());
    return outcome.cqe.dw0.get();
  };
  const std::uint16_t cid = stuck.cid.get();
  EXPECT_EQ(abort_of(1, static_cast<std::uint16_t>(cid + 1)), 1U) << "it has completed";
  EXPECT_EQ(abort_of(2, cid), 1U) << "there is no such queue";
  EXPECT_EQ(abort_of(1, cid), 0U);
  const CompletionEntry aborted = host->receive_response();
  EXPECT_EQ(aborted.cid.get(), cid);
  EXPECT_TRUE(aborted.status().is(GenericStatus::kAbortRequested));
  EXPECT_FALSE(aborted.status().dnr());
  EXPECT_EQ(abort_of(1, cid), 1U) << "only once";
}

TEST_F(FaultTest, AnAbortEndsAnEventRequest) {
  start();
  auto host = admin();
  const SubmissionEntry event = host->admin(AdminOpcode::kAsyncEventRequest);
  host->send_command(event);
  SubmissionEntry abort = host->admin(AdminOpcode::kAbort);
  abort.cdw10 = std::uint32_t{event.cid.get()} << 16;
  host->send_command(abort);
  const CompletionEntry answers[] = {host->receive_response(), host->receive_response()};
  const bool first = answers[0].cid.get() == event.cid.get();
  EXPECT_TRUE(answers[first ? 0 : 1].status().is(GenericStatus::kAbortRequested));
  EXPECT_EQ(answers[first ? 1 : 0].dw0.get(), 0U);
}

TEST_F(FaultTest, ARetryDelayIsForHostsThatAskForIt) {
  Options options = defaults();
  options.retry_delays_100ms = {1, 20, 0};
  start(options);
  auto control_queue = admin();
  auto host = queue();
  const auto controller = as<IdentifyController>(control_queue->identify(1).data);
  EXPECT_EQ(controller.command_retry_delay_ms(2), 2000U);
  control("fault", {{"kind", "status"}, {"opcode", "read"}, {"sc", 0x21}, {"crd", 2}});
  NvmeStatus status = host->run(read_of(*host)).status();
  EXPECT_TRUE(status.is(GenericStatus::kCommandInterrupted));
  EXPECT_EQ(status.crd(), 0);
  HostBehavior behavior;
  behavior.acre = 1;
  SubmissionEntry set = control_queue->admin(AdminOpcode::kSetFeatures);
  set.cdw10 = static_cast<std::uint32_t>(FeatureId::kHostBehavior);
  set.set_sgl(SglDescriptor::in_capsule(0, sizeof(behavior)));
  EXPECT_TRUE(
      control_queue
          ->run(set, std::span(reinterpret_cast<const std::uint8_t*>(&behavior), sizeof(behavior)),
                true)
          .status()
          .ok());
  status = host->run(read_of(*host)).status();
  EXPECT_EQ(status.crd(), 2);
}

TEST_F(FaultTest, ADelayedCommandIsOvertaken) {
  start();
  auto control_queue = admin();
  auto host = queue();
  control("fault", {{"kind", "delay"}, {"opcode", "write"}, {"delay_ms", 1000}, {"count", 1}});
  SubmissionEntry write = host->io(NvmOpcode::kWrite, 1, 0, 1, 4096);
  write.set_sgl(SglDescriptor::in_capsule(0, 4096));
  const ByteVector data = pattern(4096, 8);
  host->send_command(write, data);
  host->send_command(read_of(*host));
  EXPECT_EQ(host->finish().data, ByteVector(4096, 0));
  EXPECT_EQ(host->receive_response().cid.get(), write.cid.get());
  EXPECT_EQ(host->run(read_of(*host)).data, data);
}

TEST_F(FaultTest, ConnectionsAreDroppedNowOrAfterCommands) {
  start();
  auto control_queue = admin();
  auto first = queue(1);
  auto second = queue(2);
  EXPECT_EQ(control("drop", {{"queues", "io"}, {"qid", 2}})["dropped"], 1);
  EXPECT_TRUE(second->closed_by_target());
  control("fault", {{"kind", "drop"}, {"queues", "io"}, {"skip", 2}, {"count", 1}});
  EXPECT_TRUE(first->run(read_of(*first)).status().ok());
  EXPECT_TRUE(first->run(read_of(*first)).status().ok());
  first->send_command(read_of(*first));
  EXPECT_TRUE(first->closed_by_target());
  EXPECT_TRUE(control_queue->run(alive(*control_queue)).status().ok());
}

TEST_F(FaultTest, AConnectionIsCutInTheMiddleOfItsData) {
  start();
  auto control_queue = admin();
  auto host = queue();
  control("fault", {{"kind", "drop"}, {"queues", "io"}, {"at_byte", 1000}, {"count", 1}});
  host->send_command(read_of(*host));
  EXPECT_FALSE(host->receive());
}

TEST_F(FaultTest, ABlackHoleTakesEverythingAndSaysNothing) {
  start();
  auto control_queue = admin();
  auto host = queue();
  control("fault", {{"kind", "black_hole"}, {"queues", "io"}});
  host->send_command(read_of(*host));
  EXPECT_TRUE(control_queue->run(alive(*control_queue)).status().ok());
  control("clear_faults");
  const SubmissionEntry sqe = read_of(*host);
  host->send_command(sqe);
  EXPECT_EQ(host->receive()->as<C2hData>().cccid.get(), sqe.cid.get()) << "the first one is lost";
}

TEST_F(FaultTest, AFatalStatusLeavesOnlyProperties) {
  start();
  auto control_queue = admin();
  const auto fatal = [&] {
    return Csts{
        control_queue->run(control_queue->property_get(Property::kCsts, false)).cqe.dw0.get()}
        .fatal();
  };
  EXPECT_FALSE(fatal());
  control("fault", {{"kind", "fatal_status"}});
  EXPECT_TRUE(fatal());
  control_queue->send_command(alive(*control_queue));
  EXPECT_TRUE(fatal()) << "the answer to this, and none to the other";
  control("clear_faults");
  EXPECT_FALSE(fatal());
}

TEST_F(FaultTest, AWrongIdentityIsAnotherNamespaces) {
  start();
  auto host = admin();
  const auto before = as<IdentifyNamespace>(host->identify(0x00, 1).data);
  const ByteVector descriptors = host->identify(0x03, 1).data;
  control("fault", {{"kind", "wrong_identity"}});
  const auto after = as<IdentifyNamespace>(host->identify(0x00, 1).data);
  EXPECT_NE(after.nguid, before.nguid);
  EXPECT_NE(after.eui64, before.eui64);
  EXPECT_EQ(after.nsze.get(), before.nsze.get());
  EXPECT_NE(host->identify(0x03, 1).data, descriptors);
  control("clear_faults");
  EXPECT_EQ(host->identify(0x03, 1).data, descriptors);
}

TEST_F(FaultTest, NewConnectionsAreRefused) {
  start();
  control("fault", {{"kind", "refuse"}, {"count", 1}});
  EXPECT_TRUE(client()->closed_by_target());
  EXPECT_NE(admin(), nullptr);
}

TEST_F(FaultTest, ConnectIsRefusedWithAStatus) {
  start();
  control("fault", {{"kind", "status"}, {"opcode", "connect"}, {"sct", 1}, {"sc", 0x81}});
  auto host = client();
  host->initialize();
  EXPECT_TRUE(host->connect(0).status().is(FabricsStatus::kControllerBusy));
}

TEST_F(FaultTest, DigestsAreCorrupted) {
  start();
  auto control_queue = admin({true, true});
  auto host = queue(1, {true, true});
  control("fault", {{"kind", "corrupt_data_digest"}, {"queues", "io"}, {"count", 1}});
  EXPECT_THROW(host->run(read_of(*host)), std::runtime_error);
  EXPECT_EQ(host->run(read_of(*host)).data.size(), 4096u);
  control("fault", {{"kind", "corrupt_header_digest"}, {"queues", "io"}, {"count", 1}});
  EXPECT_THROW(host->run(read_of(*host)), std::runtime_error);
}

TEST_F(FaultTest, KeepAliveExpiresOnDemand) {
  start();
  auto control_queue = admin();
  auto host = queue();
  EXPECT_EQ(control("expire_keep_alive")["expired"], 1);
  EXPECT_TRUE(control_queue->closed_by_target());
  EXPECT_TRUE(host->closed_by_target());
}

TEST_F(FaultTest, NamespacesComeGrowAndGo) {
  start();
  EXPECT_EQ(control("ns_add", {{"size", "1M"}, {"bs", 512}, {"nsid", 4}})["nsid"], 4);
  control("ns_resize", {{"nsid", 4}, {"size", "2M"}});
  EXPECT_EQ(control("list")["namespaces"][1]["size_blocks"], 4096);
  control("ns_remove", {{"nsid", 4}});
  EXPECT_EQ(control("list")["namespaces"].size(), 1u);
}

TEST_F(FaultTest, ReferralsComeAndGo) {
  start();
  const json other{{"traddr", "192.0.2.7"}, {"trsvcid", "8009"}};
  control("referral_add", other);
  EXPECT_EQ(control("list")["referrals"], json::array({other}));
  EXPECT_THAT(
      refusal(R"({"method":"referral_add","params":{"traddr":"192.0.2.7","trsvcid":8009}})"),
      ::testing::HasSubstr("already"));
  EXPECT_THAT(refusal(R"({"method":"referral_add","params":{"traddr":"x","trsvcid":"0"}})"),
              ::testing::HasSubstr("port number"));
  control("referral_remove", other);
  EXPECT_EQ(control("list")["referrals"], json::array());
  EXPECT_THAT(
      refusal(R"({"method":"referral_remove","params":{"traddr":"192.0.2.7","trsvcid":8009}})"),
      ::testing::HasSubstr("no such referral"));
}

TEST_F(FaultTest, StatisticsCountCommandsByName) {
  start();
  auto control_queue = admin();
  auto host = queue();
  host->run(read_of(*host));
  const json stats = control("stats");
  EXPECT_EQ(stats["io_commands"]["read"], 1);
  EXPECT_EQ(stats["read_bytes"], 4096);
  EXPECT_EQ(stats["open_connections"], 2);
  EXPECT_EQ(stats["controllers"], 1);
  EXPECT_EQ(control("list")["controllers"][0]["cntlid"], cntlid_);
}

TEST_F(FaultTest, NonsenseIsRefusedWithItsReason) {
  start();
  EXPECT_THAT(refusal("nonsense"), ::testing::HasSubstr("JSON object"));
  EXPECT_THAT(refusal(R"({"method":"dance"})"), ::testing::HasSubstr("there is no method"));
  EXPECT_THAT(refusal(R"({"method":"ns_remove","params":{"nsid":99}})"),
              ::testing::HasSubstr("there is no namespace 99"));
  EXPECT_THAT(refusal(R"({"method":"ns_remove","params":{"nsid":-1}})"),
              ::testing::HasSubstr("out of range"));
  EXPECT_THAT(refusal(R"({"method":"fault","params":{"kind":"fire"}})"),
              ::testing::HasSubstr("there is no fault"));
  EXPECT_THAT(refusal(R"({"method":"fault","params":{"kind":"stuck","opcode":"dance"}})"),
              ::testing::HasSubstr("there is no command"));
  EXPECT_THAT(refusal(R"({"method":"ns_add","params":{"size":"1M","bs":100}})"),
              ::testing::HasSubstr("power of two"));
  EXPECT_THAT(refusal("[]"), ::testing::HasSubstr("JSON object"));
  EXPECT_EQ(refusal(R"({"method":7})"), R"("method" must be a text)");
  EXPECT_EQ(refusal("{}"), R"("method" is missing)");
}

TEST_F(FaultTest, ParametersThatAreWrongAreNamed) {
  start();
  struct Case {
    std::string_view method, params, reason;
  };
  const Case cases[] = {
      {"fault", R"({"kind":"drop","bogus":1})", R"(there is no parameter "bogus")"},
      {"fault", R"({"kind":"drop","":1})", R"(there is no parameter "")"},
      {"fault", R"({"kind":"delay"})", R"("delay_ms" is missing)"},
      {"fault", R"({"kind":"drop","count":0})", R"("count" must be at least 1)"},
      {"fault", R"({"kind":"drop","count":"x"})", R"("count" must be a number)"},
      {"fault", R"({"kind":"drop","count":true})", R"("count" must be a number)"},
      {"fault", R"({"kind":"drop","skip":1.5})", R"("skip" is out of range)"},
      {"fault", R"({"kind":"drop","opcode":256})", R"("opcode" is out of range)"},
      {"fault", R"({"kind":"drop","opcode":[]})", R"("opcode" must be a number)"},
      {"fault", R"({"kind":"drop","opcode":"read","fctype":1})", R"("fctype" goes with)"},
      {"fault", R"({"kind":"status","sc":1,"dnr":1})", R"("dnr" must be true or false)"},
      {"fault", R"({"kind":"drop","at_byte":0})", R"("at_byte" must be at least 1)"},
      {"fault", R"({"kind":7})", R"("kind" must be a text)"},
      {"fault", "{}", R"("kind" is missing)"},
      {"fault", "5", R"("params" must be an object)"},
      {"stats", "null", R"("params" must be an object)"},
      {"stats", R"({"reset":true})", R"(there is no parameter "reset")"},
      {"drop", R"({"queues":1})", R"("queues" must be a text)"},
      {"drop", R"({"cntlid":70000})", R"("cntlid" is out of range)"},
      {"ns_add", R"({"size":[1]})", R"("size" must be a number)"},
      {"ns_add", R"({"size":"1M","bs":4294967808})", R"("bs" is out of range)"},
      {"ns_add", R"({"size":"1M","cache":"none"})", R"("cache" must be "volatile")"},
      {"ns_add", R"({"size":"1M","uuid":"x"})", "is not a UUID"},
      {"ns_add", R"({"size":"1M","ro":"yes"})", R"("ro" must be true or false)"},
      {"ns_resize", R"({"nsid":1})", R"("size" is missing)"},
      {"ns_resize", R"({"nsid":1,"size":"1X"})", R"("size": )"},
      {"ns_resize", R"({"nsid":1,"size":5000})", "multiple of the block size"},
      {"ns_remove", R"({"nsid":"1"})", R"("nsid" must be a number)"},
      {"zone_fail", R"({"nsid":1,"lba":0})", R"("state" is missing)"},
      {"referral_add", R"({"traddr":"192.0.2.7"})", R"("trsvcid" is missing)"},
  };
  for (const auto& [method, params, reason] : cases) {
    const std::string line =
        "{\"method\":\"" + std::string(method) + "\",\"params\":" + std::string(params) + "}";
    const std::string text = refusal(line);
    EXPECT_THAT(text, ::testing::HasSubstr(std::string(reason))) << line;
    EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr("json.exception"))) << line;
  }
  EXPECT_TRUE(target_->faults().empty());
  EXPECT_EQ(target_->namespaces().size(), 1u);
}

TEST_F(FaultTest, AParameterThatDoesNotGoWithTheKindIsRefused) {
  start();
  struct Row {
    const char* kind;
    const char* wrong;
    json value;
    const char* has;
  };
  const Row rows[] = {
      {"drop", "delay_ms", 5, "queues, opcode, fctype, count, skip, at_byte"},
      {"drop", "sc", 5, "queues, opcode, fctype, count, skip, at_byte"},
      {"delay", "at_byte", 5, "queues, opcode, fctype, count, skip, delay_ms"},
      {"stuck", "dnr", true, "queues, opcode, fctype, count, skip"},
      {"status", "delay_ms", 5, "queues, opcode, fctype, count, skip, sct, sc, dnr, crd"},
      {"black_hole", "count", 1, "queues"},
      {"refuse", "queues", "io", "count, skip"},
      {"sanitize_fails", "opcode", "write", "count, skip"},
      {"corrupt_header_digest", "opcode", "read", "queues, count, skip"},
      {"corrupt_data_digest", "fctype", 1, "queues, count, skip"},
      {"fatal_status", "queues", "admin", "none"},
      {"wrong_identity", "skip", 1, "none"},
  };
  for (const Row& row : rows) {
    const json request{{"method", "fault"},
                       {"params", {{"kind", row.kind}, {row.wrong, row.value}}}};
    EXPECT_EQ(refusal(request.dump()), std::string("a fault \"") + row.kind +
                                           "\" has no parameter \"" + row.wrong + "\"; it has " +
                                           row.has);
  }
  EXPECT_EQ(refusal(R"({"method":"fault","params":{"kind":"drop","at_byte":9,"opcode":"read"}})"),
            R"(a fault "drop" with "at_byte" has no parameter "opcode"; )"
            "it has queues, at_byte, count, skip");
  EXPECT_TRUE(target_->faults().empty());
}

TEST_F(FaultTest, TheControlSocketAnswersAndGoesAway) {
  std::string folder = std::filesystem::temp_directory_path() / "target-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  Options options = defaults();
  options.control_path = folder + "/control";
  start(options);
  const auto permissions = std::filesystem::status(options.control_path).permissions();
  EXPECT_EQ(permissions, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  const auto response = call_control(options.control_path, "stats", "{}");
  ASSERT_TRUE(response) << response.error().text;
  EXPECT_EQ(json::parse(*response)["result"]["controllers"], 0);
  EXPECT_FALSE(call_control(options.control_path, "stats", "[1]"));
  target_->stop();
  EXPECT_FALSE(std::filesystem::exists(options.control_path));
  EXPECT_FALSE(call_control(options.control_path, "stats", ""));
  std::filesystem::remove_all(folder);
}

TEST(TargetOptions, SizesAreRead) {
  EXPECT_EQ(parse_size("4096").value(), 4096u);
  EXPECT_EQ(parse_size("64K").value(), 65536u);
  EXPECT_EQ(parse_size("2m").value(), 2u << 20);
  EXPECT_EQ(parse_size("1T").value(), 1ull << 40);
  for (const char* wrong : {"", "K", "1X", "-1", "1.5G", "99999999999T", "0x10"}) {
    EXPECT_FALSE(parse_size(wrong)) << wrong;
  }
}

TEST(TargetOptions, NamespacesAreRead) {
  const auto ns = NamespaceOptions::parse(
      "file=/tmp/x,bs=512,size=1G,nsid=7,uuid=12345678-9abc-def0-1234-56789abcdef0,ro");
  ASSERT_TRUE(ns) << ns.error().text;
  EXPECT_EQ(ns->path, "/tmp/x");
  EXPECT_EQ(ns->block_size, 512u);
  EXPECT_EQ(ns->size_bytes, 1u << 30);
  EXPECT_EQ(ns->nsid, 7u);
  EXPECT_TRUE(ns->read_only);
  for (const char* wrong : {"size", "size=x", "colour=red", "uuid=1", "nsid=-1", "ro=1"}) {
    EXPECT_FALSE(NamespaceOptions::parse(wrong)) << wrong;
  }
}

TEST(TargetOptions, AddressesAreRead) {
  EXPECT_EQ(ListenAddress::parse("1.2.3.4:5")->port, 5);
  EXPECT_EQ(ListenAddress::parse("1.2.3.4")->port, 4420);
  EXPECT_EQ(ListenAddress::parse(":0")->address, "127.0.0.1");
  EXPECT_EQ(ListenAddress::parse("[::1]:9")->address, "::1");
  EXPECT_EQ(ListenAddress::parse("[::1]:9")->port, 9);
  EXPECT_EQ(ListenAddress::parse("[::1]")->port, 4420);
  for (const char* wrong : {"::1", "[::1", "[::1]9", "a:b", "1.2.3.4:65536"}) {
    EXPECT_FALSE(ListenAddress::parse(wrong)) << wrong;
  }
}

TEST(TargetOptions, WhatCannotBeIsRefusedAtTheStart) {
  const auto refused = [](const std::function<void(Options&)>& change) {
    Options options;
    options.listen = {{"127.0.0.1", 0}};
    change(options);
    return !Target(options).start();
  };
  EXPECT_FALSE(refused([](Options&) {}));
  EXPECT_TRUE(refused([](Options& options) { options.subnqn = "x"; }));
  EXPECT_TRUE(refused([](Options& options) { options.max_transfer_bytes = 5000; }));
  EXPECT_TRUE(refused([](Options& options) { options.cpda = 32; }));
  EXPECT_TRUE(refused([](Options& options) { options.listen[0].address = "nowhere"; }));
  EXPECT_TRUE(refused([](Options& options) { options.namespaces.resize(1); }));
}

}  // namespace
}  // namespace nvublk::target
