#!/usr/bin/env bash
# The daemon when memory is short: nothing of it is missing while it serves, and swap on its own
# device takes what does not fit. The target is outside of the guest: one in the guest would have to
# find memory, too.
# With VM_FULL much more is swapped, by several programs.
# run: --memory 640M --target '--ns size=2G,bs=4096'
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() {
  swapoff "${device-}"
  nvublk detach --all --force
  stop_daemon
} >/dev/null 2>&1
readonly kSwapMib=${VM_SWAP_MIB:-$([ "${VM_FULL-}" = 1 ] && echo 400 || echo 24)}
readonly kHogs=${VM_HOGS:-$([ "${VM_FULL-}" = 1 ] && echo 3 || echo 1)}

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
swapped_mib() { awk 'NR > 1 { print int($4 / 1024) }' /proc/swaps; }

# fill MIB: takes memory until so much is swapped in all, and more than there is at most; its data
# must be the same when it is looked at again.
fill() {
  timeout 600 python3 - "$1" <<'PYTHON'
import os
import sys
kMiB = 1 << 20
random = os.urandom(kMiB)
def piece(number):
    content = bytearray(random)
    content[::4096] = (number & 255).to_bytes() * 256
    return content
def swapped_mib():
    with open("/proc/swaps", encoding="ascii") as swaps:
        return sum(int(line.split()[3]) // 1024 for line in swaps.readlines()[1:])
there_are = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // kMiB
pieces = []
while len(pieces) < there_are + int(sys.argv[1]):
    pieces.append(piece(len(pieces)))
    if len(pieces) % 8 == 0 and swapped_mib() >= int(sys.argv[1]):
        break
# The last first, and each is given back: what was swapped finds room then.
while pieces:
    number = len(pieces) - 1
    assert pieces.pop() == piece(number)
PYTHON
}

# All of them at once; sets most, the most that was swapped out.
fill_by_all() {
  local hog hogs=() now status=0
  most=0
  for ((hog = 0; hog < kHogs; hog++)); do
    fill "$1" &
    hogs+=($!)
  done
  while kill -0 "${hogs[@]}" 2>/dev/null; do
    now=$(swapped_mib)
    [ "${now:-0}" -le "$most" ] || most=$now
    sleep 0.2
  done
  for hog in "${hogs[@]}"; do wait "$hog" || status=1; done
  return "$status"
}

# Locked pages that the kernel moves to make large ones free are faults, too, though they need none.
echo 0 >/proc/sys/vm/compact_unevictable_allowed
# Programs are not to be read again and again while data could be swapped instead.
echo 200 >/proc/sys/vm/swappiness
require "the modules load" load_modules ublk_drv
require "there is a network" start_network
require "the daemon starts" start_daemon
require "it attaches" attach -t tcp -a "$kHostAddress" -s "$VM_TARGET_PORT" -n "$kHostNqn"
device=${devices[0]}

check_equal "the kernel kills it last" -900 "$(cat "/proc/$daemon_pid/oom_score_adj")"
check "its memory is locked" test "$(status_of VmLck)" -gt 65536
check_at_most "not without bound (KiB)" 200000 "$(resident_kib "$daemon_pid")"
faults=$(page_faults)
check "requests of all sizes are served" verify_with_fio "$device" --size=16m
check_equal "without a page fault" "$faults" "$(page_faults)"

require "swap is made" mkswap "$device"
require "it is used" swapon -p 10 "$device"
faults=$(page_faults)
check "what needs more memory than there is ends, with its data right" \
  fill_by_all "$kSwapMib"
check "it has been swapped, $most MiB" test "$most" -ge $((kSwapMib / 2))
check "no part of the daemon has" test "$(status_of VmSwap)" = 0
check_equal "it has not had a page fault" "$faults" "$(page_faults)"
check "it lives" nvublk status
check "swap can be taken away" timeout 300 swapoff "$device"
check "detach" nvublk detach --all
check_nothing_left
finish_tests
