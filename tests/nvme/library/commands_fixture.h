#pragma once

// Hosts with namespace commands over TCP, against nvublk-target in this process.

#include <cerrno>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/command.h"
#include "nvme/initiator.h"
#include "nvme/namespace_io.h"
#include "nvme/transport_factory.h"
#include "target/target.h"

namespace nvublk::nvme {

/// How one call ended.
struct Ended {
  bool done = false;
  spec::NvmeStatus status;
  std::uint64_t result = 0;

  static void record(void* context, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    auto* self = static_cast<Ended*>(context);
    EXPECT_FALSE(self->done) << "completed twice";
    self->done = true;
    self->status = status;
    self->result = entry.result();
  }
};

inline spec::NvmeStatus good() {
  return {};
}

/// A controller of its own on the target, and one I/O queue pair.
struct Host {
  std::unique_ptr<Initiator> initiator;
  Controller* controller = nullptr;
  IoQueuePair::Pointer queue;
  std::unique_ptr<NamespaceIo> io;

  /// Makes a call of NamespaceIo and polls until it has ended.
  Ended run(const std::function<int(NamespaceIo& io, Ended& ended)>& call) {
    Ended ended;
    EXPECT_EQ(call(*io, ended), 0);
    finish(ended);
    return ended;
  }
  /// Sends an I/O command as it is and polls until it has ended.
  spec::NvmeStatus submit(const spec::SubmissionEntry& sqe, std::vector<std::byte>& data) {
    iovec piece{data.data(), data.size()};
    Ended ended;
    IoCommand command;
    command.sqe = sqe;
    command.iov = &piece;
    command.iov_count = 1;
    command.done = &Ended::record;
    command.context = &ended;
    EXPECT_EQ(queue->submit(command), 0);
    finish(ended);
    return ended.status;
  }
  /// Sends an admin command and polls until it has ended.
  Ended admin(const spec::SubmissionEntry& sqe, std::span<std::byte> data = {}) {
    Ended ended;
    AdminCommand command;
    command.sqe = sqe;
    command.data = data;
    command.done = [&ended](spec::NvmeStatus status, const spec::CompletionEntry& entry) {
      Ended::record(&ended, status, entry);
    };
    EXPECT_EQ(controller->admin().submit(std::move(command)), 0);
    EXPECT_TRUE(admin_until([&ended] { return ended.done; }));
    return ended;
  }
  /// Polls the admin queue until `ready`; false when that takes too long.
  bool admin_until(const std::function<bool()>& ready) {
    const Instant limit = Clock::now() + seconds(30);
    while (!ready() && Clock::now() < limit) controller->process_admin_completions();
    return ready();
  }
  /// A log page, as the structure that it is.
  template <typename Log>
  Log log(spec::LogPage page) {
    Log log;
    const auto bytes = std::as_writable_bytes(std::span(&log, 1));
    const Ended ended =
        admin(command::get_log_page({.page = page, .length_bytes = sizeof(log)}), bytes);
    EXPECT_EQ(ended.status, spec::NvmeStatus{});
    return log;
  }
  void finish(Ended& ended) {
    const Instant limit = Clock::now() + seconds(30);
    while (!ended.done && queue->process_completions() >= 0 && Clock::now() < limit) {
    }
    EXPECT_TRUE(ended.done);
  }
  ~Host() {
    queue.reset();
    io.reset();
  }
};

class CommandsTest : public testing::Test {
 protected:
  void SetUp() override {
    Shard::Options options;
    options.reactor.mode = IdleMode::kInterrupt;
    auto shard = Shard::adopt_current_thread(options);
    ASSERT_TRUE(shard) << shard.error().text;
    shard_ = std::move(*shard);
  }
  void TearDown() override {
    hosts_.clear();
    shard_.reset();
  }

