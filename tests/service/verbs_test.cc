#include "service/verbs.h"

#include <cstring>
#include <optional>

#include <gtest/gtest.h>

#include "nvme/base64.h"
#include "service/fake_frontends.h"
#include "service/identify_report.h"
#include "service/shard_pool.h"
#include "service/temporary_folder.h"
#include "target/target.h"

namespace nvublk::service {
namespace {

constexpr char kHost[] = "nqn.2026-01.io.nvublk:verbs-host";

std::string keys_of(const Json& object) {
  std::string text;
  for (const auto& [key, value] : object.items()) {
    text += (text.empty() ? "" : " ") + key;
  }
  return text;
}

class VerbsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pool = ShardPool::start({.io_shards = 1, .mode = IdleMode::kInterrupt});
    ASSERT_TRUE(pool.has_value()) << pool.error().text;
    pool_ = std::move(*pool);
    frontends_ = std::make_unique<test::FakeFrontends>(pool_->control());
    attachments_ =
        std::make_unique<Attachments>(pool_->set(), *frontends_, identities_, folder_.path());
    verbs_ = std::make_unique<Verbs>(
        pool_->set(), *attachments_,
        [this](Verbs::CallId id, Result<Json> answer) { answers_.emplace(id, std::move(answer)); });
    target::Options options;
    options.listen = {{"127.0.0.1", 0}};
    options.namespaces = {{.size_bytes = 1 << 20}, {.size_bytes = 2 << 20}};
    target_ = std::make_unique<target::Target>(options);
    ASSERT_TRUE(target_->start().has_value());
  }
  void TearDown() override {
    verbs_->begin_shutdown();
    bool gone = false;
    attachments_->detach_all(true, [&gone](const Attachments::Detached&) { gone = true; });
    turn_until([&] { return gone && attachments_->empty() && verbs_->idle(); });
    verbs_.reset();
    attachments_.reset();
    frontends_.reset();
    pool_.reset();
  }
  void attach() {
    AttachRequest request;
    request.controller.transport.id = {nvme::Trtype::kTcp, nvme::Adrfam::kIpv4, "127.0.0.1",
                                       std::to_string(target_->port()), target_->options().subnqn};
    request.hostnqn = kHost;
    std::optional<Status> outcome;
    ASSERT_TRUE(
        attachments_->attach(request, [&outcome](Status status) { outcome = std::move(status); })
            .has_value());
    turn_until([&] { return outcome.has_value(); });
    ASSERT_TRUE(outcome->has_value()) << outcome->error().text;
  }
  template <typename Predicate>
  void turn_until(Predicate done) {
    const Instant give_up = Clock::now() + seconds(60);
    while (!done()) {
      ASSERT_LT(Clock::now(), give_up);
      pool_->control().reactor().turn(false);
    }
  }
  Result<Json> call(const std::string& method, const Json& params) {
    const Verbs::CallId id = next_id_++;
    EXPECT_TRUE(verbs_->call(id, method, params));
    turn_until([&] { return answers_.contains(id); });
    const auto found = answers_.find(id);
    return found == answers_.end() ? fail(ErrorCode::kTimeout, "no answer") : found->second;
  }
  Json must(const std::string& method, const Json& params) {
    const auto answer = call(method, params);
    EXPECT_TRUE(answer.has_value()) << method << ": " << answer.error().text;
    return answer.value_or(Json::object());
  }
  Json discovery_params() const {
    return Json{{"transport", "tcp"},
                {"traddr", "127.0.0.1"},
                {"trsvcid", std::to_string(target_->port())},
                {"hostnqn", kHost}};
  }

  test::TemporaryFolder folder_;
  HostIdentitySource identities_{HostIdentityPaths{.hostnqn = folder_ / "hostnqn",
                                                   .hostid = folder_ / "hostid",
                                                   .dmi_uuid = folder_ / "uuid",
                                                   .kept_directory = folder_.path()}};
  std::unique_ptr<target::Target> target_;
  std::unique_ptr<ShardPool> pool_;
  std::unique_ptr<test::FakeFrontends> frontends_;
  std::unique_ptr<Attachments> attachments_;
  std::unique_ptr<Verbs> verbs_;
  std::map<Verbs::CallId, Result<Json>> answers_;
  Verbs::CallId next_id_ = 1;
};

