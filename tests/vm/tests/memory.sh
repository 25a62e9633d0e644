#!/usr/bin/env bash
# The daemon when memory is short: nothing of it is missing while it serves, and swap on its own
# device takes what does not fit; nor does it need its own program's file, which may be on the
# device as with a root file system. The target is outside of the guest: one in the guest would have
# to find memory, too.
# With VM_FULL much more is swapped, by several programs; with VM_BRIEF its program stays where it
# is.
# run: --memory 640M --target '--ns size=2G,bs=4096'
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=../crash-lib.sh
. "$(dirname "$0")/../crash-lib.sh"
clean_up() {
  swapoff "${device-}"
  umount "$mount_point"
  nvublk detach --all --force
  stop_daemon
} >/dev/null 2>&1
readonly kSwapMib=${VM_SWAP_MIB:-$([ "${VM_FULL-}" = 1 ] && echo 400 || echo 24)}
readonly kHogs=${VM_HOGS:-$([ "${VM_FULL-}" = 1 ] && echo 3 || echo 1)}

# page_faults [major]: those of the threads that serve I/O; or of them, only those that had to read.
page_faults() {
  local task sum=0 minor major
  for task in /proc/"$daemon_pid"/task/*; do
    [[ $(cat "$task/comm") == nvublk-io* ]] || continue
    read -r minor major < <(sed 's/.*) //' "$task/stat" | awk '{ print $8, $10 }')
    [ "${1-}" != major ] || minor=0
    sum=$((sum + minor + major))
  done
  echo "$sum"
}

# How many I/O threads there are whose allocations might wait for I/O, which may be their own: those
# without PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE, which PR_SET_IO_FLUSHER sets.
no_flushers() {
  local task flags number=0 wrong=0
  for task in /proc/"$daemon_pid"/task/*; do
    [[ $(cat "$task/comm") == nvublk-io* ]] || continue
    number=$((number + 1))
    flags=$(sed 's/.*) //' "$task/stat" | awk '{ print $7 }')
    [ $((flags & 0x180000)) = $((0x180000)) ] || wrong=$((wrong + 1))
  done
  echo "$wrong of $((number > 0))"
}

# Whether every page that the daemon has of the file at $1 is locked.
all_locked() {
  awk -v program="$1" '
    /^[0-9a-f]+-[0-9a-f]+ / { ours = $6 == program }
    ours && /^(Size|Locked):/ { kib[$1] += $2 }
    END { print kib["Size:"], kib["Locked:"]
          exit !(kib["Size:"] > 0 && kib["Size:"] == kib["Locked:"]) }' "/proc/$daemon_pid/smaps"
}

# Nothing comes from the device for a while, and nothing of it is in memory that can be dropped; a
# write waits, and goes on, perhaps over a new connection, which has new memory.
writes_over_a_cut() {
  local writer
  ip link set eth0 down && echo 3 >/proc/sys/vm/drop_caches || return 1
  dd if=/dev/zero of="$mount_point/probe" bs=64k count=16 conv=fsync status=none &
  writer=$!
  sleep 3
  kill -0 "$writer" || { echo "it has not waited"; return 1; }
  ip link set eth0 up && wait "$writer"
}

# The program comes from the device, as with a root file system.
check_own_program() {
  require "a file system is made and mounted" make_file_system "$device"
  require "it has the daemon's program" cp "$NVUBLK_BIN/nvublkd" "$mount_point"
  require "a daemon from there takes over" take_over "$mount_point/nvublkd"
  require "its device goes on" wait_until 60 is "$device" live
  check "all of its program is locked" all_locked "$mount_point/nvublkd"
  check "it serves" still_writable
  faults=$(page_faults major)
  check "it serves without its file" writes_over_a_cut
  check_equal "and reads none of it" "$faults" "$(page_faults major)"
  require "the other program takes over" take_over "$NVUBLK_BIN/nvublkd"
  require "the device goes on" wait_until 60 is "$device" live
  check "the file system is sound" check_file_system "$device"
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

check_equal "its I/O threads do not wait for I/O when they need memory" "0 of 1" "$(no_flushers)"

[ -n "${VM_BRIEF-}" ] || check_own_program

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
