#include "service/pci_lease.h"

#include <utility>

#include "engine/log.h"

namespace nvublk::service {

std::function<Status()> PciLease::taking(const nvme::TransportId& id) {
  const auto address = nvme::PciAddress::parse(id.traddr);
  if (id.is_fabrics() || !address) {
    return nullptr;
  }
  return [address = *address]() -> Status {
    const auto bound = bind_to_vfio(address);
    return bound ? Status{} : std::unexpected(bound.error());
  };
}

void PciLease::take(const nvme::TransportId& id, std::function<void(Status status)> done) {
  if (id.is_fabrics()) {
    done({});
    return;
  }
  const auto address = nvme::PciAddress::parse(id.traddr);
  if (!address) {
    done(std::unexpected(address.error()));
    return;
  }
  binding_.start([address = *address] { return bind_to_vfio(address); },
                 [this, done = std::move(done)](Result<PciOrigin> origin) {
                   if (!origin) {
                     Error error = std::move(origin.error());
                     error.step = "bind to vfio-pci";
                     done(std::unexpected(std::move(error)));
                     return;
                   }
                   if (origin->changed) {
                     returns_to_ = std::move(origin->driver);
                   }
                   done({});
                 });
}

void PciLease::give_back(const nvme::TransportId& id, std::function<void()> done) {
  const auto address = nvme::PciAddress::parse(id.traddr);
  const std::optional<std::string> driver = std::exchange(returns_to_, std::nullopt);
  if (!driver || id.is_fabrics() || !address || keep_) {
    done();
    return;
  }
  binding_.start(
      [origin = PciOrigin{*address, *driver, true}] { return service::give_back(origin); },
      [done = std::move(done)](const Status& status) {
        if (!status) {
          log_warning("service", status.error().text);
        }
        done();
      });
}

}  // namespace nvublk::service
