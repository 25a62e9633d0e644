#include "service/hotplug.h"

#include <array>
#include <cerrno>
#include <utility>

#include <linux/netlink.h>
#include <sys/socket.h>

namespace nvublk::service {

namespace {

constexpr unsigned kKernelGroup = 1;           // group 2 has what udev makes of them
constexpr std::size_t kLongestMessage = 8192;  // the kernel's are at most 2048 + its header

/// The value of `key` among the zero-ended "KEY=value" words of `message`; empty if it has none.
std::string_view value_of(std::string_view message, std::string_view key) {
  while (!message.empty()) {
    const auto end = message.find('\0');
    const std::string_view word = message.substr(0, end);
    if (word.size() > key.size() && word.starts_with(key) && word[key.size()] == '=') {
      return word.substr(key.size() + 1);
    }
    message = end == std::string_view::npos ? std::string_view() : message.substr(end + 1);
  }
  return {};
}

}  // namespace

std::optional<nvme::PciAddress> arrived_function(std::string_view message) {
  const std::string_view action = value_of(message, "ACTION");
  const bool taken = action == "bind" && value_of(message, "DRIVER") != "vfio-pci";
  if (value_of(message, "SUBSYSTEM") != "pci" || (action != "add" && !taken)) {
    return std::nullopt;
  }
  const auto address = nvme::PciAddress::parse(std::string(value_of(message, "PCI_SLOT_NAME")));
  return address ? std::optional(*address) : std::nullopt;
}

Result<std::unique_ptr<Hotplug>> Hotplug::start(Reactor& reactor, Attachments& attachments) {
  UniqueFd socket(
      ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kKernelGroup;
  if (!socket ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail_errno(errno, "cannot listen to the kernel's messages about devices");
  }
  return std::unique_ptr<Hotplug>(new Hotplug(reactor, attachments, std::move(socket)));
}

Hotplug::Hotplug(Reactor& reactor, Attachments& attachments, UniqueFd socket)
    : attachments_(attachments),
      socket_(std::move(socket)),
      watch_(reactor, [](void* self) { static_cast<Hotplug*>(self)->receive(); }, this) {
  watch_.start(socket_.get());
}

void Hotplug::receive() {
  std::array<char, kLongestMessage> message;
  for (;;) {
    sockaddr_nl sender{};
    socklen_t sender_length = sizeof(sender);
    const ssize_t length = ::recvfrom(socket_.get(), message.data(), message.size(), 0,
                                      reinterpret_cast<sockaddr*>(&sender), &sender_length);
    if (length < 0 && errno == ENOBUFS) {
      continue;  // some were lost: those drives wait for the next attempt to reconnect
    }
    if (length <= 0) {
      return;
    }
    if (sender.nl_pid != 0) {
      continue;  // not from the kernel
    }
    if (const auto address = arrived_function({message.data(), static_cast<std::size_t>(length)})) {
      attachments_.drive_arrived(*address);
    }
  }
}

}  // namespace nvublk::service
