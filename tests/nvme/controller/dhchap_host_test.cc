// The host's side of DH-HMAC-CHAP against the target's, which is other code; and against what no
// controller should send.

#include "nvme/dhchap_host.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "target/authentication.h"

namespace nvublk::nvme {
namespace {

using spec::AuthFailureReason;
using spec::DhchapGroup;
using spec::DhchapHash;
using Action = StepAction<DhchapAction>;
using Event = StepEvent<DhchapOutcome>;
using Message = std::vector<std::uint8_t>;

constexpr char kHost[] = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
constexpr char kSubsystem[] = "nqn.2026-01.io.nvublk:target";

DhchapKey key_of(std::size_t bytes, std::optional<DhchapHash> hash, unsigned char fill) {
  return DhchapKey::make(std::vector<std::byte>(bytes, std::byte{fill}), hash).value();
}

// Both sides, and what is sent in between.
struct Exchange {
  DhchapKey key = key_of(32, DhchapHash::kSha256, 1);
  DhchapKey ctrlr_key = {};
  DhchapKey key_of_target = key;
  DhchapKey ctrlr_key_of_target = {};
  DhchapHash hash = DhchapHash::kSha256;
  DhchapGroup group = DhchapGroup::kNull;
  std::vector<DhchapHash> hashes{DhchapHash::kSha256, DhchapHash::kSha384, DhchapHash::kSha512};
  std::vector<DhchapGroup> groups{DhchapGroup::kNull,      DhchapGroup::kFfdhe2048,
                                  DhchapGroup::kFfdhe3072, DhchapGroup::kFfdhe4096,
                                  DhchapGroup::kFfdhe6144, DhchapGroup::kFfdhe8192};
  /// Changes a message of the target's.
  std::function<void(Message&)> tamper = [](Message&) {};

  std::unique_ptr<DhchapHost> host;
  std::unique_ptr<target::Authentication> target;
  std::vector<Message> sent;
  Action action;

  void begin() {
    DhchapParameters parameters{.hostnqn = kHost,
                                .subnqn = kSubsystem,
                                .key = key,
                                .ctrlr_key = ctrlr_key,
                                .hashes = hashes,
                                .groups = groups,
                                .transaction = 0x1234,
                                .step_limit = seconds(5)};
    host = std::make_unique<DhchapHost>(std::move(parameters));
    target::DhchapHostOptions options;
    options.hostnqn = kHost;
    options.key = target::DhchapKey::parse(key_of_target.text()).value();
    if (!ctrlr_key_of_target.empty()) {
      options.ctrl_key = target::DhchapKey::parse(ctrlr_key_of_target.text()).value();
    }
    target = std::make_unique<target::Authentication>(options, kSubsystem,
                                                      target::DhchapPreference{hash, group});
    action = host->start(Instant{});
  }

  DhchapOutcome perform() {
    const auto message = action.payload.message;
    switch (action.payload.kind) {
      case DhchapAction::Kind::kSend: {
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(message.data());
        sent.emplace_back(bytes, bytes + message.size());
        target->send(sent.back());
        return {};
      }
      case DhchapAction::Kind::kReceive: {
        Message received = target->receive();
        EXPECT_LE(received.size(), message.size());
        tamper(received);
        received.resize(std::min(received.size(), message.size()));
        std::memcpy(message.data(), received.data(), received.size());
        return {};
      }
      case DhchapAction::Kind::kCalculate: {
        auto answer = host->calculation().run();
        if (!answer) return {answer.error()};
        host->answer(std::move(*answer));
        return {};
      }
    }
    return {};
  }

