#!/usr/bin/env bash
# Raw I/O on attached namespaces: fio with verification at 512 bytes to 1 MiB, flush, discard, write
# zeroes, and the device's limits as the kernel has them.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() { nvublk detach --all --force; stop_daemon; stop_usual_target; } >/dev/null 2>&1

mib=$((1024 * 1024))
count() { nvublk status -o json | jq ".devices[0].$1"; }
queue_limit() { cat "/sys/block/${devices[0]##*/}/queue/$1"; }

zeroed_range_is_zero() {
  dd if=/dev/urandom of="${devices[0]}" bs=1M count=8 oflag=direct conv=fsync status=none &&
    blkdiscard -z -o $((2 * mib)) -l $((3 * mib)) "${devices[0]}" &&
    dd if="${devices[0]}" bs=1M skip=2 count=3 iflag=direct status=none |
      cmp -n $((3 * mib)) - /dev/zero
}
rest_is_untouched() {
  ! dd if="${devices[0]}" bs=1M skip=5 count=1 iflag=direct status=none |
    cmp -s -n "$mib" - /dev/zero
}

# try_device KIND QUEUES [OPTION...]
try_device() {
  local kind=$1 queues=$2 block_size name before
  shift 2
  name="$kind, $queues queues, ${*:-no digests}"
  block_size=$(block_size_of "$kind")
  check "attach: $name" attach -t tcp -a "$kAddress" -s "$kPort" -n "$kNqn:$kind" \
    -i "$queues" --queues "$queues" --depth 64 "$@" || return
  check "fio verifies, 4k to 1m: $name" verify_with_fio "${devices[0]}" --iodepth=32
  check "fio verifies, smallest blocks: $name" verify_with_fio "${devices[0]}" --size=2m \
    --bsrange="$block_size-$((block_size * 9))" --blockalign="$block_size" --iodepth=32
  check "fio verifies, sequential 1m: $name" verify_with_fio "${devices[0]}" --rw=write --bs=1m
  before=$(count flushes)
  check "fsync: $name" dd if=/dev/zero of="${devices[0]}" bs=64k count=4 conv=fsync status=none
  # A device without a volatile cache is sent no flush: then the kernel says "write through".
  if [ "$(queue_limit write_cache)" = "write back" ]; then
    check "a flush reached the device: $name" test "$(count flushes)" -gt "$before"
  fi
  check_match "the device can discard: $name" '^[1-9]' \
    "$(queue_limit discard_max_bytes)"
  before=$(count discards)
  check "blkdiscard: $name" blkdiscard -o 0 -l $((16 * mib)) "${devices[0]}"
  check "a discard reached the device: $name" test "$(count discards)" -gt "$before"
  check "a zeroed range reads as zero: $name" zeroed_range_is_zero
  check "what is beyond it stays: $name" rest_is_untouched
  check_equal "no I/O failed: $name" 0 "$(count errors)"
  check_equal "nothing is in flight: $name" 0 "$(count in_flight)"
  check "detach: $name" nvublk detach "${devices[0]}"
}

require "the modules load" load_modules ublk_drv nvmet-tcp
require "the target starts" start_usual_target 64
require "the daemon starts" start_daemon
try_device brd 2
[ -n "${VM_BRIEF-}" ] || try_device null4096 1 -g -G
if [ "${VM_FULL-}" = 1 ]; then
  try_device null512 1 -G
  try_device null512 2 -g
  try_device file 2 -g -G
  try_device brd 1 -g -G
fi
check_nothing_left
finish_tests
