#!/usr/bin/env bash
# Zoned namespaces as zoned ublk devices, over PCIe and over TCP: what blkzone reports, writes in
# all zones, each change of a zone's state, appends (by btrfs), and what has no zones refuses them.
# run: --nvme 1 --disk zoned
# run: -x "-device nvme,serial=ZONED,id=zoned-drive"
# run: -x "-global nvme-ns.logical_block_size=4096 -global nvme-ns.physical_block_size=4096"
# run: -x "-global nvme-ns.zoned.zone_size=4M"
# run: -x "-global nvme-ns.zoned.max_open=8 -global nvme-ns.zoned.max_active=12"
# run: -x "-device nvme-ns,bus=zoned-drive,drive=zoned,nsid=1,zoned=on"
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
mount_point=/run/mounted target_pid=''
clean_up() {
  umount "$mount_point"
  nvublk detach --all --force
  stop_daemon
  [ -z "$target_pid" ] || kill "$target_pid"
} >/dev/null 2>&1

readonly kZonedNqn=nqn.2024-01.io.nvublk:zoned

queue_of() { cat "/sys/block/$(basename "$1")/queue/$2"; }
# condition DEVICE ZONE: the state of one zone and its write pointer from its start, hex sectors.
condition() {
  blkzone report -o $(($2 * zone_sectors)) -c 1 "$1" |
    sed -E 's/.*wptr (0x[0-9a-f]+) .*zcond:[^)]*\(([a-z]+)\).*/\2 \1/'
}
# zones_of DEVICE: what is reported; open zones are closed when the controller is reset.
zones_of() { blkzone report "$1" | sed -E 's/zcond: *[234]\([a-z]+\)/zcond: active/'; }
zones_in_state() { blkzone report "$1" | grep -c "zcond:.*($2)"; }
# zbd DEVICE ARGUMENT...: fio that keeps to zones.
zbd() {
  fio --name=zbd --filename="$1" --zonemode=zbd --direct=1 --ioengine=io_uring --iodepth=16 \
    --max_open_zones=6 --output=/tmp/fio.out "${@:2}" || { cat /tmp/fio.out; return 1; }
}
change() { blkzone "$1" -o $(($3 * zone_sectors)) -c 1 "$2"; }
refuses() { ! "$@"; }
write_at() { dd if=/dev/zero of="$1" bs=4k seek=$(($2 / 8)) count=1 oflag=direct status=none; }

# use_zones DEVICE ZONES CAPACITY: a device with so many zones, of which so many sectors can be
# written.
use_zones() {
  local device=$1 zones=$2 capacity=$3 full
  check_equal "it is zoned" host-managed "$(queue_of "$device" zoned)"
  zone_sectors=$(queue_of "$device" chunk_sectors)
  check_equal "zones have 4 MiB" 8192 "$zone_sectors"
  check_equal "the kernel sees all zones" "$zones" "$(queue_of "$device" nr_zones)"
  check_equal "as many may be open" 8 "$(queue_of "$device" max_open_zones)"
  check_equal "as many may be active" 12 "$(queue_of "$device" max_active_zones)"
  check_equal "all zones are reported" "$zones" "$(blkzone report "$device" | wc -l)"
  check_equal "with their capacity" "$zones" \
    "$(blkzone report "$device" | grep -c "$(printf 'cap 0x%06x' "$capacity")")"
  check_equal "they are empty" "$zones" "$(zones_in_state "$device" em)"

  check "fio writes zone after zone and verifies" zbd "$device" --rw=write --bs=64k --size=16m \
    --verify=crc32c --do_verify=1 --verify_fatal=1
  check "and zones in any order" zbd "$device" --rw=randwrite --bs=4k --size=16m \
    --io_size=4m --offset=64m --verify=crc32c --do_verify=1 --verify_fatal=1
  check_match "a zone is full" '^fu ' "$(condition "$device" 0)"
  full=$(zones_in_state "$device" fu)
  check "reset of one zone" change reset "$device" 0
  check_equal "it is empty" "em 0x000000" "$(condition "$device" 0)"
  check_equal "the others are as they were" $((full - 1)) "$(zones_in_state "$device" fu)"
  check "reset of all zones" blkzone reset "$device"
  check_equal "they are empty again" "$zones" "$(zones_in_state "$device" em)"

  check "a zone is opened" change open "$device" 3
  check_equal "it is open" "oe 0x000000" "$(condition "$device" 3)"
  check "a block at its start" write_at "$device" $((3 * zone_sectors))
  check_equal "its pointer moves" "oe 0x000008" "$(condition "$device" 3)"
  check "a write behind it is refused" refuses write_at "$device" $((3 * zone_sectors + 64))
  check "a write before it as well" refuses write_at "$device" $((3 * zone_sectors))
  check "it is closed" change close "$device" 3
  check_equal "it says so" "cl 0x000008" "$(condition "$device" 3)"
  check "it is finished" change finish "$device" 3
  check_match "it is full" '^fu ' "$(condition "$device" 3)"
  check "a full zone takes nothing" refuses write_at "$device" $((3 * zone_sectors + 8))
  check "reset of all zones" blkzone reset "$device"
}

