#include "engine/shard.h"

#include <future>

#include <pthread.h>
#include <sys/prctl.h>

#include "engine/check.h"
#include "engine/cpus.h"

namespace nvublk {

namespace {

thread_local Shard* current_shard = nullptr;
thread_local bool thread_sealed = false;

// What the thread will use of its stack is in memory before it serves anybody: a page fault later
// might have to wait for what we serve.
[[gnu::noinline]] void touch_stack() {
  constexpr std::size_t kBytes = 128 * 1024;
  std::byte stack[kBytes];
  for (std::size_t i = 0; i < kBytes; i += 4096) {
    stack[i] = std::byte{0};
  }
  asm volatile("" : : "r"(stack) : "memory");
}

}  // namespace

Shard* Shard::current() {
  return current_shard;
}

void Shard::seal_current_thread(bool sealed) {
  thread_sealed = sealed;
}
bool Shard::current_thread_sealed() {
  return thread_sealed;
}

Status Shard::prepare_thread() {
  touch_stack();
  if (!options_.name.empty()) {
    pthread_setname_np(pthread_self(), options_.name.substr(0, 15).c_str());
  }
  if (!options_.cpus.empty()) {
    keep_current_thread_on(options_.cpus);
  }
  // The default slack of 50 us would be added to every sleep with a deadline.
  ::prctl(PR_SET_TIMERSLACK, 1000UL, 0, 0, 0);
  auto reactor = Reactor::create(options_.reactor);
  if (!reactor) {
    return std::unexpected(std::move(reactor.error()));
  }
  reactor_ = std::move(*reactor);
  current_shard = this;
  return {};
}

Result<std::unique_ptr<Shard>> Shard::start(const Options& options) {
  std::unique_ptr<Shard> shard(new Shard(options));
  std::promise<Status> prepared;
  std::future<Status> outcome = prepared.get_future();
  Shard* self = shard.get();
  // The promise moves into the thread: set_value() may still use it after the future is ready.
  shard->thread_ = std::thread([self, prepared = std::move(prepared)]() mutable {
    Status status = self->prepare_thread();
    const bool ready = status.has_value();
    prepared.set_value(std::move(status));
    if (ready) {
      self->reactor_->run();
      current_shard = nullptr;
    }
  });
  Status status = outcome.get();
  if (!status) {
    shard->thread_.join();
    return std::unexpected(std::move(status.error()));
  }
  return shard;
}

Result<std::unique_ptr<Shard>> Shard::adopt_current_thread(const Options& options) {
  CHECK(current_shard == nullptr);
  std::unique_ptr<Shard> shard(new Shard(options));
  if (Status status = shard->prepare_thread(); !status) {
    return std::unexpected(std::move(status.error()));
  }
  return shard;
}

void Shard::stop() {
  if (thread_.joinable()) {
    reactor_->stop();
    thread_.join();
  }
}

Shard::~Shard() {
  stop();
  if (current_shard == this) {
    current_shard = nullptr;
  }
}

}  // namespace nvublk
