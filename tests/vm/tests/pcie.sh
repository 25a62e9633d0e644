#!/usr/bin/env bash
# Local drives over PCIe: taken from the kernel, shown as ublk devices, given back. What one side
# writes the other reads; a drive in use stays where it is; what is missing is said in words.
# run: --nvme 2
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=../crash-lib.sh
. "$(dirname "$0")/../crash-lib.sh"
mount_point=/run/mounted
clean_up() {
  stop_writers
  umount "$mount_point"
  nvublk detach --all --force
  stop_daemon
  nvublk pci unbind "$drive"
} >/dev/null 2>&1

driver_of() { basename "$(readlink "/sys/bus/pci/devices/$1/driver" || echo none)"; }
has_driver() { [ "$(driver_of "$1")" = "$2" ]; }
refuses() { ! "$@"; }
# The kernel's own disk of the drive at ADDRESS, once it is there.
kernel_disk() {
  local disk
  wait_until 30 eval "ls -d /sys/bus/pci/devices/$1/nvme/nvme*/nvme*n1" || return 1
  disk=$(basename /sys/bus/pci/devices/"$1"/nvme/nvme*/nvme*n1)
  wait_until 30 test -b "/dev/$disk" && echo "/dev/$disk"
}
digest_of() { dd if="$1" bs=1M count=8 iflag=direct status=none | sha256sum; }
fill() { dd if=/dev/urandom of="$1" bs=1M count=8 oflag=direct conv=fsync status=none; }

perf_verifies() { "$NVUBLK_BIN/nvublk-perf" -w randrw -t 2 --verify "$@"; }

