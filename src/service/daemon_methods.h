#pragma once

// The JSON-RPC methods of the daemon: attach, detach, list, status, features, version, shutdown,
// and those of Verbs. Control-shard-affine.

#include <map>
#include <string>
#include <vector>

#include "engine/blocking_call.h"
#include "service/attachments.h"
#include "service/control_server.h"
#include "service/reports.h"
#include "service/verbs.h"

namespace nvublk::service {

class DaemonMethods final : public RpcHandler {
 public:
  /// Asked to end the daemon; with `force` also when devices are in use.
  using Shutdown = std::function<void(bool force)>;

  DaemonMethods(const ShardSet& shards, Attachments& attachments, DaemonFacts facts,
                Shutdown shutdown);

  /// Where answers go; before the first call.
  void set_server(ControlServer& server) { server_ = &server; }
  /// From now on "attach" is refused.
  void begin_shutdown();
  bool idle() const { return !probing_.busy() && verbs_.idle(); }

  void call(RpcCallId id, const std::string& method, const Json& params) override;
  void abandoned(RpcCallId id) override;

 private:
  using Method = void (DaemonMethods::*)(RpcCallId id, const Json& params);
  static const std::map<std::string, Method>& methods();

  void attach(RpcCallId id, const Json& params);
  void detach(RpcCallId id, const Json& params);
  void list(RpcCallId id, const Json& params);
  void set(RpcCallId id, const Json& params);
  void status(RpcCallId id, const Json& params);
  void features(RpcCallId id, const Json& params);
  void version(RpcCallId id, const Json& params);
  void shutdown(RpcCallId id, const Json& params);
  void fail_call(RpcCallId id, const Error& error);

  Attachments& attachments_;
  DaemonFacts facts_;
  Shutdown shutdown_;
  ControlServer* server_ = nullptr;
  bool stopping_ = false;
  std::map<RpcCallId, std::string> attaching_;  ///< to the attachment's name
  std::vector<RpcCallId> probe_waiting_;
  BlockingCall probing_;
  Verbs verbs_;
};

}  // namespace nvublk::service
