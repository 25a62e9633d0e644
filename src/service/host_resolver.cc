#include "service/host_resolver.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include <netdb.h>
#include <sys/socket.h>

#include "nvme/ip_address.h"

namespace nvublk::service {

Result<std::vector<std::string>> resolve_host(const std::string& host, nvme::Adrfam adrfam) {
  if (nvme::IpAddress::parse(host)) {
    return std::vector<std::string>{host};
  }
  addrinfo hints{};
  hints.ai_family = adrfam == nvme::Adrfam::kIpv4   ? AF_INET
                    : adrfam == nvme::Adrfam::kIpv6 ? AF_INET6
                                                    : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int status = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (status != 0) {
    const char* why = status == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(status);
    return fail(ErrorCode::kNotFound, "cannot resolve the host name '" + host + "': " + why);
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, ::freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    char text[NI_MAXHOST];
    if (::getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof(text), nullptr, 0,
                      NI_NUMERICHOST) == 0 &&
        std::find(addresses.begin(), addresses.end(), text) == addresses.end()) {
      addresses.emplace_back(text);
    }
  }
  if (addresses.empty()) {
    return fail(ErrorCode::kNotFound, "the host name '" + host + "' has no address");
  }
  return addresses;
}

}  // namespace nvublk::service
