#include "nvme/pcie/admin_link.h"

#include <utility>

#include "engine/check.h"

namespace nvublk::nvme::pcie {

void AdminLink::serve(Shard& control, AdminLinkServer* server) {
  CHECK_ON(control);
  // Other shards read it: it is written once, before they can.
  if (control_ == nullptr) {
    control_ = &control;
  }
  CHECK(control_ == &control);
  server_ = server;
}

void AdminLink::identified(const spec::IdentifyController& identify) {
  if (server_ != nullptr) {
    server_->identified(identify);
  }
}

void AdminLink::keep_device(std::shared_ptr<PcieDevice> device) {
  if (keeps_) {
    kept_ = std::move(device);
  }
}

void AdminLink::keep_no_device() {
  keeps_ = false;
  kept_.reset();
}

void AdminLink::access(Shard& asker, std::function<void(Access access)> done) {
  CHECK(control_ != nullptr);
  control_->post([self = shared_from_this(), &asker, done = std::move(done)]() mutable {
    const auto answer = [&asker, done = std::move(done)](std::shared_ptr<PcieSession> session,
                                                         spec::Cap cap) {
      asker.post([done, access = Access{std::move(session), cap}] { done(access); });
    };
    if (self->server_ == nullptr) {
      answer(nullptr, {});
    } else {
      self->server_->access(answer);
    }
  });
}

void AdminLink::run(Shard& asker, const spec::SubmissionEntry& sqe, AdminLinkServer::Done done) {
  ask(asker, std::move(done), [sqe](AdminLinkServer& server, AdminLinkServer::Done answer) {
    server.run(sqe, std::move(answer));
  });
}

void AdminLink::reset(Shard& asker, const Error& reason, AdminLinkServer::Done done) {
  ask(asker, std::move(done), [reason](AdminLinkServer& server, AdminLinkServer::Done answer) {
    server.reset(reason, std::move(answer));
  });
}

void AdminLink::ask(
    Shard& asker, AdminLinkServer::Done done,
    std::function<void(AdminLinkServer& server, AdminLinkServer::Done done)> question) {
  CHECK(control_ != nullptr);
  control_->post(
      [self = shared_from_this(), &asker, question = std::move(question), done = std::move(done)] {
        const auto answer = [&asker, done](AdminOutcome outcome) {
          asker.post([done, outcome] { done(outcome); });
        };
        if (self->server_ == nullptr) {
          answer({.reset = true});
        } else {
          question(*self->server_, answer);
        }
      });
}

}  // namespace nvublk::nvme::pcie
