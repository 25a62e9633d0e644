#pragma once

// The file with the daemon's SavedState. Reading and writing may block: not on a shard that serves.

#include <string>

#include "service/saved_state.h"

namespace nvublk::service {

/// The file of a daemon with this run directory.
std::string state_path_of(const std::string& run_directory);

struct FoundState {
  SavedState state;     ///< empty if there is no file, or none that can be used
  std::string problem;  ///< what is wrong with it, a sentence; empty: nothing
};

/// Reads the file.
FoundState read_state_file(const std::string& path);
/// Renames a file that cannot be used, with ".damaged" after its name, so that it is not
/// overwritten; `problem` tells of that.
void keep_aside(const std::string& path, std::string& problem);

/// Has the file hold `state`, all of it or, after a crash at any moment, what it held before. There
/// is no file when there is nothing to keep.
Status write_state_file(const std::string& path, const SavedState& state);

}  // namespace nvublk::service
