#!/usr/bin/env bash
# What a long life needs: 50 attach/detach rounds (20 with VM_BRIEF) leave nothing behind, two
# daemons live side by side, eight namespaces at once, and an idle daemon uses no processor.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
second_socket=/run/nvublk-second/nvublk.sock
clean_up() {
  nvublk detach --all --force
  nvublk detach --all --force --socket "$second_socket"
  stop_daemon
  stop_daemon "${second_pid-}"
  stop_tcp_target
  remove_backing
} >/dev/null 2>&1

eight=$kNqn:eight other=$kNqn:other
to_eight=(-t tcp -a "$kAddress" -s "$kPort" -n "$eight")
to_other=(-t tcp -a "$kAddress" -s "$kPort" -n "$other")

start_target() {
  local n
  make_ram_disks 9 32 && add_subsystem "$eight" && add_subsystem "$other" || return 1
  for n in 1 2 3 4 5 6 7 8; do add_namespace "$eight" "$n" "/dev/ram$((n - 1))" || return 1; done
  add_namespace "$other" 1 /dev/ram8 && start_tcp_target "$kPort" "$eight" "$other"
}

round() {
  attach "${to_other[@]}" && dd if="${devices[0]}" of=/dev/null bs=64k count=4 status=none &&
    nvublk detach "${devices[0]}" && [ ! -e "${devices[0]}" ]
}

rounds() {
  local n
  for ((n = 0; n < $1; n++)); do round || { echo "round $n of $1 failed"; return 1; }; done
}

# Each daemon's device holds what was written through it, and both at the same time.
use_both() {
  dd if=/dev/urandom of=/tmp/a bs=1M count=4 status=none
  dd if=/dev/urandom of=/tmp/b bs=1M count=4 status=none
  dd if=/tmp/a of="$1" bs=64k oflag=direct status=none &
  dd if=/tmp/b of="$2" bs=64k oflag=direct status=none && wait $! &&
    cmp -n $((4 * 1024 * 1024)) /tmp/a "$1" && cmp -n $((4 * 1024 * 1024)) /tmp/b "$2"
}

require "the modules load" load_modules ublk_drv nvmet-tcp
require "the target starts" start_target
require "the daemon starts" start_daemon

# What grows once, at first use, is no leak: compare after some rounds with after all.
early=$(extent 5 10 10) late=$(extent 15 40 40)
require "$early attach/detach rounds" rounds "$early"
files=$(open_files "$daemon_pid") memory=$(resident_kib "$daemon_pid")
check "$late more rounds" rounds "$late"
check_equal "no file stays open" "$files" "$(open_files "$daemon_pid")"
check_at_most "no memory is lost, KiB" $((memory + 512)) "$(resident_kib "$daemon_pid")"
check_equal "no connection is left" 0 "$(tcp_connections "$kPort")"
check_nothing_left
check "the ids are free again" attach "${to_other[@]}"
check_equal "the first id is used again" /dev/ublkb0 "${devices[0]-}"

first_pid=$daemon_pid first_device=${devices[0]-}
require "a second daemon starts" start_daemon "$second_socket"
second_pid=$daemon_pid daemon_pid=$first_pid
check "the second daemon attaches" attach "${to_eight[@]}" --nsid 1 --socket "$second_socket"
check "both devices keep their data" use_both "$first_device" "${devices[0]-/dev/null}"
check_json "the first daemon lists its own" "$(nvublk list -o json)" \
  '[.devices[].device] == [$device]' --arg device "$first_device"
check_json "the second daemon lists its own" "$(nvublk list -o json --socket "$second_socket")" \
  '[.devices[].device] == [$device]' --arg device "${devices[0]-}"
check "the second daemon detaches" nvublk detach --all --socket "$second_socket"
check "the second daemon ends" stop_daemon "$second_pid"
check "the first device is still there" test -b "$first_device"
check "the first daemon detaches" nvublk detach --all

check "attach eight namespaces" attach "${to_eight[@]}"
check_equal "eight paths are printed" 8 "${#devices[@]}"
check_json "eight devices are live" "$(nvublk list -o json)" \
  '[.devices[] | select(.state == "live") | .nsid] | sort == [1, 2, 3, 4, 5, 6, 7, 8]'
check "fio verifies all eight at once" verify_with_fio "$(IFS=:; echo "${devices[*]}")" --size=32m
check "its processor time is counted" test "$(cpu_ticks "$daemon_pid")" -gt 0
sleep 5
busy=$(cpu_ticks "$daemon_pid")
sleep 10
check_at_most "an idle daemon uses less than 0.5 % of a processor, 1/100 s in 10 s" 4 \
  $(($(cpu_ticks "$daemon_pid") - busy))
check "detach all eight" nvublk detach --all
check "attach two of eight" attach "${to_eight[@]}" --nsid 3,5
check_json "only those two" "$(nvublk list -o json)" '[.devices[].nsid] | sort == [3, 5]'
check "detach by NQN" nvublk detach "$eight"
check_nothing_left
check "the daemon ends" stop_daemon
finish_tests
