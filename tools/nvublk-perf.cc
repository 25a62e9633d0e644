// nvublk-perf: a load generator on the library; see nvublk-perf(1).

#include "keys/key_options.h"
#include "perf/run.h"

int main(int argc, char** argv) {
  nvublk::perf::Options options;
  const int status = nvublk::perf::parse_command_line(argc, argv, options);
  nvublk::keys::hide_keys(argc, argv);
  return status >= 0 ? status : nvublk::perf::run(options);
}
