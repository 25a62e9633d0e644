#include "sim/simulated_controller.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/check.h"
#include "nvme/pcie/bar_guard.h"
#include "nvme/spec/dsm.h"

namespace nvublk::sim {

using nvme::ControlAction;
using nvme::spec::AdminOpcode;
using nvme::spec::CommandStatus;
using nvme::spec::CompletionEntry;
using nvme::spec::GenericStatus;
using nvme::spec::NvmeStatus;
using nvme::spec::NvmOpcode;
using nvme::spec::Property;
using nvme::spec::SubmissionEntry;

namespace {

constexpr std::uint32_t kBarBytes = 8192;
// Where its own memory is.
constexpr unsigned kOwnBar = 2;
constexpr std::uint64_t kOwnBarAddress = 0xfe000000;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint32_t kBlock = 4096;
// Beyond any pointer of a process, so that one that was not translated is found out.
constexpr std::uint64_t kHuge = std::uint64_t{1} << 40;

}  // namespace

SimulatedController::SimulatedController(const Options& options)
    : options_(options),
      random_(options.seed),
      bar_file_(::memfd_create("registers", MFD_CLOEXEC)),
      media_(options.size_blocks * kBlock),
      metadata_(options.size_blocks * options.metadata_bytes) {
  for (unsigned i = 0; i < options.interrupts; i++) {
    interrupts_.emplace_back(::eventfd(0, EFD_CLOEXEC));
  }
  removal_.reset(::eventfd(0, EFD_CLOEXEC));
  perfect_.nsids = {1};
  sizes_[1] = options.size_blocks;
  perfect_.size_blocks = options.size_blocks;
  perfect_.metadata_bytes = options.metadata_bytes;
  perfect_.queue_count = options.io_queues;
  revive();
  if (options.enabled_at_start) {
    word(Property::kCc) = 1;
    word(Property::kCsts) = nvme::spec::Csts::kReady;
    enabled_ = true;
  }
}

SimulatedController::~SimulatedController() {
  nvme::pcie::BarGuard::remove(bar_.data());
  ::munmap(bar_.data(), bar_.size());
}

// All zeroes, where they were before.
void SimulatedController::map_registers() {
  CHECK(::ftruncate(bar_file_.get(), 0) == 0 && ::ftruncate(bar_file_.get(), kBarBytes) == 0);
  void* memory = ::mmap(bar_.data(), kBarBytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | (bar_.empty() ? 0 : MAP_FIXED), bar_file_.get(), 0);
  CHECK(memory != MAP_FAILED);
  if (bar_.empty()) {
    bar_ = {static_cast<std::byte*>(memory), kBarBytes};
    CHECK(nvme::pcie::BarGuard::add(memory, kBarBytes));
  }
}

void SimulatedController::revive(const std::string& serial) {
  perfect_.serial = serial;
  map_registers();
  gone_ = false;
  enabled_ = false;
  admin_.reset();
  queues_.clear();
  event_requests_.clear();
  shadows_ = 0;
  // MQES, TO of 500 ms, NVM command set.
  const std::uint64_t cap =
      (options_.max_queue_entries - 1) | (1ull << 24) | (1ull << 37) |
      (options_.weighted ? 1ull << 17 : 0) |
      (options_.own_memory_bytes != 0 && !options_.old_memory ? 1ull << 57 : 0);
  word(Property::kCap) = static_cast<std::uint32_t>(cap);
  word(4u) = static_cast<std::uint32_t>(cap >> 32) | options_.doorbell_stride;
  word(Property::kVs) = nvme::spec::Vs::make(2, 0).raw;
  if (options_.own_memory_bytes != 0) {
    own_memory_.resize(options_.own_memory_bytes);
    word(Property::kCmbloc) = kOwnBar;
    word(Property::kCmbsz) = static_cast<std::uint32_t>(options_.own_memory_bytes) | 1u;
  }
}

void SimulatedController::ask_for_removal() {
  ::eventfd_write(removal_.get(), 1);
}

Result<std::uint64_t> SimulatedController::map(std::span<std::byte> memory) {
  CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % kPage == 0);
  const std::uint64_t address = kHuge + next_address_;
  next_address_ += (memory.size() + kPage - 1) / kPage * kPage + kPage;
  mappings_[address] = {memory.data(), memory.size()};
  return address;
}

