#include "target/output_queue.h"

#include <algorithm>
#include <utility>

namespace nvublk::target {

OutputPdu& OutputQueue::start() {
  if (count_ == ring_.size()) {
    std::vector<OutputPdu> larger(ring_.size() * 2);
    for (std::size_t i = 0; i < count_; i++) larger[i] = std::move(ring_[(first_ + i) & mask()]);
    ring_ = std::move(larger);
    first_ = 0;
  }
  OutputPdu& pdu = ring_[(first_ + count_) & mask()];
  pdu.head_length = 0;
  pdu.tail_length = 0;
  pdu.completes = false;
  pdu.data_length = 0;
  pdu.data = nullptr;
  return pdu;
}

void OutputQueue::finish() {
  pending_bytes_ += at(count_).size();
  count_++;
}

std::size_t OutputQueue::gather(std::span<iovec> entries, std::size_t limit) const {
  std::size_t used = 0;
  std::size_t skip = sent_of_first_;
  for (std::size_t i = 0; i < count_ && used + 3 <= entries.size() && limit != 0; i++) {
    const OutputPdu& pdu = at(i);
    const std::array<std::pair<const std::uint8_t*, std::size_t>, 3> parts{{
        {pdu.head.data(), pdu.head_length},
        {pdu.data, pdu.data_length},
        {pdu.tail.data(), pdu.tail_length},
    }};
    for (const auto& [start, size] : parts) {
      const std::size_t skipped = std::min(skip, size);
      skip -= skipped;
      const std::size_t length = std::min(size - skipped, limit);
      if (length == 0) continue;
      entries[used++] = {const_cast<std::uint8_t*>(start + skipped), length};
      limit -= length;
    }
  }
  return used;
}

OutputQueue::Sent OutputQueue::advance(std::size_t length) {
  Sent sent;
  pending_bytes_ -= length;
  sent_of_first_ += length;
  while (count_ != 0 && sent_of_first_ >= at(0).size()) {
    OutputPdu& pdu = ring_[first_];
    sent_of_first_ -= pdu.size();
    sent.pdus++;
    if (pdu.completes) sent.commands++;
    pdu.owner.reset();
    first_ = (first_ + 1) & mask();
    count_--;
  }
  return sent;
}

void OutputQueue::clear() {
  for (OutputPdu& pdu : ring_) pdu.owner.reset();
  first_ = count_ = sent_of_first_ = pending_bytes_ = 0;
}

}  // namespace nvublk::target