  /// A target with one namespace, as --ns has it, and `options` for the rest.
  void serve(const std::string& ns, target::Options options = {}) {
    options.listen = {{"127.0.0.1", 0}};
    const auto parsed = target::NamespaceOptions::parse(ns);
    ASSERT_TRUE(parsed) << parsed.error().text;
    options.namespaces = {*parsed};
    target_ = std::make_unique<target::Target>(options);
    const Status started = target_->start();
    ASSERT_TRUE(started) << started.error().text;
  }

  /// Host number `number` attaches; 0 to 255.
  Host& attach(std::uint8_t number, ControllerListener* listener = nullptr) {
    Host& host = *hosts_.emplace_back(std::make_unique<Host>());
    ControllerOptions defaults;
    defaults.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-0000000000" +
                        std::to_string(10 + number);
    defaults.host.id.bytes[0] = static_cast<std::uint8_t>(number + 1);
    defaults.host.id.bytes[15] = 0xee;
    defaults.ctrl_loss_timeout = seconds(0);
    host.initiator = std::make_unique<Initiator>(*shard_, make_transport, defaults);
    TransportId id;
    id.traddr = "127.0.0.1";
    id.trsvcid = std::to_string(target_->port());
    id.subnqn = target_->options().subnqn;
    EXPECT_TRUE(id.complete());
    ProbeCallbacks callbacks;
    callbacks.listener = listener;
    callbacks.attach = [&host](const TransportId&, Controller& controller,
                               const ControllerOptions&) { host.controller = &controller; };
    callbacks.attach_fail = [](const TransportId&, const Error& error) {
      ADD_FAILURE() << error.text;
    };
    auto context = host.initiator->connect_async(id, defaults, std::move(callbacks));
    EXPECT_TRUE(context) << (context ? "" : context.error().text);
    while ((*context)->poll() == -EAGAIN) {
    }
    auto queue = host.controller->allocate_io_queue_pair();
    EXPECT_TRUE(queue) << (queue ? "" : queue.error().text);
    host.queue = std::move(*queue);
    Namespace* subject = host.controller->find_namespace(1);
    EXPECT_NE(subject, nullptr);
    host.io = std::make_unique<NamespaceIo>(*host.controller, *subject, *host.queue);
    return host;
  }

  /// `memory` as blocks from `lba`, on their way to `ended`.
  BlockIo blocks(std::uint64_t lba, std::uint64_t count, std::vector<std::byte>& memory,
                 Ended& ended) {
    segment_ = {memory.data(), memory.size()};
    BlockIo io;
    io.lba = lba;
    io.blocks = count;
    if (!memory.empty()) io.data = {&segment_, 1};
    io.done = &Ended::record;
    io.context = &ended;
    return io;
  }
  spec::NvmeStatus write(Host& host, std::uint64_t lba, std::vector<std::byte>& data) {
    return host
        .run([&](NamespaceIo& io, Ended& ended) {
          return io.write(blocks(lba, data.size() / io.limits().block_bytes, data, ended));
        })
        .status;
  }
  spec::NvmeStatus read(Host& host, std::uint64_t lba, std::vector<std::byte>& data) {
    return host
        .run([&](NamespaceIo& io, Ended& ended) {
          return io.read(blocks(lba, data.size() / io.limits().block_bytes, data, ended));
        })
        .status;
  }
  static std::vector<std::byte> pattern(std::size_t length, unsigned seed) {
    std::vector<std::byte> bytes(length);
    for (std::size_t i = 0; i < length; i++) {
      bytes[i] = static_cast<std::byte>(seed + i * 7 + (i >> 9));
    }
    return bytes;
  }
  std::uint64_t commands(spec::NvmOpcode opcode) const {
    return target_->stats().io_commands[static_cast<std::size_t>(opcode)];
  }

  std::unique_ptr<target::Target> target_;
  std::unique_ptr<Shard> shard_;
  std::vector<std::unique_ptr<Host>> hosts_;
  iovec segment_{};
};

}  // namespace nvublk::nvme
