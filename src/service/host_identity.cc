#include "service/host_identity.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "engine/log.h"
#include "nvme/nqn.h"

namespace nvublk::service {

namespace {

// Firmware that was never given a UUID of its own carries one of these; as an identity they would
// make two hosts one.
constexpr std::array<std::string_view, 3> kMeaninglessUuids = {
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "03000200-0400-0500-0006-000700080009",
};

/// The first word of the first line that is no comment; nothing if there is no such file.
std::optional<std::string> read_word(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    const auto begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') {
      continue;
    }
    const auto end = line.find_first_of(" \t\r", begin);
    return line.substr(begin, end == std::string::npos ? end : end - begin);
  }
  return std::nullopt;
}

Error in_file(Error error, const std::string& path) {
  error.text = path + ": " + error.text;
  return error;
}

}  // namespace

Result<nvme::HostIdentity> HostIdentitySource::find(const std::string& nqn, const std::string& id) {
  nvme::HostIdentity identity;
  if (nqn.empty()) {
    auto found = machine_nqn();
    if (!found) {
      return std::unexpected(std::move(found.error()));
    }
    identity.nqn = std::move(*found);
  } else {
    if (Status usable = nvme::check_nqn_usable(nqn, "the host NQN"); !usable) {
      return std::unexpected(std::move(usable.error()));
    }
    identity.nqn = nqn;
  }
  Result<nvme::HostId> found_id;
  if (!id.empty()) {
    found_id = nvme::Uuid::parse(id);
    if (!found_id) {
      return fail(ErrorCode::kInvalidArgument, "the host id '" + id + "' is no UUID");
    }
  } else if (auto own = nvme::uuid_of_nqn(nqn); own) {
    found_id = *own;
  } else {
    found_id = machine_id(identity.nqn);
  }
  if (!found_id) {
    return std::unexpected(std::move(found_id.error()));
  }
  if (found_id->is_zero()) {
    return fail(ErrorCode::kInvalidArgument, "the host id must not be zero");
  }
  identity.id = *found_id;
  return identity;
}

Result<std::string> HostIdentitySource::machine_nqn() {
  if (auto word = read_word(paths_.hostnqn)) {
    if (Status usable = nvme::check_nqn_usable(*word, "the host NQN"); !usable) {
      return std::unexpected(in_file(std::move(usable.error()), paths_.hostnqn));
    }
    return *word;
  }
  auto uuid = machine_uuid();
  if (!uuid) {
    return std::unexpected(std::move(uuid.error()));
  }
  return nvme::uuid_nqn(*uuid);
}

Result<nvme::HostId> HostIdentitySource::machine_id(const std::string& nqn) {
  if (auto word = read_word(paths_.hostid)) {
    auto id = nvme::Uuid::parse(*word);
    if (!id) {
      return std::unexpected(in_file(std::move(id.error()), paths_.hostid));
    }
    return *id;
  }
  if (auto own = nvme::uuid_of_nqn(nqn); own) {
    return *own;
  }
  return machine_uuid();
}

Result<nvme::Uuid> HostIdentitySource::machine_uuid() {
  if (auto word = read_word(paths_.dmi_uuid)) {
    std::transform(word->begin(), word->end(), word->begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const bool meaningless = std::find(kMeaninglessUuids.begin(), kMeaninglessUuids.end(), *word) !=
                             kMeaninglessUuids.end();
    if (auto uuid = nvme::Uuid::parse(*word); uuid && !meaningless) {
      return *uuid;
    }
  }
  return kept_uuid();
}

Result<nvme::Uuid> HostIdentitySource::kept_uuid() {
  const std::string path = paths_.kept_directory + "/hostid";
  if (auto word = read_word(path)) {
    auto uuid = nvme::Uuid::parse(*word);
    if (!uuid) {
      return std::unexpected(in_file(std::move(uuid.error()), path));
    }
    return *uuid;
  }
  if (!unkept_.is_zero()) {
    return unkept_;
  }
  auto made = nvme::Uuid::generate();
  if (!made) {
    return made;
  }
  std::error_code failure;
  std::filesystem::create_directories(paths_.kept_directory, failure);
  // Written aside and renamed: a half-written file would be another identity.
  const std::string aside = path + ".new";
  std::ofstream file(aside, std::ios::trunc);
  file << made->to_string() << '\n';
  file.close();
  if (file) {
    std::filesystem::rename(aside, path, failure);
  }
  if (!file || failure) {
    unkept_ = *made;
    log_warning("service", "cannot keep the host id in " + path +
                               "; targets will see another host after a restart of the daemon");
  } else {
    log_info("service", "made a host id and kept it in " + path);
  }
  return made;
}

}  // namespace nvublk::service
