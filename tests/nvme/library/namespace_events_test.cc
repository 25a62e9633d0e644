// Namespaces that come, go, grow and turn into others while a controller is attached, and what a
// controller says of its namespaces, log pages and features.

#include <cstring>

#include "nvme/announced_namespaces.h"
#include "nvme/library/library_fixture.h"

namespace nvublk::nvme {
namespace {

using spec::AdminOpcode;
using Nsids = std::vector<std::uint32_t>;

template <typename T>
void append(std::vector<std::byte>& bytes, const T& value) {
  const auto* begin = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof(value));
}

std::vector<std::byte> ana_log(std::initializer_list<std::pair<spec::AnaState, Nsids>> groups) {
  std::vector<std::byte> log;
  spec::AnaLogHeader header;
  header.ngrps = static_cast<std::uint16_t>(groups.size());
  append(log, header);
  std::uint32_t id = 0;
  for (const auto& [state, nsids] : groups) {
    spec::AnaGroupDescriptor group;
    group.grpid = ++id;
    group.nnsids = static_cast<std::uint32_t>(nsids.size());
    group.state_byte = static_cast<std::uint8_t>(state);
    append(log, group);
    for (const std::uint32_t nsid : nsids) append(log, Le32(nsid));
  }
  return log;
}

class NamespaceEventsTest : public LibraryTest {
 protected:
  /// Has the controller report that these changed.
  void report_changed(const Nsids& nsids) {
    spec::ChangedNamespaceListLog log;
    for (std::size_t i = 0; i < nsids.size(); i++) log.nsid[i] = nsids[i];
    std::vector<std::byte> bytes;
    append(bytes, log);
    simulation_.controller.logs[static_cast<std::uint8_t>(spec::LogPage::kChangedNamespaceList)] =
        bytes;
    send({spec::AsyncEventType::kNotice,
          static_cast<std::uint8_t>(spec::AsyncNotice::kNamespaceAttributeChanged),
          static_cast<std::uint8_t>(spec::LogPage::kChangedNamespaceList)});
  }
  void send(const spec::AsyncEvent& event) {
    simulation_.events.push_back(event.encode());
    simulation_.kick();
  }
  bool updated(int times) {
    return poll_until([&] { return update_count_ >= times; });
  }
  /// Which namespaces were identified.
  Nsids identified() const {
    Nsids nsids;
    for (const auto& sqe : simulation_.admin_seen) {
      if (sqe.admin_opcode() == AdminOpcode::kIdentify && (sqe.cdw10.get() & 0xff) == 0) {
        nsids.push_back(sqe.nsid.get());
      }
    }
    return nsids;
  }
  Nsids active() const {
    Nsids nsids;
    for (const Namespace* each : controller_->namespaces()) nsids.push_back(each->nsid());
    return nsids;
  }
};

TEST_F(NamespaceEventsTest, OnlyWhatTheChangedListNamesIsIdentifiedAgain) {
  simulation_.controller.nsids = {1, 2, 3, 4};
  attach();
  simulation_.admin_seen.clear();
  simulation_.controller.nsids = {1, 3, 4, 5};
  simulation_.controller.sizes = {{4, 5000}};
  report_changed({2, 4, 5});
  ASSERT_TRUE(updated(1));
  EXPECT_EQ(changed_, (Nsids{2, 4, 5}));
  EXPECT_EQ(updated_.added, Nsids{5});
  EXPECT_EQ(updated_.removed, Nsids{2});
  EXPECT_EQ(updated_.resized, Nsids{4});
  EXPECT_EQ(identified(), (Nsids{4, 5}));
  EXPECT_EQ(active(), (Nsids{1, 3, 4, 5}));
  EXPECT_EQ(controller_->find_namespace(4)->geometry().size_blocks, 5000u);
}

TEST_F(NamespaceEventsTest, AnOverflowedChangedListMeansLookingAtAll) {
  attach();
  simulation_.admin_seen.clear();
  simulation_.controller.nsids = {3, 7};
  report_changed({0xffffffff});
  ASSERT_TRUE(updated(1));
  EXPECT_TRUE(changed_.empty());
  EXPECT_EQ(identified(), (Nsids{3, 7}));
  EXPECT_EQ(active(), (Nsids{3, 7}));
}

TEST_F(NamespaceEventsTest, AFull1024EntryListIsReadWhole) {
  attach();
  Nsids many;
  for (std::uint32_t nsid = 1; nsid <= 1024; nsid++) many.push_back(nsid);
  simulation_.controller.nsids = many;
  report_changed(many);
  ASSERT_TRUE(updated(1));
  EXPECT_EQ(changed_, many);
  EXPECT_EQ(active(), many);
}

TEST_F(NamespaceEventsTest, WithoutReadingTheListAnyMayHaveChanged) {
  options_.read_changed_namespace_list = false;
  attach();
  simulation_.admin_seen.clear();
  simulation_.controller.nsids = {1};
  report_changed({3});
  ASSERT_TRUE(updated(1));
  EXPECT_EQ(updated_.removed, Nsids{3});
  for (const auto& sqe : simulation_.admin_seen) {
    EXPECT_NE(sqe.admin_opcode(), AdminOpcode::kGetLogPage);
  }
}

// As Linux's target does.
TEST_F(NamespaceEventsTest, ANamespaceThatIsAnnouncedBeforeItIsListedIsFound) {
  attach();
  int lists = 0;
  simulation_.script = [&](const Request& request, spec::CompletionEntry&) {
    if (request.sqe.admin_opcode() == AdminOpcode::kIdentify &&
        (request.sqe.cdw10.get() & 0xff) == 2) {
      lists++;
      if (lists == 3) simulation_.controller.nsids = {1, 3, 8};
    }
    return false;
  };
  report_changed({8});
  ASSERT_TRUE(updated(1));
  EXPECT_EQ(updated_.added, Nsids{8});
  EXPECT_EQ(lists, 3);
  EXPECT_EQ(active(), (Nsids{1, 3, 8}));
}

TEST_F(NamespaceEventsTest, ANamespaceThatNeverComesIsNotLookedForForEver) {
  AnnouncedNamespaces announced;
  const Nsids there = {1};
  announced.announce(Nsids{9, 1, 9});
  int looks = 0;
  Duration last{};
  for (announced.look_begins();; announced.look_begins()) {
    looks++;
    const std::optional<Duration> pause = announced.look_ended(there);
    if (!pause) break;
    EXPECT_EQ(announced.missing(), Nsids{9});
    EXPECT_GT(*pause, last);
    last = *pause;
    ASSERT_LT(looks, 10);
  }
  EXPECT_EQ(looks, 4);
  EXPECT_TRUE(announced.missing().empty());
  announced.announce(Nsids{9});
  announced.look_begins();
  EXPECT_TRUE(announced.look_ended(there).has_value()) << "another event counts anew";
}

TEST_F(NamespaceEventsTest, AListOfMoreThan1024NamespacesIsReadPageByPage) {
  simulation_.controller.nsids.clear();
  for (std::uint32_t nsid = 1; nsid <= 2500; nsid++) {
    simulation_.controller.nsids.push_back(nsid * 2);
  }
  attach();
  EXPECT_EQ(active(), simulation_.controller.nsids);
}

TEST_F(NamespaceEventsTest, AChangeWhileNamespacesAreLookedAtIsNotLost) {
  attach();
  bool second = false;
  simulation_.script = [&](const Request& request, spec::CompletionEntry&) {
    if (request.sqe.admin_opcode() == AdminOpcode::kIdentify && !second) {
      second = true;  // the first look has begun: its list is old at once
      report_changed({3, 9});
    }
    return false;
  };
  simulation_.controller.nsids = {1, 3, 8};
  report_changed({8});
  ASSERT_TRUE(updated(1));
  simulation_.controller.nsids = {1, 8, 9};
  ASSERT_TRUE(updated(2));
  EXPECT_EQ(active(), (Nsids{1, 8, 9}));
}

TEST_F(NamespaceEventsTest, ANamespaceThatVanishesWhileItIsIdentifiedIsNone) {
  attach();
  simulation_.controller.nsids = {1, 3, 4, 5};
  simulation_.controller.vanishing = {4};
  report_changed({4, 5});
  ASSERT_TRUE(updated(1));
  EXPECT_EQ(active(), (Nsids{1, 3, 5}));
  EXPECT_EQ(controller_->state(), ControllerState::kLive);
}

TEST_F(NamespaceEventsTest, AnIdentifyThatSaysInvalidNamespaceIsNoFailure) {
  simulation_.script = [](const Request& request, spec::CompletionEntry& entry) {
    if (request.sqe.admin_opcode() != AdminOpcode::kIdentify ||
        (request.sqe.cdw10.get() & 0xff) != 0 || request.sqe.nsid.get() != 3) {
      return false;
    }
    entry.set_status(spec::NvmeStatus::make(spec::GenericStatus::kInvalidNamespaceOrFormat, true));
    return true;
  };
  attach();
  EXPECT_EQ(active(), Nsids{1});
}

TEST_F(NamespaceEventsTest, AnotherIdentityBehindAnNsidIsAnotherNamespace) {
  simulation_.controller.nsids = {1};
  attach();
  Namespace* before = controller_->find_namespace(1);
  simulation_.controller.uuid_seed = 7;
  report_changed({1});
  ASSERT_TRUE(updated(1));
  EXPECT_EQ(updated_.removed, Nsids{1});
  EXPECT_EQ(updated_.added, Nsids{1});
  EXPECT_EQ(before->fate(), NamespaceFate::kReplaced);
  EXPECT_NE(before->inactive_reason().find(before->identity().uuid), std::string::npos)
      << before->inactive_reason();
}

TEST_F(NamespaceEventsTest, AnotherFormatIsAnotherNamespace) {
  simulation_.controller.nsids = {1};
  attach();
  Namespace* before = controller_->find_namespace(1);
  simulation_.controller.block_shift = 9;
  report_changed({1});
  ASSERT_TRUE(updated(1));
  EXPECT_EQ(before->fate(), NamespaceFate::kReplaced);
  EXPECT_NE(before->inactive_reason().find("4096"), std::string::npos) << before->inactive_reason();
  EXPECT_EQ(controller_->find_namespace(1)->geometry().block_size_bytes, 512u);
}

TEST_F(NamespaceEventsTest, ARescanDuringARescanComesAfterIt) {
  attach();
  int done = 0;
  const auto count = [&done](const Status& status) {
    EXPECT_TRUE(status);
    done++;
  };
  controller_->rescan(count);
  poll(2);
  simulation_.controller.nsids = {1};
  controller_->rescan(count);
  ASSERT_TRUE(poll_until([&done] { return done == 2; }));
  EXPECT_EQ(active(), Nsids{1});
}

TEST_F(NamespaceEventsTest, AResetEndsARescan) {
  attach();
  simulation_.hold_admin = true;
  std::optional<Status> result;
  controller_->rescan([&result](Status status) { result = std::move(status); });
  poll(3);
  simulation_.hold_admin = false;
  EXPECT_TRUE(reset());
  ASSERT_TRUE(poll_until([&result] { return result.has_value(); }));
  EXPECT_EQ(result->error().code, ErrorCode::kCancelled);
}

TEST_F(NamespaceEventsTest, ALostConnectionEndsRescansThatRunAndThatWait) {
  simulation_.controller.keep_alive_ms = 20;
  attach();
  simulation_.hold_admin = true;
  std::vector<Status> results;
  const auto keep = [&results](Status status) { results.push_back(std::move(status)); };
  controller_->rescan(keep);
  poll(3);
  controller_->rescan(keep);
  simulation_.fault = Fault::kDisconnect;  // of the next keep alive
  simulation_.strike_at = simulation_.asked;
  ASSERT_TRUE(poll_until([&results] { return results.size() == 2; }));
  for (const Status& status : results) EXPECT_FALSE(status);
  simulation_.hold_admin = false;
}

TEST_F(NamespaceEventsTest, AnaStatesAreReadAtFirstAndAfterAChange) {
  simulation_.controller.ana_log =
      ana_log({{spec::AnaState::kOptimized, {1}}, {spec::AnaState::kInaccessible, {3}}});
  attach();
  EXPECT_EQ(controller_->find_namespace(1)->ana_state(), spec::AnaState::kOptimized);
  EXPECT_EQ(controller_->find_namespace(3)->ana_state(), spec::AnaState::kInaccessible);
  simulation_.controller.ana_log =
      ana_log({{spec::AnaState::kNonOptimized, {1, 3}}, {spec::AnaState::kChange, {}}});
  send({spec::AsyncEventType::kNotice, static_cast<std::uint8_t>(spec::AsyncNotice::kAnaChange),
        static_cast<std::uint8_t>(spec::LogPage::kAna)});
  ASSERT_TRUE(poll_until([&] { return !events_.empty(); }));
  EXPECT_EQ(controller_->find_namespace(1)->ana_state(), spec::AnaState::kNonOptimized);
  EXPECT_EQ(controller_->find_namespace(3)->ana_state(), spec::AnaState::kNonOptimized);
}

TEST_F(NamespaceEventsTest, AnAnaLogThatIsNotToBeReadLeavesOptimized) {
  options_.read_ana_log = false;
  simulation_.controller.ana_log = ana_log({{spec::AnaState::kInaccessible, {1, 3}}});
  attach();
  EXPECT_EQ(controller_->find_namespace(3)->ana_state(), spec::AnaState::kOptimized);
}

TEST_F(NamespaceEventsTest, ALongAnaLogIsReadInPieces) {
  Nsids many;
  for (std::uint32_t nsid = 1; nsid <= 50000; nsid++) many.push_back(nsid);
  simulation_.controller.ana_log = ana_log({{spec::AnaState::kInaccessible, many}});
  attach();
  EXPECT_EQ(controller_->find_namespace(3)->ana_state(), spec::AnaState::kInaccessible);
  EXPECT_EQ(controller_->profile().ana_groups.at(0).nsids.size(), many.size());
}

TEST_F(NamespaceEventsTest, SupportedLogPagesAndFeaturesAreAsTheControllerListsThem) {
  spec::SupportedLogPagesLog pages;
  pages.lids[static_cast<std::size_t>(spec::LogPage::kFeatureEffects)] = 1;
  pages.lids[static_cast<std::size_t>(spec::LogPage::kPersistentEvent)] = 1;
  append(simulation_.controller.logs[0], pages);
  spec::SupportedLogPagesLog features;
  features.lids[static_cast<std::size_t>(spec::FeatureId::kTimestamp)] = 1;
  append(simulation_.controller.logs[static_cast<std::uint8_t>(spec::LogPage::kFeatureEffects)],
         features);
  attach();
  EXPECT_TRUE(controller_->supports(spec::LogPage::kPersistentEvent));
  EXPECT_FALSE(controller_->supports(spec::LogPage::kSmartHealth));
  EXPECT_TRUE(controller_->supports(spec::FeatureId::kTimestamp));
  EXPECT_FALSE(controller_->supports(spec::FeatureId::kArbitration));
}

TEST_F(NamespaceEventsTest, WithoutThatListIdentifyDecides) {
  attach();
  EXPECT_TRUE(controller_->supports(spec::LogPage::kSmartHealth));
  EXPECT_TRUE(controller_->supports(spec::LogPage::kChangedNamespaceList));
  EXPECT_FALSE(controller_->supports(spec::LogPage::kAna));
  EXPECT_TRUE(controller_->supports(spec::FeatureId::kNumberOfQueues));
  EXPECT_TRUE(controller_->supports(spec::FeatureId::kKeepAliveTimer));
  EXPECT_FALSE(controller_->supports(spec::FeatureId::kVolatileWriteCache));
}

}  // namespace
}  // namespace nvublk::nvme
