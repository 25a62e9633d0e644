#!/usr/bin/env bash
# Drives of every shape: block sizes, protection information, several namespaces, small and large
# transfers, one queue pair and eight, a controller memory buffer, in all three idle modes. What is
# written is read the same through the kernel's driver afterwards.
# run: --nvme 1 --disk n1 --disk n2 --disk n3 --disk n4 --disk n5 --disk n6 --disk n7 --disk n8
# run: --disk small --disk large
# run: -x "-global nvme-ns.physical_block_size=4096"
# run: -x "-device nvme-subsys,id=formats-subsystem"
# run: -x "-device nvme,serial=FORMATS,id=formats,max_ioqpairs=8,subsys=formats-subsystem"
# run: -x "-device nvme-ns,bus=formats,drive=n1,nsid=1,logical_block_size=512"
# run: -x "-device nvme-ns,bus=formats,drive=n2,nsid=2,logical_block_size=4096"
# run: -x "-device nvme-ns,bus=formats,drive=n3,nsid=3,logical_block_size=4096,ms=8,pi=1"
# run: -x "-device nvme-ns,bus=formats,drive=n4,nsid=4,logical_block_size=512,ms=8,mset=1,pi=2"
# run: -x "-device nvme-ns,bus=formats,drive=n5,nsid=5,logical_block_size=4096,ms=8,pi=3"
# run: -x "-device nvme-ns,bus=formats,drive=n6,nsid=6,logical_block_size=4096,ms=16"
# run: -x "-device nvme-ns,bus=formats,drive=n7,nsid=7,zoned=on,zoned.zone_size=3M"
# run: -x "-device nvme-ns,bus=formats,drive=n8,nsid=8,logical_block_size=512"
# run: -x "-device nvme,serial=SMALL,drive=small,mdts=1,max_ioqpairs=1"
# Two memory nodes; the last drive is on the second.
# run: -x "-object memory-backend-ram,id=near,size=1536M -numa node,nodeid=0,cpus=0,memdev=near"
# run: -x "-object memory-backend-ram,id=far,size=1536M -numa node,nodeid=1,cpus=1,memdev=far"
# run: -x "-device pxb-pcie,id=farbus,bus_nr=128,bus=pcie.0,numa_node=1"
# run: -x "-device pcie-root-port,id=farport,bus=farbus,chassis=90,slot=90"
# run: -x "-device nvme,serial=LARGE,drive=large,mdts=0,cmb_size_mb=16,bus=farport"
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() {
  umount /run/mounted
  nvublk detach --all --force
  stop_daemon
} >/dev/null 2>&1

# drive_with SERIAL: its PCI address.
drive_with() {
  nvublk pci list -o json | jq -re --arg s "$1" '.devices[] | select(.serial == $s).address'
}
all_drives() {
  [ "$(nvublk pci list -o json | jq '[.devices[] | select(.serial)] | length')" = 4 ]
}
# kernel_disk ADDRESS NSID: the kernel's disk of that namespace, once it is there.
kernel_disk() {
  local folder disk
  for folder in /sys/bus/pci/devices/"$1"/nvme/nvme*/nvme*n*; do
    if [ "$(cat "$folder/nsid" 2>/dev/null)" = "$2" ]; then
      # In a subsystem it is a path, such as nvme0c1n2, and the disk is nvme0n2.
      disk=/dev/$(basename "$folder" | sed 's/c[0-9]*n/n/')
      [ -b "$disk" ] && echo "$disk"
      return
    fi
  done
  return 1
}
device_of() {
  nvublk list -o json | jq -re --argjson n "$1" '.devices[] | select(.nsid == $n).device'
}
# pages_preferred_but_not_on NODE: of the daemon's memory that should be there, what is not; fails
# if there is none.
pages_preferred_but_not_on() {
  awk -v node="$1" '$2 == "prefer:" node {
      for (i = 3; i <= NF; i++) if ($i ~ /^N[0-9]+=/) {
        split(substr($i, 2), part, "=")
        if (part[1] == node) there += part[2]; else elsewhere += part[2]
      }
    }
    END { print there ? elsewhere + 0 : "none at all" }' "/proc/$daemon_pid/numa_maps"
}
digest_of() { dd if="$1" bs=1M count=4 iflag=direct status=none | sha256sum; }
fill() { dd if=/dev/urandom of="$1" bs=1M count=4 oflag=direct conv=fsync status=none; }
verify() { verify_with_fio "$1" --size=8m "${@:2}"; }
# file_system_holds TYPE DEVICE: it is made, fio verifies in a file on it, and it is sound.
file_system_holds() {
  "mkfs.$1" -q "$2" && mkdir -p /run/mounted && mount "$2" /run/mounted || return 1
  verify /run/mounted/fio && rm /run/mounted/fio && fstrim /run/mounted && umount /run/mounted &&
    "fsck.$1" -f -n "$2"
}

require "the modules load" load_modules ublk_drv nvme vfio-pci
require "the drives are there" wait_until 60 all_drives
formats=$(drive_with FORMATS) small=$(drive_with SMALL)
large=$(drive_with LARGE) plain=$(drive_with VM0)