void SimulatedController::unmap(std::span<std::byte> memory, std::uint64_t address) {
  const auto found = mappings_.find(address);
  if (found == mappings_.end() || found->second.memory != memory.data()) {
    violate("unmapped what was not mapped");
    return;
  }
  const auto inside = [&](std::uint64_t at) {
    return at >= address && at < address + found->second.length;
  };
  if (enabled_ && admin_ && (inside(admin_->sq) || inside(admin_->cq))) {
    violate("unmapped the admin queue of an enabled controller");
  }
  for (const auto& [qid, queue] : queues_) {
    if (gone_) {
      break;  // it reaches nothing
    }
    if (inside(queue.cq) || (queue.has_sq && inside(queue.sq))) {
      violate("unmapped queue " + std::to_string(qid) + ", which exists");
    }
  }
  mappings_.erase(found);
}

void SimulatedController::stop_dma() {
  disable();
}

Result<std::span<std::byte>> SimulatedController::map_bar(unsigned bar, std::uint64_t offset,
                                                          std::uint64_t length_bytes) {
  if (bar != kOwnBar || offset != 0 || length_bytes > own_memory_.size()) {
    violate("mapped a BAR that is not there");
    return fail(ErrorCode::kProtocol, "there is no such BAR");
  }
  return std::span(own_memory_).first(length_bytes);
}

Result<std::uint64_t> SimulatedController::reserve_addresses(std::uint64_t length_bytes) {
  const std::uint64_t address = kHuge + next_address_;
  next_address_ += length_bytes + kPage;
  reserved_++;
  return address;
}

Result<std::uint64_t> SimulatedController::reserve_bar_addresses(unsigned, std::uint64_t,
                                                                 std::uint64_t) {
  reserved_++;
  return kOwnBarAddress;
}

void SimulatedController::release_addresses(std::uint64_t) {
  reserved_--;
}

// Where in the controller's own memory `address` is; null if it is not.
std::byte* SimulatedController::own(std::uint64_t address, std::uint64_t length) {
  const nvme::spec::Cmbmsc control{word(Property::kCmbmsc) | std::uint64_t{word(0x54u)} << 32};
  if (own_memory_.empty() || (!options_.old_memory && !control.enabled())) {
    return nullptr;
  }
  const std::uint64_t begin = options_.old_memory ? kOwnBarAddress : control.address();
  return address >= begin && address - begin < own_memory_.size() &&
                 length <= own_memory_.size() - (address - begin)
             ? own_memory_.data() + (address - begin)
             : nullptr;
}

std::byte* SimulatedController::host(std::uint64_t address, std::uint64_t length) {
  auto next = mappings_.upper_bound(address);
  if (next == mappings_.begin()) {
    violate("DMA to an address that is not mapped");
    return nullptr;
  }
  const auto& [begin, mapping] = *std::prev(next);
  if (address - begin > mapping.length || length > mapping.length - (address - begin)) {
    violate("DMA past the end of a mapping");
    return nullptr;
  }
  return mapping.memory + (address - begin);
}

unsigned SimulatedController::step() {
  if (gone_) {
    return 0;
  }
  const nvme::spec::Cc cc{word(Property::kCc)};
  if (cc.enabled() != enabled_) {
    if (never_ready) {
      return 0;
    }
    if (cc.enabled()) {
      enable();
    } else {
      disable();
    }
  }
  if (!enabled_ || !admin_) {
    return 0;
  }
  if (cc.shn() != nvme::spec::ShutdownNotification::kNone) {
    word(Property::kCsts) |= nvme::spec::Csts::kShutdownComplete;
  }
  unsigned count = run_queue(*admin_);
  for (auto& [qid, queue] : queues_) {
    if (queue.has_sq && !gone_) {
      count += run_queue(queue);
    }
  }
  return count;
}

void SimulatedController::enable() {
  const nvme::spec::Aqa aqa{word(Property::kAqa)};
  admin_ = Queue{};
  admin_->sq = word(Property::kAsq) | std::uint64_t{word(0x2cu)} << 32;
  admin_->cq = word(Property::kAcq) | std::uint64_t{word(0x34u)} << 32;
  admin_->sq_entries = aqa.sq_entries();
  admin_->cq_entries = aqa.cq_entries();
  admin_->has_sq = true;
  admin_->interrupts = options_.interrupts > 0;
  enabled_ = true;
  word(Property::kCsts) = nvme::spec::Csts::kReady;
}