require "the modules load" load_modules ublk_drv nvme vfio-pci
mapfile -t drives < <(grep -l '^0x0108' /sys/bus/pci/devices/*/class | xargs -n1 dirname |
  xargs -n1 basename)
require "there are two drives" test ${#drives[@]} -ge 2
drive=${drives[0]}
require "the kernel has the drive" kernel_disk "$drive"
disk=$(kernel_disk "$drive")
require "the daemon starts" start_daemon

# --- what is there ---
json=$(nvublk pci list -o json)
check_json "pci list has both drives" "$json" '.devices | length == 2 and all(
  (["address","vendor","device","model","serial","driver","iommu_group","numa_node","disks",
    "used_by"] - keys == []) and .driver == "nvme" and (.iommu_group | type) == "number"
  and .used_by == null)'
check_match "pci list is a table" "$drive .*nvme.*QEMU NVMe Ctrl" "$(nvublk pci list)"

# --- in use: refused, by the name of the user ---
mkfs.ext4 -q -F "$disk" && mkdir -p "$mount_point" && mount "$disk" "$mount_point"
check_match "attach is refused while mounted" "in use.*$mount_point" \
  "$(nvublk attach -t pcie -a "$drive" 2>&1)"
check_match "so is bind" "in use.*$mount_point" "$(nvublk pci bind "$drive" 2>&1)"
check_json "pci list names the user" "$(nvublk pci list -o json)" \
  ".devices[] | select(.address == \"$drive\") | .used_by | contains(\"$mount_point\")"
check "the kernel still has it" has_driver "$drive" nvme
echo kept >"$mount_point/file"
umount "$mount_point"

# used_by TEXT: pci list and attach name it as the user of the other drive, which stays.
is_refused() {
  check_match "attach is refused: $1" "in use.*$1|used by.*$1" \
    "$(nvublk attach -t pcie -a "${drives[1]}" 2>&1)"
  check_json "pci list names $1" "$(nvublk pci list -o json)" \
    ".devices[] | select(.address == \"${drives[1]}\") | .used_by | contains(\"$1\")"
  check "the kernel keeps it" has_driver "${drives[1]}" nvme
}
# There is no udev to wait for.
lvm() { command lvm "$1" --config 'activation { udev_sync=0 udev_rules=0 }' "${@:2}"; }
make_volume() {
  lvm pvcreate -qq -y "$spare" && lvm vgcreate -qq nvublktest "$spare" &&
    lvm lvcreate -qq -y -Zn -L 32M -n volume nvublktest
}
make_array() {
  mdadm --create /dev/md7 --quiet --run --force --metadata=1.2 --level=0 --raid-devices=1 "$spare"
}
require "the kernel has the other drive" kernel_disk "${drives[1]}"
spare=$(kernel_disk "${drives[1]}")
require "the modules of what uses drives" load_modules dm_mod raid0
check "a logical volume on it" make_volume
is_refused nvublktest-volume
check "no volume any more" lvm vgremove -qq -y nvublktest
check "an array on it" make_array
is_refused md7
check "no array any more" mdadm --stop --quiet /dev/md7
wipefs -qa "$spare"

# --- there and back, with the same data ---
check "attach" attach -t pcie -a "$drive" || finish_tests
check "vfio-pci has the drive" has_driver "$drive" vfio-pci
check_json "pci list says whose it is" "$(nvublk pci list -o json)" \
  ".devices[] | select(.address == \"$drive\") |
    .model == \"QEMU NVMe Ctrl\" and .serial == \"VM0\" and
    (.used_by | contains(\"${devices[0]}\"))"
check_match "pci unbind refuses it" "in use.*nvublkd" "$(nvublk pci unbind "$drive" 2>&1)"
check_json "list says that it is local" "$(nvublk list -o json)" \
  ".devices[0].transport == \"pcie\" and .devices[0].traddr == \"$drive\""
check "a second attach is refused" refuses nvublk attach -t pcie -a "$drive"
check "the file system of the kernel mounts" mount "${devices[0]}" "$mount_point"
check_equal "what the kernel wrote is read" kept "$(cat "$mount_point/file")"
check "detach is refused while mounted" refuses nvublk detach "${devices[0]}"
umount "$mount_point"
check "fio verifies" verify_with_fio "${devices[0]}"
check "random data is written" fill "${devices[0]}"
ours=$(digest_of "${devices[0]}")
check "detach" nvublk detach "${devices[0]}"
check "the kernel has the drive again" has_driver "$drive" nvme
disk=$(kernel_disk "$drive")
check_equal "the kernel reads the same" "$ours" "$(digest_of "$disk")"
fill "$disk"
theirs=$(digest_of "$disk")
check "attach again" attach -t pcie -a "$drive"
check_equal "what the kernel wrote is read through nvublk" "$theirs" "$(digest_of "${devices[0]}")"

# --- a file system of our own ---
check "mkfs.xfs" mkfs.xfs -q -f "${devices[0]}"
check "it mounts" mount "${devices[0]}" "$mount_point"
check "fio verifies in a file" verify_with_fio "$mount_point/fio"
rm -f "$mount_point/fio"
check "fstrim" fstrim "$mount_point"
umount "$mount_point"
check "xfs_repair finds nothing" xfs_repair -n "${devices[0]}"
check "detach again" nvublk detach --all

# --- resets under load lose nothing ---
check "attach what will be reset" attach -t pcie -a "$drive"
resets=$(extent 5 10 100)
controller=$(nvublk list -o json | jq -r '.devices[0].controller')
start_verifying --filename="${devices[0]}"
reset_all() {
  local n
  for ((n = 1; n <= resets; n++)); do
    sleep "0.$((RANDOM % 10))"
    nvublk reset "$controller" && still_verifying || { echo "reset $n"; return 1; }
  done
}
check "the controller is reset $resets times under load" reset_all
check "fio has verified everything" end_verifying
check_equal "no I/O failed" 0 "$(nvublk status -o json | jq '.devices[0].errors')"
check "detach it after that" nvublk detach --all

# --- the daemon is killed and replaced under load; the kernel gets the drive back all the same ---
# VM_KILLS and VM_UPGRADES say how often: else 2 and 1; with VM_FULL 20 and 10, with VM_BRIEF once.
kills=${VM_KILLS:-$(extent 1 2 20)}
upgrades=${VM_UPGRADES:-$(extent 1 1 10)}
check "attach what will be left" attach -t pcie -a "$drive" -c 1
device=${devices[0]}
check "a file system is made" make_file_system "$device"
check "the writers start" start_writers
check "the daemon is killed $kills times" repeat "$kills" kill_round
check "the daemon is replaced $upgrades times" repeat "$upgrades" upgrade_round
check "no writer has seen an error" writers_live
check "the writers end" end_writers
check "everything that was synced is there" verify_writers
check "the file system is sound" check_file_system "$device"
kill_daemon
require "a daemon starts" start_daemon
check "it is resumed" wait_until 60 is "$device" live
check "detach what was left" nvublk detach "$device"
check "the kernel has the drive as before" has_driver "$drive" nvme

# --- two drives in one daemon, and several queues ---
check "attach one with two queues" attach -t pcie -a "$drive" -i 2 --queues 2
first=${devices[0]}
check "attach the other" attach -t pcie -a "${drives[1]}"
check "fio verifies on both" verify_with_fio "$first:${devices[0]}"
check "detach both" nvublk detach --all
check "the kernel has both" wait_until 30 has_driver "${drives[1]}" nvme

# --- a drive that was bound before stays bound ---
check "bind" nvublk pci bind "$drive"
check "vfio-pci has it" has_driver "$drive" vfio-pci
check "attach what is bound" attach -t pcie -a "$drive"
check "detach it" nvublk detach --all
check "vfio-pci still has it" has_driver "$drive" vfio-pci

# --- the library on it: probed without an id; what it writes is verified ---
check "nvublk-perf verifies, small and deep" perf_verifies -q 32 -o 4096
check "nvublk-perf verifies, large, on two cores" perf_verifies -q 4 -o 1M -c 0x3
check "unbind" nvublk pci unbind "$drive"
check "the kernel has it" wait_until 30 has_driver "$drive" nvme

check "attach once more" attach -t pcie -a "$drive"
check "detach, but keep it bound" nvublk detach --keep-bound "$drive"
check "vfio-pci keeps it" has_driver "$drive" vfio-pci
check "unbind again" nvublk pci unbind "$drive"
check "the kernel has it again" wait_until 30 has_driver "$drive" nvme

# --- errors in words ---
check_match "no such device" "no PCI device at 0000:7f:00.0" \
  "$(nvublk attach -t pcie -a 7f:00.0 2>&1)"
bridge=$(basename "$(dirname "$(grep -l '^0x0601' /sys/bus/pci/devices/*/class | head -n 1)")")
check_match "not a drive" "no NVMe controller" "$(nvublk pci bind "$bridge" 2>&1)"
check_match "no address" "address" "$(nvublk pci bind nonsense 2>&1)"
# Another user has a program that it can read.
install -D -t /opt/nvublk-test "$NVUBLK_BIN/nvublk"
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups /opt/nvublk-test/nvublk)
check_match "no permission" "no permission to write /sys/bus/pci/.*run as root" \
  "$("${as_nobody[@]}" pci bind "$drive" 2>&1)"
