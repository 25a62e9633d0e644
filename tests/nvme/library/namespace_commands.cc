// nvublk_namespace_commands TRADDR TRSVCID SUBNQN: two hosts attach namespace 1, and try every
// namespace command that the controller says it has, then reservations from one against the other.
// Prints a line for each, "ok", "not offered" or "WRONG" with a reason; exit status 1 if one was
// wrong.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nvme/command.h"
#include "nvme/initiator.h"
#include "nvme/namespace_io.h"
#include "nvme/reservation_report.h"
#include "nvme/transport_factory.h"

namespace {

using namespace nvublk;
using namespace nvublk::nvme;
using spec::GenericStatus;

struct Ended {
  bool done = false;
  spec::NvmeStatus status;
  static void record(void* context, spec::NvmeStatus status, const spec::CompletionEntry&) {
    auto* self = static_cast<Ended*>(context);
    self->done = true;
    self->status = status;
  }
};

struct Host {
  std::unique_ptr<Initiator> initiator;
  Controller* controller = nullptr;
  IoQueuePair::Pointer queue;
  std::unique_ptr<NamespaceIo> io;
  ~Host() {
    queue.reset();
    io.reset();
  }
};

bool all_good = true;

void say(const std::string& what, bool good, const std::string& why = "") {
  std::printf("%s: %s%s%s\n", what.c_str(), good ? "ok" : "WRONG", why.empty() ? "" : ": ",
              why.c_str());
  all_good = all_good && good;
}

std::string text(spec::NvmeStatus status) {
  return "status " + std::to_string(static_cast<unsigned>(status.sct())) + "/" +
         std::to_string(status.sc());
}

using Call = std::function<int(NamespaceIo& io, Ended& ended)>;

// Nothing when the command is not offered.
std::optional<spec::NvmeStatus> run(Host& host, const Call& call) {
  Ended ended;
  const int error = call(*host.io, ended);
  if (error != 0) {
    return std::nullopt;
  }
  const Instant limit = Clock::now() + seconds(60);
  while (!ended.done && host.queue->process_completions() >= 0 && Clock::now() < limit) {
  }
  return ended.done ? ended.status : spec::NvmeStatus::make(spec::PathStatus::kHostPathError);
}

void expect_good(const std::string& what, Host& host, const Call& call) {
  const auto status = run(host, call);
  if (!status) {
    std::printf("%s: not offered\n", what.c_str());
    return;
  }
  say(what, status->ok(), status->ok() ? "" : text(*status));
}

void expect_conflict(const std::string& what, Host& host, const Call& call) {
  const auto status = run(host, call);
  const bool good = status && status->is(GenericStatus::kReservationConflict);
  say(what, good, status ? text(*status) : "not submitted");
}

bool attach(Host& host, Shard& shard, char** arguments, unsigned number) {
  ControllerOptions options;
  options.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-00000000000" +
                     std::to_string(number);
  options.host.id.bytes[15] = static_cast<std::uint8_t>(number);
  options.ctrl_loss_timeout = seconds(0);
  host.initiator = std::make_unique<Initiator>(shard, make_transport, options);
  TransportId id;
  id.traddr = arguments[1];
  id.trsvcid = arguments[2];
  id.subnqn = arguments[3];
  if (const Status complete = id.complete(); !complete) {
    say("the transport id", false, complete.error().text);
    return false;
  }
  const Result<Controller*> controller = host.initiator->connect(id);
  if (!controller) {
    say("connect", false, controller.error().text);
    return false;
  }
  host.controller = *controller;
  auto queue = host.controller->allocate_io_queue_pair();
  Namespace* subject = host.controller->find_namespace(1);
  if (!queue || subject == nullptr) {
    say("namespace 1 and a queue pair", false);
    return false;
  }
  host.queue = std::move(*queue);
  host.io = std::make_unique<NamespaceIo>(*host.controller, *subject, *host.queue);
  return true;
}

/// Memory for `blocks` blocks from `lba`, and what to do with it.
struct Blocks {
  Blocks(const NamespaceIo& io, std::uint64_t lba, std::uint64_t count, bool data = true)
      : memory(data ? count * io.limits().block_bytes : 0), first(lba), blocks(count) {
    for (std::size_t i = 0; i < memory.size(); i++)
      memory[i] = static_cast<std::byte>(i * 13 + lba);
    piece = {memory.data(), memory.size()};
  }
  BlockIo make(Ended& ended) {
    BlockIo io;
    io.lba = first;
    io.blocks = blocks;
    if (!memory.empty()) io.data = {&piece, 1};
    io.done = &Ended::record;
    io.context = &ended;
    return io;
  }
  std::vector<std::byte> memory;
  iovec piece{};
  std::uint64_t first;
  std::uint64_t blocks;
};

void try_commands(Host& host) {
  NamespaceIo& io = *host.io;
  Blocks large(io, 3, 1000);
  Blocks back(io, 3, 1000);
  Blocks none(io, 10, 50, false);
  expect_good("write", host, [&](auto& ns, auto& ended) { return ns.write(large.make(ended)); });
  std::ranges::fill(back.memory, std::byte{0});
  expect_good("read", host, [&](auto& ns, auto& ended) { return ns.read(back.make(ended)); });
  say("what was written is read", back.memory == large.memory);
  expect_good("compare", host,
              [&](auto& ns, auto& ended) { return ns.compare(large.make(ended)); });
  expect_good("verify", host, [&](auto& ns, auto& ended) { return ns.verify(none.make(ended)); });
  expect_good("flush", host,
              [](auto& ns, auto& ended) { return ns.flush(&Ended::record, &ended); });
  spec::CopyRange range;
  range.slba = std::uint64_t{3};
  NamespaceIo::Copy copy;
  copy.range_memory = {&range, sizeof(range)};
  copy.destination_lba = 2000;
  expect_good("copy", host,
              [&](auto& ns, auto& ended) { return ns.copy(copy, &Ended::record, &ended); });
  std::vector<spec::DsmRange> ranges(256);
  for (std::size_t i = 0; i < ranges.size(); i++) {
    ranges[i].slba = 3000 + 2 * i;
    ranges[i].nlb = 1u;
  }
  const iovec range_memory{ranges.data(), ranges.size() * sizeof(spec::DsmRange)};
  expect_good("dataset management of 256 ranges", host, [&](auto& ns, auto& ended) {
    return ns.dataset_management(range_memory, spec::kDsmDeallocate, &Ended::record, &ended);
  });
  expect_good("write zeroes", host,
              [&](auto& ns, auto& ended) { return ns.write_zeroes(none.make(ended)); });
  expect_good("read again", host, [&](auto& ns, auto& ended) { return ns.read(back.make(ended)); });
  const std::size_t block = io.limits().block_bytes;
  const auto zero = [](std::byte value) { return value == std::byte{0}; };
  if (host.controller->profile().identify.supports_write_zeroes()) {
    say("zeroes are zeroes",
        std::all_of(back.memory.begin() + static_cast<std::ptrdiff_t>(7 * block),
                    back.memory.begin() + static_cast<std::ptrdiff_t>(57 * block), zero));
  }
  expect_good("write uncorrectable", host,
              [&](auto& ns, auto& ended) { return ns.write_uncorrectable(none.make(ended)); });
}

Call enroll(std::uint64_t key) {
  return [key](NamespaceIo& io, Ended& ended) {
    return io.reservation_register({command::RegisterAction::kRegister, 0, key, false, {}},
                                   &Ended::record, &ended);
  };
}

void try_reservations(Host& one, Host& two) {
  if (!one.controller->profile().identify.supports_reservations() ||
      one.controller->find_namespace(1)->profile().data.rescap == 0) {
    std::printf("reservations: not offered\n");
    return;
  }
  using command::ReservationType;
  Blocks data(*one.io, 0, 1);
  const Call write = [&](auto& io, auto& ended) { return io.write(data.make(ended)); };
  const Call read = [&](auto& io, auto& ended) { return io.read(data.make(ended)); };
  expect_good("the first host registers", one, enroll(0x11));
  expect_good("the second host registers", two, enroll(0x22));
  expect_good("the first host reserves", one, [](auto& io, auto& ended) {
    return io.reservation_acquire(
        {command::AcquireAction::kAcquire, ReservationType::kWriteExclusive, 0x11, 0},
        &Ended::record, &ended);
  });
  expect_good("the first host writes", one, write);
  expect_conflict("the second host cannot write", two, write);
  expect_good("the second host reads", two, read);
  std::vector<std::byte> memory(4096);
  const iovec piece{memory.data(), memory.size()};
  expect_good("report", two, [&](auto& io, auto& ended) {
    return io.reservation_report(piece, true, &Ended::record, &ended);
  });
  const auto report = decode_reservation_report(memory, true);
  say("the report has both hosts and the type",
      report && report->registrants.size() == 2 &&
          report->type == ReservationType::kWriteExclusive);
  expect_good("the second host preempts", two, [](auto& io, auto& ended) {
    return io.reservation_acquire(
        {command::AcquireAction::kPreempt, ReservationType::kExclusiveAccess, 0x22, 0x11},
        &Ended::record, &ended);
  });
  expect_conflict("the first host cannot read", one, read);
  expect_good("the second host releases", two, [](auto& io, auto& ended) {
    return io.reservation_release(
        {command::ReleaseAction::kRelease, ReservationType::kExclusiveAccess, 0x22}, &Ended::record,
        &ended);
  });
  expect_good("the first host writes again", one, write);
  expect_good("the second host clears", two, [](auto& io, auto& ended) {
    return io.reservation_release({command::ReleaseAction::kClear, ReservationType::kNone, 0x22},
                                  &Ended::record, &ended);
  });
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::fprintf(stderr, "usage: %s TRADDR TRSVCID SUBNQN\n", arguments[0]);
    return 2;
  }
  Shard::Options options;
  options.reactor.mode = IdleMode::kInterrupt;
  auto shard = Shard::adopt_current_thread(options);
  if (!shard) {
    std::fprintf(stderr, "%s\n", shard.error().text.c_str());
    return 1;
  }
  {
    Host one;
    Host two;
    if (attach(one, **shard, arguments, 1) && attach(two, **shard, arguments, 2)) {
      try_commands(one);
      try_reservations(one, two);
    }
  }
  return all_good ? 0 : 1;
}
