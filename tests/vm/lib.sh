# Functions for tests that run in a guest: assertions, counters of what may leak, and nvublk itself.
# A test sources this file, calls check... for each expectation, and ends with finish_tests.
# shellcheck shell=bash

vm_tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=target.sh
. "$vm_tests/target.sh"

passed=0 failed=0 asserted_at=$SECONDS

# --- QEMU, in guests with drives ------------------------------------------------------------------

# qmp COMMAND [ARGUMENTS]: a command of QEMU's machine protocol, such as
# qmp device_del '{"id": "nvme0"}'; prints the answer.
qmp() {
  local line port
  if [ -z "${qmp_fd-}" ]; then
    port=$(dirname "$(grep -lx qmp /sys/class/virtio-ports/*/name)")
    exec {qmp_fd}<>"/dev/$(basename "$port")" || return 1
    qmp qmp_capabilities >/dev/null || return 1
  fi
  printf '{"execute": "%s", "arguments": %s}\n' "$1" "${2:-{\}}" >&"$qmp_fd"
  while read -rt 30 -u "$qmp_fd" line; do
    case $line in
      *'"return"'*) printf '%s\n' "$line"; return 0 ;;
      *'"error"'*) printf '%s\n' "$line"; return 1 ;;
    esac
  done
  return 1
}

# --- assertions: one line each, as TAP has it ----------------------------------------------------

# pass DESCRIPTION / fail DESCRIPTION [DETAILS]. What took a second or more since the one before
# says so.
pass() {
  local took=$((SECONDS - asserted_at))
  passed=$((passed + 1)) asserted_at=$SECONDS
  [ "$took" -gt 0 ] && took=" ($took s)" || took=
  printf 'ok %d - %s%s\n' $((passed + failed)) "$1" "$took"
}

fail() {
  failed=$((failed + 1))
  printf 'not ok %d - %s\n' $((passed + failed)) "$1"
  [ -z "${2-}" ] || printf '%s\n' "$2" | tail -n 30 | sed 's/^/#   /'
}

# check DESCRIPTION COMMAND...: the command, run in this shell, succeeds.
check() {
  local description=$1 status=0
  shift
  "$@" >/tmp/check.out 2>&1 || status=$?
  if [ "$status" = 0 ]; then pass "$description"; return 0; fi
  fail "$description" "exit status $status of: $*
$(cat /tmp/check.out)"
  return 1
}

# require DESCRIPTION COMMAND...: as check; without it the rest of the test makes no sense.
require() {
  check "$@" || finish_tests
}

# check_equal DESCRIPTION EXPECTED ACTUAL
check_equal() {
  if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "expected: $2
but it is: $3"; fi
}

# check_at_most DESCRIPTION LIMIT NUMBER
check_at_most() {
  if [ "$3" -le "$2" ]; then pass "$1 ($3 <= $2)"; else fail "$1" "$3 is more than $2"; fi
}

# check_match DESCRIPTION REGEX TEXT: the text has the extended regular expression, in any case.
check_match() {
  if grep -qiE -- "$2" <<<"$3"; then pass "$1"; else fail "$1" "no /$2/ in:
$3"; fi
}

# check_json DESCRIPTION JSON FILTER [JQ-ARGUMENT...]: jq's filter is true of the JSON text.
check_json() {
  local description=$1 json=$2 filter=$3
  shift 3
  if jq -e "$@" "$filter" <<<"$json" >/dev/null 2>&1; then pass "$description"; return 0; fi
  fail "$description" "not true: $filter $*
$json"
}

# finish_tests: checks the kernel's log since the test began, prints the sums, ends the test.
finish_tests() {
  trap - EXIT
  check_kernel_log
  ! declare -F clean_up >/dev/null || clean_up
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
  exit
}

# A test that ends before finish_tests has failed.
ended_early() {
  fail "the test runs to its end" "it ended with status $? before finish_tests"
  finish_tests
}

readonly kLogMark="nvublk test $$ begins"
check_kernel_log() {
  local lines
  lines=$(dmesg | sed "1,/$kLogMark/d" | grep -E -f "$vm_tests/kernel-complaints") || true
  check_equal "the kernel logs no warning" "" "$lines"
}

# wait_until SECONDS COMMAND...: polls until the command succeeds; the limit only ends a hang.
wait_until() {
  local limit=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$limit" ] || return 1
    sleep 0.1
  done
}

# --- counters of what may leak -------------------------------------------------------------------

