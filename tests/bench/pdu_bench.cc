// What the TCP session costs for each command, without a socket: capsules built, answers parsed and
// copied into place. `bytes_per_second` counts data only.

#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "nvme/command.h"
#include "nvme/tcp/crc32c.h"
#include "nvme/tcp/tcp_session.h"

namespace nvublk::nvme::tcp {
namespace {

constexpr std::uint32_t kDepth = 32;

class Loop final : QueueTransportSink {
 public:
  Loop(std::uint32_t block_bytes, bool digests)
      : block_bytes_(block_bytes), memory_(kDepth * block_bytes) {
    parameters_.header_digest = digests;
    parameters_.data_digest = digests;
    session_.start(parameters_);
  }

  void submit(const spec::SubmissionEntry& sqe) {
    Request* request = requests_.acquire();
    request->sqe = sqe;
    request->set_data(memory_.data() + request->slot * std::size_t{block_bytes_}, block_bytes_);
    session_.submit(*request);
  }
  void send() {
    while (session_.has_work()) {
      std::size_t bytes = 0;
      for (const iovec& slice : session_.build_send()) bytes += slice.iov_len;
      session_.sent(bytes);
    }
  }
  void receive(const std::vector<std::byte>& bytes) {
    std::size_t at = 0;
    while (at < bytes.size()) {
      std::size_t done = 0;
      for (const iovec& slice : session_.receive_slices()) {
        const std::size_t length = std::min(slice.iov_len, bytes.size() - at - done);
        std::memcpy(slice.iov_base, bytes.data() + at + done, length);
        done += length;
      }
      at += done;
      if (session_.received(done)) std::abort();
    }
  }

  /// The answers to all outstanding reads, oldest slot first.
  void append_read_answers(std::vector<std::byte>& bytes) {
    bytes.clear();
    for (std::uint32_t i = 0; i < kDepth; i++) {
      spec::C2hData pdu;
      pdu.cccid = requests_.at(i).cid;
      pdu.datal = block_bytes_;
      pdu.ch.flags = spec::kPduLastPdu | spec::kPduSuccess;
      std::uint32_t at = sizeof(pdu);
      if (parameters_.header_digest) {
        pdu.ch.flags |= spec::kPduHdgstf | spec::kPduDdgstf;
        at += 4;
      }
      pdu.ch.pdo = static_cast<std::uint8_t>(at);
      pdu.ch.plen = at + block_bytes_ + (parameters_.data_digest ? 4u : 0u);
      add(bytes, &pdu, sizeof(pdu));
      if (parameters_.header_digest) {
        const Le32 digest{crc32c(&pdu, sizeof(pdu))};
        add(bytes, &digest, sizeof(digest));
      }
      const std::size_t data_at = bytes.size();
      bytes.resize(data_at + block_bytes_);
      if (parameters_.data_digest) {
        const Le32 digest{crc32c(bytes.data() + data_at, block_bytes_)};
        add(bytes, &digest, sizeof(digest));
      }
    }
  }
  void append_responses(std::vector<std::byte>& bytes) {
    bytes.clear();
    for (std::uint32_t i = 0; i < kDepth; i++) {
      spec::CapsuleResp pdu;
      pdu.cqe.cid = requests_.at(i).cid;
      if (parameters_.header_digest) {
        pdu.ch.flags = spec::kPduHdgstf;
        pdu.ch.plen = sizeof(pdu) + 4;
      }
      add(bytes, &pdu, sizeof(pdu));
      if (parameters_.header_digest) {
        const Le32 digest{crc32c(&pdu, sizeof(pdu))};
        add(bytes, &digest, sizeof(digest));
      }
    }
  }

 private:
  static void add(std::vector<std::byte>& bytes, const void* data, std::size_t length) {
    const auto* from = static_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), from, from + length);
  }
  void on_connected() override {}
  void on_disconnected(Error) override {}
  void on_completion(const spec::CompletionEntry& entry) override {
    requests_.release(*requests_.find(entry.cid.get()));
  }

  const std::uint32_t block_bytes_;
  ConnectionParameters parameters_;
  std::vector<std::byte> memory_;
  RequestTable requests_{kDepth};
  TcpSession session_{{.qid = 1, .in_capsule_bytes = 8192}, requests_, *this};
};

void count(benchmark::State& state, std::uint32_t block_bytes) {
  const auto commands = static_cast<std::int64_t>(state.iterations()) * kDepth;
  state.SetItemsProcessed(commands);
  state.SetBytesProcessed(commands * block_bytes);
}

void read_commands(benchmark::State& state) {
  const auto block_bytes = static_cast<std::uint32_t>(state.range(0));
  Loop loop(block_bytes, state.range(1) != 0);
  std::vector<std::byte> answers;
  for (auto _ : state) {
    for (std::uint32_t i = 0; i < kDepth; i++) loop.submit(command::read(1, 0, 1));
    loop.send();
    state.PauseTiming();
    loop.append_read_answers(answers);
    state.ResumeTiming();
    loop.receive(answers);
  }
  count(state, block_bytes);
}

void write_commands(benchmark::State& state) {
  const auto block_bytes = static_cast<std::uint32_t>(state.range(0));
  Loop loop(block_bytes, state.range(1) != 0);
  std::vector<std::byte> answers;
  for (auto _ : state) {
    for (std::uint32_t i = 0; i < kDepth; i++) loop.submit(command::write(1, 0, 1));
    loop.send();
    state.PauseTiming();
    loop.append_responses(answers);
    state.ResumeTiming();
    loop.receive(answers);
  }
  count(state, block_bytes);
}

// {bytes of a command, digests}
BENCHMARK(read_commands)->Args({512, 0})->Args({4096, 0})->Args({4096, 1})->Args({131072, 0});
BENCHMARK(write_commands)->Args({512, 0})->Args({4096, 0})->Args({4096, 1});

}  // namespace
}  // namespace nvublk::nvme::tcp
