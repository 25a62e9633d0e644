#!/usr/bin/env bash
# The daemon when memory is short: no page fault while it serves small requests, and swap on its own
# device, filled while next to no memory is free.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() {
  swapoff "${device-}"
  echo 0 >/proc/sys/vm/nr_hugepages
  nvublk detach --all --force
  stop_daemon
  stop_usual_target
} >/dev/null 2>&1
readonly kLeftMib=300 kHogMib=360

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

# Huge pages are memory that nothing else gets, and that cannot be written to swap.
leave_memory() {
  local available
  available=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
  echo $(((available - $1) / 2)) >/proc/sys/vm/nr_hugepages
}

hog() {
  timeout 300 python3 - "$1" <<'PYTHON'
import os
import sys
import zlib
pages = [bytearray(os.urandom(1 << 20)) for _ in range(int(sys.argv[1]))]
sums = [zlib.crc32(page) for page in pages]
for page, expected in zip(pages, sums):
    assert zlib.crc32(page) == expected
PYTHON
}
swapped_mib() { awk 'NR > 1 { print int($4 / 1024) }' /proc/swaps; }

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

# All of the target's memory is there before there is none left.
require "the namespace is filled" \
  dd if=/dev/zero of="$device" bs=1M oflag=direct status=none count=512
require "swap is made" mkswap "$device"
require "it is used" swapon -p 10 "$device"
leave_memory "$kLeftMib"
hog "$kHogMib" &
hog_pid=$!
most=0
while kill -0 "$hog_pid" 2>/dev/null; do
  now=$(swapped_mib)
  [ "${now:-0}" -le "$most" ] || most=$now
  sleep 0.2
done
check "a program that needs more memory than there is ends, with its data right" wait "$hog_pid"
check "it has been swapped, $most MiB" test "$most" -ge 50
check "no part of the daemon has" test "$(status_of VmSwap)" = 0
check "the daemon lives" nvublk status
check "swap can be taken away" timeout 120 swapoff "$device"
echo 0 >/proc/sys/vm/nr_hugepages
check "detach" nvublk detach --all
check_nothing_left
finish_tests
