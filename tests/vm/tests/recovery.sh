#!/usr/bin/env bash
# What takes connections away: the kernel's target that goes and comes back over TCP and RDMA, and a
# network that swallows everything, both ways. fio verifies all the while, and gets no error; with a
# short ctrl-loss-tmo or fast_io_fail_tmo errors come, then; and one device of two goes by force.
# VM_FULL=1: 100 rounds, and black holes of 5, 30 and 60 s.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() {
  nvublk detach --all --force
  stop_daemon
  stop_usual_target
  stop_rdma_device
  ip netns delete target
  ip link delete hole0
} >/dev/null 2>&1

readonly kRdmaPort=4421 kFarAddress=10.78.0.2 kFarPort=4423
rounds=$(extent 2 3 100)
read -ra holes <<<"$(extent 8 8 "5 30 60")"

# What runs in the target's network, with this mount namespace.
far() { nsenter --net=/run/netns/target "$@"; }
start_far_port() {
  local folder=$kNvmet/ports/$kFarPort
  ip netns add target && ip link add hole0 type veth peer name hole1 netns target &&
    ip address add 10.78.0.1/24 dev hole0 && ip link set hole0 up &&
    far ip address add "$kFarAddress/24" dev hole1 && far ip link set hole1 up &&
    mkdir "$folder" || return 1
  echo ipv4 >"$folder/addr_adrfam"
  echo tcp >"$folder/addr_trtype"
  echo "$kFarAddress" >"$folder/addr_traddr"
  echo "$kFarPort" >"$folder/addr_trsvcid"
  far ln -s "$kNvmet/subsystems/$kNqn:file" "$folder/subsystems/$kNqn:file"
}

state_is() { [ "$(nvublk status -o json | jq -r '.controllers[0].state')" = "$1" ]; }
errors() { nvublk status -o json | jq '.devices[0].errors'; }

# A random time, from $1 to $2 tenths of a second.
rest() {
  local tenths=$(($1 + RANDOM % ($2 - $1 + 1)))
  sleep $((tenths / 10)).$((tenths % 10))
}

# go_and_come PORT NQN: the subsystem is withdrawn and offered again, as often as wanted.
go_and_come() {
  local n
  for ((n = 1; n <= rounds; n++)); do
    rest 1 15
    withdraw "$1" "$2" && rest 0 15 && offer "$1" "$2" || return 1
    wait_until 60 state_is live || { echo "round $n: not live"; nvublk status; return 1; }
    still_verifying || { echo "round $n: fio has ended"; return 1; }
  done
}

# check_rounds NAME PORT NQN ATTACH-ARGUMENT...
check_rounds() {
  local name=$1 port=$2 nqn=$3
  shift 3
  require "$name: attach" attach "$@" -n "$nqn" --depth 16 -c 1 -l -1
  start_verifying --filename="${devices[0]}"
  check "$name: the target goes and comes back, $rounds times" go_and_come "$port" "$nqn"
  check "$name: fio has verified everything" end_verifying
  check_equal "$name: no I/O failed" 0 "$(errors)"
  check "$name: detach" nvublk detach "${devices[0]}"
}

swallow() {
  tc qdisc add dev hole0 root netem loss 100% &&
    far tc qdisc add dev hole1 root netem loss 100%
}
let_through() { tc qdisc delete dev hole0 root; far tc qdisc delete dev hole1 root; }

check_black_hole() {
  local began
  check "black hole of $1 s: it begins" swallow
  began=$SECONDS
  check "black hole of $1 s: it is noticed" wait_until 60 state_is reconnecting
  # In whole seconds, and the guest is slow; the time itself is tested in simulation.
  check_at_most "black hole of $1 s: within the keep alive time" 7 $((SECONDS - began))
  while [ $((SECONDS - began)) -lt "$1" ]; do sleep 0.5; done
  check "black hole of $1 s: it ends" let_through
  check "black hole of $1 s: the controller is live again" wait_until 90 state_is live
}