void SimulatedController::disable() {
  enabled_ = false;
  admin_.reset();
  queues_.clear();
  event_requests_.clear();
  std::memset(bar_.data() + nvme::spec::kDoorbellOffset, 0,
              kBarBytes - nvme::spec::kDoorbellOffset);
  word(Property::kCsts) = 0;
}

// What the host has put there; from then on the register of a completion queue is not wanted, and
// that of a submission queue only by one that sleeps. [Base 2.1 §B.5]
std::uint32_t SimulatedController::shadow(std::uint16_t qid, bool completion) {
  const std::uint64_t place = place_of(qid, completion);
  std::byte* events = host(events_ + place, 4);
  const std::byte* value = host(shadows_ + place, 4);
  std::uint32_t at = 0;
  if (events != nullptr && value != nullptr) {
    std::memcpy(&at, value, 4);
    // One behind is as far ahead as there is.
    const std::uint32_t event = completion || options_.awake ? (at - 1) & 0xffff : at;
    std::memcpy(events, &event, 4);
  }
  return at;
}

// One that sleeps looks at the shadow when the register was rung, and says then from where on it
// wants to be rung again: a host that does not ring when it must is stuck. One that is awake finds
// out about rings that it did not want.
std::uint32_t SimulatedController::tail_of(Queue& queue) {
  const std::uint32_t rung = doorbell(queue.qid, false);
  if (shadows_ == 0 || queue.qid == 0) {
    return rung;
  }
  if (options_.awake) {
    if (rung != 0 || doorbell(queue.qid, true) != 0) {
      violate("a doorbell was written although its shadow is enough");
    }
    return shadow(queue.qid, false);
  }
  if (rung == queue.rung) {
    return queue.sq_head;
  }
  queue.rung = rung;
  return shadow(queue.qid, false);
}

std::uint32_t SimulatedController::head_of(const Queue& queue) {
  return shadows_ == 0 || queue.qid == 0 ? doorbell(queue.qid, true) : shadow(queue.qid, true);
}

unsigned SimulatedController::run_queue(Queue& queue) {
  unsigned count = 0;
  const std::uint32_t tail = tail_of(queue);
  if (tail >= queue.sq_entries) {
    violate("a doorbell beyond the end of its queue");
    return 0;
  }
  const std::uint16_t qid = queue.qid;
  while (queue.sq_head != tail && !gone_ && enabled_) {
    SubmissionEntry sqe;
    const std::byte* entry = own(queue.sq + queue.sq_head * 64ull, 64);
    if (entry != nullptr) {
      own_fetches_++;
    } else {
      entry = host(queue.sq + queue.sq_head * 64ull, 64);
    }
    if (entry == nullptr) {
      return count;
    }
    std::memcpy(&sqe, entry, sizeof(sqe));
    queue.sq_head = (queue.sq_head + 1) % queue.sq_entries;
    count++;
    if (qid == 0) {
      admin(queue, sqe);
    } else {
      io_commands_++;
      io(queue, sqe);
    }
  }
  while (!hold_io && !queue.done.empty() && post_done(queue)) {
  }
  return count;
}

void SimulatedController::admin(Queue& queue, const SubmissionEntry& sqe) {
  CompletionEntry entry;
  entry.cid = sqe.cid;
  if (sqe.admin_opcode() == AdminOpcode::kAsyncEventRequest) {
    event_requests_.push_back(sqe.cid.get());
    return;
  }
  if (mute_admin) {
    return;
  }
  bool known = false;
  entry.set_status(manage_queue(sqe, known));
  if (!known) {
    std::uint64_t result = 0;
    entry.set_status(manage(sqe, known, result));
    entry.set_result(result);
  }
  if (!known) {
    ControlAction action;
    action.kind = ControlAction::Kind::kAdminCommand;
    action.sqe = sqe;
    std::byte* data = nullptr;
    if (sqe.direction() == nvme::spec::DataDirection::kControllerToHost) {
      data = host(sqe.prps().prp1.get(), kPage);
      action.data = {data, data == nullptr ? 0 : kPage};
    }
    if (sqe.admin_opcode() == AdminOpcode::kDoorbellBufferConfig) {
      shadows_ = sqe.prps().prp1.get();
      events_ = sqe.prps().prp2.get();
    }
    entry.set_result(perfect_.answer(action).value);
    if (options_.shadow_doorbells && data != nullptr &&
        sqe.admin_opcode() == AdminOpcode::kIdentify && sqe.cdw10.get() == 1) {
      data[257] |= std::byte{1};  // OACS: Doorbell Buffer Config
    }
    if (data != nullptr && sqe.admin_opcode() == AdminOpcode::kIdentify && sqe.cdw10.get() == 1) {
      std::memset(data + 514, 0, 2);  // MAXCMD: that is for fabrics
      data[536] |= std::byte{options_.sgl ? std::uint8_t{1} : std::uint8_t{0}};  // SGLS
    }
  }
  post(queue, entry);
}

