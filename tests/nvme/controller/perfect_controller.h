#pragma once

// Answers the actions of ControllerInit as a well-behaved fabrics controller with two namespaces
// does; tests then break one answer at a time.

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "nvme/control_action.h"
#include "nvme/controller_init.h"
#include "nvme/spec/fabrics.h"
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
  std::string serial;  ///< at most 20 characters
  std::string model;
  spec::Vs version = spec::Vs::make(2, 0);
  std::uint8_t stripe_shift = 0;  ///< in the vendor's part of Identify Controller
  std::uint32_t keep_alive_ms = 4000;
  std::uint32_t queue_count = 2;                 ///< I/O queues that it grants
  std::uint64_t size_blocks = 1000;              ///< of every namespace
  std::map<std::uint32_t, std::uint64_t> sizes;  ///< in blocks, of those that differ
  std::uint8_t block_shift = 12;
  std::uint8_t uuid_seed = 0;         ///< another one is another namespace behind the same NSID
  std::set<std::uint32_t> vanishing;  ///< listed, but gone when they are identified
  std::vector<std::byte> ana_log;     ///< empty: no ANA
  std::map<std::uint8_t, std::vector<std::byte>> logs;  ///< by page; LPA says that they are there
  std::uint8_t abort_limit = 0;                         ///< ACL, 0's based
  std::uint16_t quiesce_ms = 0;                         ///< CQT
  std::uint16_t retry_delay_100ms = 0;                  ///< CRDT1
  bool command_sets = false;                            ///< several I/O command sets
  std::vector<std::uint64_t> combinations;              ///< of them, in CNS 1Ch
  bool weighted = false;                                ///< weighted round robin
  bool authentication = false;                          ///< AUTHREQ.ATR
  bool secure_channel = false;                          ///< AUTHREQ.ASCR
  bool discovery = false;                               ///< it is a discovery controller
  std::uint32_t sgls = 0;                               ///< SGLS
  std::uint8_t max_descriptors = 0;                     ///< MSDBD
  std::uint16_t metadata_bytes = 0;  ///< of every namespace, apart, with protection of type 1
  bool zoned = false;                ///< namespace 3 is zoned and has protection information

  /// No step of the initialization has to be left out, but for `authentication`.
  void have_everything() {
    command_sets = true;
    combinations = {1, 5};
    zoned = true;
    retry_delay_100ms = 5;
    ana_log.assign(sizeof(spec::AnaLogHeader), std::byte{0});
    spec::SupportedLogPagesLog pages;
    pages.lids[static_cast<std::size_t>(spec::LogPage::kFeatureEffects)] = 1;
    logs[0].resize(sizeof(pages));
    std::memcpy(logs[0].data(), &pages, sizeof(pages));
    logs[static_cast<std::uint8_t>(spec::LogPage::kFeatureEffects)].resize(sizeof(pages));
  }

  ControlOutcome answer(const ControlAction& action) {
    switch (action.kind) {
      case ControlAction::Kind::kConnectAdminQueue:
      case ControlAction::Kind::kConnectIoQueues:
      case ControlAction::Kind::kDisconnectIoQueues:
      case ControlAction::Kind::kAuthenticate:
        return {};
      case ControlAction::Kind::kFabricsConnect:
        return {spec::ConnectResult{cntlid, authentication, secure_channel}.encode(), {}};
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
        return 127 | (1ull << 37) | (10ull << 24) | (command_sets ? 1ull << 43 : 0) |
               (weighted ? 1ull << 17 : 0);
      case spec::Property::kVs:
        return version.raw;
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
      case spec::AdminOpcode::kGetLogPage:
        get_log(action);
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

  void get_log(const ControlAction& action) const {
    const auto page = static_cast<std::uint8_t>(action.sqe.cdw10.get() & 0xff);
    const auto found = logs.find(page);
    const std::vector<std::byte>* log = found != logs.end() ? &found->second : nullptr;
    if (page == static_cast<std::uint8_t>(spec::LogPage::kAna)) log = &ana_log;
    const std::size_t offset = action.sqe.cdw12.get();
    if (log == nullptr || offset >= log->size()) return;
    std::memcpy(action.data.data(), log->data() + offset,
                std::min(action.data.size(), log->size() - offset));
  }

  void identify(const ControlAction& action) const {
    const std::uint32_t nsid = action.sqe.nsid.get();
    const auto cns = static_cast<spec::IdentifyCns>(action.sqe.cdw10.get() & 0xff);
    if (cns == spec::IdentifyCns::kController) {
      identify_controller(action);
    } else if (cns == spec::IdentifyCns::kActiveNamespaceList) {
      spec::NamespaceList list;
      std::size_t count = 0;
      for (const std::uint32_t each : nsids) {
        if (each > nsid && count < list.nsid.size()) list.nsid[count++] = each;
      }
      put(action, list);
    } else if (cns == spec::IdentifyCns::kNamespace) {
      spec::IdentifyNamespace data{};
      const auto own = sizes.find(nsid);
      if (!vanishing.contains(nsid)) {
        data.nsze = own == sizes.end() ? size_blocks : own->second;
        data.ncap = data.nsze;
        data.lbaf[0].lbads = block_shift;
        data.lbaf[0].ms = metadata_bytes;
        data.dps = metadata_bytes == 0 ? 0 : 1;
      }
      if (zoned && nsid == 3) {
        data.lbaf[0].ms = std::uint16_t{8};
        data.dps = 1;
      }
      put(action, data);
    } else if (cns == spec::IdentifyCns::kNamespaceDescriptors) {
      std::vector<std::uint8_t> bytes{3, 16, 0, 0};
      for (std::uint8_t i = 0; i < 16; i++)
        bytes.push_back(static_cast<std::uint8_t>(i + 1 + uuid_seed));
      if (zoned && nsid == 3) bytes.insert(bytes.end(), {4, 1, 0, 0, 2});
      std::memcpy(action.data.data(), bytes.data(), bytes.size());
    } else if (cns == spec::IdentifyCns::kCommandSets) {
      spec::IdentifyCommandSets sets;
      for (std::size_t i = 0; i < combinations.size(); i++) sets.iocsc.at(i) = combinations[i];
      put(action, sets);
    } else if (cns == spec::IdentifyCns::kCommandSetNamespace) {
      identify_command_set(action);
    } else if (cns == spec::IdentifyCns::kCommandSetController &&
               (action.sqe.cdw11.get() >> 24) == 2) {
      spec::IdentifyControllerZoned data;
      data.zasl = 3;
      put(action, data);
    }
  }

  void identify_controller(const ControlAction& action) const {
    spec::IdentifyController data{};
    data.cntlid = cntlid;
    std::ranges::copy(serial, data.sn.begin());
    data.nn = nsids.empty() ? 0u : nsids.back();
    data.vendor[3] = stripe_shift;
    std::copy(model.begin(), model.end(), data.mn.begin());
    data.kas = 10;
    data.sqes = 0x66;
    data.cqes = 0x44;
    data.ioccsz = discovery ? 0 : 4 + 512;
    data.cntrltype = discovery ? 2 : 1;
    data.acl = abort_limit;
    data.cqt = quiesce_ms;
    data.crdt1 = retry_delay_100ms;
    data.oaes = spec::kAsyncNamespaceAttribute;
    data.maxcmd = 64;
    data.sgls = sgls;
    data.msdbd = max_descriptors;
    data.oncs = 0x0c;
    data.mdts = 5;
    data.ctratt = zoned ? 1u << 15 : 0u;
    data.lpa = logs.empty() ? 0 : 1u << 5;
    if (!ana_log.empty()) {
      data.cmic = 1u << 3;
      data.nanagrpid = 4;
      data.mnan = static_cast<std::uint32_t>(ana_log.size() / 4);
    }
    put(action, data);
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
