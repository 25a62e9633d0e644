#include "nvme/rdma/watched_verbs.h"

#include <algorithm>
#include <cerrno>

#include <dlfcn.h>

namespace nvublk::nvme::rdma {

WatchedVerbs& watched_verbs() {
  static WatchedVerbs watched;
  return watched;
}

namespace {

// The function of rdma-core that the one of this name below stands in front of.
template <typename Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

void limit(int& value, const std::optional<int>& most) {
  value = std::min(value, most.value_or(value));
}

}  // namespace

extern "C" int ibv_query_device(ibv_context* context, ibv_device_attr* attributes) {
  const int error = real<decltype(ibv_query_device)>("ibv_query_device")(context, attributes);
  const WatchedVerbs& watched = watched_verbs();
  limit(attributes->max_qp_wr, watched.max_qp_wr);
  limit(attributes->max_sge, watched.max_sge);
  limit(attributes->max_cqe, watched.max_cqe);
  return error;
}

extern "C" ibv_cq* ibv_create_cq(ibv_context* context, int entries, void* cookie,
                                 ibv_comp_channel* channel, int vector) {
  watched_verbs().completion_queues.push_back(entries);
  return real<decltype(ibv_create_cq)>("ibv_create_cq")(context, entries, cookie, channel, vector);
}

extern "C" int rdma_create_qp(rdma_cm_id* id, ibv_pd* domain, ibv_qp_init_attr* attributes) {
  WatchedVerbs& watched = watched_verbs();
  watched.queue_pairs.push_back(attributes->cap);
  if (watched.refuses_inline && attributes->cap.max_inline_data > 0) {
    errno = EINVAL;
    return -1;
  }
  return real<decltype(rdma_create_qp)>("rdma_create_qp")(id, domain, attributes);
}

extern "C" int rdma_set_option(rdma_cm_id* id, int level, int name, void* value,
                               std::size_t length) {
  if (level == RDMA_OPTION_ID && length == 1) {
    watched_verbs().options.push_back({name, *static_cast<const std::uint8_t*>(value)});
  }
  return real<decltype(rdma_set_option)>("rdma_set_option")(id, level, name, value, length);
}

}  // namespace nvublk::nvme::rdma
