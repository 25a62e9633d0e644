#pragma once

// A target in this process for a test, and clients of it.

#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "target/target.h"
#include "target/wire_client.h"

namespace nvublk::target {

class TargetTest : public ::testing::Test {
 protected:
  /// One namespace of 64 blocks of 4 KiB in memory, unless the test asks for something else.
  static Options defaults() {
    Options options;
    options.listen = {{"127.0.0.1", 0}};
    options.subnqn = "nqn.2026-01.io.nvublk:test";
    options.namespaces = {memory(64 * 4096, 4096)};
    return options;
  }

  static NamespaceOptions memory(std::uint64_t size_bytes, std::uint32_t block_size) {
    NamespaceOptions ns;
    ns.size_bytes = size_bytes;
    ns.block_size = block_size;
    return ns;
  }

  void start(Options options = defaults()) {
    target_ = std::make_unique<Target>(std::move(options));
    const auto started = target_->start();
    ASSERT_TRUE(started) << started.error().text;
  }

  std::unique_ptr<WireClient> client() { return std::make_unique<WireClient>(target_->port()); }

  /// A client with a controller, on its admin queue.
  std::unique_ptr<WireClient> admin(Digests digests = {}) {
    auto host = client();
    cntlid_ = host->start_controller(digests);
    return host;
  }

  /// A client on I/O queue `qid` of the controller that admin() made last.
  std::unique_ptr<WireClient> queue(std::uint16_t qid = 1, Digests digests = {}) {
    auto host = client();
    host->start_queue(qid, cntlid_, digests);
    return host;
  }

  template <typename Condition>
  static void wait_until(Condition condition) {
    for (int i = 0; i < 3000 && !condition(); i++) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ASSERT_TRUE(condition()) << "did not happen in 30 s";
  }

  static ByteVector pattern(std::size_t length, std::uint8_t seed) {
    ByteVector bytes(length);
    for (std::size_t i = 0; i < length; i++) {
      bytes[i] = static_cast<std::uint8_t>(seed + i * 7 + (i >> 8));
    }
    return bytes;
  }

  template <typename T>
  static T as(const ByteVector& bytes, std::size_t offset = 0) {
    T value;
    EXPECT_GE(bytes.size(), offset + sizeof(T));
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
  }

  std::unique_ptr<Target> target_;
  std::uint16_t cntlid_ = 0;
};

}  // namespace nvublk::target
