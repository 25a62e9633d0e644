#pragma once

// The JSON-RPC methods of the daemon: attach, detach, list, status, features, version, recover,
// shutdown, hand-over, and those of Verbs. Control-shard-affine.

#include <map>
#include <string>
#include <vector>

#include "engine/blocking_call.h"
#include "service/attachments.h"
#include "service/control_server.h"
#include "service/recovery.h"
#include "service/reports.h"
#include "service/state_keeper.h"
#include "service/verbs.h"

namespace nvublk::service {

class DaemonMethods final : public RpcHandler {
 public:
  /// What the methods work on.
  struct Parts {
    ShardSet shards;
    Attachments& attachments;
    StateKeeper& keeper;
    Recovery& recovery;
  };
  /// How the daemon is asked to end.
  struct Ends {
    std::function<void(bool force)> shut_down;  ///< with `force` also when devices are in use
    std::function<void()> hand_over;            ///< its devices stay for the next one
  };

  DaemonMethods(const Parts& parts, DaemonFacts facts, Ends ends);

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
  void hand_over(RpcCallId id, const Json& params);
  void recover(RpcCallId id, const Json& params);
  void fail_call(RpcCallId id, const Error& error);

  Attachments& attachments_;
  StateKeeper& keeper_;
  Recovery& recovery_;
  DaemonFacts facts_;
  Ends ends_;
  ControlServer* server_ = nullptr;
  bool stopping_ = false;
  std::map<RpcCallId, std::string> attaching_;  ///< to the attachment's name
  std::vector<RpcCallId> probe_waiting_;
  BlockingCall probing_;
  Verbs verbs_;
};

}  // namespace nvublk::service
