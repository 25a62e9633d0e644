#include "service/version.h"

namespace nvublk::service {

const char* version() {
  return NVUBLK_VERSION;
}

}  // namespace nvublk::service