# use_btrfs DEVICE: it appends its data.
use_btrfs() {
  local device=$1
  require "btrfs" mkfs.btrfs -q -f -O zoned -d single -m single "$device"
  mkdir -p "$mount_point"
  require "mount" mount "$device" "$mount_point"
  check "files" fill_files "$mount_point"
  check "unmount" umount "$mount_point"
  require "mount again" mount "$device" "$mount_point"
  check "they hold what was written" sha256sum --quiet -c "$mount_point/sums"
  check "no block is damaged" btrfs scrub start -B "$mount_point"
  check "unmount" umount "$mount_point"
}
fill_files() {
  local n
  for n in 1 2 3 4 5 6; do
    dd if=/dev/urandom of="$1/$n" bs=256k count=8 oflag=direct status=none || return 1
  done
  sha256sum "$1"/[1-6] >"$1/sums" && sync
}

require "the modules load" load_modules ublk_drv nvme vfio-pci
require "the daemon starts" start_daemon

# --- PCIe ---
drive=$(nvublk pci list -o json | jq -re '.devices[] | select(.serial == "ZONED").address')
require "attach the drive" attach -t pcie -a "$drive"
use_zones "${devices[0]}" 64 8192
use_btrfs "${devices[0]}"
ours=$(zones_of "${devices[0]}")
data=$(dd if="${devices[0]}" bs=1M count=64 iflag=direct status=none | sha256sum)
check "detach" nvublk detach --all
kernel_disk() { ls /sys/bus/pci/devices/"$drive"/nvme/nvme*/ | grep -E '^nvme[0-9]+(c[0-9]+)?n1$'; }
require "the kernel has the drive again" wait_until 30 kernel_disk
disk=/dev/$(kernel_disk)
require "and its disk" wait_until 30 test -b "$disk"
check_equal "its zones are the same there" "$ours" "$(zones_of "$disk")"
check_equal "so is what they hold" "$data" \
  "$(dd if="$disk" bs=1M count=64 iflag=direct status=none | sha256sum)"

# --- TCP ---
"$NVUBLK_BIN/nvublk-target" --listen "$kAddress:$kPort" --subnqn "$kZonedNqn" \
  --ns "size=256M,bs=4096,zsze=4M,zcap=3M,mor=8,mar=12" --ns size=16M >/tmp/target.log 2>&1 &
target_pid=$!
to_zoned=(-t tcp -a "$kAddress" -s "$kPort" -n "$kZonedNqn")
require "the target listens" wait_until 30 nvublk discover -t tcp -a "$kAddress" -s "$kPort"
require "attach" attach "${to_zoned[@]}"
check_equal "two devices" 2 "${#devices[@]}"
use_zones "${devices[0]}" 64 6144
check "a zone is opened before a crash" change open "${devices[0]}" 5
check "and written to" write_at "${devices[0]}" $((5 * zone_sectors))
kill -KILL "$daemon_pid"
require "another daemon starts" start_daemon
device_lives() {
  nvublk list -o json | jq -e --arg d "$1" '.devices[] | select(.device == $d).state == "live"'
}
check "it resumes the zoned device" wait_until 60 device_lives "${devices[0]}"
check_equal "with its open zone" "oe 0x000008" "$(condition "${devices[0]}" 5)"
check "fio writes and verifies again" zbd "${devices[0]}" --rw=write --bs=64k --size=16m \
  --offset=128m --verify=crc32c --do_verify=1 --verify_fatal=1
check_equal "the other has no zones" none "$(queue_of "${devices[1]}" zoned)"
check "detach" nvublk detach --all
check_match "FUSE says why it cannot show it" "zoned.*no zones" \
  "$(nvublk attach "${to_zoned[@]}" --nsid 1 --frontend fuse 2>&1)"
check "it shows the other" attach "${to_zoned[@]}" --frontend fuse
check_equal "and only that" 1 "${#devices[@]}"
check "detach it" nvublk detach --all
check "the daemon ends" stop_daemon
check_nothing_left
finish_tests