NvmeStatus SimulatedController::manage_queue(const SubmissionEntry& sqe, bool& known) {
  known = true;
  const auto qid = static_cast<std::uint16_t>(sqe.cdw10.get() & 0xffff);
  switch (sqe.admin_opcode()) {
    case AdminOpcode::kCreateIoCompletionQueue:
      return create_cq(sqe);
    case AdminOpcode::kCreateIoSubmissionQueue:
      return create_sq(sqe);
    case AdminOpcode::kDeleteIoSubmissionQueue:
      if (keep_queues) {
        return NvmeStatus::make(GenericStatus::kInternalError);
      }
      if (!queues_.contains(qid) || !queues_[qid].has_sq) {
        return NvmeStatus::make(CommandStatus::kInvalidQueueIdentifier);
      }
      queues_[qid].has_sq = false;
      return {};
    case AdminOpcode::kDeleteIoCompletionQueue:
      if (!queues_.contains(qid)) {
        return NvmeStatus::make(CommandStatus::kInvalidQueueIdentifier);
      }
      if (queues_[qid].has_sq) {
        violate("deleted a completion queue before its submission queue");
        return NvmeStatus::make(GenericStatus::kInvalidField);
      }
      queues_.erase(qid);
      return {};
    default:
      known = false;
      return {};
  }
}

// Abort, Format NVM, Namespace Management and Attachment. [Base 2.1 §5.1.1, §5.1.10, §5.1.20,
// §5.1.21]
NvmeStatus SimulatedController::manage(const SubmissionEntry& sqe, bool& known,
                                       std::uint64_t& result) {
  known = true;
  switch (sqe.admin_opcode()) {
    case AdminOpcode::kAbort: {
      const std::uint32_t which = sqe.cdw10.get();
      const bool aborted = abort_held(static_cast<std::uint16_t>(which & 0xffff),
                                      static_cast<std::uint16_t>(which >> 16));
      result = aborted ? 0 : 1;
      return {};
    }
    case AdminOpcode::kFormatNvm:
      if (!sizes_.contains(sqe.nsid.get()) || (sqe.cdw10.get() & 0xf) != 0) {
        return NvmeStatus::make(GenericStatus::kInvalidField, true);
      }
      std::memset(media_.data(), 0, media_.size());
      return {};
    case AdminOpcode::kNamespaceManagement:
      return manage_namespace(sqe, result);
    case AdminOpcode::kNamespaceAttachment:
      return attach_namespace(sqe);
    default:
      known = false;
      return {};
  }
}

NvmeStatus SimulatedController::manage_namespace(const SubmissionEntry& sqe,
                                                 std::uint64_t& result) {
  const std::uint32_t nsid = sqe.nsid.get();
  if ((sqe.cdw10.get() & 0xf) == 1) {
    std::erase(perfect_.nsids, nsid);
    return sizes_.erase(nsid) == 1
               ? NvmeStatus()
               : NvmeStatus::make(GenericStatus::kInvalidNamespaceOrFormat, true);
  }
  nvme::spec::IdentifyNamespace wanted;
  const std::byte* data = host(sqe.prps().prp1.get(), sizeof(wanted));
  if (data == nullptr) {
    return NvmeStatus::make(GenericStatus::kInvalidField, true);
  }
  std::memcpy(static_cast<void*>(&wanted), data, sizeof(wanted));
  if (wanted.nsze.get() == 0 || wanted.nsze.get() > options_.size_blocks) {
    return NvmeStatus::make(CommandStatus::kNamespaceInsufficientCapacity, true);
  }
  std::uint32_t made = 1;
  while (sizes_.contains(made)) {
    made++;
  }
  sizes_[made] = wanted.nsze.get();
  perfect_.sizes[made] = wanted.nsze.get();
  result = made;
  return {};
}

