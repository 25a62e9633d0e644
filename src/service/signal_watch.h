#pragma once

// Signals as events of a reactor. Shard-affine.

#include <csignal>
#include <functional>
#include <memory>

#include "engine/fd.h"
#include "engine/reactor.h"

namespace nvublk::service {

class SignalWatch {
 public:
  /// Called for each signal, with its number.
  using Handler = std::function<void(int signal)>;

  /// `signals` are blocked in all threads.
  static Result<std::unique_ptr<SignalWatch>> start(Reactor& reactor, const sigset_t& signals,
                                                    Handler handler);
  /// When stopped() only.
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  void stop();
  bool stopped() const { return !poll_.busy && !cancel_.busy; }

 private:
  struct Op : RingOp {
    SignalWatch* watch = nullptr;
    bool busy = false;
  };
  SignalWatch(Reactor& reactor, UniqueFd fd, Handler handler);
  void arm();
  void deliver();

  Reactor& reactor_;
  UniqueFd fd_;
  Handler handler_;
  Op poll_;
  Op cancel_;
  bool stopping_ = false;
};

}  // namespace nvublk::service
