#!/usr/bin/env bash
# The guest itself: ublk is there, and the kernel's own initiator can use the kernel's target, so
# that what fails in another test is ours.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() { nvme disconnect-all; stop_usual_target; }

require "the modules load" load_modules ublk_drv nvmet-tcp nvme-tcp
check "the ublk control device is there" test -c /dev/ublk-control
require "the target starts" start_usual_target 64

for kind in $kBackings; do
  require "nvme connect, $kind" \
    nvme connect -t tcp -a "$kAddress" -s "$kPort" -n "$kNqn:$kind" --keep-alive-tmo=120
  block=
  find_block() { block=$(find /dev -name 'nvme*n1' | head -n 1); [ -b "$block" ]; }
  require "the block device comes, $kind" wait_until 30 find_block
  find_block
  check_equal "block size, $kind" "$(block_size_of "$kind")" "$(blockdev --getss "$block")"
  check "fio verifies, $kind" verify_with_fio "$block" --size=16m
  check "nvme disconnect, $kind" nvme disconnect -n "$kNqn:$kind"
done
check_equal "no connection is left" 0 "$(tcp_connections "$kPort")"
finish_tests
