#!/usr/bin/env bash
# What outlives the daemon: ext4 is written while the daemon is killed, again and again, and while
# it is replaced by another; devices whose target is away, or another; what nobody will resume; and
# what a power cut takes along.
# VM_KILLS and VM_UPGRADES say how often: else 3 and 2, with VM_FULL 50 and 20, with VM_BRIEF 2 and
# 1, and no power cut then.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=../crash-lib.sh
. "$(dirname "$0")/../crash-lib.sh"
clean_up() {
  stop_writers
  kill "${cut_target-}"
  umount "$mount_point"
  umount /mnt/small
  nvublk detach --all --force
  stop_daemon
  stop_usual_target
} >/dev/null 2>&1
kills=${VM_KILLS:-$(extent 2 3 50)}
upgrades=${VM_UPGRADES:-$(extent 1 2 20)}
to=(-t tcp -a "$kAddress" -s "$kPort")

not_mounted_by_fuse() { ! grep -q fuse.nvublk /proc/mounts; }
no_loop_device() { [ "$(loop_devices)" = 0 ]; }
fails() { ! "$@"; }

require "the modules load" load_modules ublk_drv nvmet-tcp
require "the target starts" start_usual_target 256
require "the daemon starts" start_daemon
require "it attaches" attach "${to[@]}" -n "$kNqn:null4096" -c 1
device=${devices[0]}
require "the state is kept" test -s /run/nvublk/state.json
require "a file system is made and mounted" make_file_system "$device"
require "the writers start" start_writers

check "the daemon is killed $kills times while ext4 is written" repeat "$kills" kill_round
check_equal "the number of the device stays" "$device" \
  "$(nvublk list -o json | jq -r '.devices[].device')"
check "no writer has seen an error" writers_live
check "the daemon is replaced $upgrades times while ext4 is written" \
  repeat "$upgrades" upgrade_round
check "nothing was under way when it was replaced" \
  test "$(grep -c 'devices wait for the next daemon$' "$kDaemonLog")" = "$upgrades"
check "no writer has seen an error" writers_live
check "the writers end" end_writers
check "everything that was synced is there" verify_writers
check "the file system is sound" check_file_system "$device"
check "the daemon's log has no error" fails grep -iE '\berror\b' "$kDaemonLog"
check "detach" nvublk detach --all
check_equal "no state is left" "" "$(find /run/nvublk -name 'state.json*')"

# --- devices that cannot go on, and what is left behind -------------------------------------------
require "it attaches" attach "${to[@]}" -n "$kNqn:brd" -c 1
first=${devices[0]}
require "and another" attach "${to[@]}" -n "$kNqn:null512" -c 1 --name second
second=${devices[0]}
dd if=/dev/urandom of=/tmp/data bs=64k count=4 status=none
dd if=/tmp/data of="$second" bs=64k oflag=direct status=none
withdraw "$kPort" "$kNqn:brd"
kill_daemon
require "a daemon starts" start_daemon
check "the device whose target is there is resumed" wait_until 30 is "$second" live
check "its data is there" cmp -n $((256 * 1024)) /tmp/data "$second"
check_equal "the other one waits" recovering "$(of_device "$first" state)"
check_match "and says for what" "controller cannot be reached" "$(of_device "$first" reason)"
check_json "status says it, too" "$(nvublk status -o json)" \
  '[.devices[] | select(.device == $path) | .state] == ["recovering"]' --arg path "$first"
dd if="$first" of=/tmp/late bs=4k count=1 iflag=direct status=none &
reader=$!
offer "$kPort" "$kNqn:brd"
check "it is resumed when its target is back" wait_until 30 is "$first" live
check "who has waited gets data" wait "$reader"

withdraw "$kPort" "$kNqn:brd"
kill_daemon
require "a daemon starts" start_daemon
dd if="$first" of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null &
reader=$!
check "fast_io_fail_tmo is set while it waits" nvublk set "$first" fast_io_fail_tmo=1
check "who has waited gets an error" fails wait "$reader"
check_equal "the device still waits for its controller" recovering "$(of_device "$first" state)"
offer "$kPort" "$kNqn:brd"
check "it is resumed when its target is back after all" wait_until 30 is "$first" live
check "it can be written" dd if=/tmp/data of="$first" bs=64k oflag=direct status=none
check "and read" cmp -n $((256 * 1024)) /tmp/data "$first"
check "fast_io_fail_tmo is switched off" nvublk set "$first" fast_io_fail_tmo=-1

