// nvublk: the command line. See nvublk(1).

#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "service/commands.h"

int main(int argc, char** argv) {
  try {
    return nvublk::service::run_command(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::cerr << "nvublk: " << error.what() << '\n';
    return 1;
  }
}
