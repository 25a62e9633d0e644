#include "nvme/rdma/rdma_session.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/check.h"
#include "nvme/spec/rdma_cm.h"
#include "nvme/spec/status.h"

namespace nvublk::nvme::rdma {

namespace {

// Capsules without data that fit are handed to the device by value, where it can.
constexpr std::uint32_t kWantedInlineBytes = sizeof(spec::SubmissionEntry);

std::string errno_text(const char* what, int error) {
  return Error::from_errno(error, what).text;
}

}  // namespace

ibv_qp_init_attr RdmaSession::queue_pair_attributes(std::uint32_t commands, ibv_cq* queue,
                                                    int max_pieces) {
  ibv_qp_init_attr attributes{};
  attributes.send_cq = queue;
  attributes.recv_cq = queue;
  attributes.qp_type = IBV_QPT_RC;
  attributes.cap.max_send_wr = commands;
  attributes.cap.max_recv_wr = commands + 1;
  attributes.cap.max_send_sge = static_cast<std::uint32_t>(std::clamp(max_pieces, 1, 2));
  attributes.cap.max_recv_sge = 1;
  attributes.cap.max_inline_data = kWantedInlineBytes;
  return attributes;
}

Result<std::unique_ptr<RdmaSession>> RdmaSession::create(const QueueTransportOptions& options,
                                                         ShardDevice& device,
                                                         RequestTable& requests,
                                                         QueueTransportSink& sink) {
  const std::size_t bytes =
      requests.size() * sizeof(Capsule) + (requests.size() + 1) * sizeof(Response);
  Result<DmaRegion> region = DmaRegion::allocate(bytes);
  if (!region) {
    return std::unexpected(std::move(region.error()));
  }
  Result<MemoryRegion> memory =
      register_memory(*device.protection_domain(), region->data(), region->size_bytes());
  if (!memory) {
    return std::unexpected(std::move(memory.error()));
  }
  std::unique_ptr<RdmaSession> session(
      new RdmaSession(options, device, requests, sink, std::move(*region)));
  session->memory_ = std::move(*memory);
  return session;
}

RdmaSession::RdmaSession(const QueueTransportOptions& options, ShardDevice& device,
                         RequestTable& requests, QueueTransportSink& sink, DmaRegion region)
    : options_(options),
      device_(device),
      requests_(requests),
      sink_(sink),
      commands_count_(requests.size()),
      receive_count_(requests.size() + 1),
      region_(std::move(region)),
      commands_(std::make_unique<RdmaCommand[]>(commands_count_)),
      order_(std::make_unique<std::uint16_t[]>(commands_count_)),
      queue_(std::make_unique<std::uint16_t[]>(commands_count_)),
      failed_slots_(std::make_unique<std::uint16_t[]>(commands_count_)),
      receive_works_(std::make_unique<ibv_recv_wr[]>(receive_count_)),
      receive_pieces_(std::make_unique<ibv_sge[]>(receive_count_)),
      repost_list_(std::make_unique<std::uint32_t[]>(receive_count_)) {
  capsules_ = reinterpret_cast<Capsule*>(region_.data());
  std::uninitialized_value_construct_n(capsules_, commands_count_);
  responses_ = reinterpret_cast<Response*>(region_.data() + commands_count_ * sizeof(Capsule));
  std::uninitialized_value_construct_n(responses_, receive_count_);
}

RdmaSession::~RdmaSession() {
  for (std::uint32_t slot = 0; builder_ && slot < commands_count_; slot++) {
    builder_->finish(commands_[slot], false);
  }
}

int RdmaSession::start(ibv_qp& queue_pair, const CompletionQueue& completions, std::uint32_t client,
                       std::uint32_t max_inline_bytes, std::uint32_t max_pieces) {
  queue_pair_ = &queue_pair;
  max_inline_bytes_ = max_inline_bytes;
  builder_.emplace(capsule_limits(options_, static_cast<int>(max_pieces)), device_.memory(),
                   device_.bounce_pool(), device_.counters());
  for (std::uint32_t slot = 0; slot < commands_count_; slot++) {
    RdmaCommand& command = commands_[slot];
    command.pieces[0].lkey = memory_->lkey;
    command.work.wr_id = completions.work_id(client, slot);
    command.work.sg_list = command.pieces.data();
    command.work.opcode = IBV_WR_SEND;
  }
  for (std::uint32_t i = 0; i < receive_count_; i++) {
    receive_pieces_[i].addr = reinterpret_cast<std::uintptr_t>(&responses_[i]);
    receive_pieces_[i].length = sizeof(Response);
    receive_pieces_[i].lkey = memory_->lkey;
    receive_works_[i].wr_id = completions.work_id(client, i | kReceive);
    receive_works_[i].sg_list = &receive_pieces_[i];
    receive_works_[i].num_sge = 1;
    repost_list_[repost_++] = i;
  }
  return post_receives() ? EIO : 0;
}

void RdmaSession::submit(Request& request) {
  CHECK(request.active && request.slot < commands_count_);
  RdmaCommand& command = commands_[request.slot];
  CHECK(!command.active && command.bounce == nullptr);
  command.request = &request;
  command.active = true;
  command.sent = false;
  command.responded = false;
  if (!builder_->build(request, capsule(request.slot), command)) {
    failed_slots_[failed_++] = request.slot;
    return;
  }
  const bool fits = command.work.num_sge == 1 && command.pieces[0].length <= max_inline_bytes_;
  command.work.send_flags = fits ? unsigned{IBV_SEND_INLINE} : 0u;
  queue_[queued_++] = request.slot;
}

std::optional<std::string> RdmaSession::flush() {
  // Receives first: what is sent may be answered at once.
  std::optional<std::string> failure = post_receives();
  if (!failure) {
    failure = post_sends();
  }
  if (!failure) {
    deliver_failed();
  }
  return failure;
}

std::optional<std::string> RdmaSession::post_receives() {
  if (repost_ == 0 || stopped_) {
    return std::nullopt;
  }
  for (std::uint32_t i = 0; i < repost_; i++) {
    ibv_recv_wr& work = receive_works_[repost_list_[i]];
    work.next = i + 1 < repost_ ? &receive_works_[repost_list_[i + 1]] : nullptr;
  }
  ibv_recv_wr* bad = nullptr;
  const int error = ::ibv_post_recv(queue_pair_, &receive_works_[repost_list_[0]], &bad);
  if (error != 0) {
    return errno_text("the RDMA device takes no receive buffers", error);
  }
  device_.counters().receive_requests.add(repost_);
  device_.counters().receive_doorbells.add();
  receives_ += repost_;
  repost_ = 0;
  return std::nullopt;
}

// Only the last one asks to be told when it is sent: sends end in their order.
std::optional<std::string> RdmaSession::post_sends() {
  if (queued_ == 0 || stopped_) {
    return std::nullopt;
  }
  for (std::uint32_t i = 0; i < queued_; i++) {
    RdmaCommand& command = commands_[queue_[i]];
    const bool last = i + 1 == queued_;
    command.work.next = last ? nullptr : &commands_[queue_[i + 1]].work;
    command.work.send_flags |= last ? unsigned{IBV_SEND_SIGNALED} : 0u;
    order_[(order_head_ + posted_ + i) % commands_count_] = queue_[i];
  }
  ibv_send_wr* bad = nullptr;
  const int error = ::ibv_post_send(queue_pair_, &commands_[queue_[0]].work, &bad);
  if (error != 0) {
    return errno_text("the RDMA device takes no commands", error);
  }
  device_.counters().send_requests.add(queued_);
  device_.counters().send_doorbells.add();
  posted_ += queued_;
  CHECK(posted_ <= commands_count_);
  queued_ = 0;
  return std::nullopt;
}

void RdmaSession::deliver_failed() {
  // A completion may bring the next command, which may fail as well: that one has its turn later.
  for (std::uint32_t count = failed_; count > 0 && !stopped_; count--) {
    RdmaCommand& command = commands_[failed_slots_[--failed_]];
    command.entry = {};
    command.entry.cid = command.request->cid;
    command.entry.set_status(spec::NvmeStatus::make(spec::PathStatus::kHostPathError));
    complete(command);
  }
}

std::optional<std::string> RdmaSession::on_work(std::uint32_t id, const ibv_wc& completion) {
  const bool receive = (id & kReceive) != 0;
  const std::uint32_t index = id & ~kReceive;
  CHECK(index < (receive ? receive_count_ : commands_count_));
  if (receive) {
    CHECK(receives_ > 0);
    receives_--;
  }
  if (completion.status != IBV_WC_SUCCESS) {
    if (!receive) {
      on_sent(index);
    }
    return work_status_text(completion);
  }
  if (receive) {
    return stopped_ ? std::nullopt : on_response(index, completion.byte_len);
  }
  on_sent(index);
  return std::nullopt;
}

void RdmaSession::on_sent(std::uint32_t slot) {
  while (posted_ > 0) {
    const std::uint16_t each = order_[order_head_];
    order_head_ = (order_head_ + 1) % commands_count_;
    posted_--;
    RdmaCommand& command = commands_[each];
    command.sent = true;
    if (command.responded && !stopped_) {
      complete(command);
    }
    if (each == slot) {
      return;
    }
  }
}

std::optional<std::string> RdmaSession::on_response(std::uint32_t index,
                                                    std::uint32_t length_bytes) {
  if (length_bytes != spec::kRdmaResponseCapsuleBytes) {
    return "the controller sent a response of " + std::to_string(length_bytes) +
           " bytes; it must have 16";
  }
  spec::CompletionEntry entry;
  std::memcpy(&entry, &responses_[index].entry, sizeof(entry));
  repost_list_[repost_++] = index;
  const std::uint16_t cid = entry.cid.get();
  const Request* request = requests_.find(cid);
  RdmaCommand* command = request != nullptr ? &commands_[request->slot] : nullptr;
  if (command == nullptr || !command->active || command->responded) {
    return "the controller completed command " + std::to_string(cid) + ", which is not outstanding";
  }
  command->responded = true;
  command->entry = entry;
  if (command->sent) {
    complete(*command);
  }
  return std::nullopt;
}

void RdmaSession::complete(RdmaCommand& command) {
  builder_->finish(command, command.entry.status().ok());
  command.active = false;
  sink_.on_completion(command.entry);
}

}  // namespace nvublk::nvme::rdma
