#include "service/command_line.h"

#include <filesystem>
#include <span>
#include <sstream>

#include <gtest/gtest.h>

namespace nvublk::service {
namespace {

constexpr char kNqn[] = "nqn.2026-01.org.example:disk";

std::expected<CommandLine, CommandLineEnd> parse(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) {
    words.push_back(word);
  }
  return parse_command_line(std::move(words));
}

CommandLine parsed(const std::string& text) {
  auto line = parse(text);
  EXPECT_TRUE(line.has_value()) << text << ": " << (line ? "" : line.error().text);
  return line.value_or(CommandLine{});
}

TEST(CommandLine, ReadsEveryOptionOfAttach) {
  const CommandLine line = parsed(
      "attach -t tcp -a 192.0.2.1 -s 4421 -n nqn.2026-01.org.example:disk "
      "-q nqn.2026-01.org.example:host -I 7a1b2c3d-0000-4000-8000-000000000001 -w 192.0.2.9 "
      "-f eth0 -i 3 -Q 64 -k 7 -c 2 -l -1 -F 30 -g -G -T 8 --nsid 1,4 --frontend fuse --id 5 "
      "--queues 2 --depth 32 --read-only --name disk --socket /tmp/x.sock -o json");
  EXPECT_EQ(line.kind, CommandKind::kAttach);
  EXPECT_EQ(line.socket_path, "/tmp/x.sock");
  EXPECT_TRUE(line.json);
  const AttachRequest& request = line.attach;
  const nvme::ControllerOptions& controller = request.controller;
  EXPECT_EQ(controller.transport.id.trtype, nvme::Trtype::kTcp);
  EXPECT_EQ(controller.transport.id.traddr, "192.0.2.1");
  EXPECT_EQ(controller.transport.id.trsvcid, "4421");
  EXPECT_EQ(controller.transport.id.subnqn, kNqn);
  EXPECT_EQ(request.hostnqn, "nqn.2026-01.org.example:host");
  EXPECT_EQ(request.hostid, "7a1b2c3d-0000-4000-8000-000000000001");
  EXPECT_EQ(controller.transport.host_traddr, "192.0.2.9");
  EXPECT_EQ(controller.transport.host_iface, "eth0");
  EXPECT_EQ(controller.io_queues, 3U);
  EXPECT_EQ(controller.queue_size, 64U);
  EXPECT_EQ(controller.keep_alive, seconds(7));
  EXPECT_EQ(controller.reconnect_delay, seconds(2));
  EXPECT_EQ(controller.ctrl_loss_timeout, seconds(-1));
  EXPECT_EQ(controller.fast_io_fail_timeout, seconds(30));
  EXPECT_TRUE(controller.transport.header_digest);
  EXPECT_TRUE(controller.transport.data_digest);
  EXPECT_EQ(controller.transport.tos, 8);
  EXPECT_EQ(request.nsids, (std::vector<std::uint32_t>{1, 4}));
  EXPECT_EQ(request.frontend, FrontendWish::kFuse);
  EXPECT_EQ(request.first_id, 5);
  EXPECT_EQ(request.queues, 2U);
  EXPECT_EQ(request.depth, 32U);
  EXPECT_TRUE(request.read_only);
  EXPECT_EQ(controller.name, "disk");
}

TEST(CommandLine, LongNamesAreThoseOfNvmeCli) {
  const CommandLine line = parsed(
      "attach --transport=tcp --traddr=192.0.2.1 --trsvcid=4421 --nqn=nqn.2026-01.org.example:disk "
      "--hostnqn=nqn.2026-01.org.example:host --hostid=7a1b2c3d-0000-4000-8000-000000000001 "
      "--host-traddr=192.0.2.9 --host-iface=eth0 --nr-io-queues=3 --queue-size=64 "
      "--keep-alive-tmo=7 --reconnect-delay=2 --ctrl-loss-tmo=60 --fast_io_fail_tmo=30 "
      "--hdr-digest --data-digest --tos=8 --nsid=1");
  EXPECT_TRUE(parsed("attach -t pcie -a 01:00.0 --cmb-queues")
                  .attach.controller.transport.controller_memory);
  EXPECT_EQ(line.attach.controller.ctrl_loss_timeout, seconds(60));
  EXPECT_EQ(line.attach.controller.fast_io_fail_timeout, seconds(30));
  const CommandLine other =
      parsed("attach -t tcp -a 192.0.2.1 -n nqn.2026-01.org.example:disk --fast-io-fail-tmo 9");
  EXPECT_EQ(other.attach.controller.fast_io_fail_timeout, seconds(9));
}

TEST(CommandLine, DefaultsAreThoseOfTheKernelsDriver) {
  const AttachRequest request =
      parsed("attach -t tcp -a 192.0.2.1 -n nqn.2026-01.org.example:disk").attach;
  EXPECT_EQ(request.controller.queue_size, 128U);
  EXPECT_EQ(request.controller.keep_alive, seconds(5));
  EXPECT_EQ(request.controller.reconnect_delay, seconds(10));
  EXPECT_EQ(request.controller.ctrl_loss_timeout, seconds(600));
  EXPECT_EQ(request.controller.fast_io_fail_timeout, seconds(-1));
  EXPECT_EQ(request.controller.transport.tos, -1);
  EXPECT_TRUE(request.nsids.empty());
  EXPECT_EQ(request.first_id, -1);
  EXPECT_EQ(request.depth, 128U);
}

TEST(CommandLine, ReadsAUriAndTheOtherForm) {
  const auto uri = parsed("attach nvme+tcp://192.0.2.1:4421/nqn.2026-01.org.example:disk");
  EXPECT_EQ(uri.attach.controller.transport.id.traddr, "192.0.2.1");
  EXPECT_EQ(uri.attach.controller.transport.id.trsvcid, "4421");
  EXPECT_EQ(uri.attach.controller.transport.id.subnqn, kNqn);
  const auto spdk = parse_command_line(
      {"attach",
       "trtype:TCP adrfam:IPv4 traddr:192.0.2.1 trsvcid:4421 subnqn:nqn.2026-01.org.example:disk"});
  ASSERT_TRUE(spdk.has_value()) << spdk.error().text;
  EXPECT_EQ(spdk->attach.controller.transport.id, uri.attach.controller.transport.id);
}

TEST(CommandLine, AListOfNamespacesIsOneWord) {
  const auto before = parsed("attach --nsid 1,4 nvme+tcp://192.0.2.1/nqn.2026-01.org.example:disk");
  EXPECT_EQ(before.attach.nsids, (std::vector<std::uint32_t>{1, 4}));
  EXPECT_EQ(before.attach.controller.transport.id.traddr, "192.0.2.1");
  const auto twice =
      parsed("attach --nsid 1 --nsid 4 nvme+tcp://192.0.2.1/nqn.2026-01.org.example:disk");
  EXPECT_EQ(twice.attach.nsids, (std::vector<std::uint32_t>{1, 4}));
}

TEST(CommandLine, CommonOptionsStandBeforeOrAfterTheCommand) {
  EXPECT_EQ(parsed("--socket /tmp/a list").socket_path, "/tmp/a");
  EXPECT_EQ(parsed("list --socket /tmp/b -o json").socket_path, "/tmp/b");
  EXPECT_TRUE(parsed("-o json list").json);
  EXPECT_EQ(parsed("list --socket ./here/../a").socket_path, std::filesystem::current_path() / "a");
}

TEST(CommandLine, ReadsTheOtherCommands) {
  EXPECT_EQ(parsed("detach /dev/ublkb0 --force").target, "/dev/ublkb0");
  EXPECT_TRUE(parsed("detach /dev/ublkb0 --force").force);
  EXPECT_TRUE(parsed("detach --all").all);
  EXPECT_EQ(parsed("status nvublk0").target, "nvublk0");
  EXPECT_EQ(parsed("status").kind, CommandKind::kStatus);
  EXPECT_EQ(parsed("features").kind, CommandKind::kFeatures);
  EXPECT_EQ(parsed("version").kind, CommandKind::kVersion);
  EXPECT_EQ(parsed("--version").kind, CommandKind::kVersion);
}

TEST(CommandLine, VerbsTakeNvmeClisOptions) {
  const CommandLine line = parsed(
      "admin-passthru nvublk0 --opcode=0x06 -n 0xffffffff -2 2 -3 3 --cdw10=1 -5 0x11 -6 12 -7 13 "
      "-8 14 -9 0xffffffff -f 0 -R 0xffff -m 64 -M meta -l 4096 -r -t 100 -p 0xff -s -i out");
  EXPECT_EQ(line.kind, CommandKind::kVerb);
  EXPECT_EQ(line.name, "admin-passthru");
  const Json expected{{"target", "nvublk0"}, {"opcode", 6},         {"namespace-id", 0xffffffff},
                      {"cdw2", 2},           {"cdw3", 3},           {"cdw10", 1},
                      {"cdw11", 0x11},       {"cdw12", 12},         {"cdw13", 13},
                      {"cdw14", 14},         {"cdw15", 0xffffffff}, {"data-len", 4096},
                      {"timeout", 100},      {"prefill", 255},      {"metadata-len", 64}};
  for (const auto& [key, value] : expected.items()) {
    EXPECT_EQ(line.verb.params.value(key, Json()), value) << key;
  }
  EXPECT_EQ(line.verb.params.size(), expected.size());
  EXPECT_TRUE(line.verb.read && line.verb.show_command && !line.verb.dry_run);
  EXPECT_EQ(line.verb.input_file, "out");
  EXPECT_EQ(line.verb.metadata_file, "meta");
  // Before 2.4, nvme-cli's -o was the opcode.
  EXPECT_EQ(parsed("io-passthru nvublk0 -o 0x02").verb.params["opcode"], 2);
  EXPECT_TRUE(parsed("io-passthru nvublk0 -O 2 -o json").json);
  EXPECT_TRUE(parsed("smart-log nvublk0 -o binary").verb.raw_binary);
  EXPECT_TRUE(parsed("id-ctrl /dev/ublkb0 -o json").json);
  EXPECT_EQ(parsed("get-feature nvublk0 -f 0x81 -s 3 -c 1").verb.params["feature-id"], 0x81);
  EXPECT_EQ(parsed("list-ns nvublk0 --all").verb.params["all"], true);
  for (const char* verb : {"smart-log", "id-ctrl", "id-ns", "get-feature -f 1"}) {
    EXPECT_TRUE(parsed(std::string(verb) + " nvublk0 -H").verb.human_readable) << verb;
  }
  EXPECT_EQ(parsed("id-ctrl nvublk0 -v").verb.params["vendor-specific"], true);
  EXPECT_EQ(parsed("id-ns nvublk0 --vendor-specific").verb.params["vendor-specific"], true);
  EXPECT_EQ(parsed("get-feature nvublk0 -f 1 -s 8").verb.params["sel"], 8);
}

TEST(CommandLine, DiscoveryMayBeSavedAsBytes) {
  const CommandLine saved = parsed("discover -t tcp -a 192.0.2.1 -r log");
  EXPECT_TRUE(saved.raw);
  EXPECT_EQ(saved.raw_file, "log");
  const CommandLine binary = parsed("discover -t tcp -a 192.0.2.1 -o binary");
  EXPECT_TRUE(binary.raw);
  EXPECT_EQ(binary.raw_file, "");
  const CommandLine usual = parsed("discover -t tcp -a 192.0.2.1");
  EXPECT_FALSE(usual.raw);
  EXPECT_EQ(usual.attach.controller.keep_alive, seconds(0)) << "it does not stay";
  EXPECT_EQ(parsed("discover -t tcp -a 192.0.2.1 -i 2 -Q 64 -k 7").attach.controller.keep_alive,
            seconds(7));
  EXPECT_EQ(parsed("discover -t tcp -a 192.0.2.1 --host-trsvcid=5000")
                .attach.controller.transport.host_trsvcid,
            "5000");
}

TEST(CommandLine, DiscoveryNeedsNoNqnAndLeavesThePortToItsDefault) {
  const CommandLine line = parsed("discover -t tcp -a 192.0.2.1");
  EXPECT_EQ(line.kind, CommandKind::kDiscover);
  EXPECT_TRUE(line.attach.controller.transport.id.is_discovery());
  EXPECT_EQ(line.attach.controller.transport.id.trsvcid, "");
  EXPECT_TRUE(parsed("attach --discover -t tcp -a 192.0.2.1").discover);
  EXPECT_EQ(parsed("discover nvme+tcp://192.0.2.1").attach.controller.transport.id.trsvcid, "8009");
}

/// Each of the command lines is refused by one line that has the text beside it, and the way to the
/// help.
void expect_wrong_usage(std::span<const std::pair<std::string, std::string>> cases) {
  for (const auto& [words, expected] : cases) {
    const auto line = parse(words);
    ASSERT_FALSE(line.has_value()) << words;
    EXPECT_EQ(line.error().status, 2) << words;
    EXPECT_NE(line.error().text.find(expected), std::string::npos)
        << words << ": " << line.error().text;
    EXPECT_NE(line.error().text.find("--help"), std::string::npos) << words;
    EXPECT_EQ(line.error().text.find('\n'), std::string::npos) << words;
  }
}

TEST(CommandLine, WrongUsageIsOneLineWithStatusTwo) {
  const std::string address = "attach -t tcp -a 192.0.2.1 -n nqn.2026-01.org.example:disk ";
  const std::pair<std::string, std::string> cases[] = {
      {"", "a command is missing"},
      {"frobnicate", "there is no command 'frobnicate'"},
      {"discover -t tcp", "-a/--traddr is missing"},
      {"attach --discover -t tcp -a 192.0.2.1 --name x", "neither --name nor --id"},
      {"id-ctrl", "device"},
      {"id-ctrl nvublk0 -o yaml", "yaml"},
      {"list-ns nvublk0 -o binary", "binary"},
      {"get-feature nvublk0", "--feature-id is missing"},
      {"get-feature nvublk0 -f 1 -s 9", "--sel"},
      {"attach -t tcp -a 192.0.2.1 -n x -o binary", "binary"},
      {"admin-passthru nvublk0", "--opcode is missing"},
      {"admin-passthru nvublk0 -O 256", "--opcode"},
      {"admin-passthru nvublk0 -O 6 --flags=1", "--flags"},
      {"admin-passthru nvublk0 -O 6 -w -l 4", "use -r instead of -w"},
      {"admin-passthru nvublk0 -O 9 -r -l 4", "use -w instead of -r"},
      {"admin-passthru nvublk0 -O 0x80 -l 4", "moves no data"},
      {"io-passthru nvublk0 -O 2 -l 1048577", "--data-len"},
      {"attach -a 192.0.2.1 -n x", "-t/--transport is missing"},
      {"attach -t tcp -n x", "-a/--traddr is missing"},
      {"attach -t tcp -a 192.0.2.1", "-n/--nqn is missing"},
      {"attach -t smoke -a 192.0.2.1 -n nqn.2026-01.org.example:disk", "smoke"},
      {"attach nonsense", "nonsense"},
      {"attach nvme+tcp://192.0.2.1", "NQN"},
      {"attach nvme+tcp://192.0.2.1/nqn.2026-01.org.example:disk -a 1.2.3.4", "not both"},
      {address + "--depth 0", "--depth"},
      {address + "--depth 1025", "--depth"},
      {address + "--depth many", "--depth"},
      {address + "-Q 8", "--queue-size"},
      {address + "-i 0", "-i"},
      {address + "-k -1", "-k"},
      {address + "-l -2", "-l"},
      {address + "-c 0", "--reconnect-delay"},
      {address + "-T 256", "--tos"},
      {address + "-l 5 -F 6", "fast_io_fail_tmo"},
      {address + "-l 5 -c 6", "reconnect-delay"},
      {address + "-k 0 --timeout-action none", "gone silent"},
      {"set x", "settings"},
      {"set x loss=1", "ctrl-loss-tmo"},
      {"set x io-timeout=0", "io-timeout is from 1 to 86400 seconds"},
      {"set x ctrl_loss_tmo=-2", "ctrl-loss-tmo is from -1"},
      {"set x timeout-action=foo", "reset, abort or none"},
      {"attach -t fc -a nn-0x1000:pn-0x2000 -n nqn.2026-01.org.example:disk", "no Fibre Channel"},
      {"attach -t pcie -a 0000:01:00.0 -g", "--hdr-digest is for targets"},
      {"attach -t pcie -a 0000:01:00.0 -w 192.0.2.7", "--host-traddr is for targets"},
      {"discover -t tcp -a 192.0.2.1 --cmb-queues", "--cmb-queues"},
      {address + "--host-trsvcid 70000", "--host-trsvcid: '70000'"},
      {address + "--nsid 1 2", "not both"},
      {address + "-I 00000000-0000-0000-0000-000000000000", "-I"},
      {address + "--nsid 0", "--nsid"},
      {address + "--nsid 1,x", "--nsid"},
      {address + "--frontend nbd", "--frontend"},
      {address + "--id -1", "--id"},
      {address + "--name a/b", "a/b"},
      {address + "-I nonsense", "-I"},
      {address + "-s 70000", "70000"},
      {address + "--what", "--what"},
      {address + "-o yaml", "-o"},
      {"attach -t tcp -a 192.0.2.1 -n " + std::string(224, 'n'), "NQN"},
      {"detach", "--all"},
      {"detach x --all", "not both"},
      {"detach x y", "y"},
      {"list x", "x"},
      {"list --socket /" + std::string(200, 'x'), "longer"},
      {"help frobnicate", "frobnicate"},
  };
  expect_wrong_usage(cases);
}

TEST(CommandLine, WrongUsageOfTheCommandsForDrivesIsSaid) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"pci", "list, bind or unbind"},
      {"-o json pci", "list, bind or unbind"},
      {"pci frobnicate", "no command 'pci frobnicate'"},
      {"pci bind", "address"},
      {"pci list x", "x"},
      {"help pci frobnicate", "no command 'pci frobnicate'"},
  };
  expect_wrong_usage(cases);
}

