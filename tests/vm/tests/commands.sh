#!/usr/bin/env bash
# Every namespace command that the kernel's target offers, through the library, and reservations
# between two hosts where it has them (Linux 6.13).
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() { stop_tcp_target; remove_backing; } >/dev/null 2>&1

program=$(dirname "$NVUBLK_BIN")/tests/nvme/library/nvublk_namespace_commands
nqn=$kNqn:commands
folder=$kNvmet/subsystems/$nqn/namespaces/1

make_target() {
  make_null_block null512 64 512 && add_subsystem "$nqn" && mkdir "$folder" || return 1
  echo -n /dev/null512 >"$folder/device_path"
  [ ! -e "$folder/resv_enable" ] || echo 1 >"$folder/resv_enable" || return 1
  echo 1 >"$folder/enable"
  start_tcp_target "$kPort" "$nqn"
}

require "the modules load" load_modules nvmet-tcp
require "the target starts" make_target
output=$("$program" "$kAddress" "$kPort" "$nqn" 2>&1)
check_equal "the program ends well" 0 $?
echo "# ${output//$'\n'/$'\n'# }"
check "no command went wrong" test -z "$(grep WRONG <<<"$output")"
for command in write read flush "write zeroes" "dataset management of 256 ranges"; do
  check_match "the target has it: $command" ok "$(grep "^$command: " <<<"$output")"
done
if [ -e "$folder/resv_enable" ]; then
  check_match "the second host is kept out" ok \
    "$(grep '^the second host cannot write: ' <<<"$output")"
else
  check_match "this kernel has no reservations" "not offered" \
    "$(grep '^reservations: ' <<<"$output")"
fi
finish_tests
