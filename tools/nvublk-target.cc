// nvublk-target: an NVMe/TCP target in user space; see nvublk-target(1).

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

#include "target/control_server.h"
#include "target/target.h"

namespace {

using nvublk::target::ListenAddress;
using nvublk::target::NamespaceOptions;
using nvublk::target::Options;

constexpr char kExamples[] = R"(Examples:
  nvublk-target --ns size=1G
      one namespace of 1 GiB in memory, on 127.0.0.1:4420
  nvublk-target --listen 0.0.0.0:0 --ns size=64M,bs=4096 --ns file=/tmp/disk.img,size=1G,bs=512
      two namespaces; the port is in the line that is printed
  nvublk-target --ns size=64M,bs=4096,zsze=1M,zcap=768K,mor=4,mar=6 --ns size=64M,bs=512,ms=8,pi=1
      a zoned namespace, and one with protection information of type 1
  nvublk-target --control /run/target.sock --ns size=64M &
  nvublk-target ctl /run/target.sock stats
  nvublk-target ctl /run/target.sock ns_add '{"size":"32M","bs":512}'
  nvublk-target ctl /run/target.sock fault '{"kind":"delay","opcode":"read","delay_ms":500}'
  nvublk-target ctl /run/target.sock fault '{"kind":"status","opcode":"write","sct":2,"sc":128}'
  nvublk-target ctl /run/target.sock clear_faults
)";

struct CommandLine {
  Options options;
  std::vector<std::string> listen;
  std::vector<std::string> namespaces;
  std::vector<std::string> dhchap_keys;
  std::vector<std::string> dhchap_ctrl_keys;
  std::string tls_key;
  std::string dhchap_hash = "sha256";
  std::string dhchap_group = "null";
  std::vector<std::uint16_t> retry_delays;
  bool no_header_digest = false;
  bool no_data_digest = false;
  bool sq_flow_control = false;
  bool no_success_flag = false;
  std::string control_path;
  std::string method;
  std::string params;
};

int complain(const std::string& text) {
  std::cerr << "nvublk-target: " << text << "\n";
  return 1;
}

int misused(const std::string& text) {
  complain(text + "; see 'nvublk-target --help'");
  return 2;
}

/// A CLI11 transform that turns "64K" into bytes.
std::string to_bytes(std::string text) {
  const auto size = nvublk::target::parse_size(text);
  if (!size) throw CLI::ValidationError(size.error().text);
  return std::to_string(*size);
}

void add_limits(CLI::App& app, Options& options) {
  app.add_option("--io-queues", options.io_queues, "most I/O queues of a controller")
      ->capture_default_str();
  app.add_option("--queue-size", options.queue_entries, "most entries of a queue")
      ->capture_default_str();
  app.add_option("--max-transfer", options.max_transfer_bytes, "most data of a command (MDTS)")
      ->transform(to_bytes)
      ->capture_default_str();
  app.add_option("--in-capsule", options.in_capsule_bytes, "data that a command capsule may hold")
      ->transform(to_bytes)
      ->capture_default_str();
  app.add_option("--max-h2c", options.max_h2c_bytes, "most data of one H2CData PDU (MAXH2CDATA)")
      ->transform(to_bytes)
      ->capture_default_str();
  app.add_option("--max-r2t", options.max_r2t_bytes,
                 "most data one R2T asks for; 0: all of the command's")
      ->transform(to_bytes)
      ->capture_default_str();
  app.add_option("--c2h-pdu-size", options.c2h_pdu_bytes,
                 "most data of one C2HData PDU; 0: all of the command's")
      ->transform(to_bytes)
      ->capture_default_str();
  app.add_option("--cpda", options.cpda, "alignment of data asked of hosts (CPDA)")
      ->capture_default_str();
}

/// An option with one value each time it is given.
void add_repeatable(CLI::App& app, const char* name, std::vector<std::string>& values,
                    const char* help) {
  app.add_option(name, values, help)->allow_extra_args(false);
}

void add_options(CLI::App& app, CommandLine& line) {
  Options& options = line.options;
  add_repeatable(app, "--listen", line.listen,
                 "ADDR:PORT to listen on, repeatable; port 0: any (default 127.0.0.1:4420)");
  add_repeatable(
      app, "--ns", line.namespaces,
      "a namespace, repeatable: size=64M,bs=4096 or file=PATH,bs=512; also log=PATH, nsid=N, "
      "uuid=UUID, ro, noiob=BLOCKS; metadata: ms=BYTES, pi=1|2|3, pi-first; zones: "
      "zsze=BYTES, zcap=BYTES, mor=N, mar=N");
  app.add_option("--subnqn", options.subnqn, "the subsystem's NQN")->capture_default_str();
  app.add_option("--serial", options.serial, "the serial number")->capture_default_str();
  app.add_option("--model", options.model, "the model number")->capture_default_str();
  add_repeatable(app, "--allow-host", options.allowed_hosts,
                 "a host NQN that may connect, repeatable (default: any)");
  add_repeatable(
      app, "--dhchap-key", line.dhchap_keys,
      "HOSTNQN=DHHC-1:...: this host has to authenticate itself by this key, repeatable");
  add_repeatable(app, "--dhchap-ctrl-key", line.dhchap_ctrl_keys,
                 "HOSTNQN=DHHC-1:...: the key for authentication to this host, repeatable");
  app.add_option("--dhchap-hash", line.dhchap_hash, "the hash that is preferred")
      ->capture_default_str();
  app.add_option("--dhchap-dhgroup", line.dhchap_group, "the group that is preferred")
      ->capture_default_str();
  app.add_option("--tls-key", line.tls_key,
                 "NVMeTLSkey-1:...: hosts have to use TLS 1.3, with this key");
  app.add_option("--control", options.control_path, "a Unix socket for 'nvublk-target ctl'");
  app.add_option("--threads", options.threads, "how many threads serve")->capture_default_str();
  add_limits(app, options);
  app.add_option("--retry-delays", line.retry_delays,
                 "CRDT1 to CRDT3, in units of 100 ms: what a fault's crd of 1 to 3 asks for")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--sanitize-time", options.sanitize_time_ms,
                 "how long a sanitize operation takes at least, in ms")
      ->capture_default_str();
  app.add_option("--self-test-time", options.self_test_time_ms,
                 "how long a device self-test takes at least, in ms")
      ->capture_default_str();
  app.add_flag("--no-hdr-digest", line.no_header_digest, "refuse header digests");
  app.add_flag("--no-data-digest", line.no_data_digest, "refuse data digests");
  app.add_flag("--sq-flow-control", line.sq_flow_control,
               "keep SQ flow control also when a host asks to disable it");
  app.add_flag("--no-success-flag", line.no_success_flag,
               "always send a response capsule after data");
}

