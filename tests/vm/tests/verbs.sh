#!/usr/bin/env bash
# nvublk's commands beside nvme-cli's own, on the same subsystem of the kernel's target: field by
# field.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
readonly kOtherPort=4421 kReferral=$kNvmet/ports/$kPort/referrals/other
clean_up() {
  nvme disconnect-all
  nvublk detach --all --force
  stop_daemon
  rmdir "$kReferral"
  stop_usual_target
} >/dev/null 2>&1

# nvme-cli's releases write counters of 128 bits as numbers or as text; and what counts on while the
# test runs, or tells one connection from another, is left out.
plain='walk(if type == "string" and test("^[0-9]+$") then tonumber else . end)
  | del(.cntlid, .host_read_commands, .host_write_commands, .data_units_read, .data_units_written,
        .num_err_log_entries, .controller_busy_time,
        ."Asymmetric Namespace Access Log for NVMe device")'

# compare_fields DESCRIPTION THEIRS OURS: every field of theirs is in ours, with the same value.
compare_fields() {
  local count
  count=$(jq "$plain | [paths(scalars)] | length" <<<"$2")
  [ "${count:-0}" -ge 2 ] || { fail "$1" "nvme-cli says nothing: $2"; return; }
  check_equal "$1: $count fields" "" "$(diff \
    <(jq -r "$plain"' | . as $all | paths(scalars) | "\(.) \(. as $p | $all | getpath($p))"' \
      <<<"$2") \
    <(jq -r --argjson theirs "$(jq -c "$plain" <<<"$2")" \
      "$plain"' as $ours | $theirs | paths(scalars) | "\(.) \(. as $p | $ours | getpath($p))"' \
      <<<"$3") 2>&1)"
}

# A discovery subsystem on another port, to which the first one refers, with one more subsystem.
start_other_target() {
  add_subsystem "$kNqn:other" && add_namespace "$kNqn:other" 1 /dev/null4096 &&
    start_tcp_target "$kOtherPort" "$kNqn:other" && mkdir "$kReferral" || return 1
  echo ipv4 >"$kReferral/addr_adrfam"
  echo tcp >"$kReferral/addr_trtype"
  echo "$kAddress" >"$kReferral/addr_traddr"
  echo "$kOtherPort" >"$kReferral/addr_trsvcid"
  echo 1 >"$kReferral/enable"
}

require "the modules load" load_modules ublk_drv nvmet-tcp nvme-tcp
require "the target starts" start_usual_target 64
require "a second namespace" add_namespace "$kNqn:brd" 7 /dev/null512
require "a target that the first one refers to" start_other_target
require "the daemon starts" start_daemon
# With a long Keep Alive: a machine that is busy elsewhere would miss a short one.
require "Linux's initiator connects" \
  nvme connect -t tcp -a "$kAddress" -s "$kPort" -n "$kNqn:brd" -i 1 --keep-alive-tmo=120
require "its controller is there" wait_until 30 test -c /dev/nvme0
require "nvublk attaches" attach -t tcp -a "$kAddress" -s "$kPort" -n "$kNqn:brd" -i 1
check_equal "both namespaces are shown" 2 "${#devices[@]}"

compare_fields "id-ctrl" "$(nvme id-ctrl /dev/nvme0 -o json)" "$(nvublk id-ctrl nvublk0 -o json)"
for nsid in 1 7; do
  compare_fields "id-ns $nsid" "$(nvme id-ns /dev/nvme0 -n "$nsid" -o json)" \
    "$(nvublk id-ns nvublk0 -n "$nsid" -o json)"
done
check_equal "id-ns of a device is that of its namespace" \
  "$(nvublk id-ns nvublk0 -n 7 -o json)" "$(nvublk id-ns "${devices[1]}" -o json)"
compare_fields "smart-log" "$(nvme smart-log /dev/nvme0 -o json)" \
  "$(nvublk smart-log nvublk0 -o json)"
compare_fields "list-ns" "$(nvme list-ns /dev/nvme0 -o json)" "$(nvublk list-ns nvublk0 -o json)"
compare_fields "ana-log" "$(nvme ana-log /dev/nvme0 -o json)" "$(nvublk ana-log nvublk0 -o json)"
theirs=$(nvme discover -t tcp -a "$kAddress" -s "$kPort" -o json)
ours=$(nvublk discover -t tcp -a "$kAddress" -s "$kPort" -o json)
compare_fields "discover" "$theirs" "$ours"
check_json "the log has the referral" "$ours" \
  '[.records[] | select(.subtype == "discovery subsystem referral")] | length == 1'
check_json "what it refers to is read, too" "$ours" \
  '.referrals | length == 1 and .[0].trsvcid == $port and
    ([.[0].records[] | select(.subnqn == $nqn)] | length) == 1' \
  --arg port "$kOtherPort" --arg nqn "$kNqn:other"