  // True when it waits at `step`.
  bool run_to(std::size_t step) {
    begin();
    while (host->running() && host->step() != step) {
      action = host->advance(Event::of(perform()), Instant{});
    }
    return host->running();
  }
  void run() { run_to(DhchapHost::rows().size()); }
  std::string text() const { return host->failed() ? host->reason().text : "no failure"; }
  // What the host told the target at last, if it was AUTH_Failure2; else 0.
  int told() const {
    const Message& last = sent.back();
    return last[0] == 0 && last[1] == spec::kAuthFailure2 ? last[7] : 0;
  }
};

// Targets may take the first that they have.
TEST(DhchapHost, OffersTheStrongestFirst) {
  const Result<DhchapParameters> parameters = dhchap_parameters(ControllerOptions{});
  ASSERT_TRUE(parameters);
  EXPECT_TRUE(std::ranges::is_sorted(parameters->hashes, std::ranges::greater{}));
  EXPECT_TRUE(std::ranges::is_sorted(parameters->groups, std::ranges::greater{}));
  EXPECT_EQ(parameters->hashes.size(), 3U);
  EXPECT_EQ(parameters->groups.size(), 6U);
}

TEST(DhchapHost, AuthenticatesWithEveryHashAndGroup) {
  for (const DhchapHash hash : Exchange{}.hashes) {
    for (const DhchapGroup group : Exchange{}.groups) {
      for (const bool bidirectional : {false, true}) {
        SCOPED_TRACE(std::string(dhchap_hash_name(hash)) + " " +
                     std::string(dhchap_group_name(group)) + (bidirectional ? " both" : ""));
        Exchange exchange;
        exchange.hash = hash;
        exchange.group = group;
        if (bidirectional) {
          exchange.ctrlr_key = exchange.ctrlr_key_of_target = key_of(48, DhchapHash::kSha384, 9);
        }
        exchange.run();
        ASSERT_TRUE(exchange.host->done()) << exchange.text();
        EXPECT_TRUE(exchange.target->done());
        EXPECT_EQ(exchange.host->result().hash, hash);
        EXPECT_EQ(exchange.host->result().group, group);
        EXPECT_EQ(exchange.host->result().bidirectional, bidirectional);
        EXPECT_EQ(exchange.sent.size(), bidirectional ? 3u : 2u);
      }
    }
  }
}

TEST(DhchapHost, KeysAreTransformedByTheirOwnHash) {
  for (const auto& [bytes, hash] :
       std::vector<std::pair<std::size_t, std::optional<DhchapHash>>>{{32, std::nullopt},
                                                                      {48, std::nullopt},
                                                                      {64, std::nullopt},
                                                                      {32, DhchapHash::kSha512},
                                                                      {64, DhchapHash::kSha256}}) {
    Exchange exchange;
    exchange.hash = DhchapHash::kSha384;
    exchange.key = exchange.key_of_target = key_of(bytes, hash, 3);
    exchange.run();
    EXPECT_TRUE(exchange.host->done()) << bytes << exchange.text();
  }
}

TEST(DhchapHost, OffersOnlyWhatIsWished) {
  Exchange exchange;
  exchange.hash = DhchapHash::kSha256;
  exchange.group = DhchapGroup::kNull;
  exchange.hashes = {DhchapHash::kSha512};
  exchange.groups = {DhchapGroup::kFfdhe3072, DhchapGroup::kFfdhe2048};
  exchange.run();
  ASSERT_TRUE(exchange.host->done()) << exchange.text();
  EXPECT_EQ(exchange.host->result().hash, DhchapHash::kSha512);
  EXPECT_EQ(exchange.host->result().group, DhchapGroup::kFfdhe3072);
}

TEST(DhchapHost, AWrongKeyIsToldByTheTarget) {
  for (const DhchapGroup group : {DhchapGroup::kNull, DhchapGroup::kFfdhe2048}) {
    Exchange exchange;
    exchange.group = group;
    exchange.key_of_target = key_of(32, DhchapHash::kSha256, 2);
    exchange.run();
    ASSERT_TRUE(exchange.host->failed());
    EXPECT_EQ(exchange.host->reason().code, ErrorCode::kPermission);
    EXPECT_EQ(exchange.host->reason().step, "receive DH-HMAC-CHAP_Success1");
    EXPECT_NE(exchange.text().find("AUTH_Failure1: authentication failed"), std::string::npos);
    EXPECT_NE(exchange.text().find("--dhchap-secret"), std::string::npos);
    EXPECT_EQ(exchange.told(), 0) << "it knows";
    EXPECT_FALSE(exchange.target->done());
  }
}

TEST(DhchapHost, AControllerWithAnotherKeyIsRefused) {
  Exchange exchange;
  exchange.ctrlr_key = key_of(32, std::nullopt, 5);
  exchange.ctrlr_key_of_target = key_of(32, std::nullopt, 6);
  exchange.run();
  ASSERT_TRUE(exchange.host->failed());
  EXPECT_EQ(exchange.host->reason().step, "receive DH-HMAC-CHAP_Success1");
  EXPECT_NE(exchange.text().find("--dhchap-ctrl-secret"), std::string::npos) << exchange.text();
  EXPECT_EQ(exchange.told(), static_cast<int>(AuthFailureReason::kFailed));
  EXPECT_FALSE(exchange.target->done());
}

// Every step x every fault: it fails closed and names the step.
TEST(DhchapHost, FailsClosedAtEveryStep) {
  const auto rows = DhchapHost::rows();
  for (std::size_t step = 0; step < rows.size(); step++) {
    for (const std::string fault : {"disconnect", "deadline", "error status"}) {
      SCOPED_TRACE(std::string(rows[step].name) + ", " + fault);
      Exchange exchange;
      exchange.group = DhchapGroup::kFfdhe2048;
      exchange.ctrlr_key = exchange.ctrlr_key_of_target = key_of(32, std::nullopt, 5);
      const bool told = rows[step].name == std::string("send AUTH_Failure2");
      if (told) exchange.ctrlr_key_of_target = key_of(32, std::nullopt, 6);
      ASSERT_TRUE(exchange.run_to(step));
      const Error error = Error::make(ErrorCode::kNvmeStatus, "x");
      exchange.action =
          exchange.host->advance(fault == "disconnect" ? Event::disconnected(error)
                                 : fault == "deadline" ? Event::deadline()
                                                       : Event::of(DhchapOutcome{error}),
                                 Instant{});
      if (exchange.host->running()) {
        EXPECT_EQ(exchange.host->step_name(), std::string("send AUTH_Failure2"));
        exchange.action = exchange.host->advance(Event::of(exchange.perform()), Instant{});
      }
      ASSERT_TRUE(exchange.host->failed());
      EXPECT_EQ(exchange.host->reason().step,
                told ? "receive DH-HMAC-CHAP_Success1" : rows[step].name);
      EXPECT_FALSE(exchange.text().empty());
    }
  }
}

struct Nonsense {
  std::string what;
  std::function<void(Message&)> tamper;
  AuthFailureReason reason;
};

template <typename T>
void set(Message& message, std::size_t offset, T value) {
  std::memcpy(message.data() + offset, &value, sizeof(value));
}

void expect_refused(const Nonsense& nonsense, DhchapGroup group, std::uint8_t id,
                    const char* step) {
  SCOPED_TRACE(nonsense.what);
  Exchange exchange;
  exchange.group = group;
  exchange.ctrlr_key = exchange.ctrlr_key_of_target = key_of(32, std::nullopt, 5);
  exchange.tamper = [&nonsense, id](Message& message) {
    if (message[0] == 1 && message[1] == id) nonsense.tamper(message);
  };
  exchange.run();
  ASSERT_TRUE(exchange.host->failed());
  EXPECT_EQ(exchange.host->reason().step, step);
  EXPECT_EQ(exchange.told(), static_cast<int>(nonsense.reason)) << exchange.text();
  EXPECT_FALSE(exchange.target->done());
}

TEST(DhchapHost, NonsenseOfAChallengeIsRefused) {
  using Reason = AuthFailureReason;
  const std::vector<Nonsense> all = {
      {"zeroes", [](Message& m) { std::ranges::fill(m, std::uint8_t{0}); },
       Reason::kIncorrectMessage},
      {"ones", [](Message& m) { std::ranges::fill(m, std::uint8_t{0xff}); },
       Reason::kIncorrectMessage},
      {"nothing", [](Message& m) { m.clear(); }, Reason::kIncorrectMessage},
      {"another message", [](Message& m) { m[1] = spec::kDhchapSuccess1; },
       Reason::kIncorrectMessage},
      {"a common message", [](Message& m) { m[0] = 0; }, Reason::kIncorrectMessage},
      {"T_ID", [](Message& m) { m[4] ^= 1; }, Reason::kIncorrectPayload},
      {"HL 0", [](Message& m) { m[6] = 0; }, Reason::kIncorrectPayload},
      {"HL 255", [](Message& m) { m[6] = 255; }, Reason::kIncorrectPayload},
      {"HL of another hash", [](Message& m) { m[6] = 48; }, Reason::kIncorrectPayload},
      {"no hash", [](Message& m) { m[8] = 0; }, Reason::kHashUnusable},
      {"unknown hash", [](Message& m) { m[8] = 4; }, Reason::kHashUnusable},
      {"unknown group", [](Message& m) { m[9] = 6; }, Reason::kGroupUnusable},
      {"no DH value", [](Message& m) { set<std::uint16_t>(m, 10, 0); }, Reason::kIncorrectPayload},
      {"DH value too long", [](Message& m) { set<std::uint16_t>(m, 10, 257); },
       Reason::kIncorrectPayload},
      {"DH value beyond the buffer", [](Message& m) { set<std::uint16_t>(m, 10, 0xffff); },
       Reason::kIncorrectPayload},
      {"DH value without a group", [](Message& m) { m[9] = 0; }, Reason::kIncorrectPayload},
      {"DH value 0", [](Message& m) { std::fill(m.begin() + 48, m.end(), std::uint8_t{0}); },
       Reason::kIncorrectPayload},
      {"DH value 1",
       [](Message& m) {
         std::fill(m.begin() + 48, m.end(), std::uint8_t{0});
         m.back() = 1;
       },
       Reason::kIncorrectPayload},
      {"DH value beyond the prime",
       [](Message& m) { std::fill(m.begin() + 48, m.end(), std::uint8_t{0xff}); },
       Reason::kIncorrectPayload},
      {"sequence number 0", [](Message& m) { set<std::uint32_t>(m, 12, 0); },
       Reason::kIncorrectPayload},
  };
  for (const Nonsense& nonsense : all) {
    const bool computed = nonsense.what == "DH value 0" || nonsense.what == "DH value 1" ||
                          nonsense.what == "DH value beyond the prime";
    expect_refused(nonsense, DhchapGroup::kFfdhe2048, spec::kDhchapChallenge,
                   computed ? "compute DH-HMAC-CHAP response" : "receive DH-HMAC-CHAP_Challenge");
  }
}

TEST(DhchapHost, NonsenseOfASuccessIsRefused) {
  using Reason = AuthFailureReason;
  const std::vector<Nonsense> all = {
      {"zeroes", [](Message& m) { std::ranges::fill(m, std::uint8_t{0}); },
       Reason::kIncorrectMessage},
      {"another message", [](Message& m) { m[1] = spec::kDhchapChallenge; },
       Reason::kIncorrectMessage},
      {"T_ID", [](Message& m) { m[5] ^= 0x80; }, Reason::kIncorrectPayload},
      {"HL 0", [](Message& m) { m[6] = 0; }, Reason::kIncorrectPayload},
      {"HL 64", [](Message& m) { m[6] = 64; }, Reason::kIncorrectPayload},
      {"no response", [](Message& m) { m[8] = 0; }, Reason::kIncorrectPayload},
      {"response cut off", [](Message& m) { m.resize(16); }, Reason::kFailed},
      {"first byte of the response", [](Message& m) { m[16] ^= 1; }, Reason::kFailed},
      {"last byte of the response", [](Message& m) { m[47] ^= 0x80; }, Reason::kFailed},
  };
  for (const Nonsense& nonsense : all) {
    expect_refused(nonsense, DhchapGroup::kNull, spec::kDhchapSuccess1,
                   "receive DH-HMAC-CHAP_Success1");
  }
}

// What an eavesdropper has seen is of no use: our own response is no answer to our own challenge.
TEST(DhchapHost, AReflectedResponseIsRefused) {
  Exchange exchange;
  exchange.ctrlr_key = exchange.key;  // which nobody should do
  exchange.ctrlr_key_of_target = exchange.key;
  exchange.tamper = [&exchange](Message& message) {
    if (message[0] == 1 && message[1] == spec::kDhchapSuccess1) {
      std::copy_n(exchange.sent.back().begin() + 16, 32, message.begin() + 16);
    }
  };
  exchange.run();
  ASSERT_TRUE(exchange.host->failed());
  EXPECT_EQ(exchange.told(), static_cast<int>(AuthFailureReason::kFailed));
}

TEST(DhchapHost, ReasonsOfTheTargetAreNamed) {
  const std::vector<std::pair<int, std::string>> reasons = {
      {1, "authentication failed"},
      {2, "authentication protocol not usable"},
      {3, "secure channel concatenation mismatch"},
      {4, "hash function not usable"},
      {5, "Diffie-Hellman group not usable"},
      {6, "incorrect payload"},
      {7, "incorrect protocol message"},
      {8, "explanation 8"},
      {0, "explanation 0"}};
  for (const auto& [explanation, text] : reasons) {
    Exchange exchange;
    exchange.tamper = [explanation](Message& message) {
      message = {
          0, spec::kAuthFailure1, 0, 0, 0x34, 0x12, 1, static_cast<std::uint8_t>(explanation)};
    };
    exchange.run();
    ASSERT_TRUE(exchange.host->failed());
    EXPECT_EQ(exchange.host->reason().step, "receive DH-HMAC-CHAP_Challenge");
    EXPECT_NE(exchange.text().find(text), std::string::npos) << exchange.text();
  }
}

}  // namespace
}  // namespace nvublk::nvme