open_files() { find "/proc/$1/fd" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }
resident_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }
loop_devices() { losetup --list --noheadings --output NAME | wc -l; }
ublk_devices() { find /dev -maxdepth 1 -name 'ublk[bc]*' | wc -l; }
# Time on a processor, all threads of a process together, in hundredths of a second.
cpu_ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }
# Established TCP connections to a local port.
tcp_connections() {
  local port
  printf -v port '%04X' "$1"
  cat /proc/net/tcp /proc/net/tcp6 | awk -v port=":$port" '$3 ~ port "$" && $4 == "01"' | wc -l
}

check_nothing_left() {
  check_equal "no ublk device is left behind" 0 "$(ublk_devices)"
  check_equal "no loop device is left behind" 0 "$(loop_devices)"
}

# --- nvublk ---------------------------------------------------------------------------------------

readonly kDaemonLog=/tmp/nvublkd.log
: >"$kDaemonLog"  # of this test, not of those before it
export NVUBLK_SOCKET=${NVUBLK_SOCKET:-/run/nvublk/nvublk.sock}

# The command line, which may not hang.
nvublk() { timeout -k 5 "${command_limit:-90}" "$NVUBLK_BIN/nvublk" "$@"; }

# start_daemon [SOCKET [ARGUMENT...]]: sets daemon_pid once it answers.
start_daemon() {
  local socket=${1:-$NVUBLK_SOCKET}
  shift $(($# > 0))
  mkdir -p "$(dirname "$socket")"
  "$NVUBLK_BIN/nvublkd" --socket "$socket" "$@" >>"$kDaemonLog" 2>&1 &
  daemon_pid=$!
  wait_until 30 nvublk status --socket "$socket" || { tail -n 20 "$kDaemonLog"; return 1; }
}

# stop_daemon [PID]: asks it to end; true when it does.
stop_daemon() {
  local pid=${1:-$daemon_pid}
  kill -TERM "$pid" 2>/dev/null || return 1
  wait_until 30 not_running "$pid"
}
not_running() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; }

# attach ARGUMENT...: sets devices, the paths that it prints; false, with the output, if it fails.
attach() {
  local output status=0
  devices=()
  output=$(nvublk attach "$@" 2>&1) || status=$?
  if [ "$status" != 0 ]; then printf '%s\n' "$output"; tail -n 20 "$kDaemonLog"; return 1; fi
  mapfile -t devices < <(awk '/^\/dev\// { print $1 }' <<<"$output")
  [ -b "${devices[0]-}" ] || { printf 'no block device in: %s\n' "$output"; return 1; }
}

# extent BRIEF USUAL FULL: how often something is done.
extent() {
  if [ "${VM_FULL-}" = 1 ]; then
    echo "$3"
  elif [ -n "${VM_BRIEF-}" ]; then
    echo "$1"
  else
    echo "$2"
  fi
}

# verify_with_fio FILE [ARGUMENT...]: random reads and writes whose checksums are verified.
verify_with_fio() {
  local file=$1
  shift
  fio --name=verify --filename="$file" --size="$(extent 16m 48m 48m)" --rw=randrw \
    --bsrange=4k-1m --direct=1 --ioengine=io_uring --iodepth=16 --verify=crc32c --verify_fatal=1 \
    --fsync=32 --output=/tmp/fio.out "$@" || { cat /tmp/fio.out; return 1; }
}

# start_verifying --filename=DEVICE|--directory=FOLDER: fio writes in the background and verifies
# all of it, round after round, until end_verifying, which waits for the end of the round under way:
# so nothing that was in flight at a fault is left out. Jobs of one block size without a time limit:
# of others fio does not look whether a block has the last of its writes, or an older one. $fio_pid
# is the process group, too.
readonly kEnough=/tmp/fio.enough kRounds=/tmp/fio.rounds
start_verifying() {
  rm -f "$kEnough"
  set -m
  verify_round_after_round "$1" &
  fio_pid=$!
  set +m
}
verify_round_after_round() {
  until [ -e "$kEnough" ]; do
    fio "$1" --rw=randwrite --direct=1 --ioengine=io_uring --iodepth=8 --fsync=32 \
      --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randrepeat=0 --thread \
      --output="$kRounds" --name=small --bs=4k --size=1m \
      --name=large --bs=128k --size=2m --offset=2m --loops=2 || return 1
  done
}
# still_verifying: and has found nothing wrong so far.
still_verifying() { kill -0 "$fio_pid" || { cat "$kRounds"; return 1; }; }
end_verifying() {
  touch "$kEnough"
  wait "$fio_pid" || { cat "$kRounds"; return 1; }
}

echo "<5>$kLogMark" >/dev/kmsg
trap ended_early EXIT
