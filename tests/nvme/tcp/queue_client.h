#pragma once

// Drives one TcpQueue on the test's own thread: turns its reactor until something is so.

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/shard.h"
#include "nvme/command.h"
#include "nvme/request_table.h"
#include "nvme/tcp/tcp_transport.h"
#include "nvme/transport.h"

namespace nvublk::nvme::tcp {

/// One shard for the thread; a reactor of a test never sleeps for long.
class TestShard {
 public:
  TestShard() {
    Shard::Options options;
    options.reactor.mode = IdleMode::kInterrupt;
    auto shard = Shard::adopt_current_thread(options);
    EXPECT_TRUE(shard) << (shard ? "" : shard.error().text);
    shard_ = std::move(*shard);
  }
  Shard& get() { return *shard_; }
  /// Turns until `condition`; a failure after 20 s, which only a hang takes.
  void turn_until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      shard_->reactor().turn(false);
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "did not happen";
    }
  }

 private:
  std::unique_ptr<Shard> shard_;
};

class QueueClient final : public QueueTransportSink {
 public:
  QueueClient(TestShard& shard, std::uint32_t depth) : shard_(shard), requests_(depth) {}

  void make(Transport& transport, QueueTransportOptions options) {
    queue_ = transport.make_queue(shard_.get(), options, requests_, *this);
  }
  void connect() { queue_->connect(); }
  /// Connects and waits for the end of it; whether it worked.
  bool connected() {
    connect();
    shard_.turn_until([this] { return connected_ || reason_.has_value(); });
    return connected_;
  }

  /// Submits; the completion is added to completions().
  Request& submit(const spec::SubmissionEntry& sqe, void* data, std::uint32_t length) {
    Request* request = requests_.acquire();
    EXPECT_NE(request, nullptr);
    request->sqe = sqe;
    if (length > 0) {
      request->set_data(data, length);
    } else {
      request->set_no_data();
    }
    queue_->submit(*request);
    return *request;
  }
  Request& submit_pieces(const spec::SubmissionEntry& sqe, const std::vector<iovec>& pieces) {
    Request* request = requests_.acquire();
    EXPECT_NE(request, nullptr);
    request->sqe = sqe;
    request->iov = pieces.data();
    request->iov_count = static_cast<std::uint32_t>(pieces.size());
    request->length_bytes = 0;
    for (const iovec& piece : pieces) {
      request->length_bytes += static_cast<std::uint32_t>(piece.iov_len);
    }
    queue_->submit(*request);
    return *request;
  }
  /// Submits and waits; the completion, or nothing if the connection ended.
  std::optional<spec::CompletionEntry> execute(const spec::SubmissionEntry& sqe,
                                               void* data = nullptr, std::uint32_t length = 0) {
    const std::size_t before = completions_.size();
    submit(sqe, data, length);
    shard_.turn_until([&] { return completions_.size() > before || reason_.has_value(); });
    return completions_.size() > before ? std::optional(completions_.back()) : std::nullopt;
  }
  void disconnect() {
    if (!reason_) {
      queue_->disconnect(Error::make(ErrorCode::kCancelled, "the test is over"));
      shard_.turn_until([this] { return reason_.has_value(); });
    }
  }

  std::function<void(const spec::CompletionEntry&)> on_completion_hook;

  QueueTransport& queue() { return *queue_; }
  TestShard& shard() { return shard_; }
  RequestTable& requests() { return requests_; }
  bool is_connected() const { return connected_; }
  const std::vector<spec::CompletionEntry>& completions() const { return completions_; }
  /// Why the connection ended.
  const std::optional<Error>& reason() const { return reason_; }
  void destroy_queue() { queue_.reset(); }

 private:
  void on_connected() override { connected_ = true; }
  void on_completion(const spec::CompletionEntry& entry) override {
    Request* request = requests_.find(entry.cid.get());
    ASSERT_NE(request, nullptr);
    requests_.release(*request);
    completions_.push_back(entry);
    if (on_completion_hook) {
      on_completion_hook(entry);
    }
  }
  void on_disconnected(Error reason) override {
    EXPECT_FALSE(reason_);
    reason_ = std::move(reason);
  }

  TestShard& shard_;
  RequestTable requests_;
  std::unique_ptr<QueueTransport> queue_;
  bool connected_ = false;
  std::optional<Error> reason_;
  std::vector<spec::CompletionEntry> completions_;
};

}  // namespace nvublk::nvme::tcp