/// Empty, or what is wrong with the keys.
std::string complete_keys(CommandLine& line) {
  Options& options = line.options;
  for (const std::string& text : line.dhchap_keys) {
    if (const auto set = options.set_dhchap_key(text, false); !set) {
      return "--dhchap-key: " + set.error().text;
    }
  }
  for (const std::string& text : line.dhchap_ctrl_keys) {
    if (const auto set = options.set_dhchap_key(text, true); !set) {
      return "--dhchap-ctrl-key: " + set.error().text;
    }
  }
  const auto hash = nvublk::target::parse_dhchap_hash(line.dhchap_hash);
  if (!hash) return "--dhchap-hash " + line.dhchap_hash + ": " + hash.error().text;
  const auto group = nvublk::target::parse_dhchap_group(line.dhchap_group);
  if (!group) return "--dhchap-dhgroup " + line.dhchap_group + ": " + group.error().text;
  options.dhchap = {*hash, *group};
  if (!line.tls_key.empty()) {
    auto key = nvublk::target::TlsKey::parse(line.tls_key);
    if (!key) return "--tls-key: " + key.error().text;
    options.tls_key = std::move(*key);
  }
  return {};
}

/// The same of all options.
std::string complete_options(CommandLine& line) {
  Options& options = line.options;
  options.header_digest = !line.no_header_digest;
  options.data_digest = !line.no_data_digest;
  options.sq_flow_control_disable = !line.sq_flow_control;
  options.success_flag = !line.no_success_flag;
  if (line.retry_delays.size() > options.retry_delays_100ms.size()) {
    return "--retry-delays: there are at most three";
  }
  std::ranges::copy(line.retry_delays, options.retry_delays_100ms.begin());
  if (!line.listen.empty()) options.listen.clear();
  for (const std::string& text : line.listen) {
    const auto address = ListenAddress::parse(text);
    if (!address) return "--listen " + text + ": " + address.error().text;
    options.listen.push_back(*address);
  }
  for (const std::string& text : line.namespaces) {
    const auto ns = NamespaceOptions::parse(text);
    if (!ns) return "--ns " + text + ": " + ns.error().text;
    if (const auto good = ns->check(); !good) return "--ns " + text + ": " + good.error().text;
    options.namespaces.push_back(*ns);
  }
  if (const std::string wrong = complete_keys(line); !wrong.empty()) return wrong;
  if (const auto good = options.check(); !good) return good.error().text;
  return {};
}

int serve(Options options) {
  // Blocked before there are threads, so that only sigwait() below gets them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  const std::string subnqn = options.subnqn;
  nvublk::target::Target target(std::move(options));
  if (auto started = target.start(); !started) return complain(started.error().text);
  for (const ListenAddress& address : target.listening()) {
    const nlohmann::json ready{{"listening",
                                {{"traddr", address.address},
                                 {"trsvcid", std::to_string(address.port)},
                                 {"subnqn", subnqn},
                                 {"pid", getpid()}}}};
    std::cout << ready.dump() << std::endl;
  }
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  target.stop();
  return 0;
}

int control(const CommandLine& line) {
  const auto response = nvublk::target::call_control(line.control_path, line.method, line.params);
  if (!response) return complain(response.error().text);
  const auto parsed = nlohmann::json::parse(*response, nullptr, false);
  if (parsed.is_object() && parsed.contains("result")) {
    std::cout << parsed["result"].dump() << std::endl;
    return 0;
  }
  if (parsed.is_object() && parsed.contains("error")) {
    return complain(parsed["error"].value("message", *response));
  }
  return complain("the target answered nonsense: " + *response);
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line;
  CLI::App app{"An NVMe/TCP target in user space, for trying things out and for tests",
               "nvublk-target"};
  app.footer(kExamples);
  add_options(app, line);
  app.set_version_flag("--version", "nvublk-target " NVUBLK_VERSION);
  CLI::App* ctl = app.add_subcommand("ctl", "Talk to the control socket of a running target");
  ctl->add_option("path", line.control_path, "the socket given as --control")->required();
  ctl->add_option("method", line.method,
                  "stats, list, ns_add, ns_remove, ns_resize, referral_add, referral_remove, "
                  "zone_fail, finish_operations, fault, clear_faults, drop or expire_keep_alive")
      ->required();
  ctl->add_option("params", line.params, "a JSON object");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    return app.exit(asked);
  } catch (const CLI::Error& error) {
    return misused(error.what());
  }
  if (ctl->parsed()) return control(line);
  if (const std::string wrong = complete_options(line); !wrong.empty()) {
    return misused(wrong);
  }
  return serve(std::move(line.options));
}
