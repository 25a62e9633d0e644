#!/usr/bin/env bash
# NVMe/RDMA over a software device, against the kernel's target: what is missing is said, I/O with
# verification in the three polling modes, a file system, both address families, eight namespaces,
# targets that come and go, the library, and nothing left behind.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() {
  nvublk detach --all --force
  stop_daemon
  stop_usual_target
  stop_rdma_device
} >/dev/null 2>&1

readonly kRdmaPort=4421 kRdmaPort6=4422
readonly kLibraryTest=$NVUBLK_BIN/../tests/nvme/rdma/nvublk_rdma_guest_test
rdma_subsystems=("$kNqn:brd" "$kNqn:null512" "$kNqn:null4096" "$kNqn:eight")

start_target() {
  local n
  start_usual_target 64 && add_subsystem "$kNqn:eight" || return 1
  for n in 1 2 3 4 5 6 7 8; do
    make_file "/run/eight.$n" 8 && add_namespace "$kNqn:eight" "$n" "/run/eight.$n" || return 1
  done
}
start_rdma_ports() {
  start_port rdma "$kRdmaAddress" "$kRdmaPort" "${rdma_subsystems[@]}" &&
    start_port rdma "$kRdmaAddress6" "$kRdmaPort6" "$kNqn:brd"
}

# attach_rdma NQN-SUFFIX [OPTION...]; few tags, as each pins its buffer.
attach_rdma() {
  local kind=$1
  shift
  attach -t rdma -a "$kRdmaAddress" -s "$kRdmaPort" -n "$kNqn:$kind" --depth 16 -c 1 "$@"
}

makes_and_mounts() {
  mkfs.ext4 -q -F "$1" && mkdir -p /mnt/rdma && mount "$1" /mnt/rdma &&
    cp -r "$vm_tests" /mnt/rdma/ && sync -f /mnt/rdma && umount /mnt/rdma &&
    e2fsck -fn "$1" && mount "$1" /mnt/rdma && diff -r "$vm_tests" "/mnt/rdma/${vm_tests##*/}" &&
    umount /mnt/rdma
}

break_and_mend() {
  remove_target && wait_until 30 state_is reconnecting && restore_target &&
    wait_until 60 state_is live
}

objects() {
  local kind
  for kind in qp cq srq mr pd cm_id; do echo "$kind $(rdma_objects "$kind")"; done
}
no_objects() { [ "$(objects)" = "$(printf '%s 0\n' qp cq srq mr pd cm_id)" ]; }

# check_no_objects WHEN: closing a connection ends a moment after the command that asked for it.
check_no_objects() {
  wait_until 10 no_objects
  check_equal "nothing of RDMA is left $1" "$(printf '%s 0\n' qp cq srq mr pd cm_id)" "$(objects)"
}

# After fio has moved megabytes.
status_counts_the_device() {
  nvublk status -o json | jq -e '[.daemon.shards[].rdma[]? | select(.device == "rxe0")] |
    length > 0 and (map(.completions) | add) > 100 and
    all(.polls >= .idle_polls and .send_doorbells <= .send_requests and .receive_requests > 0)'
}
state_is() { [ "$(nvublk status -o json | jq -r '.controllers[0].state')" = "$1" ]; }
try_device() {
  local name="$*"
  check "attach: $name" attach_rdma "$@" || return
  check "fio verifies, 4k to 1m: $name" verify_with_fio "${devices[0]}" --iodepth=8 \
    --size="$(extent 8m 16m 16m)"
  check_equal "no I/O failed: $name" 0 "$(nvublk status -o json | jq '.devices[0].errors')"
  check "detach: $name" nvublk detach "${devices[0]}"
}

# start_daemon_in MODE
start_daemon_in() {
  mkdir -p "$(dirname "$NVUBLK_SOCKET")"
  "$NVUBLK_BIN/nvublkd" --socket "$NVUBLK_SOCKET" --mode "$1" >>"$kDaemonLog" 2>&1 &
  daemon_pid=$!
  wait_until 30 nvublk status
}

round() { attach_rdma brd && nvublk detach "${devices[0]}"; }
rounds() {
  local n
  for ((n = 0; n < $1; n++)); do round || { echo "round $n of $1 failed"; return 1; }; done
}