NvmeStatus SimulatedController::attach_namespace(const SubmissionEntry& sqe) {
  const std::uint32_t nsid = sqe.nsid.get();
  const bool attached = std::ranges::find(perfect_.nsids, nsid) != perfect_.nsids.end();
  const bool attach = (sqe.cdw10.get() & 0xf) == 0;
  if (!sizes_.contains(nsid)) {
    return NvmeStatus::make(GenericStatus::kInvalidNamespaceOrFormat, true);
  }
  if (attached == attach) {
    return NvmeStatus::make(
        attach ? CommandStatus::kNamespaceAlreadyAttached : CommandStatus::kNamespaceNotAttached,
        true);
  }
  if (attach) {
    perfect_.nsids.push_back(nsid);
    std::ranges::sort(perfect_.nsids);
  } else {
    std::erase(perfect_.nsids, nsid);
  }
  return {};
}

bool SimulatedController::abort_held(std::uint16_t qid, std::uint16_t cid) {
  const auto queue = queues_.find(qid);
  if (!hold_io || queue == queues_.end()) {
    return false;
  }
  auto& held = queue->second.done;
  const auto found = std::ranges::find_if(
      held, [cid](const CompletionEntry& entry) { return entry.cid.get() == cid; });
  if (found == held.end()) {
    return false;
  }
  CompletionEntry entry = *found;
  held.erase(found);
  entry.set_status(NvmeStatus::make(GenericStatus::kAbortRequested));
  post(queue->second, entry);
  return true;
}

NvmeStatus SimulatedController::create_cq(const SubmissionEntry& sqe) {
  const auto qid = static_cast<std::uint16_t>(sqe.cdw10.get() & 0xffff);
  if (refuse_queues || qid == 0 || qid > options_.io_queues || queues_.contains(qid)) {
    return NvmeStatus::make(CommandStatus::kInvalidQueueIdentifier);
  }
  Queue queue;
  queue.qid = qid;
  queue.cq = sqe.prps().prp1.get();
  queue.cq_entries = (sqe.cdw10.get() >> 16) + 1;
  queue.interrupts = (sqe.cdw11.get() & 2) != 0;
  queue.vector = static_cast<std::uint16_t>(sqe.cdw11.get() >> 16);
  if ((sqe.cdw11.get() & 1) == 0 || queue.cq % kPage != 0 || queue.vector >= options_.interrupts) {
    violate("a completion queue with wrong attributes");
  }
  doorbell(qid, true) = 0;
  if (shadows_ != 0) {
    shadow(qid, true);
  }
  queues_[qid] = std::move(queue);
  return {};
}

NvmeStatus SimulatedController::create_sq(const SubmissionEntry& sqe) {
  const auto qid = static_cast<std::uint16_t>(sqe.cdw10.get() & 0xffff);
  if (!queues_.contains(qid) || (sqe.cdw11.get() >> 16) != qid) {
    return NvmeStatus::make(CommandStatus::kInvalidQueueIdentifier);
  }
  Queue& queue = queues_[qid];
  queue.sq = sqe.prps().prp1.get();
  queue.sq_entries = (sqe.cdw10.get() >> 16) + 1;
  queue.has_sq = true;
  queue.priority = static_cast<std::uint8_t>(sqe.cdw11.get() >> 1 & 3);
  if (queue.priority != 0 &&
      nvme::spec::Cc{word(Property::kCc)}.ams() != nvme::spec::Arbitration::kWeightedRoundRobin) {
    violate("a queue has a priority without weighted round robin");
  }
  queue.rung = 0;
  doorbell(qid, false) = 0;
  if (shadows_ != 0) {
    shadow(qid, false);
  }
  return {};
}

