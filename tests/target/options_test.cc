#include "target/options.h"

#include <string>

#include <gtest/gtest.h>

namespace nvublk::target {
namespace {

TEST(NamespaceOptions, ReadsFormatsAndZones) {
  const auto options = NamespaceOptions::parse(
      "size=64M,bs=512,ms=16,pi=2,pi-first,noiob=96,zsze=1M,zcap=768K,mor=4,mar=6");
  ASSERT_TRUE(options) << options.error().text;
  EXPECT_EQ(options->metadata_bytes, 16u);
  EXPECT_EQ(options->protection_type, 2);
  EXPECT_TRUE(options->protection_first);
  EXPECT_EQ(options->boundary_blocks, 96);
  EXPECT_EQ(options->zone_bytes, 1u << 20);
  EXPECT_EQ(options->zone_capacity_bytes, 768u << 10);
  EXPECT_EQ(options->max_open_zones, 4u);
  EXPECT_EQ(options->max_active_zones, 6u);
}

TEST(NamespaceOptions, WhatDoesNotFitTogetherIsRefusedWithTheReason) {
  const std::pair<std::string, std::string> cases[] = {
      {"size=64M,bs=700", "block size"},
      {"size=1500,bs=512", "multiple of the block size"},
      {"size=64M,ms=4", "metadata"},
      {"size=64M,ms=8,pi=4", "types"},
      {"size=64M,pi=1", "metadata"},
      {"size=64M,ms=8,file=/tmp/x", "memory"},
      {"size=64M,zsze=1M,file=/tmp/x", "memory"},
      {"size=64M,zcap=1M", "zsze"},
      {"size=64M,mor=1", "zsze"},
      {"size=64M,zsze=1M,zcap=2M", "zcap"},
      {"size=64M,zsze=1001K,bs=4096", "whole blocks"},
      {"size=63M,zsze=2M", "multiple"},
      {"zsze=2M", "multiple"},
      {"size=64M,zsze=1M,mar=3", "mor"},
      {"size=64M,zsze=1M,mor=4,mar=3", "mor"},
      {"size=64M,zsze=1M,ms=8", "ms"},
  };
  for (const auto& [text, reason] : cases) {
    const auto options = NamespaceOptions::parse(text);
    ASSERT_TRUE(options) << text;
    const Status status = options->check();
    ASSERT_FALSE(status) << text;
    EXPECT_NE(status.error().text.find(reason), std::string::npos)
        << text << ": " << status.error().text;
  }
  EXPECT_TRUE(NamespaceOptions::parse("size=64M,zsze=1M,mor=3")->check());
  EXPECT_TRUE(NamespaceOptions::parse("size=64M,ms=8,pi=3")->check());
}

TEST(Options, TextsFitWhereIdentifyHasThem) {
  Options options;
  options.serial = std::string(20, 's');
  options.model = std::string(40, 'm');
  EXPECT_TRUE(options.check());
  options.serial += 's';
  ASSERT_FALSE(options.check());
  EXPECT_NE(options.check().error().text.find("20 characters"), std::string::npos);
  options.serial.clear();
  options.model += 'm';
  ASSERT_FALSE(options.check());
  EXPECT_NE(options.check().error().text.find("40 characters"), std::string::npos);
}

TEST(Options, TheLargestTransferIsOneThatMdtsCanSay) {
  Options options;
  options.max_transfer_bytes = 4096;
  EXPECT_FALSE(options.check()) << "MDTS 0 would be no limit";
  options.max_transfer_bytes = 8192;
  EXPECT_TRUE(options.check());
}

}  // namespace
}  // namespace nvublk::target
