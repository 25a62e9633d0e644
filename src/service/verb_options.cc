#include "service/verb_options.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>

#include <CLI/CLI.hpp>

#include "nvme/spec/opcodes.h"
#include "service/verbs.h"

namespace nvublk::service {

namespace {

constexpr std::uint64_t kMost32 = 0xffffffff;

struct Verb {
  const char* help;
  const char* examples;
};

const std::map<std::string, Verb>& verbs() {
  static const std::map<std::string, Verb> table = {
      {"admin-passthru",
       {"Send an admin command of your own",
        "Examples:\n"
        "  nvublk admin-passthru nvublk0 --opcode=0x06 --cdw10=1 --data-len=4096 -r\n"
        "  nvublk admin-passthru nvublk0 -O 0x0a --cdw10=7\n"
        "  nvublk admin-passthru nvublk0 -O 2 --cdw10=0x7f0002 -n 0xffffffff -l 512 -r -b | "
        "xxd\n"}},
      {"ana-log",
       {"Show the Asymmetric Namespace Access log",
        "Examples:\n"
        "  nvublk ana-log nvublk0\n"
        "  nvublk ana-log nvublk0 --groups -o json\n"}},
      {"error-log",
       {"Show the controller's error log",
        "Examples:\n"
        "  nvublk error-log nvublk0 --log-entries=8\n"
        "  nvublk error-log /dev/ublkb0 -o json\n"}},
      {"get-feature",
       {"Show a feature of the controller or of a namespace",
        "Examples:\n"
        "  nvublk get-feature nvublk0 --feature-id=7\n"
        "  nvublk get-feature nvublk0 -f 6 --sel=3 -o json\n"
        "  nvublk get-feature nvublk0 -f 0x81 --cdw11=1\n"}},
      {"id-ctrl",
       {"Show what the controller says of itself",
        "Examples:\n"
        "  nvublk id-ctrl nvublk0\n"
        "  nvublk id-ctrl /dev/ublkb0 -o json | jq .mdts\n"}},
      {"id-ns",
       {"Show what the controller says of a namespace",
        "Examples:\n"
        "  nvublk id-ns /dev/ublkb0\n"
        "  nvublk id-ns nvublk0 --namespace-id=2 -o json\n"}},
      {"io-passthru",
       {"Send an I/O command of your own",
        "Examples:\n"
        "  nvublk io-passthru /dev/ublkb0 --opcode=2 --data-len=4096 -r\n"
        "  nvublk io-passthru nvublk0 -O 0 --namespace-id=1\n"
        "  nvublk io-passthru /dev/ublkb0 -O 1 -l 4096 -w --input-file=block\n"}},
      {"list-ns",
       {"List the namespaces of the controller",
        "Examples:\n"
        "  nvublk list-ns nvublk0\n"
        "  nvublk list-ns nvublk0 --all -o json\n"}},
      {"ns-rescan",
       {"Look at the controller's namespaces anew",
        "Examples:\n"
        "  nvublk ns-rescan nvublk0\n"}},
      {"reset",
       {"Reset the controller; I/O waits meanwhile",
        "Examples:\n"
        "  nvublk reset nvublk0\n"}},
      {"smart-log",
       {"Show the SMART / health log",
        "Examples:\n"
        "  nvublk smart-log nvublk0\n"
        "  nvublk smart-log /dev/ublkb0 -o json\n"}},
  };
  return table;
}

/// Adds options of one command; what they are given becomes a parameter.
class Adder {
 public:
  Adder(CLI::App& app, VerbLine& line) : app_(app), line_(line) {}

  void number(const char* names, const char* key, const char* help, std::uint64_t least,
              std::uint64_t most) {
    app_.add_option_function<std::uint64_t>(
            names,
            [this_line = &line_, key](const std::uint64_t& value) {
              this_line->params[key] = value;
            },
            help)
        ->type_name("N")
        ->check(CLI::Range(least, most));
  }
  /// Of nvme-cli, and without effect there, too.
  void ignored(const char* names, const char* help, std::uint64_t most) {
    app_.add_option_function<std::uint64_t>(
            names, [](const std::uint64_t&) {}, help)
        ->type_name("N")
        ->check(CLI::Range(std::uint64_t{0}, most));
  }
  void flag(const char* names, const char* key, const char* help) {
    app_.add_flag_function(
        names, [this_line = &line_, key](std::int64_t) { this_line->params[key] = true; }, help);
  }
  void flag(const char* names, bool& value, const char* help) { app_.add_flag(names, value, help); }
  void file(const char* names, std::string& value, const char* help) {
    app_.add_option(names, value, help)->type_name("FILE");
  }
  void human_readable() {
    app_.add_flag("-H,--human-readable", line_.human_readable, "Also say what each bit means");
  }
  void vendor_specific() {
    flag("-v,--vendor-specific", "vendor-specific", "Also show the vendor's part, as bytes");
  }
  void raw_binary() { flag("-b,--raw-binary", line_.raw_binary, "Write the data as it came"); }
  void namespace_id(const char* help, std::uint64_t least = 1, std::uint64_t most = kMost32) {
    number("-n,--namespace-id", "namespace-id", help, least, most);
  }