void SimulatedController::io(Queue& queue, const SubmissionEntry& sqe) {
  CompletionEntry entry;
  entry.cid = sqe.cid;
  const std::uint64_t lba = sqe.cdw10.get() | std::uint64_t{sqe.cdw11.get()} << 32;
  const std::uint64_t blocks = (sqe.cdw12.get() & 0xffff) + 1;
  NvmeStatus status;
  const auto range = [&](std::uint64_t first, std::uint64_t count) -> std::byte* {
    if (first >= options_.size_blocks || count > options_.size_blocks - first) {
      status = NvmeStatus::make(GenericStatus::kLbaOutOfRange, true);
      return nullptr;
    }
    return media_.data() + first * kBlock;
  };
  switch (sqe.nvm_opcode()) {
    case NvmOpcode::kRead:
    case NvmOpcode::kWrite:
      if (std::byte* media = range(lba, blocks)) {
        const bool write = sqe.nvm_opcode() == NvmOpcode::kWrite;
        status = move(sqe, media, blocks * kBlock, write);
        if (status.ok() && options_.metadata_bytes != 0) {
          status = move_metadata(sqe, lba, blocks, write);
        }
      }
      break;
    case NvmOpcode::kWriteZeroes:
      if (std::byte* media = range(lba, blocks)) {
        std::memset(media, 0, blocks * kBlock);
      }
      break;
    case NvmOpcode::kDatasetManagement: {
      nvme::spec::DsmRange dsm;
      if (const std::byte* data = host(sqe.prps().prp1.get(), sizeof(dsm))) {
        std::memcpy(&dsm, data, sizeof(dsm));
        if (std::byte* media = range(dsm.slba.get(), dsm.nlb.get())) {
          std::memset(media, 0, std::uint64_t{dsm.nlb.get()} * kBlock);
        }
      }
      break;
    }
    case NvmOpcode::kFlush:
      break;
    default:
      status = NvmeStatus::make(GenericStatus::kInvalidOpcode, true);
  }
  entry.set_status(status);
  queue.done.push_back(entry);
}

// [Base 2.1 §4.3.2]
NvmeStatus SimulatedController::move_sgl(const SubmissionEntry& sqe, std::byte* media,
                                         std::uint64_t length, bool write) {
  using nvme::spec::SglDescriptor;
  using nvme::spec::SglType;
  const auto invalid = NvmeStatus::make(GenericStatus::kInvalidField, true);
  if (!options_.sgl) {
    violate("an SGL for a controller that has none");
    return invalid;
  }
  sgl_commands_++;
  std::vector<SglDescriptor> pieces{sqe.sgl()};
  if (pieces[0].type() == SglType::kLastSegment) {
    const std::uint32_t bytes = pieces[0].length.get();
    const std::byte* list = host(pieces[0].address.get(), bytes);
    if (list == nullptr || bytes == 0 || bytes % sizeof(SglDescriptor) != 0) {
      return invalid;
    }
    pieces.resize(bytes / sizeof(SglDescriptor));
    std::memcpy(pieces.data(), list, bytes);
  }
  for (const SglDescriptor& piece : pieces) {
    const std::uint32_t bytes = piece.length.get();
    std::byte* memory = host(piece.address.get(), bytes);
    if (memory == nullptr || piece.type() != SglType::kDataBlock || bytes > length) {
      return invalid;
    }
    std::memcpy(write ? media : memory, write ? memory : media, bytes);
    media += bytes;
    length -= bytes;
  }
  return length == 0 ? NvmeStatus() : invalid;
}

// Follows PRPs as the specification says, and not as our own code does. [Base 2.1 §4.3.1]
NvmeStatus SimulatedController::move(const SubmissionEntry& sqe, std::byte* media,
                                     std::uint64_t length, bool write) {
  if (sqe.psdt() != nvme::spec::Psdt::kPrp) {
    return move_sgl(sqe, media, length, write);
  }
  const auto invalid = NvmeStatus::make(GenericStatus::kPrpOffsetInvalid, true);
  std::uint64_t at = sqe.prps().prp1.get();
  std::uint64_t piece = std::min(length, kPage - at % kPage);
  std::uint64_t list = 0;
  bool first = true;
  while (true) {
    std::byte* memory = host(at, piece);
    if (memory == nullptr) {
      return invalid;
    }
    std::memcpy(write ? media : memory, write ? memory : media, piece);
    media += piece;
    length -= piece;
    if (length == 0) {
      return {};
    }
    if (first && length <= kPage) {
      at = sqe.prps().prp2.get();
    } else {
      list = first ? sqe.prps().prp2.get() : list + 8;
      const std::byte* entry = host(list, 8);
      if (entry == nullptr) {
        return invalid;
      }
      std::memcpy(&at, entry, 8);
      if (list % kPage == kPage - 8 && length > kPage) {
        list = at;
        entry = host(list, 8);
        if (entry == nullptr) {
          return invalid;
        }
        std::memcpy(&at, entry, 8);
      }
    }
    if (at % kPage != 0) {
      violate("a PRP with an offset that is not the first one");
      return invalid;
    }
    first = false;
    piece = std::min(length, kPage);
  }
}

