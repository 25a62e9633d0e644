#!/usr/bin/env bash
# The daemon's memory: locked, and no page fault while it serves small requests.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() {
  nvublk detach --all --force
  stop_daemon
  stop_usual_target
} >/dev/null 2>&1

# The page faults of the threads that serve I/O: minor and major together.
page_faults() {
  local task sum=0 minor major
  for task in /proc/"$daemon_pid"/task/*; do
    [[ $(cat "$task/comm") == nvublk-io* ]] || continue
    read -r minor major < <(sed 's/.*) //' "$task/stat" | awk '{ print $8, $10 }')
    sum=$((sum + minor + major))
  done
  echo "$sum"
}

status_of() { grep "^$1" "/proc/$daemon_pid/status" | tr -dc 0-9; }

small_io() {
  fio --name=small --filename="$device" --size=64m --rw=randrw --bs=4k --direct=1 --iodepth=32 \
    --ioengine=io_uring --numjobs=2 --offset_increment=64m \
    --verify=crc32c --verify_fatal=1 --output=/tmp/fio.out ||
    { cat /tmp/fio.out; return 1; }
}

require "the modules load" load_modules ublk_drv nvmet-tcp
require "the target starts" start_usual_target 512
require "the daemon starts" start_daemon
require "it attaches" attach -t tcp -a "$kAddress" -s "$kPort" -n "$kNqn:null4096"
device=${devices[0]}

check_equal "the kernel kills it last" -900 "$(cat "/proc/$daemon_pid/oom_score_adj")"
check "its memory is locked" test "$(status_of VmLck)" -gt 8192
check "nothing of it can be swapped" test "$(status_of VmSwap)" = 0
faults=$(page_faults)
check "small requests are served" small_io
check_equal "without a page fault" "$faults" "$(page_faults)"

check "detach" nvublk detach --all
check_nothing_left
finish_tests