 private:
  CLI::App& app_;
  VerbLine& line_;
};

void add_passthrough(Adder add, VerbLine& line) {
  add.number("-O,--opcode", "opcode", "Opcode (required; -o N means it, too)", 0, 0xff);
  add.namespace_id("Namespace (default: the device's for io-passthru, else 0)", 0);
  add.number("-2,--cdw2", "cdw2", "Command dword 2", 0, kMost32);
  add.number("-3,--cdw3", "cdw3", "Command dword 3", 0, kMost32);
  add.number("-4,--cdw10", "cdw10", "Command dword 10", 0, kMost32);
  add.number("-5,--cdw11", "cdw11", "Command dword 11", 0, kMost32);
  add.number("-6,--cdw12", "cdw12", "Command dword 12", 0, kMost32);
  add.number("-7,--cdw13", "cdw13", "Command dword 13", 0, kMost32);
  add.number("-8,--cdw14", "cdw14", "Command dword 14", 0, kMost32);
  add.number("-9,--cdw15", "cdw15", "Command dword 15", 0, kMost32);
  add.number("-l,--data-len", "data-len", "Bytes of data, 1 MiB at most", 0, Verbs::kMaxDataBytes);
  add.number("-p,--prefill", "prefill", "What the buffer holds before (default: 0)", 0, 0xff);
  add.number("-t,--timeout", "timeout",
             "Milliseconds after which the connection is closed and made anew (default: 15000, or "
             "30000 for I/O)",
             0, kMost32);
  add.ignored("-f,--flags", "Only 0, as with Linux: fused commands are not passed through", 0);
  add.ignored("-R,--rsvd", "Not sent, as with Linux: the command id is where it would be", 0xffff);
  add.number("-m,--metadata-len", "metadata-len", "Bytes of metadata, 64 KiB at most", 0,
             Verbs::kMaxMetadataBytes);
  add.file("-M,--metadata", line.metadata_file,
           "Where metadata to send is read from, or received metadata written to");
  add.flag("-r,--read", line.read, "The command returns data");
  add.flag("-w,--write", line.write, "The command sends data");
  add.file("-i,--input-file", line.input_file,
           "Where data to send is read from (default: standard input) or received data written to");
  add.raw_binary();
  add.flag("-s,--show-command", line.show_command, "Print the command before it is sent");
  add.flag("-d,--dry-run", line.dry_run, "Print the command, send nothing");
  add.flag("-T,--latency", line.latency, "Print how long it took");
}

void add_options(const std::string& command, Adder add, VerbLine& line) {
  if (is_passthrough(command)) {
    add_passthrough(add, line);
  } else if (command == "id-ctrl") {
    add.vendor_specific();
    add.human_readable();
    add.raw_binary();
  } else if (command == "id-ns") {
    add.namespace_id("Namespace (default: the device's)");
    add.flag("--force", "force", "Also one that is allocated, but not attached");
    add.vendor_specific();
    add.human_readable();
    add.raw_binary();
  } else if (command == "list-ns") {
    add.namespace_id("First namespace to list (default: 1)", 1, kMost32 - 1);
    add.number("-y,--csi", "csi", "Only those of this I/O command set", 0, 0xff);
    add.flag("-a,--all", "all", "Also those that are not attached to this controller");
  } else if (command == "smart-log") {
    add.namespace_id("Namespace (default: the controller as a whole)");
    add.human_readable();
    add.raw_binary();
  } else if (command == "error-log") {
    add.number("-e,--log-entries", "log-entries", "How many entries at most (default: 64)", 1,
               kMost32);
    add.raw_binary();
  } else if (command == "ana-log") {
    add.flag("-g,--groups", "groups", "Only the groups, without their namespaces");
    add.raw_binary();
  } else if (command == "get-feature") {
    add.number("-f,--feature-id", "feature-id", "Which feature (required)", 1, 0xff);
    add.namespace_id("Namespace (default: the device's, else 0)", 0);
    add.number("-s,--sel", "sel",
               "0 current, 1 default, 2 saved, 3 supported capabilities, 8 current if it is not "
               "the default",
               0, Verbs::kSelectChanged);
    add.human_readable();
    add.number("-l,--data-len", "data-len", "Bytes of data (default: as the feature needs)", 0,
               Verbs::kMaxDataBytes);
    add.number("-c,--cdw11", "cdw11", "Command dword 11, which some features need", 0, kMost32);
    add.number("-U,--uuid-index", "uuid-index", "UUID index of a vendor's feature", 0, 127);
    add.raw_binary();
  }
}

bool has_binary_output(const std::string& command) {
  return command != "list-ns" && command != "reset" && command != "ns-rescan";
}

Status wrong(std::string text) {
  return fail(ErrorCode::kInvalidArgument, std::move(text));
}

/// -o N of nvme-cli before 2.4 is the opcode.
Status read_opcode(VerbLine& line, std::string& output) {
  if (output != "normal" && output != "json" && output != "binary") {
    char* end = nullptr;
    const unsigned long value = std::strtoul(output.c_str(), &end, 0);
    if (output.empty() || *end != '\0' || value > 0xff || line.params.contains("opcode")) {
      return {};
    }
    line.params["opcode"] = value;
    output = "normal";
  }
  if (!line.params.contains("opcode")) {
    return wrong("-O/--opcode is missing");
  }
  return {};
}

Status check_direction(const VerbLine& line) {
  const auto opcode = line.params["opcode"].get<std::uint8_t>();
  const auto direction = nvme::spec::data_direction(opcode);
  const bool moves = line.params.value("data-len", std::uint64_t{0}) > 0 ||
                     !line.input_file.empty() || line.read || line.write;
  if (!moves) {
    return {};
  }
  if (direction == nvme::spec::DataDirection::kNone) {
    return wrong(
        "a command with an opcode that is a multiple of 4 moves no data; leave "
        "--data-len, --input-file, -r and -w out");
  }
  if (direction == nvme::spec::DataDirection::kBidirectional) {
    return wrong("a command that moves data both ways cannot be passed through");
  }
  const bool sends = direction == nvme::spec::DataDirection::kHostToController;
  if (sends ? line.read : line.write) {
    return wrong(
        std::string("the opcode says that the command ") +
        (sends ? "sends data; use -w instead of -r" : "returns data; use -r instead of -w"));
  }
  return {};
}

}  // namespace

bool is_verb(const std::string& command) {
  return verbs().contains(command);
}

bool is_passthrough(const std::string& command) {
  return command == "admin-passthru" || command == "io-passthru";
}

void add_verbs(CLI::App& app, VerbLine& line, std::string& output) {
  for (const auto& [name, verb] : verbs()) {
    CLI::App* command = app.add_subcommand(name, verb.help);
    command->option_defaults()->always_capture_default(false);
    command
        ->add_option_function<std::string>(
            "device", [&line](const std::string& target) { line.params["target"] = target; },
            "A controller's name, or a device (path or name)")
        ->type_name("NAME|DEVICE")
        ->required();
    add_options(name, Adder(*command, line), line);
    command
        ->add_option("-o,--output-format", output,
                     has_binary_output(name) ? "normal, json or binary" : "normal or json")
        ->type_name("FORMAT");
    command->footer(verb.examples);
  }
}

Status finish_verb(const std::string& command, VerbLine& line, std::string& output) {
  if (is_passthrough(command)) {
    if (Status opcode = read_opcode(line, output); !opcode) {
      return opcode;
    }
  }
  const bool binary = output == "binary" && has_binary_output(command);
  if (output != "normal" && output != "json" && !binary) {
    return wrong("--output-format: '" + output + "' is none of " +
                 (has_binary_output(command) ? "normal, json and binary" : "normal and json"));
  }
  line.raw_binary = line.raw_binary || binary;
  if (line.raw_binary && output == "json") {
    return wrong("give either --raw-binary or JSON, not both");
  }
  if (command == "get-feature" && !line.params.contains("feature-id")) {
    return wrong("-f/--feature-id is missing");
  }
  return is_passthrough(command) ? check_direction(line) : Status{};
}

}  // namespace nvublk::service
