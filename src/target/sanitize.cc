#include "target/sanitize.h"

#include <algorithm>
#include <random>
#include <utility>

namespace nvublk::target {

using namespace nvme::spec;

namespace {

constexpr std::uint64_t kChunkBytes = 1u << 20;

bool begins_operation(SanitizeAction action) {
  return action == SanitizeAction::kBlockErase || action == SanitizeAction::kOverwrite ||
         action == SanitizeAction::kCryptoErase;
}

/// Log pages that can be read meanwhile. [Base 2.1 §5.1]
constexpr LogPage kAllowedPages[] = {LogPage::kErrorInformation, LogPage::kSmartHealth,
                                     LogPage::kChangedNamespaceList,
                                     LogPage::kReservationNotification, LogPage::kSanitizeStatus};

/// A pattern of 4 bytes, least significant first, over and over.
void fill(std::vector<std::uint8_t>& bytes, std::uint32_t pattern) {
  for (std::size_t i = 0; i < bytes.size(); i++) {
    bytes[i] = static_cast<std::uint8_t>(pattern >> (8 * (i % 4)));
  }
}

}  // namespace

// All passes over all namespaces in chunks, and then one piece for what else there is of each.
class Sanitize::Plan {
 public:
  explicit Plan(const Request& request)
      : command_(request.command), pattern_(request.pattern), namespaces_(request.namespaces) {
    for (const auto& ns : *namespaces_) {
      chunks_.push_back((bytes_of_blocks(*ns) + kChunkBytes - 1) / kChunkBytes);
      pass_chunks_ += chunks_.back();
    }
  }

  bool overwrites() const { return command_.action == SanitizeAction::kOverwrite; }
  std::uint64_t pieces() const { return passes() * pass_chunks_ + namespaces_->size(); }
  std::uint8_t passes_completed() const { return passes_completed_; }

  bool run(std::uint64_t index) {
    if (index >= passes() * pass_chunks_) {
      return finish(*(*namespaces_)[index - passes() * pass_chunks_]);
    }
    const std::uint64_t pass = index / pass_chunks_;
    std::uint64_t chunk = index % pass_chunks_;
    std::size_t which = 0;
    while (chunk >= chunks_[which]) chunk -= chunks_[which++];
    const bool good = erase(*(*namespaces_)[which], pass, chunk * kChunkBytes);
    if (good && overwrites() && (index + 1) % pass_chunks_ == 0 &&
        pass < command_.overwrite_passes) {
      passes_completed_ = static_cast<std::uint8_t>(pass + 1);
    }
    return good;
  }

 private:
  static std::uint64_t bytes_of_blocks(const Namespace& ns) {
    return ns.size_blocks() << ns.block_shift();
  }
  /// Blocks of zones that are empty afterwards have to read as zeros.
  bool deallocates(const Namespace& ns) const {
    return !command_.no_deallocate || ns.zones() != nullptr;
  }
  /// An overwrite has one more, in which blocks are deallocated.
  std::uint64_t passes() const { return overwrites() ? command_.overwrite_passes + 1u : 1u; }
  /// [Base 2.1 §8.1.24.2] The last pass always has the pattern itself.
  std::uint32_t pattern_of(std::uint64_t pass) const {
    const bool inverted =
        command_.invert_between_passes && (command_.overwrite_passes - 1 - pass) % 2 == 1;
    return inverted ? ~pattern_ : pattern_;
  }

  bool erase(const Namespace& ns, std::uint64_t pass, std::uint64_t offset) {
    const std::uint64_t size = bytes_of_blocks(ns);
    if (offset >= size) return true;  // it has shrunk
    const std::uint64_t length = std::min(kChunkBytes, size - offset);
    const bool last = pass + 1 == passes();
    if (overwrites() && !last) {
      buffer_.resize(length);
      fill(buffer_, pattern_of(pass));
      return ns.storage().write(offset, buffer_.data(), length) == 0;
    }
    if (deallocates(ns)) return ns.storage().zero(offset, length, true) == 0;
    if (overwrites()) return true;
    if (command_.action == SanitizeAction::kBlockErase) {
      return ns.storage().zero(offset, length, false) == 0;
    }
    // What the old data is under a key that nobody has had before.
    buffer_.resize(length);
    std::ranges::generate(buffer_, [this] { return static_cast<std::uint8_t>(key_()); });
    return ns.storage().write(offset, buffer_.data(), length) == 0;
  }