# --- formats: what one side writes, the other reads ---
require "the daemon starts" start_daemon
require "eight namespaces, as far as they can be shown" attach -t pcie -a "$formats"
check_equal "six can be shown" 6 "${#devices[@]}"
status=$(nvublk status -o json)
check_json "one with other metadata says why not" "$status" \
  '[.controllers[].namespaces[] | select(.nsid == 6).state][0] | test("16 bytes of metadata")'
check_json "one whose zones Linux cannot have says why not" "$status" \
  '[.controllers[].namespaces[] | select(.nsid == 7).state][0] | test("power of two")'
declare -A ours=() sizes=([1]=512 [2]=4096 [3]=4096 [4]=512 [5]=4096 [8]=512)
for nsid in 1 2 3 4 5 8; do
  device=$(device_of "$nsid")
  check_equal "namespace $nsid has its block size" "${sizes[$nsid]}" "$(blockdev --getss "$device")"
  check "fio verifies on namespace $nsid" verify "$device"
  check "random data is written to namespace $nsid" fill "$device"
  ours[$nsid]=$(digest_of "$device")
done
check "blkdiscard" blkdiscard -o 8M -l 8M "$(device_of 3)"
check "blocks with protection are zeroed" blkdiscard -z -o 4M -l 1M "$(device_of 3)"
check_equal "and read as zeroes" "$(head -c 1M /dev/zero | sha256sum)" \
  "$(dd if="$(device_of 3)" bs=1M skip=4 count=1 iflag=direct status=none | sha256sum)"
check "detach" nvublk detach --all
for nsid in 1 2 3 4 5 8; do
  wait_until 30 kernel_disk "$formats" "$nsid" >/dev/null
  disk=$(kernel_disk "$formats" "$nsid")
  check_equal "the kernel reads the same from namespace $nsid" "${ours[$nsid]}" \
    "$(digest_of "$disk")"
  fill "$disk"
  ours[$nsid]=$(digest_of "$disk")
done
check "attach two of them" attach -t pcie -a "$formats" --nsid 3,4
check_equal "what the kernel wrote with protection of type 1 is read" "${ours[3]}" \
  "$(digest_of "${devices[0]}")"
check_equal "so is type 2" "${ours[4]}" "$(digest_of "${devices[1]}")"
check "detach them" nvublk detach --all

# --- transfers ---
check "attach a drive of 8 KiB transfers and one queue pair" attach -t pcie -a "$small"
check "fio verifies on it" verify "${devices[0]}"
check "attach a drive without a limit and with a memory buffer" attach -t pcie -a "$large"
check_json "its one queue is with the thread of its memory node" "$(nvublk status -o json)" \
  '(.daemon.shards | map({key: "\(.id)", value: .numa_node}) | from_entries) as $node |
    [.controllers[-1].queues[1:][] | $node["\(.shard)"]] == [1]'
check_equal "its buffers are there, in pages elsewhere" 0 "$(pages_preferred_but_not_on 1)"
check "fio verifies with 1 MiB" verify "${devices[0]}" --bsrange=1m-1m
check_json "its submission queues are in our memory" "$(nvublk status -o json)" \
  '[.controllers[].queues[].in_controller_memory] | any | not'
check "detach it" nvublk detach "${devices[0]}"
check "attach it with queues in its memory" attach -t pcie -a "$large" --cmb-queues
check_json "its I/O submission queues are there" "$(nvublk status -o json)" \
  '.controllers[-1].queues | [.[1:][].in_controller_memory] | length > 0 and all'
check "fio verifies on it" verify "${devices[0]}"
check "detach both" nvublk detach --all
check "the daemon ends" stop_daemon

# --- the library ---
library_test=$NVUBLK_BIN/../tests/nvme/pcie/nvublk_pcie_guest_test
check "bind the drive for the library" nvublk pci bind "$formats"
check "the library's tests, also on namespaces with metadata" env PCI_ADDRESS="$formats" \
  PCI_NSID=8 PCI_METADATA_NSIDS=3,4,5,6 "$library_test"
check "unbind it" nvublk pci unbind "$formats"

# --- idle modes, and queue pairs ---
for mode in busy adaptive interrupt; do
  for queues in 1 8; do
    [ "$mode" = adaptive ] || [ "$queues" = 1 ] || continue
    require "the daemon starts, $mode" start_daemon "$NVUBLK_SOCKET" --mode "$mode" \
      --shards "$queues"
    check "attach with $queues queue pairs" attach -t pcie -a "$plain" -i "$queues"
    check_json "it has them" "$(nvublk status -o json)" \
      ".controllers[0].queues | length == $queues + 1"
    check "fio verifies, $mode, $queues" verify "${devices[0]}"
    check "one request at a time, $mode, $queues" verify "${devices[0]}" --iodepth=1 --size=1m \
      --bsrange=4k-64k
    if [ -z "${VM_BRIEF-}" ] && [ "$mode" != adaptive ]; then
      check "so it does on a file system, $mode" file_system_holds ext4 "${devices[0]}"
    fi
    check "detach it" nvublk detach --all
    check "the daemon of $mode ends" stop_daemon
  done
done
finish_tests
