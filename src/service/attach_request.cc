#include "service/attach_request.h"

#include <algorithm>
#include <array>
#include <utility>

#include "keys/key_options.h"
#include "nvme/nqn.h"
#include "nvme/socket_address.h"
#include "nvme/spec/opcodes.h"
#include "service/json_fields.h"
#include "service/policy.h"

namespace nvublk::service {

namespace {

constexpr std::size_t kMaxNameLength = 32;
constexpr std::size_t kMaxNsids = 1024;
// FFFFFFFFh is all of them. [Base 2.1 §3.2.1.1]
constexpr std::int64_t kMaxNsid = nvme::spec::kNsidBroadcast - 1;

constexpr std::array kWishes = {FrontendWish::kAuto, FrontendWish::kUblk, FrontendWish::kFuse};

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  });
  return result;
}

void read_transport(JsonFields& fields, nvme::TransportOptions& transport) {
  std::string trtype = "tcp";
  fields.text("transport", trtype);
  if (auto read = nvme::parse_trtype(trtype); read) {
    transport.id.trtype = *read;
  } else {
    fields.complain(read.error().text);
  }
  fields.text("traddr", transport.id.traddr);
  fields.text("trsvcid", transport.id.trsvcid);
  fields.text("nqn", transport.id.subnqn);
  fields.text("host_traddr", transport.host_traddr);
  fields.text("host_trsvcid", transport.host_trsvcid);
  fields.text("host_iface", transport.host_iface);
  fields.flag("hdr_digest", transport.header_digest);
  fields.flag("data_digest", transport.data_digest);
  fields.flag("cmb_queues", transport.controller_memory);
  fields.integer("tos", transport.tos, -1, 255);
  fields.integer("rdma_ack_timeout", transport.ack_timeout, -1, 31);
  fields.flag("shared_receive_queue", transport.shared_receive_queue);
}

template <typename Key>
void read_key(JsonFields& fields, const char* name, Key& key) {
  std::string text;
  if (!fields.text(name, text) || text.empty()) {
    return;
  }
  if (Result<Key> read = Key::parse(text)) {
    key = *read;
  } else {
    fields.complain(std::string(name) + ": " + read.error().text);
  }
}

void read_controller(JsonFields& fields, nvme::ControllerOptions& options) {
  fields.text("name", options.name);
  fields.integer("nr_io_queues", options.io_queues, 1, 65535);
  fields.integer("queue_size", options.queue_size, 16, 1024);
  read_policy(fields, options);
  read_key(fields, "dhchap_secret", options.dhchap_key);
  read_key(fields, "dhchap_ctrl_secret", options.dhchap_ctrlr_key);
  read_key(fields, "tls_key", options.tls_key);
  fields.integer("tls_identity_version", options.tls_identity_version, 0, 1);
}

template <typename Key>
void write_key(const char* name, const Key& key, Json& params) {
  if (!key.empty()) {
    params[name] = key.text();
  }
}

/// What the transport does not have.
Status check_transport(const nvme::TransportOptions& options) {
  const nvme::Trtype trtype = options.id.trtype;
  if (trtype == nvme::Trtype::kFibreChannel) {
    return fail(ErrorCode::kUnsupported,
                "there is no Fibre Channel here; the transports are tcp, rdma and pcie");
  }
  if (options.id.is_fabrics()) {
    if (options.controller_memory) {
      return fail(ErrorCode::kInvalidArgument, "--cmb-queues is for local drives (-t pcie)");
    }
    if (options.shared_receive_queue && trtype != nvme::Trtype::kRdma) {
      return fail(ErrorCode::kInvalidArgument, "--shared-receive-queue is for RDMA (-t rdma)");
    }
    if (!options.host_trsvcid.empty() && !nvme::parse_port(options.host_trsvcid)) {
      return fail(ErrorCode::kInvalidArgument, "--host-trsvcid: '" + options.host_trsvcid +
                                                   "' is not a port; ports are 1 to 65535");
    }
    return {};
  }
  const std::array<std::pair<bool, const char*>, 7> for_targets{{
      {options.header_digest, "--hdr-digest"},
      {options.data_digest, "--data-digest"},
      {options.tos >= 0, "--tos"},
      {!options.host_traddr.empty(), "--host-traddr"},
      {!options.host_trsvcid.empty(), "--host-trsvcid"},
      {!options.host_iface.empty(), "--host-iface"},
      {options.shared_receive_queue, "--shared-receive-queue"},
  }};
  for (const auto& [given, name] : for_targets) {
    if (given) {
      return fail(ErrorCode::kInvalidArgument,
                  std::string(name) + " is for targets, not for local drives (-t pcie)");
    }
  }
  return {};
}

}  // namespace

std::string_view frontend_wish_name(FrontendWish wish) {
  switch (wish) {
    case FrontendWish::kAuto:
      return "auto";
    case FrontendWish::kUblk:
      return "ublk";
    case FrontendWish::kFuse:
      return "fuse";
  }
  return "unknown";
}