TEST_F(VerbsTest, IdCtrlHasNvmeClisFields) {
  attach();
  const Json report = must("id-ctrl", {{"target", "nvublk0"}});
  EXPECT_EQ(keys_of(report),
            "vid ssvid sn mn fr rab ieee cmic mdts cntlid ver rtd3r rtd3e oaes ctratt rrls "
            "cntrltype fguid crdt1 crdt2 crdt3 nvmsr vwci mec oacs acl aerl frmw lpa elpe npss "
            "avscc apsta wctemp cctemp mtfa hmpre hmmin tnvmcap unvmcap rpmbs edstt dsto fwug kas "
            "hctma mntmt mxtmt sanicap hmminds hmmaxd nsetidmax endgidmax anatt anacap anagrpmax "
            "nanagrpid pels domainid megcap sqes cqes maxcmd nn oncs fuses fna vwc awun awupf "
            "icsvscc nwpc acwu ocfs sgls mnan maxdna maxcna subnqn ioccsz iorcsz icdoff fcatt "
            "msdbd ofcs psds");
  EXPECT_EQ(report["subnqn"], target_->options().subnqn);
  EXPECT_EQ(report["sn"].get<std::string>().size(), 20U);
  EXPECT_EQ(report["mn"].get<std::string>().size(), 40U);
  const Json raw = must("id-ctrl", {{"target", "/dev/fake-nvublk0n1"}, {"raw", true}});
  const auto bytes = nvme::from_base64(raw.value("data", std::string()));
  ASSERT_TRUE(bytes.has_value());
  EXPECT_EQ(bytes->size(), 4096U);
}

TEST_F(VerbsTest, IdNsTakesTheNamespaceOfTheDevice) {
  attach();
  const Json second = must("id-ns", {{"target", "nvublk0n2"}});
  EXPECT_EQ(second["nsid"], 2);
  const Json first = must("id-ns", {{"target", "nvublk0n2"}, {"namespace-id", 1}});
  EXPECT_EQ(first["nsze"].get<std::uint64_t>() * 2, second["nsze"].get<std::uint64_t>());
  for (const char* key : {"ncap", "nuse", "nsfeat", "nlbaf", "flbas", "mc", "dpc", "dps", "nmic",
                          "rescap", "fpi", "dlfeat", "nvmcap", "eui64", "nguid", "lbafs"}) {
    EXPECT_TRUE(first.contains(key)) << key;
  }
  EXPECT_EQ(keys_of(first["lbafs"][0]), "ms ds rp");
  const auto neither = call("id-ns", {{"target", "nvublk0"}});
  ASSERT_FALSE(neither.has_value());
  EXPECT_NE(neither.error().text.find("--namespace-id"), std::string::npos);
  const auto inactive = call("id-ns", {{"target", "nvublk0"}, {"namespace-id", 9}});
  ASSERT_FALSE(inactive.has_value());
}

TEST_F(VerbsTest, ListsNamespacesFromAnId) {
  attach();
  EXPECT_EQ(must("list-ns", {{"target", "nvublk0"}})["nsid_list"],
            (Json::array({{{"nsid", 1}}, {{"nsid", 2}}})));
  EXPECT_EQ(must("list-ns", {{"target", "nvublk0"}, {"namespace-id", 2}})["nsid_list"],
            (Json::array({{{"nsid", 2}}})));
}

