// What one 4 KiB I/O costs on the way from the block layer's request to the doorbell, and from the
// completion queue back: PCIe queues on a simulated controller. Only the host's part is timed; the
// controller works while the clock stands.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include <benchmark/benchmark.h>

#include "engine/dma_catalog.h"
#include "nvme/controller.h"
#include "nvme/pcie/pcie_transport.h"
#include "sim/simulated_controller.h"

namespace nvublk {
namespace {

using sim::SimulatedController;

class Bench {
 public:
  explicit Bench(std::uint32_t block_count) {
    Shard::Options shard_options;
    shard_options.reactor.mode = IdleMode::kBusy;
    shard_ = std::move(*Shard::adopt_current_thread(shard_options));
    device_ = std::make_shared<SimulatedController>(
        SimulatedController::Options{.interrupts = 0, .size_blocks = 4096});
    nvme::ControllerOptions options;
    options.name = "bench";
    options.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    options.transport.id.trtype = nvme::Trtype::kPcie;
    options.transport.id.traddr = "0000:01:00.0";
    options.io_queues = 1;
    options.queue_size = kDepth;
    ShardSet shards;
    shards.control = shard_.get();
    shards.io = {shard_.get()};
    controller_ = std::move(*nvme::Controller::create(
        shards, options,
        std::make_unique<nvme::pcie::PcieTransport>(
            [this]() -> Result<std::shared_ptr<nvme::pcie::PcieDevice>> { return device_; }),
        nullptr));
    std::optional<Status> connected;
    controller_->connect([&connected](Status status) { connected = std::move(status); });
    while (!connected) turn();
    if (!*connected) std::abort();
    queue_ = &controller_->find_namespace(1)->queue(0);
    memory_ = std::move(*DmaRegion::allocate(std::size_t{kDepth} * block_count * kBlock));
    shard_->reactor().dma_catalog().add(memory_entry_);
    for (std::uint32_t i = 0; i < kDepth; i++) {
      Slot& slot = requests_[i];
      slot.op = BlockOp::kRead;
      slot.blocks = block_count;
      slot.lba = std::uint64_t{i} * block_count % 2048;
      slot.data = memory_.data() + std::size_t{i} * block_count * kBlock;
      slot.left = &left_;
      slot.done = [](BlockRequest& request) {
        if (request.error != 0) std::abort();
        --*static_cast<Slot&>(request).left;
      };
    }
  }
  ~Bench() {
    shard_->reactor().dma_catalog().remove(memory_entry_);
    bool done = false;
    controller_->disconnect([&done](Status) { done = true; });
    while (!done) turn();
    controller_.reset();
    for (int i = 0; i < 5; i++) turn();
  }

  // Seconds of the host's work for `depth` I/Os.
  double round(std::uint32_t depth) {
    left_ = depth;
    Duration spent{};
    const Instant begin = Clock::now();
    host_submits(depth);
    spent += Clock::now() - begin;
    device_->step();
    const Instant reap = Clock::now();
    host_completes();
    spent += Clock::now() - reap;
    return std::chrono::duration<double>(spent).count();
  }

  // What is counted, by names that callgrind finds; see tests/bench/queue.
  [[gnu::noinline]] void host_submits(std::uint32_t depth) {
    for (std::uint32_t i = 0; i < depth; i++) {
      queue_->submit(requests_[i]);
    }
    shard_->reactor().flush_now();
  }
  [[gnu::noinline]] void host_completes() {
    while (left_ > 0) {
      shard_->reactor().turn(false);
    }
  }

  static constexpr std::uint32_t kDepth = 128;
  static constexpr std::uint32_t kBlock = 4096;

 private:
  struct Slot : BlockRequest {
    std::uint32_t* left = nullptr;
  };
  void turn() {
    device_->step();
    shard_->reactor().turn(false);
  }

  std::unique_ptr<Shard> shard_;
  std::shared_ptr<SimulatedController> device_;
  std::unique_ptr<nvme::Controller> controller_;
  BlockQueue* queue_ = nullptr;
  DmaRegion memory_;
  DmaEntry memory_entry_{memory_};
  std::array<Slot, kDepth> requests_{};
  std::uint32_t left_ = 0;
};

void submit_and_complete(benchmark::State& state) {
  Bench bench(static_cast<std::uint32_t>(state.range(0)));
  const auto depth = static_cast<std::uint32_t>(state.range(1));
  bench.round(depth);  // what the first I/O maps, the others find
  for (auto _ : state) {
    state.SetIterationTime(bench.round(depth));
  }
  state.SetItemsProcessed(state.iterations() * depth);
  state.counters["ns_per_io"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * depth / 1e9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
// Blocks of 4096 bytes, depth. So many rounds as NVUBLK_ROUNDS says, for who counts instructions.
[[maybe_unused]] const auto* const registered = [] {
  auto* bench = benchmark::RegisterBenchmark("submit_and_complete", submit_and_complete);
  bench->Args({1, 128})->Args({1, 32})->Args({32, 128})->UseManualTime();
  if (const char* rounds = std::getenv("NVUBLK_ROUNDS"); rounds != nullptr) {
    bench->Iterations(std::max(std::atoi(rounds), 1));
  }
  return bench;
}();

}  // namespace
}  // namespace nvublk