check "the kernel still has that drive" has_driver "$drive" nvme

# --- a drive that goes away under load: errors, no crash; it comes back, and can be attached ---
many_writes() { [ "$(nvublk status -o json | jq '.devices[0].writes')" -gt 100 ]; }
drive_gone() { [ ! -e "/sys/bus/pci/devices/$1" ]; }
# QEMU lets go of a drive a moment later than its guest.
plug() {
  wait_until 30 qmp device_add '{"driver": "nvme", "id": "nvme1", "bus": "slot1",
    "drive": "drive1", "serial": "'"$1"'", "max_ioqpairs": "8"}'
}
plug_and_probe() {
  wait_until 60 drive_gone "$1" && plug "$2" && wait_until 60 has_driver "$1" nvme
}
has_state() { [ "$(nvublk status -o json | jq -r '.controllers[0].state')" = "$1" ]; }
other=${drives[1]}
check "attach what will be removed" attach -t pcie -a "$other" -l 2
fio --name=load --filename="${devices[0]}" --rw=randwrite --bs=4k --iodepth=16 --direct=1 \
  --ioengine=io_uring --time_based --runtime=120 --output=/tmp/load.out >/tmp/load.err 2>&1 &
load_pid=$!
check "fio writes" wait_until 30 many_writes
check "the drive is pulled out under load" qmp device_del '{"id": "nvme1"}'
check "the controller is given up" wait_until 60 has_state failed
status=0
wait "$load_pid" || status=$?
check_equal "fio gets an error, and ends" 1 "$status"
check_match "it is EIO" "input/output error" "$(cat /tmp/load.out /tmp/load.err)"
check "the daemon is alive" nvublk status
check "detach what is gone" nvublk detach --all --force
check "the drive is put back, and the kernel has it" plug_and_probe "$other" VM1
check "attach it again" attach -t pcie -a "$other"
check "fio verifies on it" verify_with_fio "${devices[0]}"
check "detach it again" nvublk detach --all

