#pragma once

// Answers the actions of ControllerInit as a well-behaved fabrics controller with two namespaces
// does; tests then break one answer at a time.

#include <cstring>
#include <vector>

#include "nvme/control_action.h"
#include "nvme/controller_init.h"
#include "nvme/spec/features.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/zoned.h"

namespace nvublk::nvme {

class PerfectController {
 public:
  std::vector<std::uint32_t> nsids{1, 3};
  bool enabled_at_start = true;
  unsigned polls_until_ready = 2;
  std::uint16_t cntlid = 7;
  std::uint32_t keep_alive_ms = 4000;
  std::uint32_t queue_count = 2;     ///< I/O queues that it grants
  std::uint64_t size_blocks = 1000;  ///< of every namespace
  std::uint8_t abort_limit = 0;      ///< ACL, 0's based
  bool discovery = false;            ///< it is a discovery controller
  std::uint16_t metadata_bytes = 0;  ///< of every namespace, apart, with protection of type 1
  bool command_sets = false;         ///< namespace 3 is zoned and has protection information

  ControlOutcome answer(const ControlAction& action) {
    switch (action.kind) {
      case ControlAction::Kind::kConnectAdminQueue:
      case ControlAction::Kind::kConnectIoQueues:
      case ControlAction::Kind::kDisconnectIoQueues:
        return {};
      case ControlAction::Kind::kFabricsConnect:
        return {cntlid, {}};
      case ControlAction::Kind::kGetProperty:
        return {property(action.property), {}};
      case ControlAction::Kind::kSetProperty:
        cc_ = spec::Cc{static_cast<std::uint32_t>(action.value)};
        polls_ = 0;
        return {};
      case ControlAction::Kind::kAdminCommand:
        return {admin(action), {}};
    }
    return {};
  }

 private:
  std::uint64_t property(spec::Property which) {
    switch (which) {
      case spec::Property::kCap:
        return 127 | (1ull << 37) | (10ull << 24);
      case spec::Property::kVs:
        return spec::Vs::make(2, 0).raw;
      case spec::Property::kCc:
        if (enabled_at_start) cc_.set_enabled(true);
        enabled_at_start = false;
        return cc_.raw;
      case spec::Property::kCsts: {
        const bool ready = cc_.enabled() == (polls_ >= polls_until_ready);
        polls_++;
        std::uint32_t csts = ready ? spec::Csts::kReady : 0u;
        if (cc_.shn() != spec::ShutdownNotification::kNone) csts |= spec::Csts::kShutdownComplete;
        return csts;
      }
      default:
        return 0;
    }
  }

  std::uint64_t admin(const ControlAction& action) {
    switch (action.sqe.admin_opcode()) {
      case spec::AdminOpcode::kIdentify:
        identify(action);
        return 0;
      case spec::AdminOpcode::kGetFeatures:
        return keep_alive_ms;
      case spec::AdminOpcode::kSetFeatures:
        return spec::NumberOfQueues{queue_count, queue_count}.encode();
      default:
        return 0;
    }
  }

  template <typename T>
  static void put(const ControlAction& action, const T& value) {
    std::memcpy(action.data.data(), &value, sizeof(value));
  }

  void identify(const ControlAction& action) const {
    const auto cns = static_cast<spec::IdentifyCns>(action.sqe.cdw10.get() & 0xff);
    if (cns == spec::IdentifyCns::kController) {
      spec::IdentifyController data{};
      data.cntlid = cntlid;
      data.kas = 10;
      data.ioccsz = discovery ? 0 : 4 + 512;
      data.cntrltype = discovery ? 2 : 1;
      data.acl = abort_limit;
      data.oaes = spec::kAsyncNamespaceAttribute;
      data.maxcmd = 64;
      data.oncs = 0x0c;
      data.mdts = 5;
      data.ctratt = command_sets ? 1u << 15 : 0u;
      put(action, data);
    } else if (cns == spec::IdentifyCns::kActiveNamespaceList) {
      spec::NamespaceList list;
      for (std::size_t i = 0; i < nsids.size(); i++) list.nsid[i] = nsids[i];
      put(action, list);
    } else if (cns == spec::IdentifyCns::kNamespace) {
      spec::IdentifyNamespace data{};
      data.nsze = size_blocks;
      data.ncap = size_blocks;
      data.lbaf[0].lbads = 12;
      data.lbaf[0].ms = metadata_bytes;
      data.dps = metadata_bytes == 0 ? 0 : 1;
      if (command_sets && action.sqe.nsid.get() == 3) {
        data.lbaf[0].ms = std::uint16_t{8};
        data.dps = 1;
      }
      put(action, data);
    } else if (cns == spec::IdentifyCns::kNamespaceDescriptors) {
      std::vector<std::uint8_t> bytes{3, 16, 0, 0};
      for (std::uint8_t i = 0; i < 16; i++) bytes.push_back(static_cast<std::uint8_t>(i + 1));
      if (command_sets && action.sqe.nsid.get() == 3) bytes.insert(bytes.end(), {4, 1, 0, 0, 2});
      std::memcpy(action.data.data(), bytes.data(), bytes.size());
    } else if (cns == spec::IdentifyCns::kCommandSetNamespace) {
      identify_command_set(action);
    } else if (cns == spec::IdentifyCns::kCommandSetController &&
               (action.sqe.cdw11.get() >> 24) == 2) {
      spec::IdentifyControllerZoned data;
      data.zasl = 3;
      put(action, data);
    }
  }

  static void identify_command_set(const ControlAction& action) {
    if ((action.sqe.cdw11.get() >> 24) == 2) {
      spec::IdentifyNamespaceZoned data;
      data.mor = 3u;
      data.mar = ~0u;
      data.ozcs = std::uint16_t{1};
      data.lbafe[0].zsze = std::uint64_t{100};
      data.lbafe[0].zdes = 2;
      put(action, data);
    } else {
      spec::IdentifyNamespaceNvm data;
      data.elbaf[0] = (2u << 7) | 16u;
      put(action, data);
    }
  }

  spec::Cc cc_{};
  unsigned polls_ = 0;
};

}  // namespace nvublk::nvme