disable_namespace "$kNqn:brd" 1
echo 12345678-1234-1234-1234-123456789abc >"$kNvmet/subsystems/$kNqn:brd/namespaces/1/device_uuid"
kill_daemon
dd if="$first" of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null &
reader=$!
enable_namespace "$kNqn:brd" 1
require "a daemon starts" start_daemon
check "a device whose namespace is another one fails" wait_until 30 is "$first" failed
check_match "and says why" "another identity" "$(of_device "$first" reason)"
check "who has waited gets an error" fails wait "$reader"
check_match "recover says it, too" "another identity" "$(nvublk recover)"
check "it is detached" nvublk detach "$first"

kill_daemon
echo '{ damaged' >/run/nvublk/state.json
require "a daemon starts with a damaged state" start_daemon
check "the damaged file is kept" test -s /run/nvublk/state.json.damaged
report=$(nvublk recover --dry-run -o json)
check_json "the device without state is reported" "$report" \
  '[.orphans[] | select(.kind == "device") | .path] == [$path]' --arg path "$second"
check_json "so is the file" "$report" '.problems | length == 1'
check "a dry run changes nothing" test -b "$second"
check_json "it is cleaned" "$(nvublk recover -o json)" '[.orphans[].cleaned] == [true]'
check_match "there is nothing more" "nothing to recover" "$(nvublk recover)"
wait_until 10 test ! -e "$second"
check_nothing_left

# --- a power cut: the target dies with its cache, and this host with it ---------------------------
readonly kCutFolder=/run/cut kCutPort=4429
start_cut_target() {
  mkdir -p "$kCutFolder"
  "$NVUBLK_BIN/nvublk-target" --listen "$kAddress:$kCutPort" --ns \
    "file=$kCutFolder/image,size=64M,bs=4096,cache=volatile,log=$kCutFolder/log" >/dev/null &
  cut_target=$!
}
attach_cut() { attach -t tcp -a "$kAddress" -s "$kCutPort" -n "$kHostNqn" -c 1; }
cut_power() {
  kill -KILL "$cut_target" "$sync_pid"
  # What the host has not written goes, too.
  nvublk detach --all --force && wait_until 30 umount "$mount_point"
}
check_power_cut() {
  local report
  start_cut_target
  require "a target with a volatile cache is attached" wait_until 30 attach_cut
  check_equal "the kernel knows that it has FUA" 1 \
    "$(cat "/sys/block/${devices[0]#/dev/}/queue/fua")"
  require "a file system is made and mounted" make_file_system "${devices[0]}"
  require "files are written and synced" start_syncing
  sleep 2
  check "the power is cut" cut_power
  report=$("$(dirname "$0")/../../cli/write_log.py" "$kCutFolder/log" "$kCutFolder/image")
  check_equal "the target has kept what was flushed and what had FUA" 0 $?
  check_match "of both there was some" '^[1-9][0-9]* blocks by FUA, [1-9][0-9]* flushes,' \
    "$report"
  start_cut_target
  require "it is attached again" wait_until 30 attach_cut
  check "the file system is mounted" mount "${devices[0]}" "$mount_point"
  check "everything that was synced is there" verify_writers
  check "the file system is sound" check_file_system "${devices[0]}"
  check "detach" nvublk detach --all
  kill "$cut_target"
}
[ -n "${VM_BRIEF-}" ] || check_power_cut

# --- FUSE ends with its daemon -------------------------------------------------------------------
require "attach through FUSE" attach "${to[@]}" -n "$kNqn:brd" --frontend fuse
check_json "it says that it does not outlive the daemon" "$(nvublk status -o json)" \
  '[.devices[].outlives_daemon] == [false]'
kill_daemon
check "the mount is left behind" fails not_mounted_by_fuse
require "a daemon starts" start_daemon
check "the mount is taken away" not_mounted_by_fuse
check "so is the loop device" wait_until 10 no_loop_device
require "attach through FUSE" attach "${to[@]}" -n "$kNqn:brd" --frontend fuse
kill -USR2 "$daemon_pid"
check "it ends in order when the daemon is replaced" wait_until 30 not_running "$daemon_pid"
check_nothing_left
check_equal "no state is left" "" "$(find /run/nvublk -name 'state.json*' ! -name '*.damaged')"
finish_tests
