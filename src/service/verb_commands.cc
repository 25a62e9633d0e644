#include "service/verb_commands.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "engine/fd.h"
#include "nvme/base64.h"
#include "nvme/spec/opcodes.h"
#include "service/error_line.h"
#include "service/passthrough_text.h"
#include "service/verb_text.h"
#include "service/verbs.h"
#include "service/wide_number.h"

namespace nvublk::service {

namespace {

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
}

/// A subsystem, and its ways in.
struct Found {
  std::string subnqn;
  std::vector<nvme::TransportId> ids;
  Error unusable;  ///< why the last way was none
};

/// Whether connections have to use TLS there.
bool wants_tls(const Json& record) {
  return record.value("sectype", std::string()).starts_with("tls") &&
         record.value("treq", std::string()).starts_with("required");
}

void add_records(const Json& log, bool has_tls_key, std::vector<Found>& found) {
  for (const Json& record : log.value("records", Json::array())) {
    if (record.value("subtype", std::string()) != "nvme subsystem") {
      continue;
    }
    nvme::TransportId id;
    id.subnqn = record.value("subnqn", std::string());
    id.traddr = record.value("traddr", std::string());
    id.trsvcid = record.value("trsvcid", std::string());
    auto known = std::find_if(found.begin(), found.end(),
                              [&id](const Found& each) { return each.subnqn == id.subnqn; });
    if (known == found.end()) {
      known = found.insert(found.end(), Found{id.subnqn, {}, {}});
    }
    const auto trtype = nvme::parse_trtype(record.value("trtype", std::string()));
    if (!trtype) {
      known->unusable = Error::make(ErrorCode::kUnsupported, trtype.error().text);
    } else if (!has_tls_key && wants_tls(record)) {
      known->unusable =
          Error::make(ErrorCode::kPermission,
                      id.traddr + ":" + id.trsvcid + " wants TLS; give its key with --tls-key");
    } else {
      id.trtype = *trtype;
      known->ids.push_back(id);
    }
  }
}

Result<Json> attach_one(AttachRequest request, const Found& subsystem, RpcClient& client) {
  Result<Json> report = std::unexpected(subsystem.unusable);
  for (const nvme::TransportId& id : subsystem.ids) {
    request.controller.transport.id = id;
    report = client.call("attach", request.to_params(), std::nullopt);
    if (report || report.error().code == ErrorCode::kAlreadyExists) {
      break;
    }
  }
  return report;
}

/// Reads what a command sends: `most` bytes of the file, or of standard input. It may have fewer,
/// but what cannot be read must not become zeroes on a medium.
Result<std::string> read_input(const std::string& path, std::size_t most, const char* option) {
  const bool standard = path.empty() || path == "-";
  const auto cannot_read = [&](int error) {
    Error result =
        Error::from_errno(error, "cannot read " + (standard ? "the standard input" : path));
    result.text += std::string("; check ") + option;
    return std::unexpected(std::move(result));
  };
  UniqueFd file;
  if (!standard) {
    file.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
      return cannot_read(errno);
    }
  }
  const int source = standard ? STDIN_FILENO : file.get();
  std::string bytes(most, '\0');
  std::size_t filled = 0;
  while (filled < most) {
    const ssize_t count = ::read(source, bytes.data() + filled, most - filled);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return cannot_read(errno);
    }
    if (count == 0) {
      break;
    }
    filled += static_cast<std::size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

bool sends_data(const Json& params) {
  return nvme::spec::data_direction(params["opcode"].get<std::uint8_t>()) ==
         nvme::spec::DataDirection::kHostToController;
}

/// Adds the data to send to `params`.
Status add_data(const VerbLine& verb, Json& params) {
  const std::size_t length = params.value("data-len", std::size_t{0});
  const bool is_file = !verb.input_file.empty() && verb.input_file != "-";
  const bool wanted = verb.dry_run ? is_file : length > 0 || !verb.input_file.empty();
  if (!sends_data(params) || !wanted) {
    return {};
  }
  const std::size_t most = length > 0 ? length : Verbs::kMaxDataBytes + std::size_t{1};
  auto bytes = read_input(verb.input_file, most, "--input-file");
  if (!bytes) {
    return std::unexpected(std::move(bytes.error()));
  }
  if (bytes->size() > Verbs::kMaxDataBytes) {
    return fail(ErrorCode::kInvalidArgument,
                verb.input_file +
                    " is longer than a command may carry, which is 1 MiB; say with "
                    "--data-len how much of it to send");
  }
  params["data-len"] = length > 0 ? length : bytes->size();
  params["data"] = nvme::to_base64(std::as_bytes(std::span(*bytes)));
  return {};
}

/// The same for its metadata.
Status add_metadata(const VerbLine& verb, Json& params) {
  const std::size_t length = params.value("metadata-len", std::size_t{0});
  if (!sends_data(params) || length == 0 || verb.metadata_file.empty() || verb.dry_run) {
    return {};
  }
  const auto bytes = read_input(verb.metadata_file, length, "--metadata");
  if (!bytes) {
    return std::unexpected(bytes.error());
  }
  params["metadata"] = nvme::to_base64(std::as_bytes(std::span(*bytes)));
  return {};
}

/// Writes the metadata that was received to its file.
Status save_metadata(const VerbLine& verb, const Json& report) {
  const auto metadata = nvme::from_base64(report.value("metadata", std::string()));
  return verb.metadata_file.empty() || !metadata || metadata->empty()
             ? Status{}
             : write_output(verb.metadata_file, *metadata, "--metadata");
}

Status print_passthrough(const CommandLine& line, const Json& report, std::int64_t took_us) {
  const VerbLine& verb = line.verb;
  if (Status saved = save_metadata(verb, report); !saved) {
    return saved;
  }
  const bool io = line.name == "io-passthru";
  const auto data =
      nvme::from_base64(report.value("data", std::string())).value_or(std::vector<std::byte>());
  const std::string command = (io ? "IO Command " : "Admin Command ") +
                              command_name_text(io, verb.params["opcode"].get<std::uint8_t>());
  if (verb.latency) {
    std::fprintf(stderr, "%s latency: %lld us\n", command.c_str(), static_cast<long long>(took_us));
  }
  if (line.json) {
    print(to_pretty(report) + "\n");
    return verb.input_file.empty() || data.empty()
               ? Status{}
               : write_output(verb.input_file, data, "--input-file");
  }
  if (verb.raw_binary || (!data.empty() && !verb.input_file.empty())) {
    return write_output(data.empty() ? "" : verb.input_file, data, "--input-file");
  }
  char result[24];
  std::snprintf(result, sizeof(result), "0x%08llx",
                static_cast<unsigned long long>(report.value("result", std::uint64_t{0})));
  print(command + " is Success and result: " + result + "\n" +
        (data.empty() ? "" : hex_dump(data)));
  return {};
}

/// The namespace of the device that `target` is; 0 if it is a controller.
Result<std::uint32_t> device_nsid(RpcClient& client, const std::string& target) {
  const auto status = client.call("status", {{"target", target}}, std::nullopt);
  if (!status) {
    return std::unexpected(status.error());
  }
  const Json controllers = status->value("controllers", Json::array());
  if (controllers.size() > 1) {
    return fail(ErrorCode::kInvalidArgument, "'" + target + "' is attached " +
                                                 std::to_string(controllers.size()) +
                                                 " times; name one controller");
  }
  for (const Json& device : status->value("devices", Json::array())) {
    if (device.value("name", std::string()) == target ||
        device.value("device", std::string()) == target) {
      return device.value("nsid", std::uint32_t{0});
    }
  }
  return 0U;
}

/// Prints the command of `params`, which then has its namespace.
Status show_command(const CommandLine& line, RpcClient& client, Json& params) {
  const auto nsid = device_nsid(client, params["target"].get<std::string>());
  if (!nsid) {
    return std::unexpected(nsid.error());
  }
  if (!params.contains("namespace-id")) {
    params["namespace-id"] = line.name == "io-passthru" ? *nsid : 0U;
  }
  const bool beside_data = !line.verb.dry_run && (line.json || line.verb.raw_binary);
  std::fputs(show_command_text(params).c_str(), beside_data ? stderr : stdout);
  return {};
}

Status print_answer(const CommandLine& line, const Json& report) {
  if (line.verb.raw_binary) {
    return write_output(
        {},
        nvme::from_base64(report.value("data", std::string())).value_or(std::vector<std::byte>()),
        "");
  }
  if (line.json) {
    print(to_pretty_wide(report) + "\n");
    return {};
  }
  const std::string target = line.verb.params["target"].get<std::string>();
  const std::uint32_t nsid = line.verb.params.value("namespace-id", nvme::spec::kNsidBroadcast);
  print(verb_text(line.name, target, report, line.verb.human_readable, nsid));
  return {};
}

}  // namespace

