// Any bytes as the messages of a controller that authenticates the host. The first byte says
// whether the controller has to authenticate itself, too (bit 0); then comes for each message its
// length, two bytes with the lower first, and the message. Also any bytes as the text of a key.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/check.h"
#include "nvme/dhchap_host.h"

namespace {

using nvublk::nvme::DhchapAction;
using nvublk::nvme::DhchapHost;
using nvublk::nvme::DhchapKey;
using nvublk::nvme::DhchapOutcome;
using nvublk::nvme::spec::DhchapGroup;
using nvublk::nvme::spec::DhchapHash;
using Bytes = std::span<const std::uint8_t>;

Bytes take(Bytes& from, std::size_t most) {
  const Bytes taken = from.first(std::min(from.size(), most));
  from = from.subspan(taken.size());
  return taken;
}

Bytes take_message(Bytes& from) {
  const Bytes length = take(from, 2);
  return length.size() < 2 ? Bytes() : take(from, length[0] + std::size_t{length[1]} * 256);
}

DhchapOutcome perform(DhchapHost& host, const DhchapAction& action, Bytes& controller) {
  switch (action.kind) {
    case DhchapAction::Kind::kSend:
      CHECK(!action.message.empty());
      return {};
    case DhchapAction::Kind::kReceive: {
      const auto message = std::as_bytes(take_message(controller));
      std::ranges::copy(message.first(std::min(message.size(), action.message.size())),
                        action.message.begin());
      return {};
    }
    case DhchapAction::Kind::kCalculate:
      break;
  }
  auto answer = host.calculation().run();
  if (!answer) {
    return {answer.error()};
  }
  host.answer(std::move(*answer));
  return {};
}

void read_key(Bytes text) {
  const std::string_view characters(reinterpret_cast<const char*>(text.data()), text.size());
  if (const auto key = DhchapKey::parse(characters)) {
    CHECK(DhchapKey::parse(key->text()).value() == *key);
  } else {
    CHECK(!key.error().text.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes controller(data, size);
  read_key(controller);
  const Bytes wish = take(controller, 1);
  const DhchapKey key =
      DhchapKey::make(std::vector<std::byte>(32, std::byte{1}), DhchapHash::kSha256).value();
  const bool bidirectional = !wish.empty() && (wish[0] & 1) != 0;
  DhchapHost host({.hostnqn = "nqn.2014-08.org.nvmexpress:host",
                   .subnqn = "nqn.2026-01.io.nvublk:target",
                   .key = key,
                   .ctrlr_key = bidirectional ? key : DhchapKey(),
                   .hashes = {DhchapHash::kSha256, DhchapHash::kSha384, DhchapHash::kSha512},
                   .groups = {DhchapGroup::kNull, DhchapGroup::kFfdhe2048},
                   .transaction = 0x1234,
                   .step_limit = nvublk::seconds(5)});
  auto action = host.start({});
  while (host.running()) {
    action = host.advance(DhchapHost::Event::of(perform(host, action.payload, controller)), {});
  }
  // Nobody who does not know the key passes for a controller that does.
  CHECK(!host.done() || !bidirectional);
  CHECK(!host.failed() || !host.reason().text.empty());
  return 0;
}
