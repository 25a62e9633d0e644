#!/usr/bin/env bash
# Namespaces of the kernel's target that appear, vanish, change their size and turn into others
# while they are attached, and while fio runs on another one.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() {
  [ -z "${fio_pid-}" ] || kill "$fio_pid"
  nvublk detach --all --force
  stop_daemon
  stop_usual_target
  rm -f /run/ns1 /run/ns2 /run/ns3
} >/dev/null 2>&1

mib=$((1024 * 1024))
folder=$kNvmet/subsystems/$kNqn/namespaces
list() { nvublk list -o json; }
is() { jq -e "$1" <<<"$(list)" >/dev/null; }
# device_of NAME FIELD
device_of() { list | jq -r --arg name "$1" ".devices[] | select(.name == \$name) | .$2"; }
has_device() { [ -n "$(device_of "$1" device)" ] && [ -b "$(device_of "$1" device)" ]; }
has_no_device() { [ -z "$(device_of "$1" device)" ]; }
controller() { nvublk status -o json | jq -r ".controllers[0].$1"; }
size_of() { blockdev --getsize64 "$1"; }
has_size() { [ "$(size_of "$1")" = "$2" ]; }
# resize_namespace NSID MIB: nvmet looks at its file again and tells the hosts.
resize_namespace() { truncate -s "$2M" "/run/ns$1" && echo 1 >"$folder/$1/revalidate_size"; }

start_target() {
  make_file /run/ns1 64 && make_file /run/ns2 32 && make_file /run/ns3 32 || return 1
  add_subsystem "$kNqn" && add_namespace "$kNqn" 1 /run/ns1 && add_namespace "$kNqn" 2 /run/ns2 &&
    start_tcp_target "$kPort" "$kNqn"
}
attach_all() { attach -t tcp -a "$kAddress" -s "$kPort" -n "$kNqn" -i 2 "$@"; }

# Runs until it is told to end; every checksum is verified.
start_fio() {
  fio --name=load --filename="$1" --size=32m --rw=randrw --bs=4k-64k --direct=1 --iodepth=16 \
    --ioengine=io_uring --verify=crc32c --verify_fatal=1 --time_based --runtime=3600 \
    --output=/tmp/fio.out &
  fio_pid=$!
}
# fio ends with status 128 + SIGTERM or 0 when it is told to, and has no error of its own then.
end_fio() {
  kill -0 "$fio_pid" && kill -TERM "$fio_pid" && wait "$fio_pid"
  fio_pid=
  grep -q 'err= 0' /tmp/fio.out || { cat /tmp/fio.out; return 1; }
}
fio_requests() {
  nvublk status -o json |
    jq '[.devices[] | select(.name == "nvublk0n1")][0] | .reads + .writes'
}
fio_goes_on() {
  local before
  before=$(fio_requests)
  wait_until 60 more_requests_than "$before"
}
more_requests_than() { [ "$(fio_requests)" -gt "$1" ]; }

