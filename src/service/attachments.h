#pragma once

// All attachments of a daemon: names, duplicates, who is meant by a device path or an NQN, and
// detaching several at once. Control-shard-affine.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/reactor.h"
#include "nvme/pci_address.h"
#include "service/attachment.h"
#include "service/host_identity.h"
#include "service/json.h"

namespace nvublk::service {

/// Part of the attachments, as a word of the user selects it.
struct AttachmentMatch {
  Attachment* attachment = nullptr;
  std::vector<std::uint32_t> nsids;  ///< empty: the whole of it
};

class Attachments final : private AttachmentOwner {
 public:
  /// The paths of the devices that are gone; with the error, those that went before it.
  struct Detached {
    std::vector<std::string> devices;
    Status status;
  };
  using DetachDone = std::function<void(Detached result)>;

  Attachments(const ShardSet& shards, Frontends& frontends, HostIdentitySource& identities,
              std::string run_directory);
  /// When empty() only, or after leave_all().
  ~Attachments();
  Attachments(const Attachments&) = delete;
  Attachments& operator=(const Attachments&) = delete;

  /// Begins to attach. The result, the attachment's name, is valid at once; `done` runs when its
  /// devices can be used or it has failed.
  Result<std::string> attach(AttachRequest request, Attachment::Done done);
  /// Goes on with what another daemon has left; see Attachment::resume.
  Status resume(const SavedAttachment& saved, bool quiet);
  /// Called after each change of what saved() says.
  void on_change(std::function<void()> changed) { changed_ = std::move(changed); }
  /// What a later daemon needs.
  std::vector<SavedAttachment> saved() const;
  /// For the end of a daemon whose devices stay: has all attachments leave, the unfinished ones
  /// cancelled. `done` gets whether nothing is left with any controller.
  void leave_all(std::function<void(bool quiet)> done);

  /// Gives up the attach that runs under this name, if one does.
  void cancel(const std::string& name, const std::string& reason);

  /// What `target` selects: a device's path or name, a controller's name, or a subsystem NQN.
  std::vector<AttachmentMatch> find(const std::string& target) const;
  const Attachment* find_controller(const std::string& name) const;
  /// Detaches what `target` selects. Without `force` nothing goes when any of it is in use.
  void detach(const std::string& target, bool force, DetachDone done);
  /// Changes the policy of the controllers that `target` selects: `policy` has the members of
  /// read_policy() that change. `done` gets the policies that are in force then, or why they are
  /// not; with several controllers, those before the one that failed have theirs.
  void set_policy(const std::string& target, const Json& policy,
                  std::function<void(Result<Json> report)> done);
  /// Whether local drives of what `target` names (all: empty) are left with vfio-pci when they are
  /// detached.
  void keep_bound(const std::string& target, bool keep);
  /// A local drive has come: whoever lost it and asked for it (hotplug) gets it again.
  void drive_arrived(const nvme::PciAddress& address);
  /// Detaches everything that can be; errors name what stays. With `mortal_only` only attachments
  /// whose devices cannot outlive the daemon.
  void detach_all(bool force, DetachDone done, bool mortal_only = false);

  /// Who this host is to a controller when the user asked for `nqn` and `id`; see
  /// HostIdentitySource.
  Result<nvme::HostIdentity> host_identity(const std::string& nqn, const std::string& id) {
    return identities_.find(nqn, id);
  }

  std::vector<Attachment*> list() const;
  bool empty() const { return attachments_.empty() && graveyard_.empty(); }

 private:
  struct DetachJob;
  void attachment_ended(Attachment& attachment) override;
  void attachment_changed(Attachment&) override { tell_changed(); }
  void tell_changed();
  void try_to_leave();
  Status check_not_attached(const AttachRequest& request) const;
  Result<std::string> choose_name(const std::string& wanted) const;
  Attachment* find_by_name(const std::string& name) const;
  void attach_again(Attachment& lost);
  void run_detach(std::shared_ptr<DetachJob> job);

  ShardLoad load_;
  AttachmentEnvironment environment_;
  HostIdentitySource& identities_;
  std::vector<std::unique_ptr<Attachment>> attachments_;
  std::vector<std::unique_ptr<Attachment>> graveyard_;
  std::function<void()> changed_;
  std::function<void(bool quiet)> left_;
  Instant leave_deadline_ = kNever;
  Timer leave_timer_;
  Deferred bury_;
};

}  // namespace nvublk::service
