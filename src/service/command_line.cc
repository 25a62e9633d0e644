#include "service/command_line.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include <CLI/CLI.hpp>

#include "keys/key_options.h"
#include "nvme/nqn.h"
#include "nvme/spec/fabrics.h"
#include "service/command_examples.h"
#include "service/policy.h"
#include "service/policy_options.h"
#include "service/socket_path.h"

namespace nvublk::service {

namespace {

/// What CLI11 fills in.
struct Words {
  std::string socket_path = default_socket_path();
  std::string output = "normal";
  std::string uri;
  std::string transport;
  std::string traddr;
  std::string trsvcid;
  std::string nqn;
  std::vector<std::uint32_t> nsids;
  std::string frontend = "auto";
  PolicyWords policy;
  std::vector<std::string> settings;
  AttachRequest request;
  std::string target;
  bool all = false;
  bool force = false;
  bool discover = false;
  std::string raw_file;
  bool dry_run = false;
  VerbLine verb;
  bool keep_bound = false;
  keys::KeyOptions keys;
  KeyCommandLine key_command;
  std::vector<std::string> help_topic;
  bool show_version = false;
};

const std::map<std::string, CommandKind>& commands() {
  static const std::map<std::string, CommandKind> table = {
      {"check-dhchap-key", CommandKind::kCheckDhchapKey},
      {"check-tls-key", CommandKind::kCheckTlsKey},
      {"gen-dhchap-key", CommandKind::kGenDhchapKey},
      {"gen-tls-key", CommandKind::kGenTlsKey},
      {"attach", CommandKind::kAttach},
      {"detach", CommandKind::kDetach},
      {"discover", CommandKind::kDiscover},
      {"features", CommandKind::kFeatures},
      {"list", CommandKind::kList},
      {"pci bind", CommandKind::kPciBind},
      {"pci list", CommandKind::kPciList},
      {"pci unbind", CommandKind::kPciUnbind},
      {"recover", CommandKind::kRecover},
      {"set", CommandKind::kSet},
      {"status", CommandKind::kStatus},
      {"version", CommandKind::kVersion},
  };
  return table;
}

/// The one command that has commands of its own.
constexpr char kPci[] = "pci";

bool is_command(const std::string& name) {
  return commands().contains(name) || name == kPci || is_verb(name);
}

void add_socket_option(CLI::App& app, Words& words) {
  app.add_option(
         "--socket", words.socket_path,
         "The daemon's socket (default: $NVUBLK_SOCKET, or " + std::string(kDefaultSocket) + ")")
      ->type_name("PATH");
}

void add_common_options(CLI::App& app, Words& words) {
  std::vector<std::string> formats = {"normal", "json"};
  if (app.get_name() == "discover") {
    formats.emplace_back("binary");
  }
  add_socket_option(app, words);
  app.add_option("-o,--output-format", words.output,
                 formats.size() == 2 ? "normal or json" : "normal, json or binary")
      ->type_name("FORMAT")
      ->check(CLI::IsMember(formats));
}

void add_fabrics_options(CLI::App& app, Words& words, bool discovery) {
  nvme::TransportOptions& transport = words.request.controller.transport;
  app.add_option("uri", words.uri,
                 "nvme+tcp://ADDR[:PORT]/SUBNQN, or \"trtype:TCP traddr:ADDR ...\", instead of "
                 "-t, -a, -s and -n")
      ->type_name("URI");
  app.add_option("-t,--transport", words.transport,
                 discovery ? "Transport: tcp or rdma" : "Transport: tcp, rdma or pcie")
      ->type_name("TYPE");
  app.add_option("-a,--traddr", words.traddr,
                 discovery ? "Address or host name of the target"
                           : "Address or host name of the target; PCI address of a drive")
      ->type_name("ADDR");
  app.add_option("-s,--trsvcid", words.trsvcid,
                 discovery ? "Port of the target (default: 8009 for TCP, else 4420)"
                           : "Port of the target (default: 4420; 8009 with --discover)")
      ->type_name("PORT");
  app.add_option("-n,--nqn", words.nqn,
                 discovery ? "NQN of the discovery subsystem (default: the well-known one)"
                           : "NQN of the subsystem")
      ->type_name("SUBNQN");
  app.add_option("-q,--hostnqn", words.request.hostnqn, "Host NQN (default: the machine's)")
      ->type_name("NQN");
  app.add_option("-I,--hostid", words.request.hostid, "Host id (default: the machine's)")
      ->type_name("UUID");
  keys::add_key_options(app, words.keys);
  app.add_option("-w,--host-traddr", transport.host_traddr, "Source address")->type_name("ADDR");
  app.add_option("--host-trsvcid", transport.host_trsvcid,
                 "Source port of the admin queue; I/O queues have those after it")
      ->type_name("PORT");
  app.add_option("-f,--host-iface", transport.host_iface, "Network interface to use")
      ->type_name("NAME");
  app.add_option("-T,--tos", transport.tos, "IP type of service, -1: the system's")
      ->type_name("N")
      ->check(CLI::Range(-1, 255));
  app.add_option("--rdma-ack-timeout", transport.ack_timeout,
                 "Over RDMA: 4.096 us times 2 to this until it is sent again, -1: the device's")
      ->type_name("N")
      ->check(CLI::Range(-1, 31));
  app.add_flag("-g,--hdr-digest", transport.header_digest, "Protect PDU headers by a CRC");
  app.add_flag("-G,--data-digest", transport.data_digest, "Protect PDU data by a CRC");
}

void add_queue_options(CLI::App& app, Words& words) {
  nvme::ControllerOptions& options = words.request.controller;
  app.add_option(
         "-i,--nr-io-queues", options.io_queues,
         "I/O queues (default: one per I/O shard; for a local drive, per shard on its node)")
      ->type_name("N")
      ->check(CLI::Range(1, 65535));
  app.add_option("-Q,--queue-size", options.queue_size, "Commands per I/O queue (default: 128)")
      ->type_name("N")
      ->check(CLI::Range(16, 1024));
}

// Of controllers that have I/O queues.
void add_memory_options(CLI::App& app, nvme::TransportOptions& transport) {
  app.add_flag("--shared-receive-queue", transport.shared_receive_queue,
               "Over RDMA: one queue of receive buffers for all of a shard's queue pairs");
  app.add_flag("--cmb-queues", transport.controller_memory,
               "Over PCIe: submission queues in the drive's own memory (CMB), if it has some");
}

void add_device_options(CLI::App& app, Words& words) {
  AttachRequest& request = words.request;
  app.add_option("--nsid", words.nsids, "Namespaces to show (default: all active ones)")
      ->type_name("N[,N]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1U, 0xfffffffeU));
  app.add_option("--frontend", words.frontend,
                 "auto, ublk or fuse (default: auto, which is ublk where the kernel has it)")
      ->type_name("NAME")
      ->check(CLI::IsMember({"auto", "ublk", "fuse"}));
  app.add_option("--id", request.first_id,
                 "Number of the device, as in /dev/ublkbN; more namespaces count up from it")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--queues", request.queues, "Queues of the device (default: one per I/O queue)")
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  app.add_option("--depth", request.depth, "Requests per queue of the device (default: 128)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--read-only", request.read_only, "Refuse writes");
  app.add_flag("--hotplug", request.hotplug,
               "Take a local drive again when it has been pulled out and is back");
  app.add_option("--name", request.controller.name,
                 "Name of the controller; its devices are NAMEn1, ... (default: nvublk0, ...)")
      ->type_name("NAME");
}

void add_attach(CLI::App& app, Words& words) {
  CLI::App* attach = app.add_subcommand(
      "attach", "Connect to a subsystem and make block devices of its namespaces");
  add_fabrics_options(*attach, words, false);
  attach->add_flag("--discover", words.discover,
                   "The address is a discovery subsystem's: attach all that it lists");
  add_queue_options(*attach, words);
  add_memory_options(*attach, words.request.controller.transport);
  add_policy_options(*attach, words.policy);
  add_device_options(*attach, words);
  attach->footer(kAttachExamples);
}

void add_discover(CLI::App& app, Words& words) {
  CLI::App* discover =
      app.add_subcommand("discover", "Show what a discovery subsystem lists, referrals included");
  add_fabrics_options(*discover, words, true);
  add_queue_options(*discover, words);  // nvme-cli has them; for discovery there is no I/O queue
  add_keep_alive_option(*discover, words.policy, "0");
  discover->add_option("-r,--raw", words.raw_file, "Save the log as bytes instead of showing it")
      ->type_name("FILE");
  discover->footer(kDiscoverExamples);
}

void add_detach(CLI::App& app, Words& words) {
  CLI::App* detach = app.add_subcommand("detach", "Take devices away and disconnect");
  detach
      ->add_option("target", words.target,
                   "A device (path or name), a controller's name, or a subsystem NQN")
      ->type_name("DEVICE|NAME|SUBNQN");
  detach->add_flag("--all", words.all, "Everything that is attached");
  detach->add_flag("--force", words.force, "Also what is mounted or open: its users get errors");
  detach->add_flag("--keep-bound", words.keep_bound,
                   "Leave a local drive with vfio-pci instead of giving it back");
  detach->footer(kDetachExamples);
}

void add_set(CLI::App& app, Words& words) {
  CLI::App* set = app.add_subcommand(
      "set", "Change how long a controller may not answer, and what happens then");
  set->add_option("name", words.target, "A device, a controller's name or a subsystem NQN")
      ->type_name("NAME")
      ->required();
  set->add_option("settings", words.settings, "What to change")
      ->type_name("SETTING=VALUE")
      ->required();
  set->footer(kSetExamples);
}

void add_simple_commands(CLI::App& app, Words& words) {
  app.add_subcommand("list", "List the devices")->footer(kListExamples);
  CLI::App* status =
      app.add_subcommand("status", "Show the daemon, its controllers, queues and devices");
  status->add_option("name", words.target, "Only this device, controller or subsystem NQN")
      ->type_name("NAME");
  status->footer(kStatusExamples);
  CLI::App* recover = app.add_subcommand(
      "recover", "Resume the devices of a daemon that died, and clean what it left behind");
  recover->add_flag("--dry-run", words.dry_run, "Only report what would be cleaned");
  recover->footer(kRecoverExamples);
  app.add_subcommand("features", "Show what this kernel and machine offer")
      ->footer(kFeaturesExamples);
  app.add_subcommand("version", "Show the versions of this program and of the daemon")
      ->footer(kVersionExamples);
}

void add_pci(CLI::App& app, Words& words) {
  CLI::App* pci = app.add_subcommand(
      kPci, "List the NVMe drives of this machine, take them and give them back");
  pci->require_subcommand(1, 1);
  pci->footer(kPciExamples);
  CLI::App* list = pci->add_subcommand("list", "List the NVMe drives, and who has them");
  CLI::App* bind = pci->add_subcommand("bind", "Take a drive from the kernel, for vfio-pci");
  CLI::App* unbind = pci->add_subcommand("unbind", "Give a drive back to the kernel");
  for (CLI::App* command : {bind, unbind}) {
    command->add_option("address", words.target, "The drive's PCI address, as 0000:01:00.0")
        ->type_name("ADDR")
        ->required();
  }
  for (CLI::App* command : {list, bind, unbind}) {
    command->footer(kPciExamples);
    add_common_options(*command, words);
  }
}

std::unique_ptr<CLI::App> make_app(Words& words) {
  auto app = std::make_unique<CLI::App>(
      "nvublk attaches NVMe namespaces in user space and shows them as block devices.", "nvublk");
  app->footer("'nvublk COMMAND --help' shows the options of a command.\n\n" +
              std::string(kAttachExamples));
  app->require_subcommand(0, 1);
  add_attach(*app, words);
  add_detach(*app, words);
  add_discover(*app, words);
  add_set(*app, words);
  add_simple_commands(*app, words);
  add_key_commands(*app, words.key_command);
  add_pci(*app, words);
  add_verbs(*app, words.verb, words.output);
  CLI::App* help = app->add_subcommand("help", "Show this help, or that of a command");
  help->add_option("command", words.help_topic, "Such as attach, or pci list")
      ->type_name("COMMAND");
  add_common_options(*app, words);
  app->add_flag("--version", words.show_version, "Show the version");
  for (CLI::App* command : app->get_subcommands({})) {
    command->option_defaults()->always_capture_default(false);
    if (is_verb(command->get_name())) {
      add_socket_option(*command, words);
    } else if (command != help) {
      add_common_options(*command, words);
    }
  }
  return app;
}

/// The help of `command`; of the program if that is empty, or "help".
std::string help_text(const std::string& command) {
  // A parser that has recognised a command shows no other help than that command's.
  Words words;
  const std::unique_ptr<CLI::App> app = make_app(words);
  if (!is_command(command)) {
    return app->help();
  }
  const std::size_t space = command.find(' ');
  const CLI::App* first = app->get_subcommand(command.substr(0, space));
  return space == std::string::npos ? first->help("nvublk")
                                    : first->get_subcommand(command.substr(space + 1))
                                          ->help("nvublk " + first->get_name());
}

/// JSON errors are wanted even where the rest makes no sense.
bool wants_json(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); i++) {
    if (words[i] == "-ojson" || words[i] == "--output-format=json" ||
        ((words[i] == "-o" || words[i] == "--output-format") && i + 1 < words.size() &&
         words[i + 1] == "json")) {
      return true;
    }
  }
  return false;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : " ") + word;
  }
  return text;
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') {
    text.pop_back();
  }
  return text;
}