# try_frontend NAME RESIZES
try_frontend() {
  local frontend=$1 resizes=$2 first second third
  require "attach: $frontend" attach_all --frontend "$frontend"
  first=$(device_of nvublk0n1 device) second=$(device_of nvublk0n2 device)
  start_fio "$first"
  check "fio runs: $frontend" fio_goes_on

  add_namespace "$kNqn" 3 /run/ns3
  check "a new namespace becomes a device: $frontend" wait_until 60 has_device nvublk0n3
  third=$(device_of nvublk0n3 device)
  check "and can be used: $frontend" verify_with_fio "$third" --size=2m
  check "fio on the other goes on: $frontend" fio_goes_on

  check "the target resizes a namespace" resize_namespace 2 48
  if [ "$resizes" = 1 ]; then
    check "its device grows: $frontend" wait_until 60 has_size "$second" $((48 * mib))
    check "what is new of it works: $frontend" \
      dd if=/dev/urandom of="$second" bs=1M seek=40 count=8 oflag=direct conv=fsync status=none
    check_json "list has the new size: $frontend" "$(list)" \
      "[.devices[] | select(.nsid == 2)][0] | .size_bytes == $((48 * mib)) and .reason == \"\""
  else
    check "the status says why its device does not grow: $frontend" wait_until 60 \
      is '[.devices[] | select(.nsid == 2)][0].reason | test("UPDATE_SIZE")'
    check_equal "it keeps its size: $frontend" $((32 * mib)) "$(size_of "$second")"
    check_match "and so does the log" "cannot resize" "$(cat "$kDaemonLog")"
  fi
  check "fio on the other goes on: $frontend" fio_goes_on

  # Open while it vanishes.
  exec 7<"$third"
  echo 0 >"$folder/3/enable"
  check "a vanished namespace takes its device along: $frontend" wait_until 60 \
    has_no_device nvublk0n3
  check "who has it open gets an error: $frontend" cannot_read
  exec 7<&-
  check "fio on the other goes on: $frontend" fio_goes_on
  echo 1 >"$folder/3/enable"
  check "it comes back: $frontend" wait_until 60 has_device nvublk0n3

  # Another identity, in one go as far as the host can see.
  echo 0 >"$folder/2/enable"
  wait_until 60 has_no_device nvublk0n2
  uuidgen >"$folder/2/device_uuid" && echo 1 >"$folder/2/enable"
  check "an NSID with another identity is a new device: $frontend" wait_until 60 \
    has_device nvublk0n2
  check "fio on the other goes on: $frontend" fio_goes_on
  check "fio saw no error: $frontend" end_fio

  check "detach: $frontend" nvublk detach nvublk0
  rmdir_namespace 3
  resize_namespace 2 32
}
cannot_read() { ! dd if=/dev/fd/7 of=/dev/null bs=4k count=1 iflag=direct status=none; }
rmdir_namespace() { echo 0 >"$folder/$1/enable" && rmdir "$folder/$1"; }

# The connection breaks, and the identity changes meanwhile: the device must not show another disk.
try_replaced() {
  require "attach" attach_all --reconnect-delay 1
  rm "$kNvmet/ports/$kPort/subsystems/$kNqn"
  check "the connection is lost" wait_until 60 controller_is reconnecting
  echo 0 >"$folder/2/enable"
  uuidgen >"$folder/2/device_uuid" && echo 1 >"$folder/2/enable"
  ln -s "$kNvmet/subsystems/$kNqn" "$kNvmet/ports/$kPort/subsystems/$kNqn"
  check "a device whose namespace is another one now fails" wait_until 90 \
    is '[.devices[] | select(.nsid == 2)][0] | .state == "failed" and (.reason | test("UUID"))'
  check_json "the other device is live" "$(list)" \
    '[.devices[] | select(.nsid == 1)][0].state == "live"'
  check "I/O to it fails" reads_fail "$(device_of nvublk0n2 device)"
  check "I/O to the other works" \
    dd if="$(device_of nvublk0n1 device)" of=/dev/null bs=64k count=4 iflag=direct status=none
  check "it can be detached" nvublk detach nvublk0n2
  check "then the new one appears" wait_until 60 \
    is '[.devices[] | select(.nsid == 2)][0] | .state == "live"'
  check "detach" nvublk detach nvublk0
}
controller_is() { [ "$(controller state)" = "$1" ]; }
reads_fail() { ! dd if="$1" of=/dev/null bs=4k count=1 iflag=direct status=none; }

try_named() {
  require "attach with --nsid" attach_all --nsid 1
  add_namespace "$kNqn" 3 /run/ns3
  check "the controller sees a namespace that was not named" wait_until 60 \
    sees_namespaces 3
  check_json "but makes no device of it" "$(list)" '[.devices[].nsid] == [1]'
  check "detach" nvublk detach nvublk0
  rmdir_namespace 3
}
sees_namespaces() { [ "$(controller 'namespaces | length')" = "$1" ]; }

require "the modules load" load_modules ublk_drv nvmet-tcp loop
require "the target starts" start_target
require "the daemon starts" start_daemon
resizes=0
! nvublk features | grep -q UPDATE_SIZE || resizes=1
try_frontend ublk "$resizes"
[ -n "${VM_BRIEF-}" ] || try_frontend fuse 1
try_replaced
try_named
check_nothing_left
finish_tests
