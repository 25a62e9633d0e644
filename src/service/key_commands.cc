#include "service/key_commands.h"

namespace nvublk::service {

namespace {

std::string identity_text(const Json& report) {
  return report.contains("identity") ? report["identity"].get<std::string>() + "\n" : std::string();
}

}  // namespace

void add_key_commands(CLI::App& app, KeyCommandLine& line) {
  add_dhchap_commands(app, line.dhchap);
  add_tls_commands(app, line.tls);
}

std::string generated_key_text(const Json& report) {
  return report["key"].get<std::string>() + "\n" + identity_text(report);
}

std::string checked_key_text(const Json& report) {
  return "Key is valid (HMAC " + report["hmac"].dump() + ", length " + report["length"].dump() +
         ", CRC " + report["crc"].get<std::string>() + ")\n" + identity_text(report);
}

}  // namespace nvublk::service
