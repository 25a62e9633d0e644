#include "target/worker.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "target/connection.h"

namespace nvublk::target {

Worker::~Worker() {
  stop();
  if (epoll_fd_ >= 0) close(epoll_fd_);
  if (wake_fd_ >= 0) close(wake_fd_);
}

Status Worker::start() {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd_ < 0) return fail_errno(errno, "cannot create an epoll instance");
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) return fail_errno(errno, "cannot create an eventfd");
  if (auto watched = watch(wake_fd_, EPOLLIN, nullptr); !watched) return watched;
  thread_ = std::thread([this] { run(); });
  return {};
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  post([] {});
  thread_.join();
}

void Worker::post(Task task) {
  {
    const std::lock_guard lock(mailbox_mutex_);
    mailbox_.push_back(std::move(task));
  }
  const std::uint64_t one = 1;
  // The counter can only be full when the worker has been woken already.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
}

Status Worker::watch(int fd, std::uint32_t events, Pollable* pollable) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = pollable;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return fail_errno(errno, "cannot watch a file descriptor");
  }
  return {};
}

void Worker::rewatch(int fd, std::uint32_t events, Pollable* pollable) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = pollable;
  epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event);
}

void Worker::unwatch(int fd) {
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

Worker::TimerId Worker::after(std::chrono::milliseconds delay, Task task) {
  const TimerId id = next_timer_++;
  timers_.emplace(Clock::now() + delay, Timer{id, std::move(task)});
  return id;
}

void Worker::cancel(TimerId id) {
  std::erase_if(timers_, [id](const auto& entry) { return entry.second.id == id; });
}

void Worker::adopt(std::shared_ptr<Connection> connection) {
  Connection* key = connection.get();
  stats_.connections.add();
  connections_.emplace(key, std::move(connection));
  key->open();
}

void Worker::release(Connection& connection) {
  const auto found = connections_.find(&connection);
  if (found == connections_.end()) return;
  stats_.closed.add();
  released_.push_back(std::move(found->second));
  connections_.erase(found);
}

void Worker::for_each_connection(const std::function<void(Connection&)>& visit) {
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [key, connection] : connections_) all.push_back(connection);
  for (const auto& connection : all) visit(*connection);
}

int Worker::timeout_ms() const {
  if (timers_.empty()) return -1;
  const auto left = timers_.begin()->first - Clock::now();
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(ms, 0, 60'000));
}

void Worker::run_mailbox() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(wake_fd_, &count, sizeof(count));
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mailbox_mutex_);
    tasks.swap(mailbox_);
  }
  for (Task& task : tasks) task();
}

void Worker::run_timers() {
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Task task = std::move(timers_.begin()->second.task);
    timers_.erase(timers_.begin());
    task();
  }
}

void Worker::run() {
  std::array<epoll_event, 64> events;
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int count =
        epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), timeout_ms());
    bool mail = false;
    for (int i = 0; i < count; i++) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.ptr == nullptr) {
        mail = true;
      } else {
        static_cast<Pollable*>(event.data.ptr)->on_ready(event.events);
      }
    }
    if (mail) run_mailbox();
    if (!timers_.empty()) run_timers();
    released_.clear();
  }
  for_each_connection([](Connection& connection) { connection.close(); });
  timers_.clear();
  released_.clear();
  const std::lock_guard lock(mailbox_mutex_);
  mailbox_.clear();
}

}  // namespace nvublk::target