// [Base 2.1 §4.1.1] MPTR: of contiguous memory, dword aligned where SGLs do not say otherwise.
NvmeStatus SimulatedController::move_metadata(const SubmissionEntry& sqe, std::uint64_t lba,
                                              std::uint64_t blocks, bool write) {
  const std::uint64_t length = blocks * options_.metadata_bytes;
  std::byte* memory = host(sqe.mptr.get(), length);
  if (memory == nullptr || sqe.mptr.get() % 4 != 0) {
    violate("metadata is not where the controller could take it from");
    return NvmeStatus::make(GenericStatus::kInvalidField, true);
  }
  std::byte* kept = metadata_.data() + lba * options_.metadata_bytes;
  std::memcpy(write ? kept : memory, write ? memory : kept, length);
  return {};
}

bool SimulatedController::post_done(Queue& queue) {
  const std::uint32_t head = head_of(queue);
  if ((queue.cq_tail + 1) % queue.cq_entries == head) {
    violate("a completion queue is full");
    return false;
  }
  std::size_t which = 0;
  if (options_.out_of_order) {
    which = random_() % queue.done.size();
  }
  CompletionEntry entry = queue.done[which];
  queue.done.erase(queue.done.begin() + static_cast<std::ptrdiff_t>(which));
  if (strike_at_ >= 0 && strike_at_-- == 0) {
    struck_ = true;
    return strike(queue, entry);
  }
  post(queue, entry);
  return true;
}

bool SimulatedController::strike(Queue& queue, CompletionEntry& entry) {
  const DeviceFault fault = std::exchange(fault_, DeviceFault::kNone);
  switch (fault) {
    case DeviceFault::kNone:
      post(queue, entry);
      return true;
    case DeviceFault::kStalePhase:
      post(queue, entry, true);
      return false;
    case DeviceFault::kWrongCid:
      entry.cid = static_cast<std::uint16_t>(entry.cid.get() ^ 0x4000);
      post(queue, entry);
      return true;
    case DeviceFault::kWrongQueue: {
      Queue other = queue;
      other.qid++;
      post(other, entry);
      queue.cq_tail = other.cq_tail;
      queue.phase = other.phase;
      return true;
    }
    case DeviceFault::kTwice:
      post(queue, entry);
      post(queue, entry);
      return true;
    case DeviceFault::kFatal:
      word(Property::kCsts) |= nvme::spec::Csts::kFatal;
      queue.done.clear();
      queue.has_sq = false;
      return false;
    case DeviceFault::kGone:
    case DeviceFault::kPulled:
      gone_ = true;
      enabled_ = false;
      queue.done.clear();
      if (fault == DeviceFault::kPulled) {
        CHECK(::ftruncate(bar_file_.get(), 0) == 0);
      } else {
        std::memset(bar_.data(), 0xff, bar_.size());
      }
      return false;
    case DeviceFault::kErrorStatus:
      entry.set_status(NvmeStatus::make(GenericStatus::kNamespaceNotReady));
      post(queue, entry);
      return true;
  }
  return true;
}

void SimulatedController::post(Queue& queue, CompletionEntry entry, bool stale) {
  entry.sqhd = static_cast<std::uint16_t>(queue.sq_head);
  entry.sqid = queue.qid;
  entry.set_status(entry.status(), stale ? !queue.phase : queue.phase);
  std::byte* memory = host(queue.cq + queue.cq_tail * 16ull, 16);
  if (memory == nullptr) {
    return;
  }
  std::memcpy(memory, &entry, sizeof(entry));
  queue.cq_tail++;
  if (queue.cq_tail == queue.cq_entries) {
    queue.cq_tail = 0;
    queue.phase = !queue.phase;
  }
  if (queue.interrupts && queue.vector < interrupts_.size()) {
    ::eventfd_write(interrupts_[queue.vector].get(), 1);
  }
}

}  // namespace nvublk::sim
