#pragma once

// The block front-ends of this machine, behind one face. Control-shard-affine.

#include <functional>
#include <memory>
#include <string>

#include "engine/block_export.h"
#include "service/attach_request.h"

namespace nvublk::service {

class Frontends {
 public:
  using Chosen = std::function<void(Result<std::string> name)>;

  virtual ~Frontends() = default;
  /// Finds the front-end to use for `wish`: "ublk" or "fuse"; an error says why this machine lacks
  /// it and what to do. Looking may take a while (a kernel module is loaded); `chosen` never runs
  /// from within this call.
  virtual void choose(FrontendWish wish, Chosen chosen) = 0;
  /// The kBusy error that names what lasts on the device at this path: a mount, swap, a device on
  /// top of it. Any thread; reads through /proc, so not a shard's.
  virtual Status check_unused(const std::string& device) const = 0;
  /// Takes away the device with this number, which waits for a server: requests fail. Any thread;
  /// waits for the driver, so not a shard's.
  virtual Status discard(int id) const = 0;
  /// Why the front-end that choose() has found cannot show a device with `geometry`; empty if it
  /// can, as far as is known.
  virtual std::string cannot_show(const std::string& name, const BlockGeometry& geometry) const {
    static_cast<void>(name);
    static_cast<void>(geometry);
    return "";
  }
  /// `name` is what choose() found. `device` outlives the export.
  virtual std::unique_ptr<BlockExport> make(const std::string& name, BlockDevice& device,
                                            const BlockExportOptions& options) = 0;
};

}  // namespace nvublk::service
