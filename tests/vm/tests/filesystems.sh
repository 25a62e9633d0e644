#!/usr/bin/env bash
# File systems on attached namespaces: make, mount, write a tree, verify with fio, trim, check, and
# find everything again after a detach.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
mount_point=/run/mounted
clean_up() {
  umount "$mount_point"
  nvublk detach --all --force
  stop_daemon
  stop_usual_target
} >/dev/null 2>&1

make_file_system() {
  case $1 in
    ext4) mkfs.ext4 -q -F "$2" ;;
    xfs) mkfs.xfs -q -f "$2" ;;
    btrfs) mkfs.btrfs -q -f "$2" ;;
  esac
}

check_file_system() {
  case $1 in
    ext4) e2fsck -f -n "$2" ;;
    xfs) xfs_repair -n "$2" ;;
    btrfs) btrfs check --readonly "$2" ;;
  esac
}

# Files of sizes around the block sizes, with their checksums.
write_tree() {
  local n folder count
  count=$(extent 50 150 150)
  for ((n = 0; n < count; n++)); do
    folder=$mount_point/tree/$((n % 7))/$((n % 5))
    mkdir -p "$folder" && head -c $((n * 397)) /dev/urandom >"$folder/$n" || return 1
  done
  (cd "$mount_point/tree" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >/run/sums &&
    sync -f "$mount_point/tree"
}
tree_is_right() { (cd "$mount_point/tree" && sha256sum --quiet -c /run/sums); }

drop_caches() { echo 3 >/proc/sys/vm/drop_caches; }

# try_file_system TYPE KIND QUEUES [OPTION...]
try_file_system() {
  local type=$1 kind=$2 queues=$3 name
  shift 3
  name="$type on $kind, $queues queues, ${*:-no digests}"
  local arguments=(-t tcp -a "$kAddress" -s "$kPort" -n "$kNqn:$kind" -i "$queues"
    --queues "$queues" "$@")
  check "attach: $name" attach "${arguments[@]}" || return
  check_equal "block size: $name" "$(block_size_of "$kind")" "$(blockdev --getss "${devices[0]}")"
  check "mkfs: $name" make_file_system "$type" "${devices[0]}" || return
  check "mount: $name" mount -t "$type" "${devices[0]}" "$mount_point" || return
  check "write a tree: $name" write_tree
  drop_caches
  check "the tree is right: $name" tree_is_right
  check "fio verifies: $name" verify_with_fio "$mount_point/fio"
  check "detach is refused while mounted: $name" refuses nvublk detach "${devices[0]}"
  rm -f "$mount_point/fio"
  check "fstrim: $name" fstrim "$mount_point"
  check "unmount: $name" umount "$mount_point"
  check "fsck is clean: $name" check_file_system "$type" "${devices[0]}"
  check "detach: $name" nvublk detach "${devices[0]}"
  check "attach again: $name" attach "${arguments[@]}" || return
  check "mount again: $name" mount -t "$type" "${devices[0]}" "$mount_point" || return
  check "the tree is still right: $name" tree_is_right
  check "unmount again: $name" umount "$mount_point"
  check "detach again: $name" nvublk detach --all
}
refuses() { ! "$@"; }

mkdir -p "$mount_point"
require "the modules load" load_modules ublk_drv nvmet-tcp
require "the target starts" start_usual_target 384
require "the daemon starts" start_daemon

if [ "${VM_FULL-}" = 1 ]; then
  for type in ext4 xfs btrfs; do
    for kind in $kBackings; do
      try_file_system "$type" "$kind" 1
      try_file_system "$type" "$kind" 2 -g -G
    done
  done
else
  try_file_system ext4 brd 1
  try_file_system xfs null4096 2 -g -G
  [ -n "${VM_BRIEF-}" ] || try_file_system btrfs file 2
fi
check_nothing_left
finish_tests
