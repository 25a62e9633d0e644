#pragma once

// The JSON-RPC methods that are nvme-cli's commands: id-ctrl, id-ns, list-ns, smart-log, error-log,
// ana-log, get-feature, admin-passthru, io-passthru, ns-rescan, reset, discover. Each asks the
// device anew and answers when it has answered. Control-shard-affine.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "service/attachments.h"
#include "service/device_command.h"
#include "service/discovery_job.h"
#include "service/json_fields.h"

namespace nvublk::service {

class Verbs {
 public:
  using CallId = std::uint64_t;
  using Answer = std::function<void(CallId id, Result<Json> answer)>;

  /// What a passthrough command may carry.
  static constexpr std::uint32_t kMaxDataBytes = 1024 * 1024;
  static constexpr std::uint32_t kMaxMetadataBytes = 64 * 1024;
  /// nvme-cli's SEL for the current value, shown if it is not the default one.
  static constexpr std::uint8_t kSelectChanged = 8;

  Verbs(const ShardSet& shards, Attachments& attachments, Answer answer);
  ~Verbs();

  /// Answers later, or from within; false if `method` is none of these.
  bool call(CallId id, const std::string& method, const Json& params);
  /// The client has gone: a discovery for it ends.
  void abandoned(CallId id);
  /// From now on nothing is discovered; idle() when what was has ended.
  void begin_shutdown();
  bool idle() const { return discoveries_.empty(); }

 private:
  using Method = void (Verbs::*)(CallId id, JsonFields& fields);
  static const std::map<std::string, Method>& methods();

  /// Who is meant by "target".
  struct Target {
    Attachment* attachment = nullptr;
    std::uint32_t nsid = 0;  ///< of the device that was named; 0 if a controller was
  };
  Result<Target> read_target(JsonFields& fields);
  /// As read_target(), after all other fields are read; answers itself when there is none.
  Attachment* begin(CallId id, JsonFields& fields, const Result<Target>& target);
  void fail_call(CallId id, Error error) { answer_(id, std::unexpected(std::move(error))); }
  /// Sends a command whose data is answered as it is when `raw`, else as `report` makes of it.
  using Report = std::function<Result<Json>(const DeviceAnswer& answer)>;
  DeviceCommand::Done answering(CallId id, bool raw, Report report);

  void id_ctrl(CallId id, JsonFields& fields);
  void id_ns(CallId id, JsonFields& fields);
  void list_ns(CallId id, JsonFields& fields);
  void smart_log(CallId id, JsonFields& fields);
  void error_log(CallId id, JsonFields& fields);
  void ana_log(CallId id, JsonFields& fields);
  void get_feature(CallId id, JsonFields& fields);
  void get_changed_feature(CallId id, nvme::Controller& controller, std::uint8_t feature,
                           DeviceCommand command);
  void admin_passthru(CallId id, JsonFields& fields);
  void io_passthru(CallId id, JsonFields& fields);
  void passthru(CallId id, JsonFields& fields, bool io);
  void ns_rescan(CallId id, JsonFields& fields);
  void reset(CallId id, JsonFields& fields);
  void discover(CallId id, const Json& params);

  const ShardSet shards_;
  Attachments& attachments_;
  const Answer answer_;
  bool stopping_ = false;
  std::map<CallId, std::unique_ptr<DiscoveryJob>> discoveries_;
  Deferred bury_;
  std::vector<std::unique_ptr<DiscoveryJob>> graveyard_;
};

}  // namespace nvublk::service
