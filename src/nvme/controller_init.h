#pragma once

// Brings a controller from nothing to "I/O queues connected". Pure: no I/O, no clock, no thread;
// its owner performs one action at a time. The manual desugaring of [Base 2.1 §3.5]:
//
//   connect the admin queue; Fabrics Connect
//   cap = get(CAP); vs = get(VS); cc = get(CC)
//   if cc.EN { set(CC.EN=0); await RDY=0 }
//   set(CC.EN=1); await RDY=1
//   identify controller; keep alive; async event configuration; queue count
//   limits of the NVM command set; active namespaces; each namespace and its descriptors
//   connect the I/O queues
//
// A discovery controller is ready after the async event configuration: it has neither I/O queues
// nor namespaces. [Base 2.1 §3.1.3.3]

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/step_machine.h"
#include "nvme/control_action.h"
#include "nvme/controller_options.h"
#include "nvme/identify_decode.h"
#include "nvme/namespace_format.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/properties.h"

namespace nvublk::nvme {

/// One namespace as it was identified.
struct NamespaceProfile {
  std::uint32_t nsid = 0;
  spec::IdentifyNamespace data{};
  NamespaceIds ids;
  CommandSetFormat format;
};

/// What is known of a controller once the sequence is through.
struct ControllerProfile {
  std::uint16_t cntlid = 0;
  spec::Cap cap;
  spec::Vs vs;
  spec::IdentifyController identify{};
  spec::IdentifyControllerNvm nvm{};
  bool discovery = false;           ///< a discovery controller
  std::uint32_t keep_alive_ms = 0;  ///< as granted
  std::uint32_t io_queue_count = 0;
  std::optional<std::uint64_t> append_limit_bytes;  ///< of Zone Append; once a namespace is zoned
  std::vector<NamespaceProfile> namespaces;
};

class ControllerInit : public StepMachine<ControllerInit, ControlAction, ControlOutcome> {
 public:
  /// `fabrics`: Connect commands and Property Get are needed. `io_queues`: how many are wanted.
  ControllerInit(const ControllerOptions& options, bool fabrics, std::uint32_t io_queues);

  /// A new look at the namespaces of a live controller: start it at kFirstNamespaceStep.
  ControllerInit(const ControllerOptions& options, const ControllerProfile& known);

  static std::span<const Row> rows();
  static constexpr std::size_t kFirstNamespaceStep = 14;
  const ControllerProfile& profile() const { return profile_; }
  bool rescans() const { return rescans_; }

 private:
  Duration connect_limit() const;
  Duration command_limit() const { return options_.admin_timeout; }
  Duration ready_limit() const;

  std::optional<ControlAction> connect_admin();
  StepNext next(const ControlOutcome& outcome);
  std::optional<ControlAction> fabrics_connect();
  StepNext keep_cntlid(const ControlOutcome& outcome);
  std::optional<ControlAction> get_cap();
  StepNext keep_cap(const ControlOutcome& outcome);
  std::optional<ControlAction> get_vs();
  StepNext keep_vs(const ControlOutcome& outcome);
  std::optional<ControlAction> get_cc();
  StepNext keep_cc(const ControlOutcome& outcome);
  std::optional<ControlAction> disable();
  std::optional<ControlAction> get_csts_if_disabling();
  StepNext until_not_ready(const ControlOutcome& outcome);
  std::optional<ControlAction> enable();
  std::optional<ControlAction> get_csts();
  StepNext until_ready(const ControlOutcome& outcome);
  std::optional<ControlAction> identify_controller();
  StepNext keep_identify(const ControlOutcome& outcome);
  std::optional<ControlAction> get_keep_alive();
  StepNext keep_keep_alive(const ControlOutcome& outcome);
  std::optional<ControlAction> configure_events();
  std::optional<ControlAction> set_queue_count();
  StepNext keep_queue_count(const ControlOutcome& outcome);
  std::optional<ControlAction> identify_nvm_controller();
  StepNext keep_nvm_limits(const ControlOutcome& outcome);
  std::optional<ControlAction> list_namespaces();
  StepNext keep_namespace_list(const ControlOutcome& outcome);
  std::optional<ControlAction> identify_namespace();
  StepNext keep_namespace(const ControlOutcome& outcome);
  std::optional<ControlAction> identify_descriptors();
  StepNext keep_descriptors(const ControlOutcome& outcome);
  std::optional<std::size_t> command_set_step() const;
  std::optional<ControlAction> identify_protection();
  StepNext keep_protection(const ControlOutcome& outcome);
  std::optional<ControlAction> identify_zoned();
  StepNext keep_zoned(const ControlOutcome& outcome);
  std::optional<ControlAction> identify_append_limit();
  StepNext keep_append_limit(const ControlOutcome& outcome);
  std::optional<ControlAction> connect_io_queues();

  ControlAction identify(spec::IdentifyCns cns, std::uint32_t nsid,
                         spec::CommandSetIdentifier csi = spec::CommandSetIdentifier::kNvm);
  StepNext next_namespace();
  Error protocol(std::string text) const;

  static constexpr std::size_t kMaxNamespaces = 4096;

  const ControllerOptions options_;
  const bool fabrics_;
  const std::uint32_t wanted_io_queues_;
  ControllerProfile profile_;
  spec::Cc cc_{};
  bool disabling_ = false;
  const bool rescans_ = false;
  std::size_t namespace_index_ = 0;
  alignas(4096) std::array<std::byte, spec::kIdentifyBytes> page_{};
};

}  // namespace nvublk::nvme