Status read_positional(Words& words) {
  if (!words.transport.empty() || !words.traddr.empty() || !words.trsvcid.empty() ||
      !words.nqn.empty()) {
    return fail(ErrorCode::kInvalidArgument, "give either a URI or -t, -a, -s and -n, not both");
  }
  auto parsed = nvme::parse_transport_id(words.uri);
  if (!parsed) {
    return std::unexpected(std::move(parsed.error()));
  }
  if (!words.discover && parsed->id.is_discovery() &&
      words.uri.find(parsed->id.subnqn) == std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "'" + words.uri + "' lacks the subsystem's NQN");
  }
  AttachRequest& request = words.request;
  request.controller.transport.id = parsed->id;
  if (request.hostnqn.empty()) {
    request.hostnqn = parsed->extras.hostnqn;
  }
  if (request.controller.transport.host_traddr.empty()) {
    request.controller.transport.host_traddr = parsed->extras.hostaddr;
  }
  if (request.controller.transport.host_trsvcid.empty()) {
    request.controller.transport.host_trsvcid = parsed->extras.hostsvcid;
  }
  if (request.nsids.empty() && parsed->extras.nsid != 0) {
    request.nsids.push_back(parsed->extras.nsid);
  }
  return {};
}

Status read_address_options(Words& words) {
  const auto missing = [](const char* option) {
    return fail(ErrorCode::kInvalidArgument, std::string(option) + " is missing");
  };
  if (words.transport.empty()) {
    return missing("-t/--transport");
  }
  if (words.traddr.empty()) {
    return missing("-a/--traddr");
  }
  auto trtype = nvme::parse_trtype(words.transport);
  if (!trtype) {
    return std::unexpected(std::move(trtype.error()));
  }
  if (words.nqn.empty() && !words.discover && *trtype != nvme::Trtype::kPcie) {
    return missing("-n/--nqn");
  }
  nvme::TransportId& id = words.request.controller.transport.id;
  id.trtype = *trtype;
  id.traddr = words.traddr;
  id.trsvcid = words.trsvcid;
  id.subnqn = words.nqn.empty() ? std::string(nvme::spec::kDiscoveryNqn) : words.nqn;
  return {};
}

