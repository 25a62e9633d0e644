// A hostile controller against a queue with outstanding commands. The input is a script: the first
// byte chooses digests and sizes, then each step is an operation byte and what it needs. Digests
// are made right now and then, so that what lies behind them is reached too. What must hold: no
// access out of bounds (the sanitizers look), completions only of outstanding commands, each once,
// and success only when all data has moved; no byte around the commands' buffers changes.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "engine/check.h"
#include "nvme/command.h"
#include "nvme/tcp/crc32c.h"
#include "nvme/tcp/tcp_session.h"

namespace nvublk::nvme::tcp {
namespace {

constexpr std::uint32_t kSlots = 8;
constexpr std::uint32_t kInCapsule = 512;
constexpr std::size_t kMaxOutput = 1 << 22;

class Script {
 public:
  explicit Script(std::span<const std::byte> bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    return empty() ? std::uint8_t{0} : std::to_integer<std::uint8_t>(take(1)[0]);
  }
  std::uint32_t word() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; i++) value = value << 8 | byte();
    return value;
  }
  std::span<const std::byte> take(std::size_t length) {
    const auto taken = rest_.first(std::min(length, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const std::byte> rest_;
};

class Host final : QueueTransportSink {
 public:
  explicit Host(Script& script) : script_(script) {
    const std::uint8_t mode = script_.byte();
    parameters_.header_digest = (mode & 1) != 0;
    parameters_.data_digest = (mode & 2) != 0;
    parameters_.data_alignment_bytes = (mode & 4) != 0 ? 128 : 4;
    parameters_.max_h2c_data_bytes = (mode & 8) != 0 ? 4096 : 65536;
    bytewise_ = (mode & 16) != 0;
    session_.start(parameters_);
  }

  void run() {
    for (int i = 0; i < 4; i++) submit(static_cast<std::uint8_t>(i));
    send(0xffff);
    while (!script_.empty() && alive_ && output_ < kMaxOutput) step();
    send(0xffff);
  }

 private:
  void step() {
    const std::uint8_t operation = script_.byte();
    switch (operation % 8) {
      case 0:
        submit(script_.byte());
        return;
      case 1:
        send(script_.byte() * 64u);
        return;
      case 2:
        receive(script_.take(script_.byte()));
        return;
      case 3:
        response();
        return;
      case 4:
      case 5:
        data();
        return;
      case 6:
        r2t();
        return;
      default:
        send(0xffff);
        return;
    }
  }

  void submit(std::uint8_t kind) {
    Request* request = requests_.acquire();
    if (request == nullptr) return;
    auto& memory = memory_[request->slot];
    const std::uint32_t length = kind % 8 == 7 ? 100000 : 512u * (kind / 8 % 16 + 1);
    memory.assign(length + 32, std::byte{0xa5});
    request->set_data(memory.data() + 16, length);
    switch (kind % 4) {
      case 0:
        request->sqe = command::flush(1);
        request->set_no_data();
        break;
      case 1:
        request->sqe = command::write(1, 0, 1);
        break;
      default:
        request->sqe = command::read(1, 0, 1);
    }
    session_.submit(*request);
  }

  void send(std::size_t limit) {
    while (limit > 0 && session_.has_work() && output_ < kMaxOutput) {
      const auto slices = session_.build_send();
      std::size_t total = 0;
      for (const iovec& slice : slices) total += slice.iov_len;
      const std::size_t step = std::min(total, limit);
      std::size_t read = 0;
      for (const iovec& slice : slices) {  // as the kernel: read all that is said to be sent
        const std::size_t length = std::min(slice.iov_len, step - read);
        checksum_.add(slice.iov_base, length);
        read += length;
      }
      limit -= step;
      output_ += step;
      session_.sent(step);
    }
  }

  void receive(std::span<const std::byte> bytes) {
    while (!bytes.empty() && alive_) {
      std::size_t done = 0;
      for (const iovec& slice : session_.receive_slices()) {
        const std::size_t room = bytewise_ ? std::min<std::size_t>(1 - done, 1) : slice.iov_len;
        const std::size_t length = std::min({slice.iov_len, room, bytes.size() - done});
        std::memcpy(slice.iov_base, bytes.data() + done, length);
        done += length;
      }
      bytes = bytes.subspan(done);
      if (const auto fault = session_.received(done)) {
        CHECK(!pdu_fault_text(*fault).empty());
        if (fault->reason != PduFaultReason::kTerminated) make_termination_request(*fault);
        CHECK(session_.offending_header().size() <= 128);
        alive_ = false;
      }
    }
  }

  // A command id that is likely to be outstanding.
  std::uint16_t cid() {
    const std::uint8_t choice = script_.byte();
    const std::uint16_t known = requests_.at(choice % kSlots).cid;
    return choice < 240 ? known : static_cast<std::uint16_t>(known ^ (1u << (choice & 0xf)));
  }

  template <typename Pdu>
  void send_header(Pdu& pdu) {
    if (parameters_.header_digest) pdu.ch.flags |= spec::kPduHdgstf;
    receive(std::as_bytes(std::span(&pdu, 1)));
    if (parameters_.header_digest) {
      const Le32 digest{crc32c(&pdu, sizeof(pdu))};
      receive(std::as_bytes(std::span(&digest, 1)));
    }
  }
  std::uint32_t header_digest_bytes() const { return parameters_.header_digest ? 4u : 0u; }

  void response() {
    spec::CapsuleResp pdu;
    pdu.ch.plen = sizeof(pdu) + header_digest_bytes();
    pdu.cqe.cid = cid();
    pdu.cqe.status_and_phase = static_cast<std::uint16_t>(script_.byte() & 2);
    send_header(pdu);
  }

  void r2t() {
    spec::R2t pdu;
    pdu.ch.plen = sizeof(pdu) + header_digest_bytes();
    pdu.cccid = cid();
    pdu.ttag = script_.byte();
    const std::uint8_t shape = script_.byte();
    pdu.r2to = (shape & 1) != 0 ? script_.word() : (shape & 0x0fu) * 512u;
    pdu.r2tl = (shape & 0x80) != 0 ? script_.word() : (shape >> 4) * 512u;
    send_header(pdu);
  }

  void data() {
    spec::C2hData pdu;
    const std::uint8_t shape = script_.byte();
    pdu.cccid = cid();
    pdu.datao = (shape & 16) != 0 ? script_.word() : (shape >> 5) * 512u;
    const std::uint32_t length =
        (shape & 8) != 0 ? script_.word() % 120000 : 512u * (script_.byte() % 32);
    pdu.datal = length;
    pdu.ch.flags = static_cast<std::uint8_t>(shape & (spec::kPduLastPdu | spec::kPduSuccess));
    const std::uint32_t pad = (shape & 1) != 0 ? 4u * (shape & 7) : 0;
    const std::uint32_t at = sizeof(pdu) + header_digest_bytes() + pad;
    pdu.ch.pdo = static_cast<std::uint8_t>(at);
    if (parameters_.data_digest) pdu.ch.flags |= spec::kPduDdgstf;
    pdu.ch.plen = at + length + (parameters_.data_digest ? 4u : 0u);
    send_header(pdu);
    std::vector<std::byte> rest(pad + length, static_cast<std::byte>(shape));
    receive(rest);
    if (parameters_.data_digest) {
      const Le32 digest{crc32c(rest.data() + pad, length) ^ ((shape & 2) != 0 ? 1u : 0u)};
      receive(std::as_bytes(std::span(&digest, 1)));
    }
  }

  void on_connected() override {}
  void on_disconnected(Error) override {}
  void on_completion(const spec::CompletionEntry& entry) override {
    Request* request = requests_.find(entry.cid.get());
    CHECK(request != nullptr);
    auto& memory = memory_[request->slot];
    const std::span<const std::byte> all(memory);
    for (const std::byte byte : all.first(16)) CHECK(byte == std::byte{0xa5});
    for (const std::byte byte : all.last(16)) CHECK(byte == std::byte{0xa5});
    memory = {};  // freed: whoever still refers to it is caught
    memory.shrink_to_fit();
    requests_.release(*request);
    completions_++;
  }

  Script& script_;
  ConnectionParameters parameters_;
  bool bytewise_ = false;
  bool alive_ = true;
  std::size_t output_ = 0;
  std::size_t completions_ = 0;
  Crc32c checksum_;
  RequestTable requests_{kSlots};
  std::array<std::vector<std::byte>, kSlots> memory_;
  TcpSession session_{{.qid = 1, .in_capsule_bytes = kInCapsule}, requests_, *this};
};

}  // namespace
}  // namespace nvublk::nvme::tcp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nvublk::nvme::tcp::Script script(std::as_bytes(std::span(data, size)));
  nvublk::nvme::tcp::Host host(script);
  host.run();
  return 0;
}
