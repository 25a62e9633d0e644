// Models of controllers that need something else than the specification says, and what is done.

#include "nvme/quirks.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/controller/machine_drive.h"
#include "nvme/controller_shutdown.h"
#include "nvme/namespace_geometry.h"
#include "nvme/spec/text.h"

namespace nvublk::nvme {
namespace {

constexpr PciIds kPlain{0x1b36, 0x0010};
constexpr PciIds kIntelP3700{0x8086, 0x0953};
constexpr PciIds kIntel600P{0x8086, 0xf1a5};
constexpr PciIds kOldQemu{0x8086, 0x5845};
constexpr PciIds kSamsungPm1725{0x144d, 0xa821};
constexpr PciIds kLexar{0x1b4b, 0x1092};
constexpr PciIds kApple{0x106b, 0x2001};
constexpr PciIds kEmmcBridge{0x1217, 0x8760};
constexpr PciIds kVmware{0x15ad, 0x07f0};

// One initialization over PCIe, with all that it asked and waited for.
struct Trial {
  struct Asked {
    std::string step;
    ControlAction action;
    Duration at;
  };

  explicit Trial(PciIds pci, PerfectController controller = {})
      : init(test_options(), limits_of(pci), 1), drive{init, std::move(controller)} {
    drive.run_until([this](const ControllerInit& machine) {
      asked.push_back({machine.step_name(), drive.action.payload, drive.now - Instant{}});
      return false;
    });
    EXPECT_TRUE(init.done()) << init.error().text;
  }
  static TransportLimits limits_of(PciIds pci) {
    TransportLimits limits;
    limits.fabrics = false;
    limits.pci = pci;
    return limits;
  }
  bool has(const std::string& step) const {
    return std::ranges::any_of(asked, [&](const Asked& each) { return each.step == step; });
  }
  /// When the first action of a step was wanted.
  Duration at(const std::string& step) const {
    const auto found = std::ranges::find(asked, step, &Asked::step);
    return found == asked.end() ? Duration::max() : found->at;
  }
  std::vector<std::uint32_t> nsids() const {
    std::vector<std::uint32_t> result;
    for (const NamespaceProfile& each : init.profile().namespaces) result.push_back(each.nsid);
    return result;
  }