Status check_controller_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  if (name.empty() || name.size() > kMaxNameLength ||
      !std::all_of(name.begin(), name.end(), allowed) || name.front() == '.' ||
      name.front() == '-' || name.starts_with("nqn.")) {
    return fail(ErrorCode::kInvalidArgument,
                "'" + std::string(name) +
                    "' cannot name a controller: use up to 32 letters, digits, '_', '-' and '.'");
  }
  return {};
}

const std::string& AttachRequest::subject() const {
  const nvme::TransportId& id = controller.transport.id;
  return id.is_fabrics() ? id.subnqn : id.traddr;
}

nvme::ControllerOptions AttachRequest::defaults() {
  nvme::ControllerOptions options;
  options.keep_alive = seconds(5);
  options.queue_size = 128;
  options.admin_timeout = seconds(15);
  return options;
}

Status AttachRequest::check() const {
  if (!controller.name.empty()) {
    if (Status named = check_controller_name(controller.name); !named) {
      return named;
    }
  }
  if (nsids.size() > kMaxNsids) {
    return fail(ErrorCode::kInvalidArgument, "too many namespace ids");
  }
  if (Status sensible = nvme::check_policy(controller); !sensible) {
    return sensible;
  }
  nvme::TransportId id = controller.transport.id;
  if (Status right = keys::check_keys(controller, id.trtype); !right) {
    return right;
  }
  if (hotplug && id.is_fabrics()) {
    return fail(ErrorCode::kInvalidArgument, "--hotplug is for local drives (-t pcie)");
  }
  if (Status possible = check_transport(controller.transport); !possible) {
    return possible;
  }
  if (id.is_fabrics() && id.subnqn.empty()) {
    return fail(ErrorCode::kInvalidArgument, "the subsystem's NQN is missing (-n)");
  }
  return id.complete();
}

Json AttachRequest::to_params() const {
  const nvme::TransportOptions& transport = controller.transport;
  Json params;
  params["transport"] = lower(nvme::trtype_name(transport.id.trtype));
  params["traddr"] = transport.id.traddr;
  params["trsvcid"] = transport.id.trsvcid;
  params["nqn"] = transport.id.subnqn;
  params["host_traddr"] = transport.host_traddr;
  params["host_trsvcid"] = transport.host_trsvcid;
  params["host_iface"] = transport.host_iface;
  params["hostnqn"] = hostnqn;
  params["hostid"] = hostid;
  if (controller.io_queues > 0) {
    params["nr_io_queues"] = controller.io_queues;
  }
  params["queue_size"] = controller.queue_size;
  write_policy(controller, params);
  write_key("dhchap_secret", controller.dhchap_key, params);
  write_key("dhchap_ctrl_secret", controller.dhchap_ctrlr_key, params);
  write_key("tls_key", controller.tls_key, params);
  params["tls_identity_version"] = controller.tls_identity_version;
  params["hdr_digest"] = transport.header_digest;
  params["data_digest"] = transport.data_digest;
  params["cmb_queues"] = transport.controller_memory;
  params["tos"] = transport.tos;
  params["rdma_ack_timeout"] = transport.ack_timeout;
  params["shared_receive_queue"] = transport.shared_receive_queue;
  params["nsid"] = nsids;
  params["frontend"] = frontend_wish_name(frontend);
  if (first_id >= 0) {
    params["id"] = first_id;
  }
  if (queues > 0) {
    params["queues"] = queues;
  }
  params["depth"] = depth;
  params["read_only"] = read_only;
  params["hotplug"] = hotplug;
  params["name"] = controller.name;
  return params;
}

Result<AttachRequest> AttachRequest::from_params(const Json& params) {
  JsonFields fields(params);
  AttachRequest request;
  read_transport(fields, request.controller.transport);
  read_controller(fields, request.controller);
  fields.text("hostnqn", request.hostnqn);
  fields.text("hostid", request.hostid);
  fields.integers("nsid", request.nsids, 1, kMaxNsid);
  std::string frontend = "auto";
  fields.text("frontend", frontend);
  const auto wish = std::find_if(kWishes.begin(), kWishes.end(), [&](FrontendWish candidate) {
    return frontend_wish_name(candidate) == frontend;
  });
  if (wish == kWishes.end()) {
    fields.complain("\"frontend\" must be auto, ublk or fuse");
  } else {
    request.frontend = *wish;
  }
  fields.integer("id", request.first_id, 0, 1 << 20);
  fields.integer("queues", request.queues, 1, 4096);
  fields.integer("depth", request.depth, 1, 1024);
  fields.flag("read_only", request.read_only);
  fields.flag("hotplug", request.hotplug);
  if (Status read = fields.finish(); !read) {
    return std::unexpected(std::move(read.error()));
  }
  if (Status right = request.check(); !right) {
    return std::unexpected(std::move(right.error()));
  }
  if (Status completed = request.controller.transport.id.complete(); !completed) {
    return std::unexpected(std::move(completed.error()));
  }
  return request;
}

}  // namespace nvublk::service
