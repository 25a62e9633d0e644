#pragma once

// One queue of one host, as the commands see it: no PDU and no socket here. Worker-affine.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "nvme/spec/cqe.h"
#include "nvme/spec/fabrics.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/sqe.h"
#include "target/authentication.h"
#include "target/block_data.h"
#include "target/namespace.h"
#include "target/reply.h"
#include "target/stats.h"
#include "target/subsystem.h"

namespace nvublk::target {

using Bytes = std::span<const std::uint8_t>;

class Queue {
 public:
  /// `local` is the address at which the host reached the target.
  Queue(Subsystem& subsystem, NamespaceCache& namespaces, WorkerStats& stats, ListenAddress local)
      : subsystem_(subsystem), namespaces_(namespaces), stats_(stats), local_(std::move(local)) {}

  void set_owner(std::weak_ptr<QueueOwner> owner) { owner_ = std::move(owner); }
  /// By which names the host knows the key of TLS: Connect has to have the same.
  void set_secure_names(std::string hostnqn, std::string subnqn) {
    secure_names_.emplace(std::move(hostnqn), std::move(subnqn));
  }

  bool connected() const { return controller_ != nullptr; }
  bool is_admin() const { return qid_ == 0; }
  std::uint16_t qid() const { return qid_; }
  /// As many commands as the host may have outstanding.
  std::uint32_t entries() const { return entries_; }
  bool flow_control_disabled() const { return flow_control_disabled_; }
  const std::shared_ptr<Controller>& controller() const { return controller_; }

  /// What is wrong with a command whose data comes from the host, before that data is asked for.
  std::optional<NvmeStatus> admit(const nvme::spec::SubmissionEntry& sqe);
  /// Executes a command with all of its data from the host.
  Reply execute(const nvme::spec::SubmissionEntry& sqe, Bytes data);
  /// The completion for `reply`; moves the submission queue's head.
  nvme::spec::CompletionEntry complete(const nvme::spec::SubmissionEntry& sqe, const Reply& reply);
  nvme::spec::CompletionEntry complete_held(std::uint16_t cid, std::uint32_t result,
                                            NvmeStatus status);
  /// `status` as this host may get it: without a retry delay if it did not ask for those.
  NvmeStatus allowed(NvmeStatus status) const;
  /// A command that is never executed; Abort completes it.
  void hold_stuck(const nvme::spec::SubmissionEntry& sqe);
  /// Leaves the controller; the admin queue's end is the controller's end.
  void close();

 private:
  using Sqe = nvme::spec::SubmissionEntry;

  std::uint16_t next_sqhd();
  bool data_fits(const Sqe& sqe, std::uint64_t length) const;

  // queue.cc
  Reply execute_fabrics(const Sqe& sqe, Bytes data);
  Reply connect(const Sqe& sqe, Bytes data);
  Reply connect_admin(const nvme::spec::ConnectCommand& command,
                      const nvme::spec::ConnectData& data);
  Reply connect_io(const nvme::spec::ConnectCommand& command, const nvme::spec::ConnectData& data);
  void require_authentication(const nvme::spec::ConnectData& data);
  bool unauthenticated() const { return authentication_ && !authentication_->done(); }
  Reply authentication_send(const Sqe& sqe, Bytes data);
  Reply authentication_receive(const Sqe& sqe);
  Reply property_get(const Sqe& sqe);
  Reply property_set(const Sqe& sqe);

  // admin_commands.cc
  std::optional<NvmeStatus> admit_admin(const Sqe& sqe) const;
  Reply execute_admin(const Sqe& sqe, Bytes data);
  Reply set_features(const Sqe& sqe, Bytes data);
  Reply abort(const Sqe& sqe);
  Reply get_features(const Sqe& sqe);
  Reply async_event_request(const Sqe& sqe);
  Reply keep_alive();

  // management_commands.cc
  Reply execute_management(const Sqe& sqe, Bytes data);
  Reply sanitize(const Sqe& sqe);
  Reply firmware_download(const Sqe& sqe, Bytes data);
  Reply firmware_commit(const Sqe& sqe);
  Reply device_self_test(const Sqe& sqe);
  Reply security_receive(const Sqe& sqe);
  Reply directive_receive(const Sqe& sqe);
  Reply directive_send(const Sqe& sqe);