Status finish_attach(Words& words) {
  AttachRequest& request = words.request;
  request.nsids = words.nsids;
  finish_policy(words.policy, request.controller);
  request.frontend = words.frontend == "ublk"   ? FrontendWish::kUblk
                     : words.frontend == "fuse" ? FrontendWish::kFuse
                                                : FrontendWish::kAuto;
  Status address = words.uri.empty() ? read_address_options(words) : read_positional(words);
  if (!address) {
    return address;
  }
  if (!request.hostnqn.empty()) {
    if (Status usable = nvme::check_nqn_usable(request.hostnqn, "the host NQN"); !usable) {
      return usable;
    }
  }
  if (Status read = keys::read_keys(words.keys, request.controller); !read) {
    return read;
  }
  if (!request.hostid.empty()) {
    const auto hostid = nvme::Uuid::parse(request.hostid);
    if (!hostid || hostid->is_zero()) {
      return fail(ErrorCode::kInvalidArgument, "-I/--hostid: '" + request.hostid + "' is no UUID" +
                                                   (hostid ? " of a host" : ""));
    }
  }
  return request.check();
}

// One name or number cannot be given to several controllers.
Status finish_attach_discovered(const Words& words) {
  const AttachRequest& request = words.request;
  if (words.discover && (!request.controller.name.empty() || request.first_id >= 0)) {
    return fail(ErrorCode::kInvalidArgument, "--discover goes with neither --name nor --id");
  }
  if (words.discover && !request.controller.transport.id.is_fabrics()) {
    return fail(ErrorCode::kInvalidArgument, "there is no discovery on PCIe; use -t tcp");
  }
  return {};
}