  /// Protection information becomes FFh, which it is stored as the complement of.
  bool erase_metadata(const Namespace& ns, std::uint64_t blocks) const {
    const BlockFormat& format = ns.format();
    if (!overwrites() || deallocates(ns)) {
      return ns.metadata()->zero(0, blocks * format.metadata_bytes, true) == 0;
    }
    std::vector<std::uint8_t> one(format.metadata_bytes);
    fill(one, pattern_);
    if (format.protection_type != 0) {
      std::fill_n(one.begin() + format.protection_offset(), kProtectionBytes, std::uint8_t{0});
    }
    for (std::uint64_t block = 0; block < blocks; block++) {
      const std::uint64_t offset = block * format.metadata_bytes;
      if (ns.metadata()->write(offset, one.data(), one.size()) != 0) return false;
    }
    return true;
  }

  /// Metadata, marks, zones; and nothing of it may be in a cache.
  bool finish(Namespace& ns) const {
    const std::uint64_t blocks = ns.size_blocks();
    if (ns.metadata() != nullptr && !erase_metadata(ns, blocks)) return false;
    ns.bad_blocks().remove(0, blocks);
    if (ns.zones() != nullptr) ns.zones()->send(ZoneSendAction::kReset, 0, true);
    return ns.storage().flush() == 0;
  }

