#include "service/attach_request.h"

#include <gtest/gtest.h>

namespace nvublk::service {
namespace {

constexpr char kKey[] = "DHHC-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:";

constexpr char kTlsKey[] = "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";

Json minimal() {
  return Json{
      {"transport", "tcp"}, {"traddr", "192.0.2.1"}, {"nqn", "nqn.2026-01.org.example:disk"}};
}

std::string refusal(const Json& params) {
  auto request = AttachRequest::from_params(params);
  EXPECT_FALSE(request.has_value()) << params.dump();
  return request ? "" : request.error().text;
}

TEST(AttachRequest, FillsInTheDefaultPort) {
  const auto request = AttachRequest::from_params(minimal());
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->controller.transport.id.trsvcid, "4420");
}

TEST(AttachRequest, SurvivesTheWayThroughJson) {
  AttachRequest request;
  request.controller.transport.id = {nvme::Trtype::kTcp, nvme::Adrfam::kNone, "192.0.2.1", "4421",
                                     "nqn.2026-01.org.example:disk"};
  request.controller.transport.host_traddr = "192.0.2.2";
  request.controller.transport.host_trsvcid = "5000";
  request.controller.transport.host_iface = "eth0";
  request.controller.transport.tos = 4;
  request.controller.transport.header_digest = true;
  request.controller.transport.data_digest = true;
  request.controller.name = "disk";
  request.controller.io_queues = 2;
  request.controller.queue_size = 64;
  request.controller.keep_alive = seconds(9);
  request.controller.reconnect_delay = seconds(3);
  request.controller.ctrl_loss_timeout = seconds(-1);
  request.controller.fast_io_fail_timeout = seconds(20);
  request.controller.dhchap_key = nvme::DhchapKey::parse(kKey).value();
  request.controller.dhchap_ctrlr_key = request.controller.dhchap_key;
  request.controller.tls_key = nvme::TlsKey::parse(kTlsKey).value();
  request.controller.tls_identity_version = 1;
  request.hostnqn = "nqn.2026-01.org.example:host";
  request.hostid = "7a1b2c3d-0000-4000-8000-000000000001";
  request.nsids = {2, 5};
  request.frontend = FrontendWish::kUblk;
  request.first_id = 7;
  request.queues = 1;
  request.depth = 32;
  request.read_only = true;
  request.hotplug = false;
  const auto read = AttachRequest::from_params(request.to_params());
  ASSERT_TRUE(read.has_value()) << read.error().text;
  EXPECT_EQ(read->to_params(), request.to_params());
  EXPECT_EQ(read->controller.dhchap_key.text(), kKey);
  EXPECT_EQ(read->controller.dhchap_ctrlr_key.text(), kKey);
  EXPECT_EQ(read->controller.tls_key.text(), kTlsKey);
  EXPECT_EQ(read->controller.tls_identity_version, 1u);
}

TEST(AttachRequest, TlsKeysAreForTcpAndNotRepeated) {
  Json params = minimal();
  EXPECT_FALSE(AttachRequest::from_params(params)->to_params().contains("tls_key"));
  params["tls_key"] = std::string(kTlsKey) + "x";
  EXPECT_NE(refusal(params).find("tls_key"), std::string::npos);
  EXPECT_EQ(refusal(params).find("VRLb"), std::string::npos);
  params["tls_key"] = kTlsKey;
  EXPECT_TRUE(AttachRequest::from_params(params));
  params["tls_identity_version"] = 2;
  EXPECT_NE(refusal(params).find("tls_identity_version"), std::string::npos);
  params.erase("tls_identity_version");
  params["transport"] = "rdma";
  EXPECT_NE(refusal(params).find("the transport tcp"), std::string::npos);
  const Json drive{{"transport", "pcie"}, {"traddr", "0000:01:00.0"}, {"tls_key", kTlsKey}};
  EXPECT_NE(refusal(drive).find("the transport tcp"), std::string::npos);
}

TEST(AttachRequest, KeysAreCheckedAndNotRepeated) {
  Json params = minimal();
  EXPECT_FALSE(AttachRequest::from_params(params)->to_params().contains("dhchap_secret"));
  params["dhchap_ctrl_secret"] = kKey;
  EXPECT_NE(refusal(params).find("--dhchap-secret"), std::string::npos);
  params["dhchap_secret"] = std::string(kKey) + "x";
  EXPECT_NE(refusal(params).find("dhchap_secret"), std::string::npos);
  EXPECT_EQ(refusal(params).find("AAEC"), std::string::npos);
  params["dhchap_secret"] = kKey;
  EXPECT_TRUE(AttachRequest::from_params(params));
  const Json drive{{"transport", "pcie"}, {"traddr", "0000:01:00.0"}, {"dhchap_secret", kKey}};
  EXPECT_NE(refusal(drive).find("local drives"), std::string::npos);
}

TEST(AttachRequest, HotPlugIsForLocalDrives) {
  AttachRequest request;
  request.controller.transport.id = {nvme::Trtype::kPcie, nvme::Adrfam::kNone, "0000:01:00.0"};
  request.hotplug = true;
  const auto local = AttachRequest::from_params(request.to_params());
  ASSERT_TRUE(local.has_value()) << local.error().text;
  EXPECT_TRUE(local->hotplug);
  request.controller.transport.id = {nvme::Trtype::kTcp, nvme::Adrfam::kNone, "192.0.2.1", "4420",
                                     "nqn.2026-01.org.example:disk"};
  EXPECT_FALSE(AttachRequest::from_params(request.to_params()));
}

TEST(AttachRequest, SaysWhichParameterIsWrong) {
  const std::pair<const char*, Json> cases[] = {
      {"transport", 5},
      {"traddr", Json::array()},
      {"traddr", std::string("a\0b", 3)},
      {"trsvcid", 4420},
      {"nr_io_queues", -1},
      {"nr_io_queues", 0},
      {"nr_io_queues", 65536},
      {"queue_size", 15},
      {"queue_size", 1025},
      {"keep_alive_tmo", 1e30},
      {"reconnect_delay", 0},
      {"ctrl_loss_tmo", -2},
      {"fast_io_fail_tmo", "x"},
      {"cmb_queues", "on"},
      {"hdr_digest", 1},
      {"tos", 256},
      {"nsid", 1},
      {"nsid", Json::array({0})},
      {"nsid", Json::array({1, 0xffffffff})},
      {"nsid", Json::array({"1"})},
      {"id", -1},
      {"id", 1048577},
      {"frontend", "nbd"},
      {"depth", 0},
      {"depth", 18446744073709551615ULL},
      {"read_only", "yes"},
      {"queues", 1.5},
      {"queues", 0},
      {"queues", 4097},
  };
  for (const auto& [key, value] : cases) {
    Json params = minimal();
    params[key] = value;
    EXPECT_NE(refusal(params).find(key), std::string::npos) << key << ": " << refusal(params);
  }
}

TEST(AttachRequest, SaysInWhichRangeANumberIs) {
  const std::pair<const char*, const char*> cases[] = {
      {"nr_io_queues", "\"nr_io_queues\" must be a whole number from 1 to 65535"},
      {"queue_size", "\"queue_size\" must be a whole number from 16 to 1024"},
      {"nsid", "\"nsid\" must be a list of whole numbers from 1 to 4294967294"},
      {"id", "\"id\" must be a whole number from 0 to 1048576"},
      {"queues", "\"queues\" must be a whole number from 1 to 4096"},
      {"depth", "\"depth\" must be a whole number from 1 to 1024"},
      {"tos", "\"tos\" must be a whole number from -1 to 255"},
  };
  for (const auto& [key, text] : cases) {
    Json params = minimal();
    params[key] = -7;
    EXPECT_EQ(refusal(params), text);
  }
}

TEST(AttachRequest, WhatIsNotAskedForIsLeftOut) {
  const Json params = AttachRequest::from_params(minimal())->to_params();
  for (const char* key : {"id", "queues", "nr_io_queues"}) {
    EXPECT_FALSE(params.contains(key)) << key;
  }
}

TEST(AttachRequest, RefusesParametersThatThereAreNot) {
  Json params = minimal();
  params["hdr-digest"] = true;
  EXPECT_EQ(refusal(params), "there is no parameter \"hdr-digest\"");
}

TEST(AttachRequest, SharedReceiveQueuesAreForRdma) {
  Json params = minimal();
  params["shared_receive_queue"] = true;
  EXPECT_EQ(refusal(params), "--shared-receive-queue is for RDMA (-t rdma)");
  params["transport"] = "rdma";
  EXPECT_TRUE(AttachRequest::from_params(params));
}

TEST(AttachRequest, QueuesInADrivesMemoryAreForLocalDrives) {
  Json params = minimal();
  params["cmb_queues"] = true;
  EXPECT_EQ(refusal(params), "--cmb-queues is for local drives (-t pcie)");
}

TEST(AttachRequest, WhatOnlyTargetsHaveIsNotForLocalDrives) {
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, Json>>{
           {"hdr_digest", true}, {"data_digest", true}, {"tos", 8}, {"host_traddr", "192.0.2.7"}}) {
    Json params{{"transport", "pcie"}, {"traddr", "0000:01:00.0"}};
    ASSERT_TRUE(AttachRequest::from_params(params));
    params[name] = value;
    EXPECT_NE(refusal(params).find("is for targets"), std::string::npos) << name;
  }
}

TEST(AttachRequest, NeedsASubsystem) {
  Json params = minimal();
  params.erase("nqn");
  EXPECT_NE(refusal(params).find("NQN"), std::string::npos);
}

TEST(AttachRequest, NamesOfControllersAreNoPathsAndNoNqns) {
  for (const char* name : {"disk", "nvublk0", "a.b-c_d", "A"}) {
    EXPECT_TRUE(check_controller_name(name).has_value()) << name;
  }
  for (const char* name : {"", "/dev/x", "a b", "..", ".a", "-a", "nqn.x", "\xc3\xa4",
                           "123456789012345678901234567890123"}) {
    EXPECT_FALSE(check_controller_name(name).has_value()) << name;
  }
}

}  // namespace
}  // namespace nvublk::service
