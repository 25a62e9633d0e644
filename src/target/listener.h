#pragma once

// A listening socket; hands what it accepts to the workers in turn. Worker-affine.

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/error.h"
#include "target/options.h"
#include "target/subsystem.h"
#include "target/worker.h"

namespace nvublk::target {

class Listener final : public Pollable {
 public:
  Listener(Subsystem& subsystem, std::vector<std::unique_ptr<Worker>>& workers)
      : subsystem_(subsystem), workers_(workers) {}
  ~Listener() override;

  /// Binds and listens; gives the address with the port that was bound.
  Result<ListenAddress> bind(const ListenAddress& address);
  int fd() const { return fd_; }
  void on_ready(std::uint32_t events) override;

 private:
  Subsystem& subsystem_;
  std::vector<std::unique_ptr<Worker>>& workers_;
  int fd_ = -1;
  std::size_t next_worker_ = 0;
};

}  // namespace nvublk::target