# check_interruption NAME BREAK MEND: fio writes and verifies while the connection breaks and comes
# back; it waits and nothing is lost.
check_interruption() {
  local name=$1 break=$2 mend=$3
  start_verifying --filename="${devices[0]}"
  sleep 2
  check "$name: it breaks" "$break"
  check "$name: the controller reconnects" wait_until 30 state_is reconnecting
  check "$name: it is mended" "$mend"
  check "$name: the controller is live again" wait_until 60 state_is live
  check "$name: fio has verified everything" end_verifying
  check_equal "$name: no I/O failed" 0 "$(nvublk status -o json | jq '.devices[0].errors')"
}
remove_target() { rm "$kNvmet/ports/$kRdmaPort/subsystems"/* && rmdir "$kNvmet/ports/$kRdmaPort"; }
restore_target() { start_port rdma "$kRdmaAddress" "$kRdmaPort" "${rdma_subsystems[@]}"; }
unload_target() {
  remove_target && rm "$kNvmet/ports/$kRdmaPort6/subsystems"/* &&
    rmdir "$kNvmet/ports/$kRdmaPort6" && modprobe -r nvmet-rdma
}
delete_link() { timeout 20 rdma link delete rxe0; }
recreate_link() {
  rdma link add rxe0 type rxe netdev rdma0 && remove_target && restore_target
}

require "the modules load" load_modules ublk_drv
require "the daemon starts" start_daemon_in adaptive
to_brd=(-t rdma -a "$kRdmaAddress" -s "$kRdmaPort" -n "$kNqn:brd")
check_match "without a device the error says so" 'no RDMA device.*rdma_rxe' \
  "$(nvublk attach "${to_brd[@]}" 2>&1)"
require "the software device starts" start_rdma_device
require "the target starts" start_target
check_match "without a target the error says so" 'nothing listens' \
  "$(nvublk attach "${to_brd[@]}" 2>&1)"
require "the target listens" start_rdma_ports

try_device brd -i 2 --queues 2
check "status counts the device's work" status_counts_the_device
[ -n "${VM_BRIEF-}" ] || try_device null4096 -i 1
check "attach over IPv6" attach -t rdma -a "$kRdmaAddress6" -s "$kRdmaPort6" -n "$kNqn:brd" \
  --depth 8
check "fio verifies over IPv6" verify_with_fio "${devices[0]}" --size=8m --iodepth=4
check "detach over IPv6" nvublk detach --all
check "attach with options" attach_rdma null512 --rdma-ack-timeout 14 -T 32 -w "$kRdmaAddress"
check "mkfs, mount, copy, fsck: ext4" makes_and_mounts "${devices[0]-}"

check_equal "no I/O failed: ext4" 0 "$(nvublk status -o json | jq ".devices[0].errors")"
check "detach after mount" nvublk detach --all
check_no_objects "after detach"

check "attach eight namespaces" attach_rdma eight
check_equal "eight paths are printed" 8 "${#devices[@]}"
check "fio verifies all eight at once" verify_with_fio "$(IFS=:; echo "${devices[*]}")" --size=32m
check "detach all eight" nvublk detach --all

check "attach with a shared receive queue" \
  attach_rdma eight -i 2 --queues 2 --shared-receive-queue
check_match "the device has them, one for each shard" '^[1-9]' "$(rdma_objects srq)"
check "fio verifies through it" verify_with_fio "$(IFS=:; echo "${devices[*]}")" --size=8m
check "the target breaks off and comes back" break_and_mend
check "fio verifies through it again" verify_with_fio "$(IFS=:; echo "${devices[*]}")" --size=8m
check "detach from it" nvublk detach --all
check_no_objects "after a shared receive queue"

check "attach for interruptions" attach_rdma brd -i 2 --queues 2 -l -1
check "its queue pairs are counted" test "$(rdma_objects qp)" -ge 2
check "its memory regions are counted" test "$(rdma_objects mr)" -ge 3
check_interruption "port removed and added" remove_target restore_target
if [ "${VM_FULL-}" = 1 ]; then
  check_interruption "target's module unloaded" unload_target start_rdma_ports
  # Before Linux 7 a software device can't go while a program has it open.
  if [ "$(uname -r | cut -d. -f1)" -ge 7 ]; then
    check_interruption "link deleted and recreated" delete_link recreate_link
  fi
fi
check "detach after interruptions" nvublk detach --all
check_no_objects "after interruptions"

check "rounds of attach and detach" rounds 3
files=$(open_files "$daemon_pid") memory=$(resident_kib "$daemon_pid")
count=$(extent 3 5 47)
check "$count more rounds" rounds "$count"
check_equal "no file stays open" "$files" "$(open_files "$daemon_pid")"
check_at_most "no memory is lost, KiB" $((memory + 512)) "$(resident_kib "$daemon_pid")"
check_no_objects "after the rounds"
check_nothing_left
check "the daemon ends" stop_daemon

for mode in $(extent interrupt "busy interrupt" "busy interrupt"); do
  require "the daemon starts, $mode" start_daemon_in "$mode"
  try_device brd -i 2 --queues 2
  check "the daemon ends, $mode" stop_daemon
done

export RDMA_ADDRESS=$kRdmaAddress RDMA_PORT=$kRdmaPort RDMA_NQN=$kNqn:brd
export RDMA_CHANGING_NQN=$kNqn:eight
export RDMA_CHANGING_SWITCH=$kNvmet/subsystems/$kNqn:eight/namespaces/8/enable
check "the library's tests" "$kLibraryTest"
finish_tests
