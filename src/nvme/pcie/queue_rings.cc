#include "nvme/pcie/queue_rings.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "engine/check.h"

namespace nvublk::nvme::pcie {

namespace {

// SGLS bits 1:0. [Base 2.1 §5.1.13.2.1]
constexpr std::uint32_t kDwordAligned = 2;

std::size_t page_up(std::size_t bytes) {
  return (bytes + 4095) / 4096 * 4096;
}

spec::CompletionEntry refusal(const Request& request) {
  spec::CompletionEntry entry;
  entry.cid = request.cid;
  entry.set_status(spec::NvmeStatus::make(spec::GenericStatus::kInvalidField, true));
  return entry;
}

// Copies between `flat` and the pieces of `request`.
void copy_pieces(const Request& request, std::byte* flat, bool to_pieces) {
  for (std::uint32_t i = 0; i < request.iov_count; i++) {
    const iovec& piece = request.iov[i];
    if (to_pieces) {
      std::memcpy(piece.iov_base, flat, piece.iov_len);
    } else {
      std::memcpy(flat, piece.iov_base, piece.iov_len);
    }
    flat += piece.iov_len;
  }
}

}  // namespace

Result<std::unique_ptr<QueueRings>> QueueRings::create(const Options& options, DmaCatalog& catalog,
                                                       PcieSession& session,
                                                       RequestTable& requests) {
  const std::uint32_t last = PcieSession::doorbell_offset(options.cap, options.qid, true);
  if (last + 4 > session.device().registers().size_bytes()) {
    return fail(ErrorCode::kProtocol,
                "the registers (BAR0) have no doorbells for queue " + std::to_string(options.qid));
  }
  std::unique_ptr<QueueRings> rings(new QueueRings(options, catalog, session, requests));
  if (Status allocated = rings->allocate(); !allocated) {
    return std::unexpected(std::move(allocated.error()));
  }
  return rings;
}

QueueRings::QueueRings(const Options& options, DmaCatalog& catalog, PcieSession& session,
                       RequestTable& requests)
    : options_(options),
      session_(session),
      requests_(requests),
      view_(catalog, session.space()),
      slots_(std::make_unique<Slot[]>(requests.size())) {
  local_.reserve(requests.size());
}

QueueRings::~QueueRings() {
  for (std::uint32_t i = 0; i < requests_.size(); i++) {
    release(slots_[i].large);
    release(slots_[i].metadata);
  }
  if (in_controller()) {
    session_.controller_memory()->release(piece_);
  }
  for (const Lent& lent : {lent_sq_, lent_cq_}) {
    if (!lent.memory.empty()) {
      session_.device().unmap(lent.memory, lent.address);
    }
  }
  if (mapped_) {
    session_.device().unmap(memory_.span(), address_);
  }
}

std::uint64_t QueueRings::sq_address() const {
  if (in_controller()) {
    return piece_.address;
  }
  return lent_sq_.memory.empty() ? address_ : lent_sq_.address;
}

std::uint64_t QueueRings::cq_address() const {
  return lent_cq_.memory.empty() ? address_ + cq_offset_ : lent_cq_.address;
}

// Completions are told from what lay there before by their phase: it has to be 0 at first.
// [Base 2.1 §4.2.4]
Status QueueRings::map(Lent& lent, std::span<std::byte> memory, std::size_t length_bytes) {
  if (memory.empty()) {
    return {};
  }
  CHECK(memory.size() >= length_bytes);
  memory = memory.first(length_bytes);
  std::ranges::fill(memory, std::byte{0});
  const auto address = session_.device().map(memory);
  if (!address) {
    return std::unexpected(address.error());
  }
  lent = {memory, *address};
  return {};
}

Status QueueRings::allocate() {
  const QueueMemory& lent = options_.memory;
  const std::size_t sq_bytes = page_up(options_.entries * spec::kSubmissionEntryBytes);
  const std::size_t cq_bytes = page_up(options_.entries * spec::kCompletionEntryBytes);
  cq_offset_ = lent.sq.empty() ? sq_bytes : 0;
  slots_offset_ = cq_offset_ + (lent.cq.empty() ? cq_bytes : 0);
  auto memory = DmaRegion::allocate(slots_offset_ + std::size_t{requests_.size()} * 2 * kPage);
  if (!memory) {
    return std::unexpected(std::move(memory.error()));
  }
  memory_ = std::move(*memory);
  const auto address = session_.device().map(memory_.span());
  if (!address) {
    return std::unexpected(address.error());
  }
  address_ = *address;
  mapped_ = true;
  if (Status mapped = map(lent_sq_, lent.sq, sq_bytes); !mapped) {
    return mapped;
  }
  if (Status mapped = map(lent_cq_, lent.cq, cq_bytes); !mapped) {
    return mapped;
  }
  const auto doorbell = [&](bool completion) {
    return session_.doorbell(PcieSession::doorbell_offset(options_.cap, options_.qid, completion));
  };
  // Without room there it is in our memory, as without the wish.
  ControllerMemory* own = session_.controller_memory();
  if (own != nullptr && options_.qid != 0 && lent.sq.empty()) {
    piece_ = own->allocate(sq_bytes).value_or(ControllerMemory::Piece{});
  }
  std::byte* sq = lent.sq.empty() ? memory_.data() : lent.sq.data();
  std::byte* cq = lent.cq.empty() ? memory_.data() + cq_offset_ : lent.cq.data();
  if (in_controller()) {
    sq = piece_.memory;
  }
  sq_ = SubmissionRing(reinterpret_cast<spec::SubmissionEntry*>(sq), options_.entries,
                       doorbell(false), in_controller());
  cq_ = CompletionRing(reinterpret_cast<spec::CompletionEntry*>(cq), options_.entries,
                       doorbell(true));
  return {};
}

// --- Submission

void QueueRings::submit(Request& request) {
  if ((request.length_bytes > 0 && !point_to_data(request)) ||
      (request.metadata_bytes > 0 && !point_to_metadata(request))) {
    local_.push_back(refusal(request));
    return;
  }
  sq_.put(request.sqe);
}

bool QueueRings::point_to_data(Request& request) {
  if (request.iov_count != 1) {
    return point_to_pieces(request);
  }
  const auto* data = static_cast<const std::byte*>(request.iov->iov_base);
  // Small data of a command is within the request itself, which no device sees.
  if (data == request.small.data()) {
    return point_to_copy(request);
  }
  const DmaMapping* mapping = view_.find(data, request.length_bytes);
  if (mapping == nullptr) {
    return point_to_copy(request);
  }
  if (reinterpret_cast<std::uintptr_t>(data) % 4 != 0) {
    return point_to_pieces(request);
  }
  PrpPointers prps;
  const auto offset = static_cast<std::uint64_t>(data - mapping->begin);
  if (!mapping->prps.find(offset, request.length_bytes, prps)) {
    return point_to_pieces(request);
  }
  request.sqe.set_prps(prps.prp1, prps.prp2);
  return true;
}

// [Base 2.1 §4.1.1] MPTR is a dword aligned address of contiguous memory.
bool QueueRings::point_to_metadata(Request& request) {
  const auto* metadata = static_cast<const std::byte*>(request.metadata);
  const DmaMapping* mapping = view_.find(metadata, request.metadata_bytes);
  if (mapping != nullptr && reinterpret_cast<std::uintptr_t>(metadata) % 4 == 0) {
    request.sqe.mptr = mapping->address + static_cast<std::uint64_t>(metadata - mapping->begin);
    return true;
  }
  Slot& slot = slots_[request.slot];
  if (!make(slot.metadata, request.metadata_bytes)) {
    return false;
  }
  slot.metadata_copy = slot.metadata.memory.data();
  copies_++;
  request.sqe.mptr = slot.metadata.address;
  std::memcpy(slot.metadata_copy, metadata, request.metadata_bytes);
  return true;
}

// A list of the slot's own, for data in several pieces.
bool QueueRings::point_to_pieces(Request& request) {
  std::array<DmaSegment, kMaxPieces> segments;
  if (request.iov_count > segments.size()) {
    return point_to_copy(request);
  }
  for (std::uint32_t i = 0; i < request.iov_count; i++) {
    const auto* data = static_cast<const std::byte*>(request.iov[i].iov_base);
    const DmaMapping* mapping = view_.find(data, request.iov[i].iov_len);
    if (mapping == nullptr) {
      return point_to_copy(request);
    }
    segments[i] = {mapping->address + static_cast<std::uint64_t>(data - mapping->begin),
                   request.iov[i].iov_len};
  }
  const std::size_t offset = slot_offset(request.slot);
  const std::span list(reinterpret_cast<std::uint64_t*>(memory_.data() + offset),
                       kPage / sizeof(std::uint64_t));
  const auto pieces = std::span<const DmaSegment>(segments).first(request.iov_count);
  const auto prps = build_prps(pieces, kPage, list, address_ + offset);
  if (!prps) {
    return point_by_sgl(request, pieces) || point_to_copy(request);
  }
  request.sqe.set_prps(prps->prp1, prps->prp2);
  return true;
}

// Pieces that begin or end in the middle of a page: PRPs cannot name them, an SGL can.
bool QueueRings::point_by_sgl(Request& request, std::span<const DmaSegment> segments) {
  const std::uint32_t support = session_.sgl_support();
  if (support == 0 || options_.qid == 0) {
    return false;
  }
  const std::size_t offset = slot_offset(request.slot);
  const std::span list(reinterpret_cast<spec::SglDescriptor*>(memory_.data() + offset),
                       kPage / sizeof(spec::SglDescriptor));
  const auto sgl = build_sgl(segments, list, address_ + offset, support == kDwordAligned);
  if (!sgl) {
    return false;
  }
  request.sqe.set_sgl(sgl->sgl1);
  return true;
}

bool QueueRings::point_to_copy(Request& request) {
  Slot& slot = slots_[request.slot];
  if (request.length_bytes <= kPage) {
    const std::size_t offset = slot_offset(request.slot) + kPage;
    slot.copy = memory_.data() + offset;
    request.sqe.set_prps(address_ + offset, 0);
  } else if (!copy_large(request, slot)) {
    return false;
  }
  copies_++;
  if (request.sqe.direction() == spec::DataDirection::kControllerToHost) {
    // What the controller does not write must not be what another command left here.
    std::memset(slot.copy, 0, request.length_bytes);
  } else {
    copy_pieces(request, slot.copy, false);
  }
  return true;
}

bool QueueRings::copy_large(Request& request, Slot& slot) {
  if (!make(slot.large, request.length_bytes)) {
    return false;
  }
  const std::size_t offset = slot_offset(request.slot);
  const DmaSegment segment{slot.large.address, request.length_bytes};
  const std::span list(reinterpret_cast<std::uint64_t*>(memory_.data() + offset),
                       kPage / sizeof(std::uint64_t));
  const auto prps = build_prps(std::span(&segment, 1), kPage, list, address_ + offset);
  if (!prps) {
    return false;
  }
  slot.copy = slot.large.memory.data();
  request.sqe.set_prps(prps->prp1, prps->prp2);
  return true;
}

bool QueueRings::make(Bounce& bounce, std::size_t length_bytes) {
  if (bounce.memory.size_bytes() >= length_bytes) {
    return true;
  }
  release(bounce);
  auto memory = DmaRegion::allocate(length_bytes);
  if (!memory) {
    return false;
  }
  const auto address = session_.device().map(memory->span());
  if (!address) {
    return false;
  }
  bounce = {std::move(*memory), *address};
  return true;
}

void QueueRings::release(Bounce& bounce) {
  if (bounce.memory.data() != nullptr) {
    session_.device().unmap(bounce.memory.span(), bounce.address);
    bounce = {};
  }
}

// --- Completion

unsigned QueueRings::reap(std::span<spec::CompletionEntry, kBatch> batch) {
  unsigned count = 0;
  while (count < batch.size() && !faulty_ && cq_.ready()) {
    const spec::CompletionEntry entry = cq_.take();
    if (entry.sqid.get() != options_.qid || entry.sqhd.get() >= options_.entries) {
      faulty_ = true;
      bad_ = entry;
      break;
    }
    batch[count++] = entry;
  }
  while (count < batch.size() && !local_.empty()) {
    batch[count++] = local_.back();
    local_.pop_back();
  }
  if (copies_ > 0) {
    for (unsigned i = 0; i < count; i++) {
      finish_copies(batch[i].cid.get());
    }
  }
  return count;
}

void QueueRings::finish_copies(std::uint16_t cid) {
  Request* request = requests_.find(cid);
  if (request == nullptr) {
    return;
  }
  Slot& slot = slots_[request->slot];
  const bool read = request->sqe.direction() == spec::DataDirection::kControllerToHost;
  if (std::byte* copy = std::exchange(slot.copy, nullptr); copy != nullptr) {
    copies_--;
    if (read) {
      copy_pieces(*request, copy, true);
    }
  }
  if (std::byte* copy = std::exchange(slot.metadata_copy, nullptr); copy != nullptr) {
    copies_--;
    if (read) {
      std::memcpy(request->metadata, copy, request->metadata_bytes);
    }
  }
}

Error QueueRings::fault() const {
  return Error::make(ErrorCode::kProtocol, "the controller wrote a completion of queue " +
                                               std::to_string(bad_.sqid.get()) +
                                               " with submission queue head " +
                                               std::to_string(bad_.sqhd.get()) + " into queue " +
                                               std::to_string(options_.qid) + ", which has " +
                                               std::to_string(options_.entries) + " entries");
}

}  // namespace nvublk::nvme::pcie
