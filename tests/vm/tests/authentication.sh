#!/usr/bin/env bash
# In-band authentication (DH-HMAC-CHAP) with the kernel's target, over TCP and RDMA: one way and
# both, with several hashes and groups; keys that are missing or wrong; after the target or the
# daemon was away; and that no key is seen anywhere.
# VM_FULL=1: every hash with every group.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() {
  nvublk detach --all --force
  stop_daemon
  stop_tcp_target
  stop_rdma_device
  remove_backing
} >/dev/null 2>&1

readonly kRdmaPort=4421 kHost=nqn.2026-01.io.nvublk.test:host kSubsystem=$kNqn:secret
readonly kHostFolder=$kNvmet/hosts/$kHost
# The kernel gives an authentication as long as the keep alive timeout, and large groups take
# seconds in a guest.
to=(-t tcp -a "$kAddress" -s "$kPort" -n "$kSubsystem" -q "$kHost" -c 1 -k 60)

# The kernel's target closes the connection when it has refused a key, at times before its words
# have arrived.
readonly kRefusal="(AUTH_Failure1: authentication failed|authenticate).*--dhchap-secret"

start_target() {
  make_ram_disks 1 64 && add_subsystem "$kSubsystem" 0 &&
    add_namespace "$kSubsystem" 1 /dev/ram0 && allow_host "$kSubsystem" "$kHost" &&
    [ -e "$kHostFolder/dhchap_key" ] && start_tcp_target "$kPort" "$kSubsystem"
}
# want NAME VALUE: of this host, such as hash for dhchap_hash; for the next connection.
want() { echo -n "$2" >"$kHostFolder/dhchap_$1"; }
want_group() { want hash "hmac($1)" && want dhgroup "$2"; }

authentication() {
  nvublk status -o json | jq -r '.controllers[0].authentication |
    if . == null then "none" else "\(.digest) \(.dhgroup) \(.bidirectional)" end'
}
read_and_write() {
  dd if=/dev/urandom of=/tmp/data bs=64k count=4 status=none &&
    dd if=/tmp/data of="$1" bs=64k oflag=direct status=none &&
    dd if="$1" of=/tmp/back bs=64k count=4 iflag=direct status=none && cmp /tmp/data /tmp/back
}

# check_attach NAME EXPECTED ARGUMENT...: attaches, has authenticated so, and works.
check_attach() {
  local name=$1 expected=$2
  shift 2
  check "$name: attach" attach "${to[@]}" "$@" || return
  check_equal "$name: status says how" "$expected" "$(authentication)"
  check "$name: data is right" read_and_write "${devices[0]}"
  check "$name: detach" nvublk detach --all
}

# check_refused NAME REGEX ARGUMENT...: exit status 1, one line, nothing left.
check_refused() {
  local name=$1 regex=$2 status=0
  shift 2
  nvublk attach "${to[@]}" "$@" >/tmp/stdout 2>/tmp/stderr || status=$?
  check_equal "$name: exit status" 1 "$status"
  check_equal "$name: one line" 1 "$(wc -l </tmp/stderr)"
  check_match "$name: it says so" "$regex" "$(cat /tmp/stderr)"
  check_equal "$name: nothing is left" 0 "$(nvublk status -o json | jq '.controllers | length')"
  printf '#   %s\n' "$(cat /tmp/stderr)"
}
state_is() { [ "$(nvublk status -o json | jq -r '.controllers[0].state')" = "$1" ]; }
kill_daemon() { kill -KILL "$daemon_pid" && wait_until 30 not_running "$daemon_pid"; }
device_is() { [ "$(nvublk list -o json | jq -r '.devices[0].state')" = "$1" ]; }

require "the modules load" load_modules ublk_drv nvmet-tcp
require "the target starts, and has authentication" start_target
require "the daemon starts" start_daemon
key=$(nvublk gen-dhchap-key -m 1 -n "$kHost")
ctrl_key=$(nvublk gen-dhchap-key -l 48)
other_key=$(nvublk gen-dhchap-key)
check_match "gen-dhchap-key makes a key" '^DHHC-1:01:[A-Za-z0-9+/=]{48}:$' "$key"
valid='valid \(HMAC 1, length 32'
check_match "which it finds sound" "$valid" "$(nvublk check-dhchap-key -k "$key")"
check_match "and nvme-cli, too" "$valid" "$(nvme check-dhchap-key -k "$key" 2>&1)"
check "nvme-cli's key is sound for us" nvublk check-dhchap-key -k "$(nvme gen-dhchap-key -m 3)"