  // identify.cc
  Reply identify(const Sqe& sqe);
  Reply identify_namespace(std::uint32_t nsid);
  Reply identify_controller();
  /// Of one command set, or of all.
  Reply identify_namespace_list(std::uint32_t after,
                                std::optional<nvme::spec::CommandSetIdentifier> csi = std::nullopt);
  Reply identify_zoned(nvme::spec::IdentifyCns cns, std::uint32_t nsid);
  std::uint8_t identity_offset() const;
  Reply identify_descriptors(std::uint32_t nsid);
  Reply identify_command_set_namespace(std::uint32_t nsid);
  Reply identify_independent_namespace(std::uint32_t nsid);

  // log_pages.cc
  Reply get_log_page(const Sqe& sqe);
  std::optional<std::vector<std::uint8_t>> log_page(std::uint8_t lid, bool retain);
  std::vector<std::uint8_t> error_log();
  std::vector<std::uint8_t> smart_log();
  std::vector<std::uint8_t> discovery_log();

  // io_commands.cc
  struct Range {
    const std::shared_ptr<Namespace>* ns = nullptr;
    std::uint64_t lba = 0;
    std::uint32_t blocks = 0;
    std::uint64_t length = 0;  ///< bytes over the wire
    ProtectionControl control;

    const Namespace& space() const { return **ns; }
    BlockRange where() const { return {lba, blocks}; }
  };
  /// The namespace of a command, or why this host may not use it so.
  NvmeStatus open_namespace(const Sqe& sqe, bool writes, const std::shared_ptr<Namespace>*& ns);
  /// The blocks that a command names, or why there are none.
  NvmeStatus locate(const Sqe& sqe, bool transfers_data, Range& range);
  Reply execute_io(const Sqe& sqe, Bytes data);
  /// Ends an I/O command, and the fused one that waits for it, unexecuted.
  Reply refuse_io(NvmeStatus status);
  Reply execute_fused(const Sqe& sqe, Bytes data);
  /// After a write that went well: makes it durable if it has to be.
  Reply finish_write(const Sqe& sqe, const Namespace& ns, const BlockRange& range,
                     NvmeStatus status);
  Reply read(const Sqe& sqe);
  Reply write(const Sqe& sqe, Bytes data);
  Reply compare(const Sqe& sqe, Bytes data);
  Reply write_zeroes(const Sqe& sqe);
  Reply write_uncorrectable(const Sqe& sqe);
  Reply verify(const Sqe& sqe);
  Reply dataset_management(const Sqe& sqe, Bytes data);
  Reply flush(const Sqe& sqe);
  std::optional<NvmeStatus> admit_io(const Sqe& sqe);
  std::optional<NvmeStatus> admit_sized(const Sqe& sqe);

  // copy_command.cc
  Reply copy(const Sqe& sqe, Bytes data);

  // reservation_commands.cc
  Reply execute_reservation(const Sqe& sqe, Bytes data);
  Reply reservation_report(const Sqe& sqe, const Namespace& ns);

  // zone_commands.cc
  Reply zone_append(const Sqe& sqe, Bytes data);
  Reply zone_send(const Sqe& sqe, Bytes data);
  Reply zone_receive(const Sqe& sqe);

  Subsystem& subsystem_;
  NamespaceCache& namespaces_;
  WorkerStats& stats_;
  const ListenAddress local_;
  std::weak_ptr<QueueOwner> owner_;
  std::optional<std::pair<std::string, std::string>> secure_names_;  ///< of host and subsystem
  std::shared_ptr<Controller> controller_;
  std::optional<Authentication> authentication_;  ///< of a host that has a key
  std::uint16_t qid_ = 0;
  std::uint16_t sqhd_ = 0;
  std::uint32_t entries_ = 32;
  bool flow_control_disabled_ = false;
  /// The first of two fused commands, until the second comes.
  struct Fused {
    Sqe sqe;
    std::vector<std::uint8_t> data;
  };
  std::unique_ptr<Fused> fused_;
};

}  // namespace nvublk::target
