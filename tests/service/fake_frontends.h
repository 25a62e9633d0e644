#pragma once

// Front-ends that show nothing to anybody and fail, refuse or hang when told to.

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "engine/shard.h"
#include "service/failing_device.h"
#include "service/frontends.h"

namespace nvublk::test {

class FakeFrontends final : public service::Frontends {
 public:
  explicit FakeFrontends(Shard& control) : control_(control) {}

  void choose(service::FrontendWish, Chosen chosen) override {
    control_.post([this, chosen = std::move(chosen)] {
      if (available) {
        chosen(std::string("fake"));
      } else {
        chosen(fail(ErrorCode::kUnsupported, "there is no front-end"));
      }
    });
  }
  Status check_unused(const std::string& device) const override {
    if (held.contains(device)) {
      return fail(ErrorCode::kBusy, device + " is held");
    }
    return {};
  }
  Status discard(int id) const override {
    const std::scoped_lock lock(discarding_);
    discarded.insert(id);
    return {};
  }
  std::string cannot_show(const std::string&, const BlockGeometry& geometry) const override {
    return shows_zones || geometry.zones.zone_blocks == 0 ? "" : "it is zoned";
  }
  std::unique_ptr<BlockExport> make(const std::string&, BlockDevice& device,
                                    const BlockExportOptions& options) override {
    if (dynamic_cast<service::FailingDevice*>(&device) != nullptr) {
      failing.insert(options.name);
    }
    return std::make_unique<Export>(*this, options);
  }

  bool available = true;
  bool shows_zones = false;
  std::set<std::string> fails_to_start;  ///< names of devices
  std::set<std::string> hangs;           ///< names of devices whose start waits for release()
  std::set<std::string> stop_hangs;      ///< the same for stops
  std::set<std::string> stays;           ///< names of devices that do not stop
  std::set<std::string> held;            ///< paths of devices in use
  std::set<std::string> shown;           ///< names of devices that there are
  bool resizes = true;
  std::vector<std::string> resized;  ///< names of devices, in order
  unsigned forced = 0;               ///< stops with force of devices in use
  std::vector<BlockExportOptions> made;
  bool survive = false;             ///< devices have keys
  std::set<std::string> failing;    ///< names of devices without a namespace
  std::set<std::string> left;       ///< names of devices
  mutable std::set<int> discarded;  ///< numbers of devices

  void release() {
    for (auto& [name, go] : std::exchange(waiting_, {})) {
      go();
    }
  }
  bool waits() const { return !waiting_.empty(); }

 private:
  class Export final : public BlockExport {
   public:
    Export(FakeFrontends& owner, const BlockExportOptions& options)
        : owner_(owner), options_(options), id_(options.id >= 0 ? options.id : owner.next_id_++) {
      owner_.made.push_back(options);
    }
    void start(Done done) override {
      auto go = [this, done = std::move(done)] {
        if (owner_.fails_to_start.contains(options_.name)) {
          state_ = "failed";
          done(fail(ErrorCode::kSystem, "it does not want to"));
          return;
        }
        state_ = "live";
        owner_.shown.insert(options_.name);
        done({});
      };
      if (owner_.hangs.contains(options_.name)) {
        owner_.waiting_.emplace(options_.name, std::move(go));
      } else {
        owner_.control_.post(std::move(go));
      }
    }
    void stop(bool force, Done done) override {
      auto go = [this, force, done = std::move(done)] {
        if (owner_.stays.contains(options_.name)) {
          done(fail(ErrorCode::kSystem, options_.name + " does not want to go"));
          return;
        }
        if (owner_.held.contains(path())) {
          if (!force) {
            done(fail(ErrorCode::kBusy, path() + " is held"));
            return;
          }
          owner_.forced++;
        }
        state_ = "stopped";
        owner_.shown.erase(options_.name);
        done({});
      };
      if (owner_.stop_hangs.contains(options_.name)) {
        owner_.waiting_.emplace(options_.name, std::move(go));
      } else {
        owner_.control_.post(std::move(go));
      }
    }
    void resize(Done done) override {
      owner_.control_.post([this, done = std::move(done)] {
        owner_.resized.push_back(options_.name);
        done(owner_.resizes ? Status{} : fail(ErrorCode::kUnsupported, "it cannot be resized"));
      });
    }
    void leave(Done done) override {
      owner_.control_.post([this, done = std::move(done)] {
        owner_.left.insert(options_.name);
        done({});
      });
    }
    BlockExportInfo info() const override {
      BlockExportInfo info;
      info.id = id_;
      info.key = !owner_.survive            ? std::uint16_t{0}
                 : options_.resume_key != 0 ? options_.resume_key
                                            : static_cast<std::uint16_t>(500 + id_);
      info.device = state_ == "live" ? path() : "";
      info.frontend = "fake";
      info.state = state_;
      info.queues = 1;
      info.depth = options_.depth;
      return info;
    }
    BlockExportStatistics statistics() const override { return {}; }

   private:
    std::string path() const { return "/dev/fake-" + options_.name; }

    FakeFrontends& owner_;
    const BlockExportOptions options_;
    const int id_;
    std::string state_ = "starting";
  };

  Shard& control_;
  int next_id_ = 0;
  mutable std::mutex discarding_;
  std::multimap<std::string, std::function<void()>> waiting_;
};

}  // namespace nvublk::test
