#include "nvme/discovery_walk.h"

#include <algorithm>
#include <string>

#include "nvme/command.h"
#include "nvme/status_text.h"

namespace nvublk::nvme {

DiscoveryWalk::DiscoveryWalk(Shard& shard, const TransportMaker& maker,
                             const ControllerOptions& options, const TransportId& first)
    : shard_(shard), maker_(maker), options_(options) {
  known_.push_back(first);
  to_visit_.push_back({first, 0});
}

DiscoveryWalk::~DiscoveryWalk() = default;

std::shared_ptr<Connection> DiscoveryWalk::take_connection() {
  if (runner_) {
    runner_->cancel();
  }
  return std::exchange(connection_, nullptr);
}

bool DiscoveryWalk::poll() {
  while (true) {
    if (!connection_) {
      if (to_visit_.empty()) {
        return true;
      }
      if (!begin_visit()) {
        continue;
      }
    }
    switch (connection_->state()) {
      case Connection::State::kConnecting:
      case Connection::State::kClosing:
        return false;
      case Connection::State::kFailed:
        failures_.emplace_back(current_.id, connection_->error());
        end_visit();
        continue;
      case Connection::State::kClosed:
        end_visit();
        continue;
      case Connection::State::kReady:
        if (!reader_) {
          reader_ = std::make_shared<DiscoveryReader>();
          runner_ = std::make_unique<Runner>(shard_.reactor(), *reader_, *this);
          runner_->start();
        }
        connection_->controller().admin().process();
        if (connection_->state() == Connection::State::kReady) {
          return false;
        }
    }
  }
}

// False when it failed at once.
bool DiscoveryWalk::begin_visit() {
  current_ = to_visit_.front();
  to_visit_.pop_front();
  ControllerOptions options = options_;
  options.name = "discovery of " + current_.id.traddr;
  options.transport.id = current_.id;
  options.application_queues = true;
  options.discovery_allowed = true;
  options.ctrl_loss_timeout = seconds(0);
  auto begun = Connection::begin(shard_, maker_, options, nullptr);
  if (!begun) {
    failures_.emplace_back(current_.id, std::move(begun.error()));
    return false;
  }
  connection_ = std::move(*begun);
  return true;
}

void DiscoveryWalk::end_visit() {
  runner_.reset();
  reader_.reset();
  connection_.reset();
}

void DiscoveryWalk::perform(DiscoveryReader&, const DiscoveryRead& read) {
  AdminCommand admin;
  admin.sqe = command::get_log_page({.page = spec::LogPage::kDiscovery,
                                     .length_bytes = read.data.size(),
                                     .offset_bytes = read.offset_bytes,
                                     .nsid = 0});
  admin.data = read.data;
  admin.timeout = options_.admin_timeout;
  admin.done = [this, memory = reader_](spec::NvmeStatus status, const spec::CompletionEntry&) {
    if (!runner_ || !runner_->waiting()) {
      return;
    }
    DiscoveryOutcome outcome;
    if (!status.ok()) {
      outcome.failure = Error::make(ErrorCode::kNvmeStatus,
                                    "the discovery log cannot be read: " + status_text(status));
      outcome.failure->nvme_status = status.bits();
    }
    runner_->finish(std::move(outcome));
  };
  if (connection_->controller().admin().submit(std::move(admin)) != 0) {
    // The connection was lost just now; there is no answer to wait for, only the step's deadline.
    connection_->close();
  }
}

void DiscoveryWalk::ended(DiscoveryReader& machine) {
  if (machine.done()) {
    keep(machine.log());
  } else {
    failures_.emplace_back(current_.id, machine.error());
  }
  connection_->close();
}

void DiscoveryWalk::refer(const TransportId& id) {
  const bool known = std::ranges::any_of(known_, [&id](const TransportId& k) { return k == id; });
  if (known) {
    return;
  }
  if (current_.depth + 1 > kMaxDepth || known_.size() >= kMaxVisits) {
    failures_.emplace_back(id, Error::make(ErrorCode::kUnsupported,
                                           "the discovery subsystems refer to more others than "
                                           "nvublk follows"));
    return;
  }
  known_.push_back(id);
  to_visit_.push_back({id, current_.depth + 1});
}

void DiscoveryWalk::keep_entries(const DiscoveryLog& log) {
  const std::size_t count = std::min(log.entries.size(), kMaxFound - entry_count_);
  entry_count_ += count;
  logs_.push_back(
      {current_.id,
       log.genctr,
       {log.entries.begin(), log.entries.begin() + static_cast<std::ptrdiff_t>(count)}});
}

void DiscoveryWalk::keep(const DiscoveryLog& log) {
  keep_entries(log);
  for (const DiscoveryRecord& record : log.records) {
    if (record.subtype == spec::SubsystemType::kReferral) {
      refer(record.id);
      continue;
    }
    if (record.subtype != spec::SubsystemType::kNvme || record.id.is_discovery()) {
      continue;
    }
    const bool known = std::ranges::any_of(
        found_, [&record](const DiscoveryRecord& each) { return each.id == record.id; });
    if (!known && found_.size() < kMaxFound) {
      found_.push_back(record);
    }
  }
}

}  // namespace nvublk::nvme
