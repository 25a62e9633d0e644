#!/usr/bin/env bash
# The other way round: Linux's own initiator uses nvublk-target.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

check "Linux's initiator uses nvublk-target" \
  "$vm_tests/target-with-linux-host" "$(dirname "$NVUBLK_BIN")"
finish_tests
