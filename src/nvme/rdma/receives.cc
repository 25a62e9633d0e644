#include "nvme/rdma/receives.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/check.h"
#include "nvme/rdma/completion_queue.h"
#include "nvme/rdma/memory_table.h"

namespace nvublk::nvme::rdma {

Result<std::unique_ptr<Receives>> Receives::make(ibv_pd& domain, RdmaCounters& counters,
                                                 std::uint32_t count) {
  Result<DmaRegion> region = DmaRegion::allocate(count * sizeof(spec::CompletionEntry));
  if (!region) {
    return std::unexpected(std::move(region.error()));
  }
  Result<MemoryRegion> memory = register_memory(domain, region->data(), region->size_bytes());
  if (!memory) {
    return std::unexpected(std::move(memory.error()));
  }
  return std::unique_ptr<Receives>(
      new Receives(counters, count, std::move(*region), std::move(*memory)));
}

Result<std::unique_ptr<Receives>> Receives::create(ibv_pd& domain, RdmaCounters& counters,
                                                   std::uint32_t count) {
  return make(domain, counters, count);
}

Result<std::unique_ptr<Receives>> Receives::create_shared(ibv_pd& domain, RdmaCounters& counters,
                                                          std::uint32_t count) {
  Result<std::unique_ptr<Receives>> made = make(domain, counters, count);
  if (!made) {
    return made;
  }
  ibv_srq_init_attr attributes{};
  attributes.attr.max_wr = count;
  attributes.attr.max_sge = 1;
  (*made)->shared_.reset(::ibv_create_srq(&domain, &attributes));
  if (!(*made)->shared_) {
    return fail_errno(errno, "cannot make a shared receive queue of " + std::to_string(count) +
                                 " on " + device_name(*domain.context));
  }
  counters.shared_receive_queues.add();
  (*made)->prepare(CompletionQueue::kSharedReceives);
  return made;
}

Receives::Receives(RdmaCounters& counters, std::uint32_t count, DmaRegion region,
                   MemoryRegion memory)
    : counters_(counters),
      count_(count),
      region_(std::move(region)),
      memory_(std::move(memory)),
      works_(std::make_unique<ibv_recv_wr[]>(count)),
      pieces_(std::make_unique<ibv_sge[]>(count)),
      waiting_list_(std::make_unique<std::uint32_t[]>(count)) {
  auto* entries = reinterpret_cast<spec::CompletionEntry*>(region_.data());
  std::uninitialized_value_construct_n(entries, count_);
  entries_ = entries;
}

Receives::~Receives() {
  CHECK(reserved_ == 0);
  if (shared_) {
    counters_.shared_receive_queues.subtract();
  }
}

void Receives::prepare(std::uint32_t client) {
  for (std::uint32_t i = 0; i < count_; i++) {
    pieces_[i].addr = reinterpret_cast<std::uintptr_t>(&entries_[i]);
    pieces_[i].length = sizeof(spec::CompletionEntry);
    pieces_[i].lkey = memory_->lkey;
    works_[i].wr_id = CompletionQueue::work_id(client, i | kWorkId);
    works_[i].sg_list = &pieces_[i];
    works_[i].num_sge = 1;
    give_back(i);
  }
}

void Receives::start(ibv_qp& queue_pair, std::uint32_t client) {
  CHECK(!shared_ && queue_pair_ == nullptr);
  queue_pair_ = &queue_pair;
  prepare(client);
}

bool Receives::reserve(std::uint32_t count) {
  if (count > count_ - reserved_) {
    return false;
  }
  reserved_ += count;
  return true;
}

std::optional<std::string> Receives::post() {
  if (waiting_ == 0) {
    return std::nullopt;
  }
  for (std::uint32_t i = 0; i < waiting_; i++) {
    works_[waiting_list_[i]].next = i + 1 < waiting_ ? &works_[waiting_list_[i + 1]] : nullptr;
  }
  ibv_recv_wr* first = &works_[waiting_list_[0]];
  ibv_recv_wr* bad = nullptr;
  const int error = shared_ ? ::ibv_post_srq_recv(shared_.get(), first, &bad)
                            : ::ibv_post_recv(queue_pair_, first, &bad);
  if (error != 0) {
    return Error::from_errno(error, "the RDMA device takes no receive buffers").text;
  }
  counters_.receive_requests.add(waiting_);
  counters_.receive_doorbells.add();
  posted_ += waiting_;
  waiting_ = 0;
  return std::nullopt;
}

spec::CompletionEntry Receives::entry(std::uint32_t index) const {
  CHECK(index < count_);
  spec::CompletionEntry copy;
  std::memcpy(&copy, &entries_[index], sizeof(copy));
  return copy;
}

}  // namespace nvublk::nvme::rdma
