#include "support/shard_pool.h"

#include <cstdlib>
#include <string>

#include <sys/wait.h>

#include "engine/blocking_call.h"
#include "engine/check.h"

namespace nvublk::test {

ShardPool::ShardPool(unsigned io_shards, IdleMode mode) {
  for (unsigned id = 0; id < io_shards; id++) {
    Shard::Options options;
    options.id = id;
    options.name = "io" + std::to_string(id);
    options.reactor.mode = mode;
    auto shard = Shard::start(options);
    CHECK(shard.has_value());
    set_.io.push_back(shard->get());
    io_.push_back(std::move(*shard));
  }
  Shard::Options options;
  options.id = io_shards;
  options.reactor.mode = IdleMode::kInterrupt;
  options.reactor.ring.sqe128 = true;
  auto control = Shard::adopt_current_thread(options);
  CHECK(control.has_value());
  control_ = std::move(*control);
  set_.control = control_.get();
}

ShardPool::~ShardPool() {
  // I/O shards first: they may still post to the control shard.
  io_.clear();
}

bool ShardPool::run_until(const std::function<bool()>& done, Duration limit) {
  Reactor& reactor = control_->reactor();
  const Instant deadline = Clock::now() + limit;
  // Wakes the shard now and then, for conditions that come about elsewhere.
  static constexpr Duration kTick = milliseconds(10);
  Timer tick(
      [](Timer& timer, void* context) {
        static_cast<Reactor*>(context)->arm(timer, Clock::now() + kTick);
      },
      &reactor);
  reactor.arm(tick, Clock::now() + kTick);
  bool came = done();
  while (!came && Clock::now() < deadline) {
    reactor.turn_or_wait();
    came = done();
  }
  reactor.cancel(tick);
  return came;
}

int ShardPool::run_command(const std::string& command, Duration limit) {
  BlockingCall call(*control_);
  int status = -1;
  bool ended = false;
  call.start([command] { return std::system(command.c_str()); },
             [&](int result) {
               status = result;
               ended = true;
             });
  CHECK(run_until([&] { return ended; }, limit));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace nvublk::test