TEST(CommandLine, ReadsTheCommandsForDrives) {
  const CommandLine list = parsed("pci list --socket /tmp/x.sock -o json");
  EXPECT_EQ(list.kind, CommandKind::kPciList);
  EXPECT_EQ(list.name, "pci list");
  EXPECT_EQ(list.socket_path, "/tmp/x.sock");
  EXPECT_TRUE(list.json);
  EXPECT_EQ(parsed("--socket /tmp/x.sock -o json pci list").socket_path, "/tmp/x.sock");
  EXPECT_EQ(parsed("pci bind 0000:01:00.0").kind, CommandKind::kPciBind);
  const CommandLine unbind = parsed("pci unbind 0000:01:00.0");
  EXPECT_EQ(unbind.kind, CommandKind::kPciUnbind);
  EXPECT_EQ(unbind.target, "0000:01:00.0");
}

TEST(CommandLine, WrongUsageKnowsThatJsonIsWanted) {
  for (const char* words : {"attach -o json", "list -ojson x", "--output-format=json frobnicate"}) {
    const auto line = parse(words);
    ASSERT_FALSE(line.has_value());
    EXPECT_TRUE(line.error().json) << words;
  }
}

TEST(CommandLine, HelpOfACommandIsThatOfItsOption) {
  for (const char* command : {"attach", "pci", "pci list", "pci bind", "pci unbind", "id-ctrl"}) {
    const auto asked = parse("help " + std::string(command));
    const auto option = parse(command + std::string(" --help"));
    ASSERT_FALSE(asked.has_value() || option.has_value());
    EXPECT_EQ(asked.error().status, 0) << command;
    EXPECT_EQ(asked.error().text, option.error().text) << command;
  }
}

TEST(CommandLine, EveryCommandHasHelpWithExamples) {
  for (const char* words : {"--help", "help", "attach --help", "detach --help", "list -h",
                            "set --help", "status --help", "features --help", "version --help",
                            "help attach", "pci --help", "pci list --help", "help pci"}) {
    const auto line = parse(words);
    ASSERT_FALSE(line.has_value());
    EXPECT_EQ(line.error().status, 0) << words;
    EXPECT_NE(line.error().text.find("Examples:"), std::string::npos) << words;
    EXPECT_NE(line.error().text.find("--socket"), std::string::npos) << words;
  }
}

}  // namespace
}  // namespace nvublk::service