Status write_output(const std::string& path, std::span<const std::byte> data, const char* option) {
  const auto* bytes = reinterpret_cast<const char*>(data.data());
  if (path.empty()) {
    std::fwrite(bytes, 1, data.size(), stdout);
    return {};
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes, static_cast<std::streamsize>(data.size()));
  file.close();
  if (!file) {
    return fail(ErrorCode::kSystem, "cannot write " + path + "; check " + option);
  }
  return {};
}

Json DiscoveredAttach::report() const {
  Json report;
  report["devices"] = devices;
  for (const Failure& failure : failures) {
    Json entry{{"subnqn", failure.subnqn}};
    entry.update(error_json(failure.error)["error"]);
    report["errors"].push_back(std::move(entry));
  }
  return report;
}

DiscoveredAttach attach_discovered(const AttachRequest& request, const Json& log,
                                   RpcClient& client) {
  const bool has_tls_key = !request.controller.tls_key.empty();
  std::vector<Found> found;
  add_records(log, has_tls_key, found);
  for (const Json& referral : log.value("referrals", Json::array())) {
    add_records(referral, has_tls_key, found);
  }
  DiscoveredAttach done;
  if (found.empty()) {
    done.failures.push_back(
        {{},
         Error::make(ErrorCode::kNotFound,
                     "the discovery subsystem lists no subsystem for this host; check the host "
                     "NQN (-q) and what the target allows")});
  }
  for (const Found& subsystem : found) {
    auto report = attach_one(request, subsystem, client);
    done.some_attached =
        done.some_attached || report || report.error().code == ErrorCode::kAlreadyExists;
    if (report) {
      for (const Json& device : report->value("devices", Json::array())) {
        done.devices.push_back(device);
      }
    } else if (report.error().code != ErrorCode::kAlreadyExists) {
      Error error = std::move(report.error());
      error.text = subsystem.subnqn + ": " + error.text;
      done.failures.push_back({subsystem.subnqn, std::move(error)});
    }
  }
  return done;
}

Status run_verb_command(const CommandLine& line) {
  const VerbLine& verb = line.verb;
  Json params = verb.params;
  const bool passthrough = is_passthrough(line.name);
  if (passthrough) {
    Status read = add_data(verb, params);
    if (read) {
      read = add_metadata(verb, params);
    }
    if (!read) {
      return read;
    }
  } else if (verb.raw_binary && line.name != "get-feature") {
    params["raw"] = true;
  }
  params["target"] = resolve_device_link(params["target"].get<std::string>());
  auto client = RpcClient::connect(line.socket_path);
  if (!client) {
    return std::unexpected(std::move(client.error()));
  }
  if (verb.show_command || verb.dry_run) {
    const Status shown = show_command(line, *client, params);
    if (!shown || verb.dry_run) {
      return shown;
    }
  }
  const Instant began = Clock::now();
  const auto report = client->call(line.name, params, std::nullopt);
  const auto took = std::chrono::duration_cast<microseconds>(Clock::now() - began).count();
  if (!report) {
    return std::unexpected(report.error());
  }
  return passthrough ? print_passthrough(line, *report, took) : print_answer(line, *report);
}

}  // namespace nvublk::service