# --- who need not, and who has to -----------------------------------------------------------------
check_attach "no keys" none
check_attach "a key that nobody asks for" none -S "$key"
require "the target has a key for this host" want key "$key"
check_refused "no key" "requires authentication.*--dhchap-secret.*Fabrics Connect"
check_refused "wrong key" "$kRefusal" -S "$other_key"
check_attach "the right key" "sha256 null false" -S "$key"
check_refused "a controller key that the target has not" "$kRefusal" \
  -S "$key" -C "$ctrl_key"
require "the target has a key of its own" want ctrl_key "$ctrl_key"
check_attach "both ways" "sha256 null true" -S "$key" -C "$ctrl_key"
check_attach "one way, though the target could do both" "sha256 null false" -S "$key"
check_refused "wrong controller key" "--dhchap-ctrl-secret" -S "$key" -C "$other_key"

# --- hashes and groups ----------------------------------------------------------------------------
pairs="sha256:ffdhe2048 sha384:ffdhe3072 sha512:null"
[ -n "${VM_BRIEF-}" ] || pairs+=" sha512:ffdhe4096 sha256:ffdhe6144 sha384:ffdhe8192"
groups=(null ffdhe{2048,3072,4096,6144,8192})
[ "${VM_FULL-}" != 1 ] ||
  pairs="${groups[*]/#/sha256:} ${groups[*]/#/sha384:} ${groups[*]/#/sha512:}"
for pair in $pairs; do
  hash=${pair%:*} group=${pair#*:}
  check "the target wants $hash and $group" want_group "$hash" "$group"
  check_attach "$hash and $group" "$hash $group true" -S "$key" -C "$ctrl_key"
done

# --- again ----------------------------------------------------------------------------------------
require "the target wants sha384 and ffdhe2048" want_group sha384 ffdhe2048
require "attach, to stay" attach "${to[@]}" -S "$key" -C "$ctrl_key"
device=${devices[0]}
check "the target goes" withdraw "$kPort" "$kSubsystem"
check "that is noticed" wait_until 60 state_is reconnecting
check "the target is back" offer "$kPort" "$kSubsystem"
check "it reconnects" wait_until 60 state_is live
check_equal "and has authenticated again" "sha384 ffdhe2048 true" "$(authentication)"
check "data is right" read_and_write "$device"
check_equal "the state is for us only" 600 "$(stat -c %a /run/nvublk/state.json)"
check "the daemon is killed" kill_daemon
require "a daemon starts" start_daemon
check "it resumes the device" wait_until 60 device_is live
check_equal "and has authenticated again" "sha384 ffdhe2048 true" "$(authentication)"
check "data is right" read_and_write "$device"
check "with another key at the target" want key "$other_key"
check "the target goes" withdraw "$kPort" "$kSubsystem"
check "and comes back" offer "$kPort" "$kSubsystem"
says_why() {
  nvublk status -o json | jq -e '.controllers[0].recovery.reason | test("dhchap-secret")'
}
check "status says why it does not come back" wait_until 60 says_why
check "the key is right again" want key "$key"
check "it comes back" wait_until 60 state_is live

seen=$(nvublk status; nvublk status -o json; nvublk list -o json; cat "$kDaemonLog")
check_equal "no key is in status, list and log" "" "$(grep DHHC <<<"$seen")"
check "detach" nvublk detach --all

# --- RDMA -----------------------------------------------------------------------------------------
require "an RDMA device is there" start_rdma_device
require "the target is there over RDMA" start_port rdma "$kRdmaAddress" "$kRdmaPort" "$kSubsystem"
to=(-t rdma -a "$kRdmaAddress" -s "$kRdmaPort" -n "$kSubsystem" -q "$kHost" -c 1 -k 60 --depth 16)
check_attach "RDMA" "sha384 ffdhe2048 true" -S "$key" -C "$ctrl_key"
check_refused "RDMA, wrong key" "$kRefusal" -S "$other_key"

check_nothing_left
finish_tests
