#include "keys/key_options.h"

#include <algorithm>
#include <cstring>

#include <CLI/CLI.hpp>

namespace nvublk::keys {

namespace {

template <typename Key>
Status read_key(const std::string& text, const char* option, Key& key) {
  if (text.empty()) {
    return {};
  }
  const Result<Key> read = Key::parse(text);
  if (!read) {
    return fail(ErrorCode::kInvalidArgument, option + (": " + read.error().text));
  }
  key = *read;
  return {};
}

}  // namespace

void add_key_options(CLI::App& app, KeyOptions& typed) {
  app.add_option("-S,--dhchap-secret", typed.dhchap_secret,
                 "Key of this host for authentication (DH-HMAC-CHAP), as DHHC-1:00:BASE64:")
      ->type_name("KEY");
  app.add_option("-C,--dhchap-ctrl-secret", typed.dhchap_ctrl_secret,
                 "Key by which the target has to authenticate itself, too")
      ->type_name("KEY");
  app.add_flag("--tls", typed.tls, "Encrypt by TLS 1.3, which --tls-key does, too");
  app.add_option("--tls-key", typed.tls_key,
                 "Key by which all connections are encrypted (TLS 1.3), as NVMeTLSkey-1:01:BASE64:")
      ->type_name("KEY");
  app.add_option("--tls-identity-version", typed.tls_identity_version,
                 "How the target is told which key that is: 0 by NQNs, 1 with a digest of it, too "
                 "(default: 0)")
      ->type_name("N")
      ->check(CLI::Range(0, 1));
}

Status read_keys(const KeyOptions& typed, nvme::ControllerOptions& options) {
  Status read = read_key(typed.dhchap_secret, "-S/--dhchap-secret", options.dhchap_key);
  if (read) {
    read = read_key(typed.dhchap_ctrl_secret, "-C/--dhchap-ctrl-secret", options.dhchap_ctrlr_key);
  }
  if (read && typed.tls && typed.tls_key.empty()) {
    return fail(ErrorCode::kInvalidArgument, "--tls needs a key: give it with --tls-key");
  }
  options.tls_identity_version = typed.tls_identity_version;
  return read ? read_key(typed.tls_key, "--tls-key", options.tls_key) : read;
}

Status check_keys(const nvme::ControllerOptions& options, nvme::Trtype trtype) {
  if (Status right = nvme::check_dhchap(options); !right) {
    return right;
  }
  if (!options.dhchap_key.empty() && trtype == nvme::Trtype::kPcie) {
    return fail(ErrorCode::kInvalidArgument,
                "--dhchap-secret is for targets, not for local drives");
  }
  if (!options.tls_key.empty() && trtype != nvme::Trtype::kTcp) {
    return fail(ErrorCode::kInvalidArgument, "--tls-key is for the transport tcp");
  }
  return {};
}

void hide_keys(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    for (const char* prefix : {"DHHC-1:", "NVMeTLSkey-1:"}) {
      if (char* key = std::strstr(argv[i], prefix)) {
        std::fill_n(key, std::strlen(key), '*');
      }
    }
  }
}

}  // namespace nvublk::keys
