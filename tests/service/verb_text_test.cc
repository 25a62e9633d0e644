#include "service/verb_text.h"

#include <vector>

#include <gtest/gtest.h>

#include "nvme/base64.h"
#include "nvme/spec/text.h"
#include "service/discovery_report.h"
#include "service/feature_bits.h"
#include "service/field_bits.h"
#include "service/identify_report.h"
#include "service/log_report.h"
#include "service/passthrough_text.h"
#include "service/wide_number.h"

namespace nvublk::service {
namespace {

std::vector<std::byte> bytes(std::string_view text) {
  const auto span = std::as_bytes(std::span(text));
  return {span.begin(), span.end()};
}

// The vectors of RFC 4648 §10.
TEST(Base64, WritesAndReadsTheVectorsOfItsRfc) {
  const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : cases) {
    EXPECT_EQ(nvme::to_base64(bytes(plain)), encoded);
    EXPECT_EQ(nvme::from_base64(encoded), bytes(plain));
  }
  for (const char* wrong : {"Z", "Zg=", "====", "Zg=g", "Z\ng=", "Zm9*"}) {
    EXPECT_FALSE(nvme::from_base64(wrong).has_value()) << wrong;
  }
}

TEST(WideNumber, KeepsEveryDigit) {
  constexpr std::uint64_t kAll = 0xffffffffffffffff;
  EXPECT_EQ(wide_text({Le64(0), Le64(0)}), "0");
  EXPECT_EQ(wide_text({Le64(kAll), Le64(0)}), "18446744073709551615");
  EXPECT_EQ(wide_text({Le64(0), Le64(1)}), "18446744073709551616");
  EXPECT_EQ(wide_text({Le64(kAll), Le64(kAll)}), "340282366920938463463374607431768211455");
  nvme::spec::SmartLog log;
  log.data_units_read = {Le64(kAll), Le64(kAll)};
  log.data_units_written = {Le64((1ULL << 53) + 1), Le64(0)};
  const std::string text = to_pretty_wide(smart_log_report(log));
  EXPECT_NE(text.find("\"data_units_read\": 340282366920938463463374607431768211455,\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("\"data_units_written\": 9007199254740993,\n"), std::string::npos) << text;
}

TEST(FieldBits, SayWhatTheBitsMeanAsNvmeCliDoes) {
  EXPECT_EQ(controller_field_bits("cmic", 0x1a),
            "  [7:4] : 0x1\tReserved\n  [3:3] : 0x1\tANA supported\n  [2:2] : 0\tPCI\n"
            "  [1:1] : 0x1\tMulti Controller\n  [0:0] : 0\tSingle Port\n\n");
  EXPECT_EQ(controller_field_bits("frmw", 3),
            "  [5:5] : 0\tMultiple FW or Boot Update Detection Not Supported\n"
            "  [4:4] : 0\tFirmware Activate Without Reset Not Supported\n"
            "  [3:1] : 0x1\tNumber of Firmware Slots\n"
            "  [0:0] : 0x1\tFirmware Slot 1 Read-Only\n\n");
  EXPECT_EQ(controller_field_bits("sqes", 0x66),
            "  [7:4] : 0x6\tMax SQ Entry Size (64)\n  [3:0] : 0x6\tMin SQ Entry Size (64)\n\n");
  EXPECT_EQ(controller_field_bits("wctemp", 343),
            " [15:0] : 70°C (343 Kelvin)\tWarning Composite Temperature Threshold (WCTEMP)\n\n");
  EXPECT_EQ(controller_field_bits("vwc", 1),
            "  [2:1] : 0\tSupport for the NSID field set to FFFFFFFFh is not indicated\n"
            "  [0:0] : 0x1\tVolatile Write Cache Present\n\n");
  EXPECT_EQ(controller_field_bits("sgls", 0),
            " [15:8] : 0\tSGL Descriptor Threshold\n"
            " [1:0]  : 0\tScatter-Gather Lists Not Supported\n\n");
  EXPECT_NE(
      controller_field_bits("sgls", 0x100005).find(" [20:20]: 0x1\tAddress Offsets Supported"),
      std::string::npos);
  EXPECT_EQ(controller_field_bits("cntrltype", 1),
            "  [7:2] : 0\tReserved\n  [1:0] : 0x1\tI/O Controller\n");
  EXPECT_EQ(controller_field_bits("mdts", 5), "") << "a number says it all";
  EXPECT_EQ(controller_field_bits("sn", "text"), "");
  EXPECT_EQ(namespace_field_bits("dps", 9),
            "  [3:3] : 0x1\tProtection Information is Transferred as First 8 Bytes of Metadata\n"
            "  [2:0] : 0x1\tProtection Information Type 1 Enabled\n\n");
  EXPECT_EQ(namespace_field_bits("fpi", 0x80 | 25),
            "  [7:7] : 0x1\tFormat Progress Indicator Supported\n"
            "  [6:0] : 0x19\tFormat Progress Indicator (Remaining 25%)\n\n");
  EXPECT_EQ(namespace_field_bits("nsze", 25), "");
}

TEST(FieldBits, AreShownOnlyWhenTheyAreAskedFor) {
  const Json report = id_ctrl_report(nvme::spec::IdentifyController{});
  EXPECT_EQ(verb_text("id-ctrl", "x", report).find("[0:0]"), std::string::npos);
  EXPECT_NE(verb_text("id-ctrl", "x", report, true).find("oncs      : 0\n  [8:8] : 0\tCopy Not"),
            std::string::npos);
  nvme::spec::IdentifyNamespace block;
  block.lbaf[0].lbads = 12;
  EXPECT_NE(verb_text("id-ns", "x", id_ns_report(block), true)
                .find("LBA Format  0 : Metadata Size: 0   bytes - Data Size: 4096 bytes - Relative "
                      "Performance: 0 Best (in use)\n"),
            std::string::npos);
}

TEST(WideNumber, OtherTextStaysText) {
  const Json report{{"sn", "123"}, {"list", Json::array({Json{{"nvmcap", "7"}}, Json::array()})}};
  EXPECT_EQ(to_pretty_wide(report),
            "{\n  \"sn\": \"123\",\n  \"list\": [\n    {\n      \"nvmcap\": 7\n    },\n    []\n"
            "  ]\n}");
  EXPECT_EQ(Json::parse(to_pretty_wide(report))["sn"], "123");
}

TEST(VerbText, ControllersReadAsInNvmeCli) {
  nvme::spec::IdentifyController controller;
  controller.vid = std::uint16_t{0x1b36};
  nvme::spec::fill_text(controller.sn, "serial", ' ');
  controller.ieee = {0x00, 0x54, 0x52};
  controller.ver = 0x10400u;
  controller.psd[0].mp = std::uint16_t{2500};
  controller.psd[0].enlat = 16u;
  controller.psd[0].exlat = 4u;
  const std::string text = verb_text("id-ctrl", "nvublk0", id_ctrl_report(controller));
  for (const char* line :
       {"NVME Identify Controller:\n", "\nvid       : 0x1b36\n", "\nssvid     : 0\n",
        "\nsn        : serial              \n", "\nieee      : 525400\n", "\nver       : 0x10400\n",
        "\nps      0 : mp:25.00W operational enlat:16 exlat:4 rrt:0 rrl:0\n"
        "            rwt:0 rwl:0 idle_power:- active_power:-\n"
        "            active_power_workload:-\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
  }
}

TEST(VerbText, NamespacesReadAsInNvmeCli) {
  nvme::spec::IdentifyNamespace block;
  block.nsze = std::uint64_t{0x20000};
  block.ncap = std::uint64_t{0x20000};
  block.nlbaf = 1;
  block.flbas = 1;
  block.lbaf[0].lbads = 9;
  block.lbaf[1].lbads = 12;
  Json report = id_ns_report(block);
  report["nsid"] = 3;
  const std::string text = verb_text("id-ns", "nvublk0", report);
  for (const char* line :
       {"NVME Identify Namespace 3:\n", "\nnsze    : 0x20000\n", "\nanagrpid: 0\n",
        "\nlbaf  0 : ms:0   lbads:9  rp:0\n", "\nlbaf  1 : ms:0   lbads:12 rp:0 (in use)\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
  }
  // What was not asked for is not there. [NVM 1.1 §4.1.5.1, NSFEAT.OPTPERF]
  EXPECT_FALSE(report.contains("npwg"));
  block.nsfeat = 0x10;
  EXPECT_TRUE(id_ns_report(block).contains("npwg"));
}

TEST(VerbText, FeaturesShowValuesAndData) {
  const Json report{{"feature", 6},
                    {"name", "Volatile Write Cache"},
                    {"select", "Current"},
                    {"value", 1},
                    {"data", "QUI="}};
  EXPECT_EQ(verb_text("get-feature", "nvublk0", report),
            "get-feature:0x06 (Volatile Write Cache), Current value:0x00000001\n"
            "       0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f\n"
            "0000: 41 42" +
                std::string(14 * 3, ' ') + " \"AB\"\n");
}

TEST(VerbText, FeaturesAreExplainedAsInNvmeCli) {
  Json report{
      {"feature", 7}, {"name", "Number of Queues"}, {"select", "Current"}, {"value", 0x0003000f}};
  EXPECT_EQ(verb_text("get-feature", "nvublk0", report, true),
            "get-feature:0x07 (Number of Queues), Current value:0x0003000f\n"
            "\tNumber of IO Completion Queues Allocated (NCQA): 4\n"
            "\tNumber of IO Submission Queues Allocated (NSQA): 16\n");
  report["changed"] = true;
  EXPECT_NE(verb_text("get-feature", "nvublk0", report), "");
  report["changed"] = false;
  EXPECT_EQ(verb_text("get-feature", "nvublk0", report), "") << "nothing to tell";
  EXPECT_EQ(feature_bits(4, 0x00110157, {}),
            "\tThreshold Type Select         (THSEL): 1 - Under Temperature Threshold\n"
            "\tThreshold Temperature Select (TMPSEL): 1 - Temperature Sensor 1\n"
            "\tTemperature Threshold         (TMPTH): 70 °C (343 Kelvin)\n");
  EXPECT_EQ(feature_bits(1, 0x02010007, {}),
            "\tHigh Priority Weight   (HPW): 3\n\tMedium Priority Weight (MPW): 2\n"
            "\tLow Priority Weight    (LPW): 1\n\tArbitration Burst       (AB): No limit\n");
  EXPECT_NE(feature_bits(0xb, 1u << 31, {})
                .find("\tDiscovery Log Page Change Notices                         : Send async "
                      "event\n"),
            std::string::npos);
  const std::vector<std::byte> transitions(16, std::byte{0x11});
  EXPECT_NE(
      feature_bits(0xc, 1, transitions)
          .find("\tEntry[ 1]   \n\t.................\n\tIdle Time Prior to Transition (ITPT): "
                "1118481 ms\n\tIdle Transition Power State   (ITPS): 2\n"),
      std::string::npos);
  EXPECT_EQ(feature_bits(0xc0, 1, {}), "") << "a vendor's";
  // No feature and no value trips it.
  for (unsigned feature = 0; feature < 256; feature++) {
    feature_bits(static_cast<std::uint8_t>(feature), 0xffffffff, {});
  }
}

TEST(VerbText, CriticalWarningsAreExplainedAsInNvmeCli) {
  nvme::spec::SmartLog log;
  log.critical_warning = 0x12;
  const Json report = smart_log_report(log);
  const std::string text = verb_text("smart-log", "nvublk0", report, true);
  EXPECT_NE(text.find(": 0x12\n"
                      "      Available Spare[0]             : 0\n"
                      "      Temp. Threshold[1]             : 1\n"
                      "      NVM subsystem Reliability[2]   : 0\n"
                      "      Read-only[3]                   : 0\n"
                      "      Volatile mem. backup failed[4] : 1\n"
                      "      Persistent Mem. RO[5]          : 0\n"),
            std::string::npos)
      << text;
  EXPECT_EQ(verb_text("smart-log", "nvublk0", report).find("Read-only"), std::string::npos);
}

TEST(VerbText, TheSmartLogSaysWhoseItIs) {
  const Json report = smart_log_report(nvme::spec::SmartLog{});
  EXPECT_TRUE(verb_text("smart-log", "nvublk0", report)
                  .starts_with("Smart Log for NVME device:nvublk0 namespace-id:ffffffff\n"));
  EXPECT_TRUE(verb_text("smart-log", "nvublk0", report, false, 26)
                  .starts_with("Smart Log for NVME device:nvublk0 namespace-id:1a\n"));
}

TEST(VerbText, ErrorsReadAsInNvmeCli) {
  nvme::spec::ErrorLogEntry entry;
  entry.error_count = std::uint64_t{3};
  entry.cid = std::uint16_t{0x10};
  entry.status_field = std::uint16_t{2 << 1 | 1};
  entry.parameter_error_location = std::uint16_t{0xffff};
  entry.trtype = 3;
  const Json report = error_log_report(std::as_bytes(std::span(&entry, 1)));
  EXPECT_EQ(report["errors"][0]["parm_error_location"], 0xffff);
  const std::string text = verb_text("error-log", "nvublk0", report);
  EXPECT_TRUE(
      text.starts_with("Error Log Entries for device:nvublk0 entries:1\n"
                       ".................\n Entry[ 0]   \n.................\n"
                       "error_count     : 3\nsqid            : 0\n"
                       "cmdid           : 0x10\nstatus_field    : 0x2(INVALID_FIELD)\n"
                       "phase_tag       : 0x1\nparm_err_loc    : 0xffff\n"
                       "lba             : 0\nnsid            : 0\n"
                       "vs              : 0\ntrtype          : TCP Transport error.\n"))
      << text;
}

TEST(PassthroughText, ShowsACommandsFieldsAsNvmeCliDoes) {
  const Json params{{"opcode", 2}, {"namespace-id", 26}, {"data-len", 4096}, {"metadata-len", 8}};
  EXPECT_TRUE(show_command_text(params).starts_with(
      "opcode       : 02\nflags        : 00\nrsvd1        : 0000\nnsid         : 0000001a\n"
      "cdw2         : 00000000\ncdw3         : 00000000\ndata_len     : 00001000\n"
      "metadata_len : 00000008\naddr         : 0\nmetadata     : 0\ncdw10        : 00000000\n"));
}

TEST(VerbText, TheVendorsPartIsShownAsBytes) {
  nvme::spec::IdentifyController controller;
  Json report = id_ctrl_report(controller);
  const std::string without = verb_text("id-ctrl", "nvublk0", report);
  report["vs"] = "QUI=";
  const std::string with = verb_text("id-ctrl", "nvublk0", report);
  EXPECT_EQ(with, without + "vs[]:\n" + hex_dump(bytes("AB")));
}

TEST(DiscoveryReport, ShowsReferralsAndWhatCannotBeRead) {
  nvme::spec::DiscoveryLogEntry entry;
  entry.trtype = 3;
  entry.adrfam = 1;
  entry.subtype = 1;
  entry.treq = 4;
  nvme::spec::fill_text(entry.traddr, "192.0.2.7", ' ');
  nvme::spec::fill_text(entry.subnqn, "nqn.2014-08.org.nvmexpress.discovery", '\0');
  nvme::TransportId id;
  id.traddr = "192.0.2.7";
  const Json report =
      discovery_report({{id, 5, {entry}}, {id, 6, {}}},
                       {{id, Error::make(ErrorCode::kTimeout, "it does not answer")}});
  EXPECT_EQ(report["genctr"], 5);
  EXPECT_EQ(report["records"][0]["subtype"], "discovery subsystem referral");
  EXPECT_EQ(report["records"][0]["treq"], "not specified, sq flow control disable supported");
  EXPECT_EQ(report["records"][0]["traddr"], "192.0.2.7");
  ASSERT_EQ(report["referrals"].size(), 2U);
  EXPECT_EQ(report["referrals"][0]["genctr"], 6);
  EXPECT_EQ(report["referrals"][1]["error"], "it does not answer");
  const std::string text = discovery_text(report);
  EXPECT_NE(text.find("Discovery Log Number of Records 1, Generation counter 5\n"
                      "=====Discovery Log Entry 0======\ntrtype:  tcp\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("it does not answer"), std::string::npos) << text;
}

// Codes that no specification defines must not index anything.
TEST(DiscoveryReport, SurvivesUnknownCodes) {
  nvme::spec::DiscoveryLogEntry entry;
  for (const unsigned trtype : {1u, 3u, 255u}) {
    entry.trtype = static_cast<std::uint8_t>(trtype);
    entry.adrfam = entry.subtype = entry.treq = 255;
    entry.eflags = std::uint16_t{0xffff};
    entry.tsas.fill(255);
    const Json record = discovery_record(entry);
    EXPECT_EQ(record["adrfam"], "unrecognized");
    EXPECT_EQ(record["subtype"], "unrecognized");
    EXPECT_EQ(record["eflags"], "unrecognized");
  }
}

}  // namespace
}  // namespace nvublk::service