# fails_after SECONDS PORT NQN: a read that begins when the target goes gets an error, not before.
fails_after() {
  local began now
  began=$(date +%s%N)
  withdraw "$2" "$3" || return 1
  if dd if="${devices[0]}" of=/dev/null bs=4096 count=1 iflag=direct; then
    echo "no error"
    return 1
  fi
  now=$(date +%s%N)
  local passed_ms=$(((now - began) / 1000000))
  echo "after $passed_ms ms"
  [ "$passed_ms" -ge $(($1 * 1000)) ] && [ "$passed_ms" -lt $(($1 * 1000 + 5000)) ]
}

# check_policies NAME PORT NQN SECONDS ATTACH-ARGUMENT...: I/O fails when the user has said so.
check_policies() {
  local name=$1 port=$2 nqn=$3 seconds=$4
  shift 4
  require "$name: attach, short ctrl-loss-tmo" attach "$@" -n "$nqn" -l "$seconds" -c 1
  check "$name: errors come then" fails_after "$seconds" "$port" "$nqn"
  check "$name: the target is back" offer "$port" "$nqn"
  check "$name: what has failed is detached" nvublk detach --all
  require "$name: attach, fast_io_fail_tmo" attach "$@" -n "$nqn" -F "$seconds" -c 1
  check "$name: errors come then, too" fails_after "$seconds" "$port" "$nqn"
  check "$name: the target is back again" offer "$port" "$nqn"
  check "$name: so is the device" wait_until 60 state_is live
  check "$name: it can be read" read_block "${devices[0]}"
  check "$name: detach again" nvublk detach --all
}
read_block() { dd if="$1" of=/dev/null bs=4096 count=1 iflag=direct; }

# One of two devices goes by force while the target is away, with an error for who waits for it; the
# other one's I/O waits, and goes on.
both_wait() { nvublk status -o json | jq -e 'all(.devices[]; .in_flight > 0)'; }
one_goes_by_force() {
  local first second
  withdraw "$kPort" "$kNqn:brd" || return 1
  read_block "${devices[0]}" &
  first=$!
  read_block "${devices[1]}" &
  second=$!
  wait_until 30 both_wait && command_limit=20 nvublk detach "${devices[0]}" --force || return 1
  if wait "$first"; then echo "no error"; return 1; fi
  kill -0 "$second" || { echo "the other one has ended, too"; return 1; }
  offer "$kPort" "$kNqn:brd" && wait "$second"
}

require "the modules load" load_modules ublk_drv sch_netem veth
require "the daemon starts" start_daemon
require "the target starts" start_usual_target 64
require "the software device starts" start_rdma_device
require "the target listens over RDMA" start_port rdma "$kRdmaAddress" "$kRdmaPort" "$kNqn:null4096"
require "the target listens in a network of its own" start_far_port

check_rounds TCP "$kPort" "$kNqn:brd" -t tcp -a "$kAddress" -s "$kPort"
check_rounds RDMA "$kRdmaPort" "$kNqn:null4096" -t rdma -a "$kRdmaAddress" -s "$kRdmaPort" -i 1

require "black hole: attach" attach -t tcp -a "$kFarAddress" -s "$kFarPort" -n "$kNqn:file" \
  --depth 16 -c 2 -k 5 -l -1
start_verifying --filename="${devices[0]}"
for hole in "${holes[@]}"; do check_black_hole "$hole"; done
check "black hole: fio has verified everything" end_verifying
check_equal "black hole: no I/O failed" 0 "$(errors)"
check "black hole: detach" nvublk detach "${devices[0]}"

check_policies TCP "$kPort" "$kNqn:brd" 2 -t tcp -a "$kAddress" -s "$kPort"
check_policies RDMA "$kRdmaPort" "$kNqn:null4096" 2 -t rdma -a "$kRdmaAddress" -s "$kRdmaPort" -i 1

require "a second namespace" add_namespace "$kNqn:brd" 2 /dev/null512
require "force: attach both" attach -t tcp -a "$kAddress" -n "$kNqn:brd" -c 1 -l -1
check "force: one goes, the other stays" one_goes_by_force
check "force: detach" nvublk detach --all
check_nothing_left
finish_tests