# --- hot plug: pulled out under load and put back, nothing is lost ---
check "attach with --hotplug" attach -t pcie -a "$other" --hotplug -c 1
fio --name=load --filename="${devices[0]}" --rw=randwrite --bs=4k --iodepth=16 --direct=1 \
  --ioengine=io_uring --size="$(extent 96m 256m 256m)" --verify=crc32c --verify_backlog=4096 \
  --output=/tmp/load.out >/tmp/load.err 2>&1 &
load_pid=$!
check "fio writes" wait_until 30 many_writes
check "the drive is pulled out" qmp device_del '{"id": "nvme1"}'
check "it is gone" wait_until 60 drive_gone "$other"
check "its controller waits" wait_until 30 has_state reconnecting
check "another drive is put in" plug ANOTHER
check "it is refused by its serial number" wait_until 60 grep -q \
  "another drive: its serial number is ANOTHER, not VM1" "$kDaemonLog"
check "it is pulled out" qmp device_del '{"id": "nvme1"}'
check "it is gone, too" wait_until 60 drive_gone "$other"
check "the drive is put back" plug VM1
check "it is taken again by itself" wait_until 60 has_state live
status=0
wait "$load_pid" || status=$?
check_equal "fio has lost nothing" 0 "$status"
check "detach it" nvublk detach --all
check "the kernel has it after all" wait_until 30 has_driver "$other" nvme

if [ -z "${VM_BRIEF-}" ]; then
  check "attach what the administrator will remove" attach -t pcie -a "$other" -l 1
  check "it is removed through sysfs" timeout 60 \
    bash -c "echo 1 >/sys/bus/pci/devices/$other/remove"
  check "its controller is given up" wait_until 60 has_state failed
  check "detach what was removed" nvublk detach --all --force
  check "the bus is scanned" eval "echo 1 >/sys/bus/pci/rescan"
  check "the kernel has the drive again after a scan" wait_until 30 has_driver "$other" nvme
  check "attach to give up soon" attach -t pcie -a "$other" --hotplug -l 1
  check "the drive is pulled out again" qmp device_del '{"id": "nvme1"}'
  check "the controller is given up at last" wait_until 60 has_state failed
  check "the drive is put back again" plug VM1
  check "it is attached again" wait_until 60 has_state live
  devices=("$(nvublk list -o json | jq -r '.devices[0].device')")
  check "fio verifies on what was attached by itself" verify_with_fio "${devices[0]}"
  check "detach that" nvublk detach --all
fi

# --- many rounds leave nothing behind ---
rounds=$(extent 3 5 50)
# Groups in use by somebody, and what the daemon has.
groups_bound() { find /dev/vfio -maxdepth 1 -name '[0-9]*' | wc -l; }
attach -t pcie -a "$drive" && nvublk detach --all
files=$(open_files "$daemon_pid") memory=$(resident_kib "$daemon_pid") groups=$(groups_bound)
maps=$(wc -l <"/proc/$daemon_pid/maps")
for ((round = 0; round < rounds; round++)); do
  attach -t pcie -a "$drive" && nvublk detach --all || fail "round $round"
done
check_equal "$rounds rounds leave no descriptor" "$files" "$(open_files "$daemon_pid")"
check_equal "no IOMMU group" "$groups" "$(groups_bound)"
check_at_most "no memory, KiB" $((memory + 512)) "$(resident_kib "$daemon_pid")"
check_at_most "no mapping" $((maps + 8)) "$(wc -l <"/proc/$daemon_pid/maps")"
check "a drive's round ends with the kernel" has_driver "$drive" nvme
check_nothing_left
finish_tests
