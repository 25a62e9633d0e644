// nvublk: the command line. See nvublk(1).

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "keys/key_options.h"
#include "service/commands.h"

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    nvublk::keys::hide_keys(argc, argv);
    return nvublk::service::run_command(words);
  } catch (const std::exception& error) {
    std::cerr << "nvublk: " << error.what() << '\n';
    return 1;
  }
}
