#include "service/commands.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "nvme/base64.h"
#include "service/command_line.h"
#include "service/daemon_starter.h"
#include "service/error_line.h"
#include "service/features_report.h"
#include "service/host_identity.h"
#include "service/host_resolver.h"
#include "service/json.h"
#include "service/pci_binding.h"
#include "service/pci_report.h"
#include "service/recovery_preview.h"
#include "service/rpc_client.h"
#include "service/socket_path.h"
#include "service/text_output.h"
#include "service/verb_commands.h"
#include "service/verb_text.h"
#include "service/version.h"

namespace nvublk::service {

namespace {

/// How long questions that the daemon answers at any moment may take.
constexpr milliseconds kPromptly{10000};

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
}

int print_report(const CommandLine& line, const Json& report, std::string (*as_text)(const Json&)) {
  print(line.json ? to_pretty(report) + "\n" : as_text(report));
  return 0;
}

int print_failure(const CommandLine& line, const Error& error) {
  if (line.json) {
    print(to_pretty(error_json(error)) + "\n");
  }
  std::fputs((error_line(line.name, error) + "\n").c_str(), stderr);
  return 1;
}

/// Of what was found out without anybody's help.
int print_misuse(const CommandLine& line, const Error& error) {
  const int status = print_failure(line, error);
  return error.code == ErrorCode::kInvalidArgument ? 2 : status;
}

Result<RpcClient> connect_or_start(const std::string& socket_path) {
  auto client = RpcClient::connect(socket_path);
  if (client || client.error().code != ErrorCode::kNotFound) {
    return client;
  }
  if (Status started = start_daemon(socket_path); !started) {
    return std::unexpected(std::move(started.error()));
  }
  return RpcClient::connect(socket_path);
}

Result<Json> ask(const CommandLine& line, const std::string& method, const Json& params,
                 std::optional<milliseconds> limit) {
  auto client = RpcClient::connect(line.socket_path);
  if (!client) {
    return std::unexpected(std::move(client.error()));
  }
  return client->call(method, params, limit);
}

/// Resolves the names in `request`'s addresses; returns the target's addresses, best first.
Result<std::vector<std::string>> resolve_addresses(AttachRequest& request) {
  nvme::TransportOptions& transport = request.controller.transport;
  if (!transport.id.is_fabrics()) {
    return std::vector<std::string>{transport.id.traddr};
  }
  if (!transport.host_traddr.empty()) {
    auto source = resolve_host(transport.host_traddr, transport.id.adrfam);
    if (!source) {
      return source;
    }
    transport.host_traddr = source->front();
  }
  return resolve_host(transport.id.traddr, transport.id.adrfam);
}

/// Calls a method that connects to `request`'s address, a daemon that it starts if there is none.
Result<Json> call_with_address(const CommandLine& line, const std::string& method) {
  AttachRequest request = line.attach;
  auto addresses = resolve_addresses(request);
  if (!addresses) {
    return std::unexpected(std::move(addresses.error()));
  }
  auto client = connect_or_start(line.socket_path);
  if (!client) {
    return std::unexpected(std::move(client.error()));
  }
  Result<Json> report = fail(ErrorCode::kNotFound, "no address");
  for (const std::string& address : *addresses) {
    nvme::TransportId& id = request.controller.transport.id;
    id.traddr = address;
    id.adrfam = nvme::Adrfam::kNone;
    Json params = request.to_params();
    if (line.raw) {
      params["raw"] = true;
    }
    report = client->call(method, params, std::nullopt);
    // A name may have addresses that do not lead anywhere; any other failure is the answer.
    if (report || report.error().code != ErrorCode::kUnreachable) {
      break;
    }
  }
  return report;
}

int run_attach_discovered(const CommandLine& line) {
  CommandLine look = line;
  look.attach.controller.keep_alive = seconds(0);  // that connection does not stay
  const auto log = call_with_address(look, "discover");
  if (!log) {
    return print_failure(line, log.error());
  }
  auto client = RpcClient::connect(line.socket_path);
  if (!client) {
    return print_failure(line, client.error());
  }
  const DiscoveredAttach done = attach_discovered(line.attach, *log, *client);
  if (done.devices.empty() && !done.failures.empty() && !done.some_attached) {
    return print_failure(line, done.failures.front().error);
  }
  print(line.json ? to_pretty(done.report()) + "\n" : attach_text(done.report()));
  for (const DiscoveredAttach::Failure& failure : done.failures) {
    std::fputs((error_line(line.name, failure.error) + "\n").c_str(), stderr);
  }
  return done.failures.empty() ? 0 : 1;
}

int run_attach(const CommandLine& line) {
  if (line.discover) {
    return run_attach_discovered(line);
  }
  const auto report = call_with_address(line, "attach");
  if (!report) {
    return print_failure(line, report.error());
  }
  print_report(line, *report, attach_text);
  for (const Json& device : (*report)["devices"]) {
    if (!line.json && device.value("frontend", std::string()) == "fuse") {
      std::fputs(("nvublk: attach: note: " + device.value("device", std::string()) +
                  " is served through FUSE and ends with the daemon, unlike a ublk device\n")
                     .c_str(),
                 stderr);
    }
  }
  return 0;
}

int run_discover(const CommandLine& line) {
  const auto report = call_with_address(line, "discover");
  if (!report) {
    return print_failure(line, report.error());
  }
  if (!line.raw) {
    return print_report(line, *report, discovery_text);
  }
  const auto log =
      nvme::from_base64(report->value("data", std::string())).value_or(std::vector<std::byte>());
  if (Status written = write_output(line.raw_file, log, "--raw"); !written) {
    return print_failure(line, written.error());
  }
  if (line.json) {
    print(to_pretty(Json{{"file", line.raw_file}, {"bytes", log.size()}}) + "\n");
  }
  return 0;
}

int run_verb(const CommandLine& line) {
  const Status done = run_verb_command(line);
  return done ? 0 : print_failure(line, done.error());
}

int run_detach(const CommandLine& line) {
  Json params;
  if (line.all) {
    params["all"] = true;
  } else {
    params["target"] = resolve_device_link(line.target);
  }
  params["force"] = line.force;
  params["keep_bound"] = line.keep_bound;
  const auto result = ask(line, "detach", params, std::nullopt);
  if (!result) {
    return print_failure(line, result.error());
  }
  if (line.json) {
    print(to_pretty(*result) + "\n");
  }
  return 0;
}

int run_list(const CommandLine& line) {
  const auto report = ask(line, "list", Json::object(), kPromptly);
  return report ? print_report(line, *report, list_text) : print_failure(line, report.error());
}

int run_status(const CommandLine& line) {
  Json params = Json::object();
  if (!line.target.empty()) {
    params["target"] = resolve_device_link(line.target);
  }
  const auto report = ask(line, "status", params, kPromptly);
  return report ? print_report(line, *report, status_text) : print_failure(line, report.error());
}

int run_recover(const CommandLine& line) {
  // The daemon's start is the recovery; so one is needed, but not to look what it would do.
  auto client =
      line.dry_run ? RpcClient::connect(line.socket_path) : connect_or_start(line.socket_path);
  if (!client && line.dry_run && client.error().code == ErrorCode::kNotFound) {
    return print_report(line, preview_recovery(run_directory_of(line.socket_path)), recover_text);
  }
  if (!client) {
    return print_failure(line, client.error());
  }
  const auto report = client->call("recover", {{"clean", !line.dry_run}}, std::nullopt);
  return report ? print_report(line, *report, recover_text) : print_failure(line, report.error());
}

int run_pci_list(const CommandLine& line) {
  const auto status = ask(line, "status", Json::object(), kPromptly);
  return print_report(line, pci_report(status ? (*status)["controllers"] : Json::array()),
                      pci_text);
}

int run_pci_change(const CommandLine& line, Status (*change)(const nvme::PciAddress& address)) {
  const auto address = nvme::PciAddress::parse(line.target);
  if (!address) {
    return print_misuse(line, address.error());
  }
  if (Status status = change(*address); !status) {
    return print_failure(line, status.error());
  }
  if (line.json) {
    print(to_pretty(Json{{"address", address->to_string()}}) + "\n");
  }
  return 0;
}

int run_set(const CommandLine& line) {
  const Json params{{"target", resolve_device_link(line.target)}, {"policy", line.settings}};
  const auto report = ask(line, "set", params, std::nullopt);
  return report ? print_report(line, *report, set_text) : print_failure(line, report.error());
}

int run_features(const CommandLine& line) {
  return print_report(line, features_report(), features_text);
}

/// The machine's host NQN, if it is `needed`; else nothing.
Result<std::string> machine_nqn(bool needed) {
  if (!needed) {
    return std::string();
  }
  auto identity = HostIdentitySource(HostIdentityPaths{}).find({}, {});
  if (!identity) {
    return std::unexpected(std::move(identity.error()));
  }
  return identity->nqn;
}

int run_gen_dhchap_key(const CommandLine& line) {
  const DhchapCommandLine& words = line.keys.dhchap;
  const auto nqn = machine_nqn(words.nqn.empty() && words.hmac != 0);
  if (!nqn) {
    return print_failure(line, nqn.error());
  }
  const auto report = generate_dhchap_key(words, *nqn);
  return report ? print_report(line, *report, generated_key_text)
                : print_misuse(line, report.error());
}

int run_gen_tls_key(const CommandLine& line) {
  const TlsCommandLine& words = line.keys.tls;
  const auto nqn = machine_nqn(words.hostnqn.empty() && !words.subnqn.empty());
  if (!nqn) {
    return print_failure(line, nqn.error());
  }
  const auto report = generate_tls_key(words, *nqn);
  return report ? print_report(line, *report, generated_key_text)
                : print_misuse(line, report.error());
}

int run_check_tls_key(const CommandLine& line) {
  const TlsCommandLine& words = line.keys.tls;
  const auto nqn = machine_nqn(words.hostnqn.empty() && !words.subnqn.empty());
  const auto report = nqn ? check_tls_key(words, *nqn) : std::unexpected(nqn.error());
  return report ? print_report(line, *report, checked_key_text)
                : print_failure(line, report.error());
}

int run_check_dhchap_key(const CommandLine& line) {
  const auto report = check_dhchap_key(line.keys.dhchap);
  return report ? print_report(line, *report, checked_key_text)
                : print_failure(line, report.error());
}

int run_version(const CommandLine& line) {
  Json report;
  report["nvublk"] = version();
  const auto daemon = ask(line, "version", Json::object(), kPromptly);
  report["nvublkd"] = daemon ? daemon->value("version", Json()) : Json();
  return print_report(line, report, [](const Json& versions) {
    std::string text = "nvublk " + versions["nvublk"].get<std::string>() + "\n";
    if (versions["nvublkd"].is_string()) {
      text += "nvublkd " + versions["nvublkd"].get<std::string>() + "\n";
    }
    return text;
  });
}

int end_early(const CommandLineEnd& end) {
  if (end.status == 0) {
    print(end.text);
    return 0;
  }
  if (end.json) {
    print(to_pretty(error_json(Error{ErrorCode::kInvalidArgument, end.text, "usage", 0})) + "\n");
  }
  const std::string prefix = end.command.empty() ? "nvublk: " : "nvublk: " + end.command + ": ";
  std::fputs((prefix + end.text + "\n").c_str(), stderr);
  return end.status;
}

int run_line(const CommandLine& line) {
  switch (line.kind) {
    case CommandKind::kCheckDhchapKey:
      return run_check_dhchap_key(line);
    case CommandKind::kCheckTlsKey:
      return run_check_tls_key(line);
    case CommandKind::kGenTlsKey:
      return run_gen_tls_key(line);
    case CommandKind::kGenDhchapKey:
      return run_gen_dhchap_key(line);
    case CommandKind::kAttach:
      return run_attach(line);
    case CommandKind::kDiscover:
      return run_discover(line);
    case CommandKind::kVerb:
      return run_verb(line);
    case CommandKind::kDetach:
      return run_detach(line);
    case CommandKind::kList:
      return run_list(line);
    case CommandKind::kStatus:
      return run_status(line);
    case CommandKind::kRecover:
      return run_recover(line);
    case CommandKind::kSet:
      return run_set(line);
    case CommandKind::kPciList:
      return run_pci_list(line);
    case CommandKind::kPciBind:
      return run_pci_change(line, [](const nvme::PciAddress& address) -> Status {
        const auto bound = bind_to_vfio(address);
        return bound ? Status{} : std::unexpected(bound.error());
      });
    case CommandKind::kPciUnbind:
      return run_pci_change(
          line, [](const nvme::PciAddress& address) { return unbind_from_vfio(address); });
    case CommandKind::kFeatures:
      return run_features(line);
    case CommandKind::kVersion:
      return run_version(line);
  }
  return 1;
}

/// Everything is printed: `status`, or 1 if not all of it got to where it should.
int finish_output(int status) {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) {
    return status;
  }
  const char* reason = errno != 0 ? std::strerror(errno) : "not all of it was written";
  std::fprintf(stderr, "nvublk: cannot write the output: %s\n", reason);
  return status != 0 ? status : 1;
}

}  // namespace

int run_command(const std::vector<std::string>& words) {
  const auto line = parse_command_line(words);
  return finish_output(line ? run_line(*line) : end_early(line.error()));
}

}  // namespace nvublk::service
