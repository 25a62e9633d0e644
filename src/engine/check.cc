#include "engine/check.h"

#include <cstdio>
#include <cstdlib>

namespace nvublk {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "nvublk: internal error: CHECK(%s) failed at %s:%d\n", condition, file,
               line);
  std::abort();
}

}  // namespace nvublk
