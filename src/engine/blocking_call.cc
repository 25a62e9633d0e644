#include "engine/blocking_call.h"

#include <csignal>

#include <pthread.h>

#include "engine/check.h"

namespace nvublk {

BlockingCall::~BlockingCall() {
  CHECK(!busy());
}

void BlockingCall::run(std::move_only_function<void()> body) {
  CHECK_ON(owner_);
  CHECK(!busy());
  // The thread inherits the mask: signals are for the threads that wait for them.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([body = std::move(body)]() mutable {
    pthread_setname_np(pthread_self(), "blocking");
    body();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void BlockingCall::wait() {
  if (busy()) {
    thread_.join();
  }
}

void BlockingCall::finish() {
  // The thread posted this as the last thing it did.
  wait();
}

}  // namespace nvublk