TEST_F(VerbsTest, ReadsLogs) {
  attach();
  const Json smart = must("smart-log", {{"target", "nvublk0"}});
  EXPECT_EQ(smart["temperature"], 298);
  EXPECT_EQ(smart["avail_spare"], 100);
  ASSERT_FALSE(call("get-feature", {{"target", "nvublk0"}, {"feature-id", 0x99}}).has_value());
  const Json errors = must("error-log", {{"target", "nvublk0"}, {"log-entries", 2}})["errors"];
  ASSERT_EQ(errors.size(), 2U);
  EXPECT_EQ(keys_of(errors[0]),
            "error_count sqid cmdid status_field phase_tag parm_error_location lba nsid vs trtype "
            "csi opcode cs trtype_spec_info log_page_version");
  // Do not retry, Invalid Field.
  EXPECT_EQ(errors[0]["status_field"].get<unsigned>() & 0x7ff, 2U);
  const auto ana = call("ana-log", {{"target", "nvublk0"}});
  ASSERT_FALSE(ana.has_value());
  EXPECT_EQ(ana.error().code, ErrorCode::kUnsupported);
}

TEST_F(VerbsTest, ReadsFeatures) {
  attach();
  const Json queues = must("get-feature", {{"target", "nvublk0"}, {"feature-id", 7}});
  EXPECT_EQ(queues["name"], "Number of Queues");
  EXPECT_EQ(queues["select"], "Current");
  EXPECT_EQ(queues["value"], 0);  // one of each, 0's based
  const Json able = must("get-feature", {{"target", "nvublk0"}, {"feature-id", 6}, {"sel", 3}});
  EXPECT_EQ(able["capabilities"], Json::array({"changeable"}));
  const Json same = must("get-feature", {{"target", "nvublk0"}, {"feature-id", 6}, {"sel", 8}});
  EXPECT_EQ(same["changed"], false);
  EXPECT_EQ(same["select"], "Current");
  // Set Features, of the volatile write cache.
  must("admin-passthru", {{"target", "nvublk0"}, {"opcode", 9}, {"cdw10", 6}, {"cdw11", 0}});
  const Json other = must("get-feature", {{"target", "nvublk0"}, {"feature-id", 6}, {"sel", 8}});
  EXPECT_EQ(other["changed"], true);
  EXPECT_EQ(other["value"], 0);
  const auto refused = call("get-feature", {{"target", "nvublk0"}, {"feature-id", 0x99}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kNvmeStatus);
  EXPECT_EQ(refused.error().step, "get features");
}

TEST_F(VerbsTest, ShowsTheVendorsPartWhenAsked) {
  attach();
  const Json controller = must("id-ctrl", {{"target", "nvublk0"}, {"vendor-specific", true}});
  EXPECT_EQ(nvme::from_base64(controller["vs"].get<std::string>()).value().size(), 1024U);
  const Json block = must("id-ns", {{"target", "nvublk0n1"}, {"vendor-specific", true}});
  EXPECT_EQ(nvme::from_base64(block["vs"].get<std::string>()).value().size(), 3712U);
  EXPECT_FALSE(must("id-ctrl", {{"target", "nvublk0"}}).contains("vs"));
}

TEST_F(VerbsTest, MetadataOfItsOwnNeedsALocalDrive) {
  attach();
  const auto refused =
      call("io-passthru",
           {{"target", "nvublk0n1"}, {"opcode", 2}, {"data-len", 4096}, {"metadata-len", 8}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  const auto admin = call("admin-passthru", {{"target", "nvublk0"},
                                             {"opcode", 6},
                                             {"cdw10", 1},
                                             {"data-len", 4096},
                                             {"metadata-len", 8}});
  ASSERT_FALSE(admin.has_value());
  EXPECT_EQ(admin.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(call("io-passthru", {{"target", "nvublk0n1"}, {"opcode", 1}, {"metadata", "AAAA"}})
                .error()
                .code,
            ErrorCode::kInvalidArgument)
      << "longer than metadata-len";
}

TEST_F(VerbsTest, PassesAdminCommandsThrough) {
  attach();
  const Json whole = must("id-ctrl", {{"target", "nvublk0"}, {"raw", true}});
  const Json passed = must(
      "admin-passthru", {{"target", "nvublk0"}, {"opcode", 6}, {"cdw10", 1}, {"data-len", 4096}});
  EXPECT_EQ(passed["result"], 0);
  EXPECT_EQ(passed["data"], whole["data"]);
  const auto unknown = call("admin-passthru", {{"target", "nvublk0"}, {"opcode", 0xc0}});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kNvmeStatus);
}

TEST_F(VerbsTest, PassesIoCommandsThroughInBothDirections) {
  attach();
  const Json block = must("id-ns", {{"target", "nvublk0n1"}});
  const std::size_t size =
      std::size_t{1} << block["lbafs"][block["flbas"].get<unsigned>() & 0xf]["ds"].get<unsigned>();
  std::vector<std::byte> pattern(size);
  for (std::size_t i = 0; i < size; i++) {
    pattern[i] = static_cast<std::byte>(i * 7);
  }
  must("io-passthru",
       {{"target", "nvublk0n1"}, {"opcode", 1}, {"cdw10", 3}, {"data", nvme::to_base64(pattern)}});
  const Json read = must("io-passthru", {{"target", "nvublk0"},
                                         {"namespace-id", 1},
                                         {"opcode", 2},
                                         {"cdw10", 3},
                                         {"data-len", size}});
  EXPECT_EQ(nvme::from_base64(read["data"].get<std::string>()), pattern);
  const auto beyond =
      call("io-passthru",
           {{"target", "nvublk0n1"}, {"opcode", 2}, {"cdw10", 0x7fffffff}, {"data-len", size}});
  ASSERT_FALSE(beyond.has_value());
  EXPECT_EQ(beyond.error().code, ErrorCode::kNvmeStatus);
}

TEST_F(VerbsTest, RefusesWhatIsTheDaemonsOwn) {
  attach();
  for (const int opcode : {0x00, 0x01, 0x04, 0x05, 0x0c, 0x7c, 0x7f}) {
    const auto answer = call("admin-passthru", {{"target", "nvublk0"}, {"opcode", opcode}});
    ASSERT_FALSE(answer.has_value()) << opcode;
    EXPECT_EQ(answer.error().code, ErrorCode::kUnsupported) << opcode;
  }
  EXPECT_EQ(call("io-passthru", {{"target", "nvublk0"}, {"opcode", 0x7f}}).error().code,
            ErrorCode::kUnsupported);
}

TEST_F(VerbsTest, ChecksArguments) {
  attach();
  const Json wrong[] = {
      {{"target", "nvublk0"}},
      {{"target", "nvublk0"}, {"opcode", 256}},
      {{"target", "nvublk0"}, {"opcode", 6}, {"data-len", Verbs::kMaxDataBytes + 1}},
      {{"target", "nvublk0"}, {"opcode", 6}, {"cdw10", 1ULL << 32}},
      {{"target", "nvublk0"}, {"opcode", 0x80}, {"data-len", 4}},
      {{"target", "nvublk0"}, {"opcode", 6}, {"data", "AAAA"}},
      {{"target", "nvublk0"}, {"opcode", 9}, {"data", "A"}},
      {{"target", "nvublk0"}, {"opcode", 6}, {"cdw16", 1}},
      {{"opcode", 6}},
      {{"target", "nvublk0"}, {"opcode", 6}, {"data-len", 4092}},
      {{"target", "nvublk0"}, {"opcode", 2}, {"cdw10", 0x7f0002}, {"data-len", 508}},
  };
  for (const Json& params : wrong) {
    const auto answer = call("admin-passthru", params);
    ASSERT_FALSE(answer.has_value()) << params;
    EXPECT_EQ(answer.error().code, ErrorCode::kInvalidArgument) << params;
  }
  const auto short_read = call(
      "io-passthru", {{"target", "nvublk0n1"}, {"opcode", 2}, {"cdw12", 1}, {"data-len", 512}});
  ASSERT_FALSE(short_read.has_value());
  EXPECT_EQ(short_read.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(call("id-ctrl", {{"target", "nvublk7"}}).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(verbs_->call(99, "frobnicate", Json::object()));
}

TEST_F(VerbsTest, ResetsAndRescans) {
  attach();
  EXPECT_EQ(must("reset", {{"target", "nvublk0"}})["controller"], "nvublk0");
  EXPECT_EQ(must("ns-rescan", {{"target", "nvublk0"}})["nsid_list"],
            (Json::array({{{"nsid", 1}}, {{"nsid", 2}}})));
  must("id-ctrl", {{"target", "nvublk0"}});
}

TEST_F(VerbsTest, DiscoversWithoutAttaching) {
  const Json report = must("discover", discovery_params());
  EXPECT_EQ(keys_of(report), "genctr records");
  ASSERT_EQ(report["records"].size(), 1U);
  const Json& record = report["records"][0];
  EXPECT_EQ(keys_of(record),
            "trtype adrfam subtype treq portid trsvcid subnqn traddr eflags sectype");
  EXPECT_EQ(record["subnqn"], target_->options().subnqn);
  EXPECT_EQ(record["subtype"], "nvme subsystem");
  EXPECT_EQ(record["trsvcid"], std::to_string(target_->port()));
  EXPECT_TRUE(attachments_->empty());
  turn_until([this] { return target_->controllers().empty(); });
}

TEST_F(VerbsTest, ADiscoveryKeepsAliveIfThatIsWished) {
  for (const unsigned wanted : {0u, 7u}) {
    Json params = discovery_params();
    if (wanted != 0) {
      params["keep_alive_tmo"] = wanted;
    }
    std::optional<std::uint32_t> kato_ms;
    EXPECT_TRUE(verbs_->call(1, "discover", params));
    turn_until([&] {
      for (const target::ControllerInfo& controller : target_->controllers()) {
        kato_ms = controller.kato_ms;
      }
      return answers_.contains(1);
    });
    EXPECT_TRUE(answers_.at(1));
    EXPECT_EQ(kato_ms, wanted * 1000);
    answers_.erase(1);
  }
}

TEST_F(VerbsTest, ADiscoveryLogMayBeHadAsBytes) {
  Json params = discovery_params();
  const Json report = must("discover", params);
  params["raw"] = true;
  const auto bytes = nvme::from_base64(must("discover", params)["data"].get<std::string>());
  ASSERT_TRUE(bytes);
  ASSERT_EQ(bytes->size(), 2048U);
  nvme::spec::DiscoveryLogHeader header;
  std::memcpy(&header, bytes->data(), sizeof(header));
  EXPECT_EQ(header.genctr.get(), report["genctr"]);
  EXPECT_EQ(header.numrec.get(), 1U);
  nvme::spec::DiscoveryLogEntry entry;
  std::memcpy(&entry, bytes->data() + sizeof(header), sizeof(entry));
  EXPECT_EQ(entry.trtype, 3);
}

TEST_F(VerbsTest, DiscoveryEndsWhenNobodyWaitsForIt) {
  EXPECT_TRUE(verbs_->call(1, "discover", discovery_params()));
  verbs_->abandoned(1);
  turn_until([this] { return answers_.contains(1); });
  EXPECT_EQ(answers_.at(1).error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(verbs_->idle());
  verbs_->begin_shutdown();
  EXPECT_EQ(call("discover", discovery_params()).error().code, ErrorCode::kCancelled);
}

TEST_F(VerbsTest, DiscoverySaysWhyNobodyAnswers) {
  Json params = discovery_params();
  target_.reset();
  const auto answer = call("discover", params);
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kUnreachable);
}

TEST_F(VerbsTest, CommandsOfADetachedControllerEnd) {
  attach();
  EXPECT_TRUE(verbs_->call(500, "io-passthru",
                           {{"target", "nvublk0"}, {"namespace-id", 1}, {"opcode", 0}}));
  attachments_->detach("nvublk0", true, [](const Attachments::Detached&) {});
  turn_until([this] { return answers_.contains(500) && attachments_->empty(); });
}

}  // namespace
}  // namespace nvublk::service
