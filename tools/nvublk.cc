// nvublk: the command line. See nvublk(1).

#include <algorithm>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "service/commands.h"

namespace {

/// Others see a program's arguments as long as it runs, such as with ps.
void hide_keys(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    for (const char* prefix : {"DHHC-1:", "NVMeTLSkey-1:"}) {
      if (char* key = std::strstr(argv[i], prefix)) {
        std::fill_n(key, std::strlen(key), '*');
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    hide_keys(argc, argv);
    return nvublk::service::run_command(words);
  } catch (const std::exception& error) {
    std::cerr << "nvublk: " << error.what() << '\n';
    return 1;
  }
}
