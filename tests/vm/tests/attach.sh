#!/usr/bin/env bash
# Attach, look, read and write, detach: over every kind of namespace, with and without digests, with
# one and several queues; and every way to name what is attached.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() { nvublk detach --all --force; stop_daemon; stop_usual_target; } >/dev/null 2>&1

all_keys_of_device='["block_size","controller","device","eui64","frontend","model","name","nguid",
  "nsid","serial","size_bytes","state","subnqn","traddr","transport","trsvcid","uuid"]'
status_has_all='
  (.daemon | has("version") and has("pid") and has("uptime_s")) and
  (.daemon.shards | length > 0 and all(has("id") and has("cpu") and has("mode"))) and
  (.controllers[0] | ["name","state","step","step_since_ms","step_deadline_ms","transport_id",
    "host","cntlid","model","serial","firmware","version","keep_alive_ms","queues",
    "namespaces"] - keys == []) and
  (.controllers[0].queues | length > 0 and all(["qid","shard","state","depth","outstanding",
    "submitted","completed","errors","failure"] - keys == [])) and
  (.controllers[0].namespaces[0] | ["nsid","size_blocks","block_size","uuid","nguid","eui64",
    "state","device"] - keys == []) and
  (.devices[0] | ["device","name","frontend","state","queues","depth","features","in_flight",
    "reads","writes","flushes","discards","write_zeroes","read_bytes","write_bytes",
    "errors"] - keys == [])'

write_and_compare() {
  head -c 4M /dev/urandom >/tmp/pattern
  dd if=/tmp/pattern of="$1" bs=256k oflag=direct conv=fsync status=none &&
    dd if="$1" of=/tmp/readback bs=64k count=64 iflag=direct status=none &&
    cmp /tmp/pattern /tmp/readback
}

no_devices() { [ "$(nvublk list -o json | jq '.devices | length')" = 0 ]; }

# try_variant KIND QUEUES [OPTION...]
try_variant() {
  local kind=$1 queues=$2 block_size name json
  shift 2
  name="$kind, $queues queues, ${*:-no digests}"
  block_size=$(block_size_of "$kind")
  check "attach: $name" attach -t tcp -a "$kAddress" -s "$kPort" -n "$kNqn:$kind" \
    -i "$queues" --queues "$queues" "$@" || return
  check_match "the device is a ublk device: $name" '^/dev/ublkb[0-9]+$' "${devices[0]}"
  check_equal "block size: $name" "$block_size" "$(blockdev --getss "${devices[0]}")"
  check_equal "size: $name" $((64 * 1024 * 1024)) "$(blockdev --getsize64 "${devices[0]}")"
  check "what is written is read: $name" write_and_compare "${devices[0]}"
  json=$(nvublk list -o json)
  check_json "list has the device: $name" "$json" \
    ".devices | length == 1 and (.[0] | $all_keys_of_device - keys == [] and .device == \$device
      and .nsid == 1 and .transport == \"tcp\" and .traddr == \"127.0.0.1\"
      and (.trsvcid | tostring) == \"4420\" and .subnqn == \$nqn and .block_size == \$block
      and .size_bytes == 67108864 and .frontend == \"ublk\" and .state == \"live\")" \
    --arg device "${devices[0]}" --arg nqn "$kNqn:$kind" --argjson block "$block_size"
  json=$(nvublk status -o json)
  check_json "status has every field: $name" "$json" "$status_has_all"
  check_json "status counts the queues and the I/O: $name" "$json" \
    '.devices[0].queues == $queues and .devices[0].write_bytes == 4194304 and
      .devices[0].read_bytes >= 4194304 and .devices[0].errors == 0 and
      ([.controllers[0].queues[] | select(.qid > 0)] | length) == $queues' \
    --argjson queues "$queues"
  check "detach: $name" nvublk detach "${devices[0]}"
  check "the device is gone: $name" test ! -e "${devices[0]}"
  check "list is empty: $name" no_devices
}

loaded() { [ -d "/sys/module/$1" ]; }
not_loaded() { ! loaded "$1"; }
modprobe -r ublk_drv
require "the module is not loaded" not_loaded ublk_drv
require "the target starts" start_usual_target 64
require "the daemon starts" start_daemon
check "attach without the module" attach -t tcp -a "$kAddress" -s "$kPort" -n "$kNqn:brd"
check "it is loaded now" loaded ublk_drv
check_match "and used" '^/dev/ublkb[0-9]+$' "${devices[0]-}"
check "detach" nvublk detach --all
before=$(open_files "$daemon_pid")

if [ "${VM_FULL-}" = 1 ]; then
  for kind in $kBackings; do
    for queues in 1 2; do
      for digests in "" "-g" "-G" "-g -G"; do
        # shellcheck disable=SC2086  # several options
        try_variant "$kind" "$queues" $digests
      done
    done
  done
else
  try_variant brd 1
  try_variant null512 2 -g -G
  if [ -z "${VM_BRIEF-}" ]; then
    try_variant null4096 2
    try_variant file 1 -G
  fi
fi

target_id="trtype:TCP adrfam:IPv4 traddr:$kAddress trsvcid:$kPort subnqn:$kNqn:brd"
check "attach by URI" attach "nvme+tcp://$kAddress:$kPort/$kNqn:brd" --name disk --id 7
check_equal "--id chooses the device" /dev/ublkb7 "${devices[0]-}"
check "detach by name" nvublk detach disk
check "attach by transport id, read-only" attach "$target_id" --read-only
check_equal "--read-only is the device's" 1 "$(blockdev --getro "${devices[0]-/dev/null}")"
check "detach by NQN" nvublk detach "$kNqn:brd"
json=$(nvublk attach "$target_id" -o json)
check_json "attach -o json prints what list does" "$json" \
  ".devices | length == 1 and (.[0] | $all_keys_of_device - keys == [])"
check "detach --all" nvublk detach --all
check "list is empty at the end" no_devices

check "features" nvublk features
check_json "features -o json is JSON" "$(nvublk features -o json)" 'type == "object"'
check_match "version" '[0-9]+\.[0-9]+' "$(nvublk version)"
nvublk no-such-command >/dev/null 2>&1
check_equal "exit status 2 for a wrong usage" 2 $?

check_equal "no file of the daemon stays open" "$before" "$(open_files "$daemon_pid")"
check_equal "no connection is left" 0 "$(tcp_connections "$kPort")"
check_nothing_left
check "the daemon ends on SIGTERM" stop_daemon

check "attach starts the daemon when none answers" attach "$target_id"
daemon_pid=$(nvublk status -o json | jq .daemon.pid)
check "detach what it attached" nvublk detach --all
check "that daemon ends on SIGTERM, too" stop_daemon
finish_tests
