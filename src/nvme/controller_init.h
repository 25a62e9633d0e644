#pragma once

// Brings a controller from nothing to "I/O queues connected". Pure: no I/O, no clock, no thread;
// its owner performs one action at a time. The manual desugaring of [Base 2.1 §3.5]:
//
//   connect the admin queue; Fabrics Connect; authenticate, if the controller or the user wants it
//   cap = get(CAP); vs = get(VS); cc = get(CC)
//   if cc.EN { set(CC.EN=0); await RDY=0 }
//   set(CC.EN=1); await RDY=1
//   identify controller; host behavior; keep alive; async event configuration; queue count
//   I/O command sets; limits of the NVM command set; log pages and features that there are
//   active namespaces; each namespace, its descriptors and its status; the ANA log
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
#include "nvme/controller_profile.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/properties.h"

namespace nvublk::nvme {

class ControllerInit : public StepMachine<ControllerInit, ControlAction, ControlOutcome> {
 public:
  /// `io_queues`: how many are wanted.
  ControllerInit(const ControllerOptions& options, const TransportLimits& transport,
                 std::uint32_t io_queues);

  /// A new look at the namespaces of a live controller: start it at kFirstNamespaceStep. Those that
  /// are `known` and not in `only` are not identified again; an empty `only` means all are.
  ControllerInit(const ControllerOptions& options, const ControllerProfile& known,
                 std::vector<std::uint32_t> only = {});

  static std::span<const Row> rows();
  static constexpr std::size_t kAuthenticateStep = 2;
  static constexpr std::size_t kFirstNamespaceStep = 22;
  const ControllerProfile& profile() const { return profile_; }
  bool rescans() const { return rescans_; }
  /// What the controller's keep alive timer runs with at the moment, as far as is known; 0: none.
  milliseconds keep_alive() const;

 private:
  Duration connect_limit() const;
  Duration command_limit() const { return options_.admin_timeout; }
  Duration ready_limit() const;

  std::optional<ControlAction> connect_admin();
  StepNext after_connect(const ControlOutcome& outcome);
  StepNext next(const ControlOutcome& outcome);
  std::optional<ControlAction> fabrics_connect();
  StepNext keep_connect_result(const ControlOutcome& outcome);
  Duration authentication_limit() const;
  std::optional<ControlAction> authenticate();
  std::optional<ControlAction> get_cap();
  StepNext keep_cap(const ControlOutcome& outcome);
  std::optional<ControlAction> get_vs();
  StepNext keep_vs(const ControlOutcome& outcome);
  std::optional<ControlAction> get_cc();
  StepNext keep_cc(const ControlOutcome& outcome);
  std::optional<ControlAction> disable();
  std::optional<ControlAction> get_csts_if_disabling();
  StepNext settle(const ControlOutcome& outcome);
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
  std::optional<ControlAction> configure_arbitration();
  StepNext keep_arbitration(const ControlOutcome& outcome);
  std::optional<ControlAction> set_host_behavior();
  StepNext keep_retry_delays(const ControlOutcome& outcome);
  std::optional<ControlAction> set_host_identifier();
  std::optional<ControlAction> identify_command_sets();
  StepNext keep_command_sets(const ControlOutcome& outcome);
  std::optional<ControlAction> select_command_sets();
  std::optional<ControlAction> identify_nvm_controller();
  StepNext keep_nvm_limits(const ControlOutcome& outcome);
  std::optional<ControlAction> read_log_pages();
  StepNext keep_log_pages(const ControlOutcome& outcome);
  std::optional<ControlAction> read_features();
  StepNext keep_features(const ControlOutcome& outcome);
  std::optional<ControlAction> list_namespaces();
  StepNext keep_namespace_list(const ControlOutcome& outcome);
  std::optional<ControlAction> identify_namespace();
  StepNext keep_namespace(const ControlOutcome& outcome);
  std::optional<ControlAction> identify_descriptors();
  StepNext keep_descriptors(const ControlOutcome& outcome);
  StepNext after_descriptors();
  std::optional<ControlAction> identify_independent();
  StepNext keep_independent(const ControlOutcome& outcome);
  std::optional<std::size_t> command_set_step() const;
  std::optional<ControlAction> identify_protection();
  StepNext keep_protection(const ControlOutcome& outcome);
  std::optional<ControlAction> identify_zoned();
  StepNext keep_zoned(const ControlOutcome& outcome);
  std::optional<ControlAction> identify_append_limit();
  StepNext keep_append_limit(const ControlOutcome& outcome);
  std::optional<ControlAction> read_ana_log();
  StepNext keep_ana_log(const ControlOutcome& outcome);
  std::optional<ControlAction> connect_io_queues();

  ControlAction identify(spec::IdentifyCns cns, std::uint32_t nsid,
                         spec::CommandSetIdentifier csi = spec::CommandSetIdentifier::kNvm);
  std::optional<ControlAction> read_log(spec::LogPage page);
  bool can_list_namespaces() const;
  void take_listed(std::uint32_t nsid);
  NamespaceProfile& current() { return profile_.namespaces[to_identify_[position_]]; }
  const NamespaceProfile& current() const { return profile_.namespaces[to_identify_[position_]]; }
  StepNext next_namespace();
  Error protocol(std::string text) const;

  static constexpr std::size_t kMaxNamespaces = 4096;

  const ControllerOptions options_;
  const bool fabrics_;
  const PciIds pci_;
  const std::uint32_t wanted_io_queues_;
  ControllerProfile profile_;
  spec::Cc cc_{};
  bool disabling_ = false;
  bool paused_ = false;  ///< for a quirk, in the row that runs
  bool keep_alive_known_ = false;
  bool authenticates_ = false;
  std::optional<std::uint32_t> combination_;  ///< of I/O command sets, to select
  const bool rescans_ = false;
  std::vector<NamespaceProfile> known_;
  std::vector<std::uint32_t> only_;
  std::vector<std::size_t> to_identify_;  ///< indices of profile_.namespaces
  std::size_t position_ = 0;              ///< in to_identify_
  std::vector<std::byte> ana_log_;
  std::uint64_t ana_log_read_ = 0;
  std::uint64_t ana_piece_ = 0;
  alignas(4096) std::array<std::byte, spec::kIdentifyBytes> page_{};
};

}  // namespace nvublk::nvme
