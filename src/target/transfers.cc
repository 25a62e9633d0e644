#include "target/transfers.h"

namespace nvublk::target {

Transfer* TransferTable::acquire(const nvme::spec::SubmissionEntry& sqe, std::uint32_t length) {
  if (free_.empty()) {
    if (slots_.size() == kMostTransfers) return nullptr;
    slots_.push_back(std::make_unique<Transfer>());
    slots_.back()->tag = static_cast<std::uint16_t>(slots_.size() - 1);
    free_.push_back(slots_.back()->tag);
  }
  Transfer& transfer = *slots_[free_.back()];
  free_.pop_back();
  if (transfer.capacity < length) {
    transfer.buffer = std::make_unique_for_overwrite<std::uint8_t[]>(length);
    transfer.capacity = length;
  }
  transfer.sqe = sqe;
  transfer.in_use = true;
  transfer.soliciting = false;
  transfer.digest_error = false;
  transfer.length = length;
  transfer.r2t = {};
  return &transfer;
}

Transfer* TransferTable::find_solicited(std::uint16_t tag) {
  if (tag >= slots_.size()) return nullptr;
  Transfer& transfer = *slots_[tag];
  return transfer.in_use && transfer.soliciting ? &transfer : nullptr;
}

void TransferTable::release(Transfer& transfer) {
  transfer.in_use = false;
  transfer.soliciting = false;
  if (transfer.capacity > kKeptBytes) {
    transfer.buffer.reset();
    transfer.capacity = 0;
  }
  free_.push_back(transfer.tag);
}

}  // namespace nvublk::target
