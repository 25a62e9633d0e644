#include "perf/options.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/cpus.h"

namespace nvublk::perf {
namespace {

using testing::ElementsAre;

constexpr char kHostKey[] = "DHHC-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:";

int parse(std::vector<std::string> words, Options& options) {
  words.insert(words.begin(), "nvublk-perf");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return parse_command_line(static_cast<int>(argv.size()), argv.data(), options);
}

TEST(PerfOptions, Cores) {
  EXPECT_THAT(*parse_cores("0x5"), ElementsAre(0, 2));
  EXPECT_THAT(*parse_cores("3"), ElementsAre(0, 1)) << "a mask also without 0x, as SPDK has it";
  EXPECT_THAT(*parse_cores("[3]"), ElementsAre(3));
  EXPECT_THAT(*parse_cores("[4,0-2,1]"), ElementsAre(0, 1, 2, 4));
  for (const char* bad : {"", "0", "0x", "zz", "[]", "[1-]", "[2-1]", "[1,,2]", "[99999]", "[1"}) {
    EXPECT_FALSE(parse_cores(bad)) << bad;
  }
}

TEST(PerfOptions, Sizes) {
  EXPECT_EQ(*parse_size("512"), 512u);
  EXPECT_EQ(*parse_size("128K"), 128u << 10);
  EXPECT_EQ(*parse_size("3M"), 3u << 20);
  EXPECT_EQ(*parse_size("1G"), 1u << 30);
  EXPECT_EQ(*parse_size("4k"), 4096u) << "as SPDK has it";
  EXPECT_EQ(*parse_size("3m"), 3u << 20);
  EXPECT_EQ(*parse_size("1g"), 1u << 30);
  for (const char* bad : {"", "0", "K", "4G", "-1", "1k2", "4294967296"}) {
    EXPECT_FALSE(parse_size(bad)) << bad;
  }
}

TEST(PerfOptions, PatternsAndTheirShareOfReads) {
  Options options;
  options.read_percent = 30;
  struct Row {
    const char* name;
    bool random;
    unsigned reads;
  };
  const Row rows[] = {{"read", false, 100},   {"write", false, 0}, {"randread", true, 100},
                      {"randwrite", true, 0}, {"rw", false, 30},   {"randrw", true, 30}};
  for (const auto& row : rows) {
    options.pattern = *parse_pattern(row.name);
    EXPECT_EQ(pattern_name(options.pattern), row.name);
    EXPECT_EQ(options.random(), row.random) << row.name;
    EXPECT_EQ(options.reads(), row.reads) << row.name;
  }
  EXPECT_FALSE(parse_pattern("trim"));
}

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

TEST(PerfOptions, ShortAndLongNamesMeanTheSame) {
  const int core = usable_cpus().front();
  std::ostringstream mask;
  mask << std::hex << (std::uint64_t{1} << core);
  std::vector<std::string> words =
      words_of("-q 8 -o 4K -w randrw -M 70 -t 5 -c 0x" + mask.str() +
               " -P 2 -LL -d 9 -a 1 -m 3 -k 7 -H -I -Q 10 "
               "-S " +
               std::string(kHostKey) + " -C " + kHostKey + " -r nvme+tcp://127.0.0.1/x -r");
  words.push_back("trtype:TCP traddr:127.0.0.2 subnqn:y ns:2");
  Options brief;
  ASSERT_EQ(parse(words, brief), -1);
  Options full;
  ASSERT_EQ(parse(words_of("--io-depth 8 --io-size 4096 --io-pattern randrw --rwmixread 70 "
                           "--time 5 --core-mask [" +
                           std::to_string(core) +
                           "] --num-qpairs 2 --number-ios 9 "
                           "--warmup-time 1 --max-completions 3 --keepalive 7 "
                           "--enable-tcp-hdgst --enable-tcp-ddgst --continue-on-error 10 "
                           "--enable-sw-latency-tracking --json --verify --hostnqn h "
                           "--dhchap-secret " +
                           std::string(kHostKey) + " --dhchap-ctrl-secret " + kHostKey +
                           " "
                           "--transport nvme+tcp://127.0.0.1/x"),
                  full),
            -1);
  for (const Options* each : {&brief, &full}) {
    EXPECT_EQ(each->depth, 8u);
    EXPECT_EQ(each->io_size_bytes, 4096u);
    EXPECT_EQ(each->reads(), 70u);
    EXPECT_EQ(each->time, seconds(5));
    EXPECT_THAT(each->cores, ElementsAre(core));
    EXPECT_EQ(each->queue_pairs, 2u);
    EXPECT_EQ(each->number_ios, 9u);
    EXPECT_EQ(each->warmup, seconds(1));
    EXPECT_EQ(each->max_completions, 3u);
    EXPECT_EQ(each->keep_alive, milliseconds(7));
    EXPECT_TRUE(each->header_digest && each->data_digest);
    EXPECT_EQ(each->continue_on_error, 10u);
    EXPECT_EQ(each->keys.dhchap_secret, kHostKey);
    EXPECT_EQ(each->keys.dhchap_ctrl_secret, kHostKey);
  }
  EXPECT_EQ(brief.latency, 2u);
  EXPECT_EQ(full.latency, 1u);
  EXPECT_TRUE(full.json && full.verify);
  ASSERT_EQ(brief.targets.size(), 2u);
  EXPECT_EQ(brief.targets[1].extras.nsid, 2u);
  EXPECT_EQ(full.hostnqn, "h");
}

TEST(PerfOptions, WhatCannotRunIsRefused) {
  const std::vector<std::string> good =
      words_of("-q 1 -o 512 -w read -t 1 -r nvme+tcp://127.0.0.1/x");
  Options options;
  ASSERT_EQ(parse(good, options), -1);
  const std::pair<const char*, const char*> changes[] = {
      {"-q", "0"}, {"-q", "4097"},    {"-o", "json"}, {"-w", "erase"},  {"-M", "101"},
      {"-t", "0"}, {"-r", "nowhere"}, {"-c", "[]"},   {"-c", "[1000]"}, {"-P", "0"},
  };
  for (const auto& [option, value] : changes) {
    std::vector<std::string> words = good;
    const auto found = std::ranges::find(words, option);
    if (found == words.end()) {
      words.insert(words.end(), {option, value});
    } else {
      *(found + 1) = value;
    }
    Options unused;
    EXPECT_EQ(parse(words, unused), 2) << option << " " << value;
  }
  Options unused;
  EXPECT_EQ(parse({"-q", "1"}, unused), 2);
  Options local;
  EXPECT_EQ(parse(words_of("-q 1 -o 512 -w read -t 1"), local), -1);
  EXPECT_TRUE(local.targets.empty());
  EXPECT_THAT(local.cores, ElementsAre(usable_cpus().front()));
  EXPECT_EQ(parse({"--help"}, unused), 0);
  EXPECT_EQ(parse({"--version"}, unused), 0);
}

}  // namespace
}  // namespace nvublk::perf