Status finish_detach(const Words& words) {
  if (words.all && !words.target.empty()) {
    return fail(ErrorCode::kInvalidArgument, "give either --all or what to detach, not both");
  }
  if (!words.all && words.target.empty()) {
    return fail(ErrorCode::kInvalidArgument, "say what to detach, or --all");
  }
  return {};
}

CommandLineEnd usage_error(std::string command, std::string what, bool json) {
  CommandLineEnd end;
  end.status = 2;
  end.text = one_line(std::move(what)) + "; see 'nvublk " + (command.empty() ? "" : command + " ") +
             "--help'";
  end.command = std::move(command);
  end.json = json;
  return end;
}

std::expected<CommandLine, CommandLineEnd> collect(const std::string& name, Words words,
                                                   bool json) {
  CommandLine line;
  line.kind = is_verb(name) ? CommandKind::kVerb : commands().at(name);
  line.name = name;
  words.discover = words.discover || line.kind == CommandKind::kDiscover;
  Status right;
  if (line.kind == CommandKind::kAttach || line.kind == CommandKind::kDiscover) {
    // That of a discovery does not stay.
    words.policy.keep_alive_s =
        words.policy.keep_alive_s.value_or(line.kind == CommandKind::kDiscover ? 0 : 5);
    right = finish_attach(words);
    if (right) {
      right = finish_attach_discovered(words);
    }
  } else if (line.kind == CommandKind::kVerb) {
    right = finish_verb(name, words.verb, words.output);
  } else if (line.kind == CommandKind::kDetach) {
    right = finish_detach(words);
  }
  Result<Json> settings = parse_settings(words.settings);
  if (!settings) {
    right = std::unexpected(settings.error());
  }
  words.socket_path = absolute_path(words.socket_path);
  if (right) {
    right = check_socket_path(words.socket_path);
  }
  if (!right) {
    return std::unexpected(usage_error(name, right.error().text, json));
  }
  line.socket_path = words.socket_path;
  line.json = words.output == "json";
  line.attach = std::move(words.request);
  line.discover = words.discover;
  line.raw = words.output == "binary" || !words.raw_file.empty();
  line.raw_file = words.raw_file;
  line.verb = std::move(words.verb);
  line.keys = std::move(words.key_command);
  line.target = words.target;
  line.settings = std::move(*settings);
  line.all = words.all;
  line.force = words.force;
  line.keep_bound = words.keep_bound;
  line.dry_run = words.dry_run;
  return line;
}

}  // namespace