  ControllerInit init;
  Drive<ControllerInit> drive;
  std::vector<Asked> asked;
};

TEST(Quirks, AreFoundByIdsAndByModel) {
  EXPECT_FALSE(quirks_of(kPlain).any());
  EXPECT_FALSE(quirks_of(PciIds{}).any());
  EXPECT_EQ(quirks_of(kIntelP3700), Quirk::kSlowStart | Quirk::kVendorStripe);
  EXPECT_EQ(quirks_of(kApple), Quirks(Quirk::kOneCommand));

  spec::IdentifyController identify;
  EXPECT_FALSE(quirks_of(kEmmcBridge, identify).any()) << "with another memory it is fine";
  spec::fill_text(identify.mn, "BAYHUB SanDisk-DA4128-91904055-128GB", ' ');
  EXPECT_FALSE(quirks_of(kEmmcBridge).any()) << "not known before Identify";
  EXPECT_TRUE(quirks_of(kEmmcBridge, identify).has(Quirk::kOneCommand));
  EXPECT_FALSE(quirks_of(kPlain, identify).any());
  identify.vid = std::uint16_t{0x1217};
  EXPECT_TRUE(quirks_of(PciIds{}, identify).has(Quirk::kOneCommand))
      << "a target that passes it on";
  identify.vid = std::uint16_t{0x8086};
  EXPECT_FALSE(quirks_of(PciIds{}, identify).any());
}

TEST(Quirks, SayWhatIsDone) {
  EXPECT_EQ(quirks_of(kPlain).text(), "");
  EXPECT_EQ(quirks_of(kIntelP3700).text(),
            "waits before it configures the controller, reads the optimal boundary from the "
            "vendor's field");
}

TEST(Quirks, ASlowStarterIsGivenTime) {
  EXPECT_GE(Trial(kIntelP3700).at("read CAP"), seconds(2));
  EXPECT_EQ(Trial(kPlain).at("read CAP"), Duration::zero());
}

TEST(Quirks, ReadinessIsNotReadTooEarly) {
  for (const bool enabled : {false, true}) {
    PerfectController controller;
    controller.enabled_at_start = enabled;
    const Trial slow(kSamsungPm1725, controller);
    EXPECT_EQ(slow.has("wait CSTS.RDY=0"), enabled);
    if (enabled) {
      EXPECT_GE(slow.at("wait CSTS.RDY=0") - slow.at("clear CC.EN"), milliseconds(2300));
    }
    EXPECT_GE(slow.at("wait CSTS.RDY=1") - slow.at("set CC.EN"), milliseconds(2300));
    const auto sets = std::ranges::count(slow.asked, std::string("set CC.EN"), &Trial::Asked::step);
    EXPECT_EQ(sets, 1);
  }
  const Trial plain(kPlain);
  EXPECT_EQ(plain.at("wait CSTS.RDY=1"), plain.at("set CC.EN"));
}

TEST(Quirks, NamespacesOfAControllerThatCannotListThemAreTriedOneByOne) {
  PerfectController controller;
  controller.nsids = {1, 2, 4};
  controller.vanishing = {3};
  controller.version = spec::Vs::make(1, 1);
  const Trial run(kOldQemu, controller);
  EXPECT_FALSE(run.has("list active namespaces"));
  EXPECT_EQ(run.nsids(), (std::vector<std::uint32_t>{1, 2, 4}));
  EXPECT_TRUE(Trial(kPlain, controller).has("list active namespaces"));
  controller.version = spec::Vs::make(1, 0);
  EXPECT_FALSE(Trial(kPlain, controller).has("list active namespaces")) << "it came with NVMe 1.1";
  controller.version = spec::Vs::make(1, 2);
  EXPECT_TRUE(Trial(kOldQemu, controller).has("list active namespaces")) << "newer ones can";
}

TEST(Quirks, DescriptorsAreNotAskedForWhereThatBreaksTheController) {
  EXPECT_FALSE(Trial(kLexar).has("identify namespace descriptors"));
  EXPECT_TRUE(Trial(kPlain).has("identify namespace descriptors"));
}

TEST(Quirks, TheVendorsStripeIsTheBoundary) {
  PerfectController controller;
  controller.stripe_shift = 5;
  const auto boundary = [&](PciIds pci) {
    const Trial run(pci, controller);
    const ControllerProfile& profile = run.init.profile();
    return namespace_geometry(profile.namespaces[0], profile, {}).boundary_blocks;
  };
  EXPECT_EQ(boundary(kIntelP3700), 32u) << "128 KiB in blocks of 4096 bytes";
  EXPECT_EQ(boundary(kPlain), 0u);
  controller.stripe_shift = 200;
  EXPECT_EQ(boundary(kIntelP3700), 0u) << "nonsense";
  controller.stripe_shift = 0;
  EXPECT_EQ(boundary(kIntelP3700), 0u);
}

TEST(Quirks, ABrokenWriteZeroesIsNotOffered) {
  const auto limit = [](PciIds pci) {
    const Trial run(pci);
    const ControllerProfile& profile = run.init.profile();
    return namespace_geometry(profile.namespaces[0], profile, {}).max_write_zeroes_blocks;
  };
  EXPECT_EQ(limit(kIntel600P), 0u);
  EXPECT_GT(limit(kPlain), 0u);
}

TEST(Quirks, AShutdownThatNeverReportsItsEndIsNotWaitedFor) {
  ASSERT_TRUE(quirks_of(kVmware).has(Quirk::kNoShutdownStatus));
  for (const bool reports : {false, true}) {
    ControllerShutdown shutdown(seconds(1), 0, Duration::zero(), reports);
    Drive<ControllerShutdown> drive{shutdown, {}};
    std::vector<std::string> steps;
    drive.run_until([&steps](const ControllerShutdown& machine) {
      steps.emplace_back(machine.step_name());
      return false;
    });
    EXPECT_TRUE(shutdown.done());
    EXPECT_TRUE(std::ranges::find(steps, "set CC.SHN") != steps.end());
    EXPECT_EQ(std::ranges::find(steps, "wait CSTS.SHST=complete") != steps.end(), reports);
  }
}

}  // namespace
}  // namespace nvublk::nvme