theirs=$(nvme discover -t tcp -a "$kAddress" -s "$kPort")
check_equal "discover as text" "$theirs" "$(nvublk discover -t tcp -a "$kAddress" -s "$kPort" |
  head -n "$(wc -l <<<"$theirs")")"

without_identity() { grep -v '^cntlid'; }
check_equal "id-ctrl as text" "$(nvme id-ctrl /dev/nvme0 | without_identity)" \
  "$(nvublk id-ctrl nvublk0 | without_identity)"
check_equal "id-ctrl as text, with the meaning of its bits" \
  "$(nvme id-ctrl /dev/nvme0 -H | without_identity)" \
  "$(nvublk id-ctrl nvublk0 -H | without_identity)"
check_equal "id-ctrl as text, with the vendor's part" "" \
  "$(diff <(nvme id-ctrl /dev/nvme0 -v | without_identity) \
    <(nvublk id-ctrl nvublk0 -v | without_identity))"
# Up to where the bytes begin: nvme-cli 2.3 leaves out the first 8 of 3712.
check_equal "id-ns as text, with the vendor's part" "" \
  "$(diff <(nvme id-ns /dev/nvme0 -n 7 -v | sed '/^vs/q') \
    <(nvublk id-ns nvublk0 -n 7 -v | sed '/^vs/q'))"
check "which is shown" [ "$(nvublk id-ns nvublk0 -n 7 -v | grep -A300 '^vs' | wc -l)" = 234 ]
warnings() { grep -E '^ +[A-Z].*\[[0-9]\]' | sed 's/[[:space:]]*:/:/'; }
check_equal "what smart-log says of each warning" \
  "$(nvme smart-log /dev/nvme0 -H | warnings)" "$(nvublk smart-log nvublk0 -H | warnings)"
check "there are six warnings" [ "$(nvublk smart-log nvublk0 -H | warnings | wc -l)" = 6 ]
for nsid in 1 7; do
  check_equal "id-ns $nsid as text, with the meaning of its bits" \
    "$(nvme id-ns /dev/nvme0 -n "$nsid" -H)" "$(nvublk id-ns nvublk0 -n "$nsid" -H)"
done
check_equal "list-ns as text" "$(nvme list-ns /dev/nvme0)" "$(nvublk list-ns nvublk0)"
check_equal "get-feature as text" "$(nvme get-feature /dev/nvme0 -f 7)" \
  "$(nvublk get-feature nvublk0 -f 7)"
for feature in 7 0xb; do
  check_equal "get-feature $feature as text, with its meaning" \
    "$(nvme get-feature /dev/nvme0 -f "$feature" -H | grep -v '^get-feature')" \
    "$(nvublk get-feature nvublk0 -f "$feature" -H | grep -v '^get-feature')"
done
nvme discover -t tcp -a "$kAddress" -s "$kPort" -r /tmp/theirs.log
check "discover -r" nvublk discover -t tcp -a "$kAddress" -s "$kPort" -r /tmp/ours.log
check_equal "the log as bytes" "$(md5sum </tmp/theirs.log)" "$(md5sum </tmp/ours.log)"
check_equal "and on standard output" "$(md5sum </tmp/theirs.log)" \
  "$(nvublk discover -t tcp -a "$kAddress" -s "$kPort" -o binary | md5sum)"
check_equal "a passthrough command's result" \
  "$(nvme admin-passthru /dev/nvme0 --opcode=0xa --cdw10=7 2>&1)" \
  "$(nvublk admin-passthru nvublk0 --opcode=0xa --cdw10=7)"
check_equal "a passthrough command's data" \
  "$(nvme admin-passthru /dev/nvme0 --opcode=6 --cdw10=2 -l 4096 -r -b 2>/dev/null | md5sum)" \
  "$(nvublk admin-passthru nvublk0 --opcode=6 --cdw10=2 -l 4096 -r -b | md5sum)"
check_equal "an I/O command reads what the device has" \
  "$(dd if="${devices[0]}" bs=4096 count=1 iflag=direct status=none | md5sum)" \
  "$(nvublk io-passthru "${devices[0]}" --opcode=2 --cdw12=7 -l 4096 -r -b | md5sum)"
nvublk get-feature nvublk0 -f 0x99 >/dev/null 2>&1
check_equal "exit status 1 for what the controller refuses" 1 $?
check_json "the refusal is in the error log" "$(nvublk error-log nvublk0 -e 1 -o json)" \
  '.errors | length == 1 and (.[0].status_field % 2048) == 2'

check "reset" nvublk reset nvublk0
check "what is written after a reset is read" \
  verify_with_fio "${devices[0]}" --size=8m
check "ns-rescan" nvublk ns-rescan nvublk0
check "detach" nvublk detach --all
check "attach --discover" attach --discover -t tcp -a "$kAddress" -s "$kPort"
check_equal "every namespace of every subsystem is shown" 6 "${#devices[@]}"
check "attach --discover again" nvublk attach --discover -t tcp -a "$kAddress" -s "$kPort"
check "detach all" nvublk detach --all
check_nothing_left
finish_tests
