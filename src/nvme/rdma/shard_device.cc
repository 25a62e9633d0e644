#include "nvme/rdma/shard_device.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "engine/check.h"

namespace nvublk::nvme::rdma {

namespace {

// A shard is a thread. Few shards have more than one device or two.
std::vector<std::unique_ptr<ShardDevice>>& devices_of_this_shard() {
  static thread_local std::vector<std::unique_ptr<ShardDevice>> devices;
  return devices;
}

}  // namespace

void ShardDevice::Use::reset() {
  ShardDevice* device = std::exchange(device_, nullptr);
  if (device != nullptr && --device->uses_ == 0) {
    std::erase_if(devices_of_this_shard(),
                  [device](const auto& each) { return each.get() == device; });
  }
}

Result<ShardDevice::Use> ShardDevice::acquire(Reactor& reactor, ibv_context& context) {
  auto& devices = devices_of_this_shard();
  const auto found = std::ranges::find_if(devices, [&](const auto& each) {
    return &each->context_ == &context && &each->reactor_ == &reactor;
  });
  if (found != devices.end()) {
    return Use(**found);
  }
  ibv_device_attr attributes{};
  if (const int error = ::ibv_query_device(&context, &attributes); error != 0) {
    return fail_errno(error, "cannot query the RDMA device " + device_name(context));
  }
  ProtectionDomain domain(::ibv_alloc_pd(&context));
  if (!domain) {
    return fail_errno(errno, "cannot make a protection domain on " + device_name(context));
  }
  devices.emplace_back(new ShardDevice(reactor, context, attributes, std::move(domain)));
  return Use(*devices.back());
}

ShardDevice::ShardDevice(Reactor& reactor, ibv_context& context, const ibv_device_attr& attributes,
                         ProtectionDomain domain)
    : reactor_(reactor),
      context_(context),
      attributes_(attributes),
      domain_(std::move(domain)),
      counters_(reactor.counter_groups().get(kCounterKind, device_name(context), kCounterLabels)),
      memory_(reactor.dma_catalog(), *domain_, counters_.registrations),
      bounce_pool_(*domain_) {}

ShardDevice::~ShardDevice() {
  CHECK(uses_ == 0);
  counters_.completion_queues.subtract(completion_queues_.size());
}

Result<CompletionQueue*> ShardDevice::reserve_completions(int entries) {
  for (const auto& each : completion_queues_) {
    if (each->reserve(entries)) {
      return each.get();
    }
  }
  auto made = CompletionQueue::create(reactor_, context_, counters_,
                                      std::max(entries, kFirstCompletions), attributes_.max_cqe);
  if (!made) {
    return std::unexpected(std::move(made.error()));
  }
  if (!(*made)->reserve(entries)) {
    return fail(ErrorCode::kNoResources,
                device_name(context_) + " cannot have a completion queue of " +
                    std::to_string(entries) + " entries; use a smaller --queue-size");
  }
  completion_queues_.push_back(std::move(*made));
  counters_.completion_queues.add();
  return completion_queues_.back().get();
}

Result<Receives*> ShardDevice::reserve_shared_receives(std::uint32_t count) {
  const std::string name = device_name(context_);
  if (!shared_receives_) {
    const int size = std::min(attributes_.max_srq_wr, kSharedReceives);
    if (attributes_.max_srq <= 0 || size <= 0) {
      return fail(ErrorCode::kUnsupported,
                  name + " has no shared receive queues; use it without --shared-receive-queue");
    }
    auto made = Receives::create_shared(*domain_, counters_, static_cast<std::uint32_t>(size));
    if (!made) {
      return std::unexpected(std::move(made.error()));
    }
    shared_receives_ = std::move(*made);
  }
  if (!shared_receives_->reserve(count)) {
    return fail(
        ErrorCode::kNoResources,
        "the shared receive queue on " + name + " has " + std::to_string(shared_receives_->size()) +
            " buffers, which are not enough for one more queue of " + std::to_string(count) +
            "; use a smaller --queue-size or do without --shared-receive-queue");
  }
  return shared_receives_.get();
}

}  // namespace nvublk::nvme::rdma
