#!/usr/bin/env bash
# What a user can get wrong: each says what failed, at which step, in one line, with exit status 1,
# within its time limit, and leaves nothing behind.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() {
  kill "${helpers[@]}"
  nvublk detach --all --force
  stop_daemon
  stop_tcp_target
  remove_backing
  ip link delete black-hole
} >/dev/null 2>&1

good=$kNqn:good closed=$kNqn:closed http_port=8080 silent_port=8081
helpers=()

start_target() {
  make_ram_disks 2 32 && add_subsystem "$good" && add_namespace "$good" 1 /dev/ram0 &&
    add_subsystem "$closed" 0 && add_namespace "$closed" 1 /dev/ram1 &&
    allow_host "$closed" nqn.2026-01.io.nvublk.test:friend &&
    start_tcp_target "$kPort" "$good" "$closed"
}

# A web server answers what is no HTTP with an error page; the other one accepts and says nothing.
start_helpers() {
  cat >/tmp/web-server <<'SCRIPT'
head -c 8 >/dev/null
printf 'HTTP/1.1 400 Bad Request\r\n\r\n'
timeout 1 cat >/dev/null
SCRIPT
  socat "TCP-LISTEN:$http_port,bind=$kAddress,fork,reuseaddr" "SYSTEM:bash /tmp/web-server" &
  helpers+=($!)
  socat "TCP-LISTEN:$silent_port,bind=$kAddress,fork,reuseaddr" 'SYSTEM:sleep 600' &
  helpers+=($!)
  # Packets to 192.0.2.1 leave and never arrive.
  ip link add black-hole type dummy && ip address add 192.0.2.2/24 dev black-hole &&
    ip link set black-hole up
}

# must_fail DESCRIPTION REGEX COMMAND...: exit status 1 and one line on standard error that matches.
must_fail() {
  local description=$1 regex=$2 status=0
  shift 2
  "$@" >/tmp/stdout 2>/tmp/stderr || status=$?
  check_equal "$description: exit status" 1 "$status"
  check_equal "$description: one line" 1 "$(wc -l </tmp/stderr)"
  check_match "$description: the line says so" "$regex" "$(cat /tmp/stderr)"
  printf '#   %s\n' "$(head -n 3 /tmp/stderr)"
}

# attach_fails DESCRIPTION REGEX ARGUMENT...: and nothing is left behind.
attach_fails() {
  local description=$1 regex=$2 expected=${expected_devices:-0} listed files
  shift 2
  files=$(open_files "$daemon_pid")
  must_fail "$description" "^nvublk: attach: .*($regex)" nvublk attach "$@"
  wait_until 10 files_are "$files"
  listed=$(nvublk list -o json | jq '.devices | length')
  check_equal "$description: nothing is left behind" \
    "$files files, $expected devices, $expected in /dev" \
    "$(open_files "$daemon_pid") files, $listed devices, $(block_devices) in /dev"
  check_equal "$description: status lists no controller of it" "$expected" \
    "$(nvublk status -o json | jq '.controllers | length')"
}
files_are() { [ "$(open_files "$daemon_pid")" = "$1" ]; }
block_devices() { find /dev -maxdepth 1 -name 'ublkb*' | wc -l; }

require "the modules load" load_modules ublk_drv nvmet-tcp dummy
require "the target starts" start_target
start_helpers
require "the daemon starts" start_daemon
# What the first attachment loads and keeps is no leak.
require "the good subsystem attaches" attach -t tcp -a "$kAddress" -n "$good"
require "and detaches" nvublk detach --all

to() { printf '%s\n' -t tcp -a "$1" -s "$2" -n "$3"; }
mapfile -t arguments < <(to 192.0.2.1 "$kPort" "$good")
attach_fails "wrong address" 'no answer.*192\.0\.2\.1' "${arguments[@]}"
mapfile -t arguments < <(to 203.0.113.1 "$kPort" "$good")
attach_fails "address without a route" '203\.0\.113\.1.*unreachable' "${arguments[@]}"
mapfile -t arguments < <(to no-such-host.invalid "$kPort" "$good")
attach_fails "unknown host name" 'no-such-host\.invalid' "${arguments[@]}"
mapfile -t arguments < <(to "$kAddress" 4421 "$good")
attach_fails "wrong port" '4421.*refused|refused.*4421' "${arguments[@]}"
mapfile -t arguments < <(to "$kAddress" "$kPort" "$kNqn:nobody")
attach_fails "unknown NQN" "$kNqn:nobody" "${arguments[@]}"
mapfile -t arguments < <(to "$kAddress" "$kPort" "$closed")
attach_fails "host not allowed" 'not allow host .*stranger' "${arguments[@]}" \
  -q nqn.2026-01.io.nvublk.test:stranger
mapfile -t arguments < <(to "$kAddress" "$http_port" "$good")
attach_fails "HTTP port" 'not speak NVMe.*HTTP' "${arguments[@]}"
mapfile -t arguments < <(to "$kAddress" "$silent_port" "$good")
attach_fails "silent target" '8081.*no answer' "${arguments[@]}"
mapfile -t arguments < <(to "$kAddress" "$kPort" "$good")
attach_fails "missing namespace" 'namespace.*99' "${arguments[@]}" --nsid 99

# A file on the root overlay makes nvmet offer blocks of one byte.
make_file /tmp/odd 1
add_subsystem "$kNqn:odd" && add_namespace "$kNqn:odd" 1 /tmp/odd &&
  ln -s "$kNvmet/subsystems/$kNqn:odd" "$kNvmet/ports/$kPort/subsystems/$kNqn:odd"
mapfile -t arguments < <(to "$kAddress" "$kPort" "$kNqn:odd")
attach_fails "nonsense block size" 'block|format|LBA' "${arguments[@]}"

mapfile -t arguments < <(to "$kAddress" "$kPort" "$good")
check "the good subsystem attaches" attach "${arguments[@]}"
expected_devices=1 attach_fails "second attach" 'already' "${arguments[@]}"
exec 8<"${devices[0]-/dev/null}"
must_fail "detach while open" '^nvublk: detach: .*(open|use|busy)' nvublk detach "${devices[0]-}"
exec 8<&-
check "detach when closed" nvublk detach "${devices[0]-}"
must_fail "detach of what is not there" '^nvublk: detach: .*/dev/ublkb9' nvublk detach /dev/ublkb9
json=$(nvublk attach -t tcp -a "$kAddress" -s 4421 -n "$good" -o json 2>/dev/null)
check_json "-o json has the error" "$json" \
  '.error | (.message | length > 0) and (.step | length > 0) and has("code")'

# Another user has a program that it can read, and no right to root's socket.
install -D -t /opt/nvublk-test "$NVUBLK_BIN/nvublk"
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups /opt/nvublk-test/nvublk)
chmod 755 /opt "$(dirname "$NVUBLK_SOCKET")"
must_fail "no permission" '^nvublk: list: .*permission' "${as_nobody[@]}" list
check_equal "the socket is its owner's alone" 600 "$(stat -c %a "$NVUBLK_SOCKET")"

check "the daemon ends" stop_daemon
must_fail "daemon not running, status" '^nvublk: status: .*(daemon|nvublkd)' nvublk status
must_fail "daemon not running, detach" '^nvublk: detach: .*(daemon|nvublkd)' \
  nvublk detach /dev/ublkb0
check_equal "no connection is left" 0 "$(tcp_connections "$kPort")"
check_nothing_left
finish_tests