std::expected<CommandLine, CommandLineEnd> parse_command_line(std::vector<std::string> words) {
  Words values;
  const bool json = wants_json(words);
  const std::unique_ptr<CLI::App> app = make_app(values);
  const auto recognised = [&app] {
    std::string name;
    for (auto chosen = app->get_subcommands(); !chosen.empty();
         chosen = chosen.front()->get_subcommands()) {
      name += (name.empty() ? "" : " ") + chosen.front()->get_name();
    }
    return name;
  };
  std::reverse(words.begin(), words.end());
  try {
    app->parse(words);
  } catch (const CLI::CallForHelp&) {
    return std::unexpected(CommandLineEnd{0, recognised(), help_text(recognised()), false});
  } catch (const CLI::ExtrasError& error) {
    const bool no_command = recognised().empty() && !app->remaining().empty();
    return std::unexpected(usage_error(
        recognised(),
        no_command ? "there is no command '" + app->remaining().front() + "'" : error.what(),
        json));
  } catch (const CLI::Error& error) {
    if (recognised() == kPci) {
      const std::vector<std::string> rest = app->get_subcommand(kPci)->remaining();
      return std::unexpected(usage_error(
          kPci,
          rest.empty() ? "say list, bind or unbind"
                       : "there is no command '" + std::string(kPci) + " " + rest.front() + "'",
          json));
    }
    return std::unexpected(usage_error(recognised(), error.what(), json));
  }
  if (values.show_version) {
    return collect("version", values, json);
  }
  if (recognised() == "help") {
    const std::string topic = joined(values.help_topic);
    if (!topic.empty() && topic != "help" && !is_command(topic)) {
      return std::unexpected(usage_error({}, "there is no command '" + topic + "'", json));
    }
    return std::unexpected(CommandLineEnd{0, "help", help_text(topic), false});
  }
  if (recognised().empty()) {
    return std::unexpected(usage_error({}, "a command is missing", json));
  }
  return collect(recognised(), values, json);
}

}  // namespace nvublk::service
