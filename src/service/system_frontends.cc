#include "service/system_frontends.h"

#include <filesystem>

#include "engine/check.h"
#include "engine/log.h"
#include "fuse/features.h"
#include "fuse/fuse_export.h"
#include "fuse/holders.h"
#include "ublk/devices.h"
#include "ublk/features.h"
#include "ublk/ublk_export.h"

namespace nvublk::service {

namespace {

constexpr char kUblk[] = "ublk";
constexpr char kFuse[] = "fuse";

/// Blocks for a moment; on a BlockingCall's thread.
Result<std::string> look_for(FrontendWish wish) {
  Error ublk_error;
  if (wish != FrontendWish::kFuse) {
    auto found = ublk::probe_features();
    if (found) {
      return kUblk;
    }
    ublk_error = std::move(found.error());
    if (wish == FrontendWish::kUblk) {
      return std::unexpected(std::move(ublk_error));
    }
    log_info("service", "FUSE instead of ublk: " + ublk_error.text);
  }
  const fuse::Features found = fuse::probe_features();
  if (found.available) {
    return kFuse;
  }
  std::string text = "FUSE cannot be used: " + found.reason;
  if (wish == FrontendWish::kAuto) {
    text = "neither ublk nor FUSE can be used: " + ublk_error.text + "; " + found.reason;
  }
  return fail(ErrorCode::kUnsupported, std::move(text));
}

}  // namespace

SystemFrontends::SystemFrontends(const ShardSet& shards)
    : shards_(shards), looking_(*shards.control) {}

void SystemFrontends::choose(FrontendWish wish, Chosen chosen) {
  CHECK_ON(*shards_.control);
  waiting_.emplace_back(wish, std::move(chosen));
  look();
}

void SystemFrontends::look() {
  if (waiting_.empty() || looking_.busy()) {
    return;
  }
  looking_.start([wish = waiting_.front().first] { return look_for(wish); },
                 [this](Result<std::string> name) {
                   const Chosen chosen = std::move(waiting_.front().second);
                   waiting_.pop_front();
                   chosen(std::move(name));
                   look();
                 });
}

Status SystemFrontends::check_unused(const std::string& device) const {
  const std::string disk = std::filesystem::path(device).filename();
  const fuse::Holders holders = fuse::find_holders(disk, {});
  if (holders.lasting.empty()) {
    return {};
  }
  return fail(ErrorCode::kBusy, device + " is " + holders.lasting.front());
}

Status SystemFrontends::discard(int id) const {
  Status deleted = ublk::delete_device(static_cast<std::uint32_t>(id));
  return !deleted && deleted.error().code == ErrorCode::kNotFound ? Status{} : deleted;
}

std::string SystemFrontends::cannot_show(const std::string& name,
                                         const BlockGeometry& geometry) const {
  return name == kFuse ? fuse::cannot_show(geometry) : "";
}

std::unique_ptr<BlockExport> SystemFrontends::make(const std::string& name, BlockDevice& device,
                                                   const BlockExportOptions& options) {
  if (name == kUblk) {
    return std::make_unique<ublk::UblkExport>(shards_, device, options);
  }
  CHECK(name == kFuse);
  return std::make_unique<fuse::FuseExport>(shards_, device, options);
}

}  // namespace nvublk::service