  const SanitizeCommand command_;
  const std::uint32_t pattern_;
  const std::shared_ptr<const NamespaceList> namespaces_;
  std::vector<std::uint64_t> chunks_;  ///< of each namespace
  std::uint64_t pass_chunks_ = 0;
  std::atomic<std::uint8_t> passes_completed_{0};
  std::vector<std::uint8_t> buffer_;
  std::mt19937 key_{std::random_device{}()};
};

NvmeStatus Sanitize::check_locked(const SanitizeCommand& command,
                                  const NamespaceList& namespaces) const {
  if (processing(state_)) return NvmeStatus::make(GenericStatus::kSanitizeInProgress, true);
  const bool exits = command.action == SanitizeAction::kExitFailureMode;
  // VERS says that there is no media verification. [Base 2.1 §5.1.22]
  if ((!exits && !begins_operation(command.action)) || (!exits && command.media_verification)) {
    return NvmeStatus::make(GenericStatus::kInvalidField, true);
  }
  if (state_ == State::kRestrictedFailure && (exits || command.allow_unrestricted_exit)) {
    return NvmeStatus::make(GenericStatus::kSanitizeFailed, true);
  }
  if (std::ranges::any_of(namespaces, [](const auto& ns) { return ns->read_only(); })) {
    return NvmeStatus::make(GenericStatus::kNamespaceWriteProtected, true);
  }
  return {};
}

NvmeStatus Sanitize::check(const SanitizeCommand& command, const NamespaceList& namespaces) const {
  const std::lock_guard lock(mutex_);
  return check_locked(command, namespaces);
}

NvmeStatus Sanitize::begin(const Background& background, Request request) {
  auto plan = std::make_shared<Plan>(request);
  {
    const std::lock_guard lock(mutex_);
    const NvmeStatus status = check_locked(request.command, *request.namespaces);
    if (!status.ok()) return status;
    set_state(request.command.allow_unrestricted_exit ? State::kUnrestrictedProcessing
                                                      : State::kRestrictedProcessing);
    failed_in_ = State::kIdle;
    status_ = SanitizeStatus::kInProgress;
    cdw10_ = request.cdw10;
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(request.least).count();
    least_seconds_ = seconds == 0 ? kSanitizeTimeUnknown : static_cast<std::uint32_t>(seconds);
    plan_ = plan;
  }
  Operation::Work work;
  work.pieces = plan->pieces();
  work.piece = [plan](std::uint64_t index) { return plan->run(index); };
  work.least = request.least;
  work.after_commands = true;
  work.done = [this, request = std::move(request)](bool good) {
    end(good && !request.fails, *request.namespaces);
    request.completed();
  };
  operation_.begin(background, std::move(work));
  return {};
}

void Sanitize::end(bool good, const NamespaceList& namespaces) {
  const std::lock_guard lock(mutex_);
  if (good) {
    for (const auto& ns : namespaces) ns->set_written(false);
    status_ = SanitizeStatus::kSucceeded;
    set_state(State::kIdle);
    return;
  }
  status_ = SanitizeStatus::kFailed;
  failed_in_ = state_;
  set_state(state_ == State::kRestrictedProcessing ? State::kRestrictedFailure
                                                   : State::kUnrestrictedFailure);
}

NvmeStatus Sanitize::exit_failure_mode() {
  const std::lock_guard lock(mutex_);
  SanitizeCommand command;
  command.action = SanitizeAction::kExitFailureMode;
  const NvmeStatus status = check_locked(command, {});
  if (status.ok()) set_state(State::kIdle);
  return status;
}

void Sanitize::set_state(State state) {
  state_ = state;
  NvmeStatus refusal;
  if (processing(state)) refusal = NvmeStatus::make(GenericStatus::kSanitizeInProgress, true);
  if (state == State::kRestrictedFailure || state == State::kUnrestrictedFailure) {
    refusal = NvmeStatus::make(GenericStatus::kSanitizeFailed, true);
  }
  refusal_.store(refusal.bits(), std::memory_order_relaxed);
}

bool Sanitize::in_progress() const {
  const std::lock_guard lock(mutex_);
  return processing(state_);
}

NvmeStatus Sanitize::admit_admin(const SubmissionEntry& sqe) const {
  const NvmeStatus refusal = admit_io();
  if (refusal.ok()) return refusal;
  switch (sqe.admin_opcode()) {
    case AdminOpcode::kAbort:
    case AdminOpcode::kAsyncEventRequest:
    case AdminOpcode::kGetFeatures:
    case AdminOpcode::kSetFeatures:
    case AdminOpcode::kIdentify:
    case AdminOpcode::kKeepAlive:
    case AdminOpcode::kSanitize:  // says itself what it may do
      return {};
    case AdminOpcode::kGetLogPage: {
      const auto page = static_cast<LogPage>(sqe.cdw10.get() & 0xff);
      const bool allowed = std::ranges::find(kAllowedPages, page) != std::end(kAllowedPages);
      return allowed ? NvmeStatus{} : refusal;
    }
    default:
      return refusal;
  }
}

SanitizeStatusLog Sanitize::log(const NamespaceList& namespaces) const {
  const std::lock_guard lock(mutex_);
  SanitizeStatusLog log;
  const bool running = processing(state_);
  // FFFFh is for no operation.
  log.sprog = running ? static_cast<std::uint16_t>(operation_.progress(kSanitizeNoProgress))
                      : kSanitizeNoProgress;
  std::uint16_t status = static_cast<std::uint16_t>(status_);
  if (plan_ != nullptr && plan_->overwrites()) {
    status = static_cast<std::uint16_t>(status | (plan_->passes_completed() << 3));
  }
  if (!running && std::ranges::none_of(namespaces, [](const auto& ns) { return ns->written(); })) {
    status |= 1u << 8;
  }
  log.sstat = status;
  log.scdw10 = cdw10_;
  log.overwrite_seconds = log.block_erase_seconds = log.crypto_erase_seconds = least_seconds_;
  log.overwrite_modifying_seconds = log.block_erase_modifying_seconds =
      log.crypto_erase_modifying_seconds = log.deallocation_seconds = kSanitizeTimeUnknown;
  log.ssi = static_cast<std::uint8_t>(static_cast<unsigned>(state_) |
                                      (static_cast<unsigned>(failed_in_) << 4));
  return log;
}

}  // namespace nvublk::target
