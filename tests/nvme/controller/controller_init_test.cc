#include "nvme/controller_init.h"

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/controller/machine_drive.h"
#include "nvme/controller_shutdown.h"
#include "nvme/namespace_geometry.h"

namespace nvublk::nvme {
namespace {

TEST(ControllerInit, IdentifiesAllOfAWellBehavedController) {
  ControllerInit init(test_options(), TransportLimits{}, 4);
  Drive<ControllerInit> drive{init, {}};
  drive.run_until([](const ControllerInit&) { return false; });
  ASSERT_TRUE(init.done()) << init.error().text;
  const ControllerProfile& profile = init.profile();
  EXPECT_EQ(profile.cntlid, 7);
  EXPECT_EQ(profile.io_queue_count, 2u) << "the controller granted fewer than were asked for";
  EXPECT_EQ(profile.keep_alive_ms, 4000u);
  ASSERT_EQ(profile.namespaces.size(), 2u);
  EXPECT_EQ(profile.namespaces[1].nsid, 3u);
  EXPECT_EQ(profile.namespaces[1].ids.uuid, "01020304-0506-0708-090a-0b0c0d0e0f10");
}

TEST(ControllerInit, AnEnabledControllerIsDisabledFirst) {
  for (const bool enabled : {false, true}) {
    ControllerInit init(test_options(), TransportLimits{}, 1);
    Drive<ControllerInit> drive{init, {}};
    drive.controller.enabled_at_start = enabled;
    std::set<std::string> steps;
    drive.run_until([&steps](const ControllerInit& machine) {
      steps.insert(machine.step_name());
      return false;
    });
    EXPECT_TRUE(init.done());
    EXPECT_EQ(steps.contains("clear CC.EN"), enabled);
    EXPECT_EQ(steps.contains("wait CSTS.RDY=0"), enabled);
    EXPECT_TRUE(steps.contains("set CC.EN"));
  }
}

TEST(ControllerInit, ANamespacesOwnCommandSetIsAsked) {
  ControllerInit init(test_options(), TransportLimits{}, 1);
  Drive<ControllerInit> drive{init, {}};
  drive.controller.zoned = true;
  drive.controller.nsids = {3, 4, 9};
  drive.run_until([](const ControllerInit&) { return false; });
  ASSERT_TRUE(init.done()) << init.error().text;
  const ControllerProfile& profile = init.profile();
  const CommandSetFormat& format = profile.namespaces[0].format;
  EXPECT_EQ(format.guard_bits, 64);
  EXPECT_EQ(format.storage_tag_bits, 16);
  ASSERT_TRUE(format.zones);
  EXPECT_EQ(format.zones->zone_blocks, 100u);
  EXPECT_EQ(format.zones->extension_bytes, 128u);
  EXPECT_EQ(format.zones->max_open_zones, 4u);
  EXPECT_EQ(format.zones->max_active_zones, 0u) << "no limit";
  EXPECT_EQ(profile.append_limit_bytes, 32768u);
  EXPECT_EQ(profile.namespaces[1].format, CommandSetFormat{}) << "asked only where there is any";
}

TEST(ControllerInit, ArbitrationIsAsWishedWhereTheControllerHasIt) {
  for (const bool has : {false, true}) {
    ControllerOptions options = test_options();
    options.arbitration = {.weighted = true, .burst = 3, .low = 1, .medium = 2, .high = 4};
    ControllerInit init(options, TransportLimits{}, 1);
    Drive<ControllerInit> drive{init, {}};
    drive.controller.weighted = has;
    std::uint32_t feature = 0;
    spec::Cc cc;
    drive.run_until([&](const ControllerInit& machine) {
      const ControlAction& action = drive.action.payload;
      if (machine.step_name() == std::string("configure arbitration")) {
        EXPECT_EQ(action.sqe.cdw10.get() & 0xff, 1u);
        feature = action.sqe.cdw11.get();
      }
      if (machine.step_name() == std::string("set CC.EN")) {
        cc = spec::Cc{static_cast<std::uint32_t>(action.value)};
      }
      return false;
    });
    ASSERT_TRUE(init.done()) << init.error().text;
    EXPECT_EQ(feature, has ? 0x04020103u : 3u);
    EXPECT_EQ(cc.ams() == spec::Arbitration::kWeightedRoundRobin, has);
    EXPECT_EQ(init.profile().arbitration.weighted, has);
    EXPECT_EQ(init.profile().arbitration.burst, 3);
  }
}

TEST(ControllerInit, TheHostIsIntroducedWhereNoConnectHasDoneIt) {
  for (const bool fabrics : {false, true}) {
    ControllerOptions options = test_options();
    for (std::uint8_t i = 0; i < 16; i++)
      options.host.id.bytes[i] = static_cast<std::uint8_t>(i + 1);
    TransportLimits limits;
    limits.fabrics = fabrics;
    ControllerInit init(options, limits, 1);
    Drive<ControllerInit> drive{init, {}};
    drive.controller.zoned = true;  // and has extended LBA formats
    std::vector<std::byte> identifier;
    std::vector<std::byte> behavior;
    drive.run_until([&](const ControllerInit& machine) {
      const auto data = drive.action.payload.data;
      if (machine.step_name() == std::string("set host identifier")) {
        EXPECT_EQ(drive.action.payload.sqe.cdw11.get() & 1, 0u) << "8 bytes only";
        identifier.assign(data.begin(), data.end());
      }
      if (machine.step_name() == std::string("set host behavior")) {
        behavior.assign(data.begin(), data.end());
      }
      return false;
    });
    ASSERT_TRUE(init.done()) << init.error().text;
    EXPECT_EQ(identifier.size(), fabrics ? 0u : 8u);
    if (!fabrics) {
      EXPECT_EQ(identifier[7], std::byte{8});
    }
    ASSERT_EQ(behavior.size(), 512u);
    EXPECT_EQ(behavior[2], std::byte{1}) << "LBAFEE";
    EXPECT_EQ(behavior[0], std::byte{0}) << "page_ held something else before";
  }
}

TEST(ControllerInit, OnlyTheNvmCommandSetIsEnabledIfThatIsWished) {
  for (const CommandSets wished : {CommandSets::kAutomatic, CommandSets::kNvm}) {
    ControllerOptions options = test_options();
    options.command_sets = wished;
    ControllerInit init(options, TransportLimits{}, 1);
    Drive<ControllerInit> drive{init, {}};
    drive.controller.command_sets = true;
    ASSERT_TRUE(drive.run_until([](const ControllerInit& machine) {
      return machine.step_name() == std::string("set CC.EN");
    }));
    const spec::Cc cc{static_cast<std::uint32_t>(drive.action.payload.value)};
    EXPECT_EQ(cc.css(), wished == CommandSets::kNvm ? spec::CommandSetSelection::kNvm
                                                    : spec::CommandSetSelection::kAllSupported);
  }
}

// The combination that was selected; nothing if none was.
std::optional<std::uint32_t> selected_of(std::vector<std::uint64_t> combinations) {
  ControllerInit init(test_options(), TransportLimits{}, 1);
  Drive<ControllerInit> drive{init, {}};
  drive.controller.command_sets = true;
  drive.controller.combinations = std::move(combinations);
  std::optional<std::uint32_t> selected;
  drive.run_until([&](const ControllerInit& machine) {
    if (machine.step_name() == std::string("select I/O command sets")) {
      const spec::SubmissionEntry& sqe = drive.action.payload.sqe;
      EXPECT_EQ(sqe.cdw10.get(), 0x19u);
      selected = sqe.cdw11.get();
    }
    return false;
  });
  EXPECT_TRUE(init.done()) << init.error().text;
  return selected;
}

TEST(ControllerInit, OfSeveralCombinationsOfCommandSetsTheMostUsefulIsSelected) {
  EXPECT_EQ(selected_of({}), std::nullopt) << "it does not say";
  EXPECT_EQ(selected_of({7}), std::nullopt) << "there is no choice";
  EXPECT_EQ(selected_of({1, 3, 5}), 2u) << "NVM and zoned";
  EXPECT_EQ(selected_of({1, 2, 3}), 0u) << "key value namespaces are of no use";
  EXPECT_EQ(selected_of({0, 0, 2, 1}), 3u);
}

TEST(ControllerInit, NoNamespacesIsNoError) {
  ControllerInit init(test_options(), TransportLimits{}, 1);
  Drive<ControllerInit> drive{init, {}};
  drive.controller.nsids.clear();
  drive.run_until([](const ControllerInit&) { return false; });
  EXPECT_TRUE(init.done());
  EXPECT_TRUE(init.profile().namespaces.empty());
}

DhchapKey a_key() {
  return DhchapKey::make(std::array<std::byte, 32>{}, std::nullopt).value();
}

TEST(ControllerInit, AuthenticatesWhenTheControllerOrTheUserWantsIt) {
  for (const bool wanted_by_controller : {false, true}) {
    for (const bool wanted_by_user : {false, true}) {
      ControllerOptions options = test_options();
      options.dhchap_key = a_key();
      options.dhchap_ctrlr_key = wanted_by_user ? a_key() : DhchapKey{};
      ControllerInit init(options, TransportLimits{}, 1);
      Drive<ControllerInit> drive{init, {}};
      drive.controller.authentication = wanted_by_controller;
      EXPECT_EQ(drive.run_until([](const ControllerInit& machine) {
        return machine.step_name() == std::string("authenticate");
      }),
                wanted_by_controller || wanted_by_user);
    }
  }
}

TEST(ControllerInit, SaysWhyItCannotAuthenticate) {
  for (const bool secure_channel : {false, true}) {
    ControllerInit init(test_options(), TransportLimits{}, 1);
    Drive<ControllerInit> drive{init, {}};
    drive.controller.authentication = true;
    drive.controller.secure_channel = secure_channel;
    drive.run_until([](const ControllerInit&) { return false; });
    ASSERT_TRUE(init.failed());
    EXPECT_EQ(init.error().step, "Fabrics Connect");
    EXPECT_EQ(init.error().code, secure_channel ? ErrorCode::kUnsupported : ErrorCode::kPermission);
    EXPECT_NE(
        init.error().text.find(secure_channel ? "secure channel concatenation" : "--dhchap-secret"),
        std::string::npos)
        << init.error().text;
  }
}

// With these no step is left out, but for those that only fabrics or only PCIe have.
ControllerOptions all_options() {
  ControllerOptions options = test_options();
  options.arbitration.burst = 1;
  options.host.id.bytes[0] = 1;
  options.dhchap_key = a_key();
  return options;
}

TransportLimits limits_for(const ControllerInit::Row& row) {
  TransportLimits limits;
  limits.fabrics = row.name != std::string("set host identifier");
  return limits;
}

// Every step x every fault: it fails closed and names the step.
TEST(ControllerInit, FailsClosedAtEveryStep) {
  using Event = StepEvent<ControlOutcome>;
  const auto error_status = [] {
    ControlOutcome outcome;
    outcome.failure =
        Error{ErrorCode::kNvmeStatus, "the controller answered: Invalid Field", "", 2};
    return Event::of(outcome);
  };
  const std::vector<std::pair<const char*, std::function<Event()>>> faults = {
      {"disconnect",
       [] { return Event::disconnected(Error::make(ErrorCode::kDisconnected, "x")); }},
      {"deadline", [] { return Event::deadline(); }},
      {"error status", error_status},
  };
  const auto rows = ControllerInit::rows();
  for (std::size_t step = 0; step < rows.size(); step++) {
    for (const auto& [name, fault] : faults) {
      SCOPED_TRACE(std::string(rows[step].name) + ", " + name);
      ControllerInit init(all_options(), limits_for(rows[step]), 2);
      Drive<ControllerInit> drive{init, {}};
      drive.controller.have_everything();
      drive.controller.authentication = true;
      ASSERT_TRUE(drive.run_until(
          [step](const ControllerInit& machine) { return machine.step() == step; }));
      const auto action = init.advance(fault(), drive.now);
      if (std::string(name) == "error status" && rows[step].tolerates_error) {
        EXPECT_NE(action.kind, StepAction<ControlAction>::Kind::kFailed);
        continue;
      }
      ASSERT_EQ(action.kind, StepAction<ControlAction>::Kind::kFailed);
      EXPECT_EQ(init.error().step, rows[step].name);
      EXPECT_FALSE(init.error().text.empty());
      EXPECT_FALSE(init.running());
    }
  }
}

// Nonsense where a value decides: all zeroes and all ones. What cannot be right ends it, and names
// its step; what may be so, or is not needed, does not.
TEST(ControllerInit, NonsenseFailsClosed) {
  // The step that finds it, by the step that is answered so. A register that is written answers
  // nothing; here the write does not arrive either.
  const std::map<std::string, std::string> zeroes_fail = {
      {"Fabrics Connect", "identify controller"},
      {"read CAP", "read CAP"},
      {"read VS", "read VS"},
      {"set CC.EN", "wait CSTS.RDY=1"},
      {"identify controller", "identify controller"},
  };
  const std::map<std::string, std::string> ones_fail = {
      {"Fabrics Connect", "Fabrics Connect"},
      {"read CAP", "read CAP"},
      {"wait CSTS.RDY=0", "wait CSTS.RDY=0"},
      {"set CC.EN", "wait CSTS.RDY=1"},
      {"wait CSTS.RDY=1", "wait CSTS.RDY=1"},
      {"identify controller", "identify controller"},
      {"list active namespaces", "list active namespaces"},
      {"identify namespace descriptors", "identify namespace descriptors"},
      {"read ANA log", "read ANA log"},
  };
  const auto rows = ControllerInit::rows();
  for (std::size_t step = 0; step < rows.size(); step++) {
    for (const std::uint64_t nonsense : {std::uint64_t{0}, ~std::uint64_t{0}}) {
      SCOPED_TRACE(std::string(rows[step].name) + ", " + std::to_string(nonsense));
      ControllerInit init(all_options(), limits_for(rows[step]), 2);
      Drive<ControllerInit> drive{init, {}};
      drive.controller.have_everything();
      drive.controller.authentication = true;
      ASSERT_TRUE(drive.run_until(
          [step](const ControllerInit& machine) { return machine.step() == step; }));
      const auto byte = static_cast<unsigned char>(nonsense & 0xff);
      if (!drive.action.payload.data.empty()) {
        std::memset(drive.action.payload.data.data(), byte, drive.action.payload.data.size());
      }
      StepAction<ControlAction> action =
          init.advance(StepEvent<ControlOutcome>::of({nonsense, {}}), drive.now);
      for (int turns = 0; init.running() && turns < 20000; turns++) {
        if (action.kind == StepAction<ControlAction>::Kind::kSleep) {
          drive.now = std::min(action.until, action.deadline);
          action = init.advance(StepEvent<ControlOutcome>::woke(), drive.now);
        } else {
          action = init.advance(
              StepEvent<ControlOutcome>::of(drive.controller.answer(action.payload)), drive.now);
        }
      }
      EXPECT_FALSE(init.running());
      const auto& fails = nonsense == 0 ? zeroes_fail : ones_fail;
      const auto expected = fails.find(rows[step].name);
      EXPECT_EQ(init.failed() ? init.error().step : "",
                expected != fails.end() ? expected->second : "")
          << (init.failed() ? init.error().text : "");
    }
  }
}

TEST(ControllerInit, ReadyNeverComesEndsAtTheDeadline) {
  ControllerInit init(test_options(), TransportLimits{}, 1);
  Drive<ControllerInit> drive{init, {}};
  drive.controller.polls_until_ready = 1000000;
  drive.controller.enabled_at_start = false;
  const Instant began = drive.now;
  drive.run_until([](const ControllerInit&) { return false; });
  ASSERT_TRUE(init.failed());
  EXPECT_EQ(init.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(init.error().step, "wait CSTS.RDY=1");
  EXPECT_LT(drive.now - began, seconds(60));
}

TEST(ControllerShutdown, FailsClosedAtEveryStep) {
  const auto rows = ControllerShutdown::rows();
  for (std::size_t step = 0; step < rows.size(); step++) {
    ControllerShutdown shutdown(seconds(1), 0);
    Drive<ControllerShutdown> drive{shutdown, {}};
    ASSERT_TRUE(drive.run_until(
        [step](const ControllerShutdown& machine) { return machine.step() == step; }));
    shutdown.advance(StepEvent<ControlOutcome>::deadline(), drive.now);
    ASSERT_TRUE(shutdown.failed());
    EXPECT_EQ(shutdown.error().step, rows[step].name);
  }
}

TEST(ControllerShutdown, EndsWhenTheControllerSaysSo) {
  ControllerShutdown shutdown(seconds(1), 0);
  Drive<ControllerShutdown> drive{shutdown, {}};
  drive.run_until([](const ControllerShutdown&) { return false; });
  EXPECT_TRUE(shutdown.done());
}

TEST(ControllerShutdown, TheNotificationHasADeadlineOfItsOwn) {
  struct Case {
    std::uint32_t rtd3e_us;
    Duration limit;
    Duration want;
  };
  const Case cases[] = {{0, Duration::zero(), seconds(5)},
                        {8'000'000, Duration::zero(), seconds(8)},
                        {4'000'000'000, Duration::zero(), seconds(60)},
                        {8'000'000, milliseconds(300), milliseconds(300)}};
  for (const Case& each : cases) {
    ControllerShutdown shutdown(seconds(1), each.rtd3e_us, each.limit);
    Drive<ControllerShutdown> drive{shutdown, {}};
    const std::size_t last = ControllerShutdown::rows().size() - 1;
    ASSERT_TRUE(drive.run_until(
        [last](const ControllerShutdown& machine) { return machine.step() == last; }));
    EXPECT_EQ(shutdown.step_deadline() - shutdown.step_since(), each.want);
  }
}

TEST(NamespaceGeometry, LimitsComeFromTheController) {
  ControllerInit init(test_options(), TransportLimits{}, 1);
  Drive<ControllerInit> drive{init, {}};
  drive.run_until([](const ControllerInit&) { return false; });
  const ControllerProfile& controller = init.profile();
  NamespaceProfile profile = controller.namespaces[0];
  profile.data.noiob = 96;
  const BlockGeometry geometry = namespace_geometry(profile, controller, TransportLimits{});
  EXPECT_EQ(geometry.block_size_bytes, 4096u);
  EXPECT_EQ(geometry.size_blocks, 1000u);
  EXPECT_EQ(geometry.max_transfer_bytes, 4096u << 5);
  EXPECT_EQ(geometry.boundary_blocks, 96u);
  EXPECT_EQ(geometry.max_discard_blocks, 0xffffffffu);
  EXPECT_EQ(geometry.max_write_zeroes_blocks, 65536u);
  EXPECT_FALSE(geometry.volatile_write_cache);
  EXPECT_EQ(geometry.segment_boundary_mask, 0u);
}

TEST(NamespaceGeometry, WhatCannotBeShownSaysWhy) {
  NamespaceProfile profile;
  EXPECT_NE(namespace_unusable(profile), "");
  profile.data.nsze = 10;
  profile.data.ncap = 10;
  profile.data.lbaf[0].lbads = 9;
  EXPECT_EQ(namespace_unusable(profile), "");
  profile.data.lbaf[0].ms = 8;
  EXPECT_NE(namespace_unusable(profile).find("metadata"), std::string::npos);
  for (profile.data.dps = 1; profile.data.dps <= 3; profile.data.dps++) {
    EXPECT_EQ(namespace_unusable(profile), "");
  }
  profile.data.lbaf[0].ms = 16;
  EXPECT_NE(namespace_unusable(profile).find("more than protection"), std::string::npos);
  profile.data.lbaf[0].ms = 8;
  profile.format.guard_bits = 64;
  EXPECT_NE(namespace_unusable(profile).find("more than protection"), std::string::npos);
  profile.format.guard_bits = 16;
  profile.data.dps = 0;
  profile.data.lbaf[0].ms = 0;
  profile.ids.csi = 1;
  EXPECT_NE(namespace_unusable(profile).find("command set"), std::string::npos);
  profile.ids.csi = 2;
  EXPECT_NE(namespace_unusable(profile).find("does not say how"), std::string::npos);
  profile.format.zones = ZonedFormat{.zone_blocks = 3};
  EXPECT_NE(namespace_unusable(profile).find("power of two"), std::string::npos);
  profile.format.zones->zone_blocks = 4;
  EXPECT_EQ(namespace_unusable(profile), "");
  profile.format.zones->variable_capacity = true;
  EXPECT_NE(namespace_unusable(profile).find("capacities"), std::string::npos);
  profile.ids.csi = 0;
  profile.data.lbaf[0].lbads = 40;
  EXPECT_NE(namespace_unusable(profile), "");
}

}  // namespace
}  // namespace nvublk::nvme
