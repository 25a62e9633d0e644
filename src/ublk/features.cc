#include "ublk/features.h"

#include <array>

#include "ublk/control_session.h"

namespace nvublk::ublk {

namespace {

// By bit number [include/uapi/linux/ublk_cmd.h].
constexpr std::array<std::string_view, 20> kNames = {
    "SUPPORT_ZERO_COPY",
    "URING_CMD_COMP_IN_TASK",
    "NEED_GET_DATA",
    "USER_RECOVERY",
    "USER_RECOVERY_REISSUE",
    "UNPRIVILEGED_DEV",
    "CMD_IOCTL_ENCODE",
    "USER_COPY",
    "ZONED",
    "USER_RECOVERY_FAIL_IO",
    "UPDATE_SIZE",
    "AUTO_BUF_REG",
    "QUIESCE",
    "PER_IO_DAEMON",
    "BUF_REG_OFF_DAEMON",
    "BATCH_IO",
    "INTEGRITY",
    "SAFE_STOP_DEV",
    "NO_AUTO_PART_SCAN",
    "SHMEM_ZC",
};

}  // namespace

std::string_view feature_name(unsigned bit) {
  return bit < kNames.size() ? kNames[bit] : std::string_view{};
}

std::vector<std::string> Features::names() const {
  std::vector<std::string> names;
  for (unsigned bit = 0; bit < 64; bit++) {
    if ((bits >> bit & 1) == 0) {
      continue;
    }
    const std::string_view name = feature_name(bit);
    names.push_back(name.empty() ? "BIT_" + std::to_string(bit) : std::string{name});
  }
  return names;
}

Result<Features> probe_features() {
  auto session = ControlSession::open();
  if (!session) {
    return std::unexpected(std::move(session.error()));
  }
  return (*session)->get_features();
}

}  // namespace nvublk::ublk
