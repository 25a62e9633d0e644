#include "nvme/rdma/verbs.h"

namespace nvublk::nvme::rdma {

std::string device_name(const ibv_context& context) {
  const char* name = ::ibv_get_device_name(context.device);
  return name != nullptr ? name : "?";
}

std::string work_status_text(const ibv_wc& completion) {
  std::string text = ::ibv_wc_status_str(completion.status);
  switch (completion.status) {
    case IBV_WC_RETRY_EXC_ERR:
      return text + "; the target does not answer any more: is the network up?";
    case IBV_WC_RNR_RETRY_EXC_ERR:
      return text + "; the target has no receive buffers";
    case IBV_WC_LOC_PROT_ERR:
    case IBV_WC_REM_ACCESS_ERR:
      return text + " (vendor error " + std::to_string(completion.vendor_err) + ")";
    default:
      return text;
  }
}

}  // namespace nvublk::nvme::rdma
