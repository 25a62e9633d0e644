#include "nvme/controller_options.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nvublk::nvme {

namespace {

constexpr std::array<std::pair<TimeoutAction, std::string_view>, 3> kActions = {{
    {TimeoutAction::kReset, "reset"},
    {TimeoutAction::kAbort, "abort"},
    {TimeoutAction::kNone, "none"},
}};

Status refuse(std::string why) {
  return fail(ErrorCode::kInvalidArgument, std::move(why));
}

std::string in_seconds(seconds time) {
  return std::to_string(time.count()) + " s";
}

Status check_loss(const ControllerOptions& options) {
  const seconds loss = options.ctrl_loss_timeout;
  const seconds fast_fail = options.fast_io_fail_timeout;
  if (loss.count() < -1 || fast_fail.count() < -1) {
    return refuse("ctrl-loss-tmo and fast_io_fail_tmo are numbers of seconds, or -1");
  }
  if (loss.count() >= 0 && fast_fail > loss) {
    return refuse("fast_io_fail_tmo (" + in_seconds(fast_fail) +
                  ") must not be longer than ctrl-loss-tmo (" + in_seconds(loss) +
                  "), which gives up before it");
  }
  if (loss.count() == 0) {
    return {};
  }
  if (options.reconnect_delay.count() < 1) {
    return refuse("the reconnect delay has to be at least 1 second, unless ctrl-loss-tmo is 0");
  }
  if (loss.count() > 0 && options.reconnect_delay > loss) {
    return refuse("reconnect-delay (" + in_seconds(options.reconnect_delay) +
                  ") must not be longer than ctrl-loss-tmo (" + in_seconds(loss) +
                  "), which gives up before the next attempt");
  }
  return {};
}

}  // namespace

std::string_view timeout_action_name(TimeoutAction action) {
  for (const auto& [value, name] : kActions) {
    if (value == action) {
      return name;
    }
  }
  return "unknown";
}

std::optional<TimeoutAction> timeout_action_from_name(std::string_view name) {
  for (const auto& [value, text] : kActions) {
    if (text == name) {
      return value;
    }
  }
  return std::nullopt;
}

Result<TransportOptions> transport_options(const ControllerOptions& options) {
  TransportOptions transport = options.transport;
  if (options.tls_key.empty()) {
    return transport;
  }
  if (transport.id.trtype != Trtype::kTcp) {
    return fail(ErrorCode::kInvalidArgument, "TLS (--tls-key) is for TCP (-t tcp)");
  }
  Result<TlsPsk> psk =
      options.tls_key.psk(options.host.nqn, transport.id.subnqn, options.tls_identity_version);
  if (!psk) {
    return std::unexpected(std::move(psk.error()));
  }
  transport.tls = *psk;
  return transport;
}

Status check_policy(const ControllerOptions& options) {
  if (options.keep_alive.count() < 0) {
    return refuse("the keep alive timeout is negative");
  }
  if (options.io_timeout.count() <= 0 || options.admin_timeout.count() <= 0) {
    return refuse(
        "io-timeout and admin-timeout have to be longer than 0; with the timeout action none, I/O "
        "may take for ever");
  }
  if (options.keep_alive.count() == 0 && options.timeout_action == TimeoutAction::kNone) {
    return refuse(
        "without keep alive and with the timeout action none, nothing would ever notice a "
        "connection that has gone silent: set keep-alive-tmo, or the action reset or abort");
  }
  return check_loss(options);
}

Status check_dhchap(const ControllerOptions& options) {
  const auto once = [](auto list) {
    std::ranges::sort(list);
    return !list.empty() && std::ranges::adjacent_find(list) == list.end();
  };
  if (options.dhchap_key.empty() && !options.dhchap_ctrlr_key.empty()) {
    return refuse(
        "--dhchap-ctrl-secret needs --dhchap-secret: the host authenticates itself first");
  }
  if (!once(options.dhchap_digests) || !once(options.dhchap_dhgroups)) {
    return refuse(
        "dhchap_digests and dhchap_dhgroups have each of their members once, at least one");
  }
  return {};
}

void copy_policy(const ControllerOptions& from, ControllerOptions& to) {
  to.reconnect_delay = from.reconnect_delay;
  to.ctrl_loss_timeout = from.ctrl_loss_timeout;
  to.fast_io_fail_timeout = from.fast_io_fail_timeout;
  to.keep_alive = from.keep_alive;
  to.io_timeout = from.io_timeout;
  to.admin_timeout = from.admin_timeout;
  to.timeout_action = from.timeout_action;
}

}  // namespace nvublk::nvme
