#include "nvme/rdma/rdma_session.h"

#include <algorithm>
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

ibv_qp_init_attr RdmaSession::queue_pair_attributes(ibv_cq* queue, int max_pieces) const {
  ibv_qp_init_attr attributes{};
  attributes.send_cq = queue;
  attributes.recv_cq = queue;
  attributes.qp_type = IBV_QPT_RC;
  attributes.srq = receives_->shared();
  attributes.cap.max_send_wr = commands_count_;
  attributes.cap.max_recv_wr = shares_receives() ? 0 : receive_count_;
  attributes.cap.max_send_sge = static_cast<std::uint32_t>(std::clamp(max_pieces, 1, 2));
  attributes.cap.max_recv_sge = 1;
  attributes.cap.max_inline_data = kWantedInlineBytes;
  return attributes;
}

Result<std::unique_ptr<RdmaSession>> RdmaSession::create(const QueueTransportOptions& options,
                                                         ShardDevice& device, bool share_receives,
                                                         RequestTable& requests,
                                                         QueueTransportSink& sink) {
  Result<DmaRegion> region = DmaRegion::allocate(requests.size() * sizeof(Capsule));
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
  if (Status status = session->set_up_receives(share_receives); !status) {
    return std::unexpected(std::move(status.error()));
  }
  return session;
}

Status RdmaSession::set_up_receives(bool share) {
  if (share) {
    Result<Receives*> shared = device_.reserve_shared_receives(receive_count_);
    if (!shared) {
      return std::unexpected(std::move(shared.error()));
    }
    receives_ = *shared;
    return {};
  }
  auto own = Receives::create(*device_.protection_domain(), device_.counters(), receive_count_);
  if (!own) {
    return std::unexpected(std::move(own.error()));
  }
  own_receives_ = std::move(*own);
  receives_ = own_receives_.get();
  return {};
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
      failed_slots_(std::make_unique<std::uint16_t[]>(commands_count_)) {
  capsules_ = reinterpret_cast<Capsule*>(region_.data());
  std::uninitialized_value_construct_n(capsules_, commands_count_);
}

RdmaSession::~RdmaSession() {
  for (std::uint32_t slot = 0; builder_ && slot < commands_count_; slot++) {
    builder_->finish(commands_[slot], false);
  }
  if (receives_ != nullptr && shares_receives()) {
    receives_->unreserve(receive_count_);
  }
}

int RdmaSession::start(ibv_qp& queue_pair, CompletionQueue& completions, std::uint32_t client,
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
  if (shares_receives()) {
    completions.share(client, queue_pair.qp_num, *receives_);
  } else {
    receives_->start(queue_pair, client);
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
  return stopped_ ? std::nullopt : receives_->post();
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
  const std::uint32_t index = id & ~Receives::kWorkId;
  if ((id & Receives::kWorkId) != 0) {
    return on_receive(index, completion);
  }
  CHECK(index < commands_count_);
  on_sent(index);
  return completion.status == IBV_WC_SUCCESS ? std::nullopt
                                             : std::optional(work_status_text(completion));
}

std::optional<std::string> RdmaSession::on_receive(std::uint32_t index, const ibv_wc& completion) {
  receives_->returned();
  std::optional<std::string> failure;
  if (completion.status != IBV_WC_SUCCESS) {
    failure = work_status_text(completion);
  } else if (!stopped_) {
    failure = on_response(index, completion.byte_len);
  }
  receives_->give_back(index);
  return failure;
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
  const spec::CompletionEntry entry = receives_->entry(index);
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
