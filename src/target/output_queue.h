#pragma once

// PDUs on their way to a host, gathered into as few sends as there can be.

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <sys/uio.h>

namespace nvublk::target {

/// One PDU: its header (with header digest and padding), its data, its data digest.
struct OutputPdu {
  std::array<std::uint8_t, 160> head;
  std::uint8_t head_length = 0;
  std::uint8_t tail_length = 0;
  bool completes = false;  ///< ends a command
  std::uint32_t data_length = 0;
  const std::uint8_t* data = nullptr;
  std::array<std::uint8_t, 4> tail;
  std::shared_ptr<const void> owner;  ///< keeps `data`

  std::size_t size() const { return head_length + std::size_t{data_length} + tail_length; }
  /// Appends to the header.
  template <typename T>
  void put(const T& value) {
    std::memcpy(head.data() + head_length, &value, sizeof(T));
    head_length = static_cast<std::uint8_t>(head_length + sizeof(T));
  }
};

/// A ring that grows. Worker-affine.
class OutputQueue {
 public:
  bool empty() const { return count_ == 0; }
  std::size_t pending_bytes() const { return pending_bytes_; }

  /// A fresh PDU at the end; finish() it before anything else. The reference is good until then.
  OutputPdu& start();
  void finish();

  /// Describes what is to be sent next, at most `limit` bytes; returns how many entries it used.
  std::size_t gather(std::span<iovec> entries, std::size_t limit) const;
  struct Sent {
    std::uint32_t pdus = 0;
    std::uint32_t commands = 0;
  };
  /// Forgets the first `length` bytes; says what went out completely by that.
  Sent advance(std::size_t length);
  void clear();

 private:
  const OutputPdu& at(std::size_t index) const { return ring_[(first_ + index) & mask()]; }
  std::size_t mask() const { return ring_.size() - 1; }

  std::vector<OutputPdu> ring_ = std::vector<OutputPdu>(64);  ///< the size is a power of two
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t sent_of_first_ = 0;
  std::size_t pending_bytes_ = 0;
};

}  // namespace nvublk::target
