#!/usr/bin/env bash
# The unit nvublkd.service with a real systemd as process 1, while a service writes to ext4 on a
# device and another one is swap: the daemon is restarted, as an upgrade does it, and killed; then
# the machine is shut down, which unmounts before the daemon stops.
# VM_KILLS and VM_UPGRADES say how often: else 2 each, with VM_FULL 20, with VM_BRIEF 1.
# run: --init systemd
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=../crash-lib.sh
. "$(dirname "$0")/../crash-lib.sh"
# shellcheck source=../systemd-lib.sh
. "$(dirname "$0")/../systemd-lib.sh"
kills=${VM_KILLS:-$(extent 1 2 20)}
upgrades=${VM_UPGRADES:-$(extent 1 2 20)}
to=(-t tcp -a "$kAddress" -s "$kPort")
readonly kSwapped=/run/swapped

write_units() {
  install_unit nvublkd.service "$NVUBLK_BIN" /etc/systemd/system
  write_unit writer.service <<UNIT
[Unit]
RequiresMountsFor=$mount_point
[Service]
ExecStart=/bin/bash -c '. $vm_tests/crash-lib.sh; sync_files'
UNIT
  # What it leaves in memory is in swap for the most part.
  write_unit swapper.service <<UNIT
[Unit]
After=$swap_unit
[Service]
Type=oneshot
MemoryMax=16M
ExecStart=dd if=/dev/urandom of=$kSwapped bs=1M count=48 status=none
UNIT
  printf '%s\n' "$device $mount_point ext4 _netdev,errors=remount-ro 0 0" >/etc/fstab
  # As nvublkd(8) has it: by itself swap comes before all services, and so goes after them.
  write_unit "$swap_unit" <<UNIT
[Unit]
DefaultDependencies=no
Wants=nvublkd.service
After=nvublkd.service
Conflicts=umount.target
Before=umount.target
[Swap]
What=$swap
UNIT
  systemctl daemon-reload
}

start_mount() {
  mkdir -p "$kWriters" && mkfs.ext4 -q -F "$device" && mkswap "$swap" &&
    systemctl start "$(systemd-escape -p --suffix=mount "$mount_point")" \
      "$swap_unit"
}
start_writer() { systemctl start writer.service && wait_until 60 test -s "$kWriters/synced"; }
kib_of_swap() { awk -v name="$swap" '$1 == name { print $4 }' /proc/swaps; }

both_live() { is "$device" live && is "$swap" live; }
goes_on() { wait_until 90 both_live && writer_goes_on writer; }

restart_round() {
  local old
  old=$(main_pid nvublkd)
  pause
  systemctl restart nvublkd && [ "$(main_pid nvublkd)" != "$old" ] && goes_on
}

# Older drivers lose a request that they just hand over when the server dies: see crash-lib.sh.
kill_main_process() {
  local old
  old=$(main_pid nvublkd)
  pause
  loses_no_request || { systemctl kill -s STOP writer && sleep 1; }
  kill -KILL "$old" && wait_until 60 another_runs "$old"
  systemctl kill -s CONT writer
  goes_on
}
another_runs() { active nvublkd && [[ $(main_pid nvublkd) != @(0|"$1") ]]; }

# But for those daemons that this test has killed.
ended_by_force() {
  journal _PID=1 | grep -E 'timed out|SIGKILL|code=killed' |
    grep -v 'nvublkd.service: Main process exited, code=killed, status=9'
}

no_journal_to_replay() { ! dumpe2fs -h "$1" | grep needs_recovery; }
mount_to_look() { mount -o ro,noload "$1" "$mount_point"; }

require "the modules load" load_modules ublk_drv nvmet-tcp
require "the target starts" start_usual_target 128
install_unit nvublkd.service "$NVUBLK_BIN" /etc/systemd/system
require "systemd reads the units" systemctl daemon-reload
require "systemd starts the daemon" systemctl start nvublkd
check_equal "it has said that it is ready" "active running" \
  "$(property nvublkd ActiveState) $(property nvublkd SubState)"
require "it attaches" attach "${to[@]}" -n "$kNqn:brd" -c 1
device=${devices[0]}
require "and another" attach "${to[@]}" -n "$kNqn:null512" -c 1
swap=${devices[0]} swap_unit=dev-${devices[0]#/dev/}.swap
require "systemd reads what is to be mounted" write_units
require "the file system is mounted, and there is swap" start_mount
require "the writer starts" start_writer
require "something is swapped" systemctl start swapper
check_at_most "much of it is in swap" "$(kib_of_swap)" 16384
sum=$(sha256sum <$kSwapped)

check "the daemon is restarted $upgrades times while ext4 is written" \
  repeat "$upgrades" restart_round
check_equal "nothing was under way then" "$upgrades" \
  "$(journal -u nvublkd | grep -c 'devices wait for the next daemon$')"
check_equal "no restart was systemd's own" 0 "$(property nvublkd NRestarts)"
check "it is killed $kills times, and systemd starts it again" repeat "$kills" kill_main_process
check_equal "each time once" "$kills" "$(property nvublkd NRestarts)"
check_equal "the devices are the same" "$device $swap" \
  "$(nvublk list -o json | jq -r '.devices | sort_by(.nsid, .device) | map(.device) | join(" ")')"

# --- the end: of what is gone then, the RAM disk behind the device tells --------------------------
pid=$(main_pid nvublkd)
require "the machine is shut down, under load" shut_down
check "the file system was unmounted before the daemon was stopped" \
  said_in_order "Unmounted mnt-crash.mount" "Stopping nvublkd.service"
check "swap was given back before the daemon was stopped" \
  said_in_order "Deactivated swap $swap_unit" "Stopping nvublkd.service"
check "the daemon ended by itself" \
  said_in_order "Stopping nvublkd.service" "nvublkd.service: Deactivated successfully" ||
  journal -u nvublkd | tail -n 20
check_equal "nothing was ended by force" "" "$(ended_by_force)"
check_equal "the daemon waited for nobody, and took nothing away" "" \
  "$(journal _PID="$pid" | grep -E 'waiting to end|by force')"
check "it is gone" not_running "$pid"
check_nothing_left
check_equal "what was swapped is there" "$sum" "$(sha256sum <$kSwapped)"
check "the file system was unmounted in order" no_journal_to_replay /dev/ram0
check "it is sound" e2fsck -f -n /dev/ram0
require "it is mounted" mount_to_look /dev/ram0
check "everything that was synced is there" verify_writers
finish_tests
