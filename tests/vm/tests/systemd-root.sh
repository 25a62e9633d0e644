#!/usr/bin/env bash
# The root file system is on a device, with a real systemd as process 1: the machine starts from
# an initial RAM disk with nvublkd-root.service and the unit of nvublkd(8) that attaches, and goes
# on to the root, which a service writes to; the daemon is replaced, and killed while nothing of the
# root is in memory and while memory is short; then the machine is shut down. The target is outside
# of the guest. This test is neither on the root nor a service: what waits for the device cannot
# stop it.
# VM_KILLS says how often the daemon is killed: else 2, with VM_FULL 20, with VM_BRIEF 1.
# run: --init initrd --memory 768M --target '--ns size=512M,bs=4096'
# run: --append 'root=/dev/ublkb0 rootfstype=ext4 rw net.ifnames=0'
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
# shellcheck source=../crash-lib.sh
. "$(dirname "$0")/../crash-lib.sh"
# shellcheck source=../systemd-lib.sh
. "$(dirname "$0")/../systemd-lib.sh"
kills=${VM_KILLS:-$(extent 1 2 20)}
readonly kNew=/mnt/new-root kRoot=/proc/1/root kHog=/mnt/hog
device=/dev/ublkb0 journal_folder=$kRoot/var/log/journal mount_point=$kRoot/var/records
to=(-t tcp -a "$kHostAddress" -s "${VM_TARGET_PORT-}" -n "$kHostNqn")

# --- the root file system -------------------------------------------------------------------------

# What a small system needs: files without a leading slash, and the libraries of those programs that
# have the most.
list_files() {
  cd / || return 1
  {
    printf 'usr/lib/systemd/systemd%s\n' '' -executor -journald -remount-fs -shutdown -udevd |
      while read -r program; do [ ! -e "$program" ] || echo "$program"; done
    for program in bash sh sleep touch sync mount umount systemctl journalctl udevadm kill; do
      type -P "$program" | sed 's#^/\(usr/\)*#usr/#'
    done
    printf '%s\n' usr/lib/systemd/{system-shutdown,system-generators} \
      usr/lib/systemd/system/{*.target,*.target.wants,systemd-{journal,remount,reboot,udev}*} \
      usr/lib/udev/rules.d/{50-udev-default,99-systemd}.rules usr/lib/os-release \
      etc/{passwd,group,machine-id,ld.so.cache}
    ldd /usr/lib/systemd/systemd "$(type -P bash)" "$(type -P udevadm)" "$(type -P journalctl)" \
      "$NVUBLK_BIN"/nvublkd |
      sed -n 's#^.*[[:space:]]/\(usr/\)*\(lib[^ ]*\) (0x.*#usr/\2#p'
  } | sort -u
}

fill_root() {
  mkdir -p "$kNew"/{usr/{bin,sbin,lib,lib64},etc,proc,sys,dev,run,tmp,root,var/log/journal} \
    "$kNew/var/records" || return 1
  ln -s usr/{bin,sbin,lib,lib64} "$kNew/"
  list_files | tar -C / -ch -T - | tar -C "$kNew" -x --keep-directory-symlink || return 1
  cp /usr/sbin/nvublkd "$kNew/usr/sbin" && cp /usr/bin/nvublk "$kNew/usr/bin" &&
    cp "$vm_tests/crash-lib.sh" "$kNew/root"
}

# Into the initial RAM disk, and from there into the root.
install_programs() {
  strip -o /usr/sbin/nvublkd "$NVUBLK_BIN/nvublkd" && strip -o /usr/bin/nvublk "$NVUBLK_BIN/nvublk"
}

write_root_units() {
  local folder=$kNew/etc/systemd/system
  mkdir "$kNew/etc/systemd" && cp -a /etc/systemd/system "$folder" || return 1
  install_unit nvublkd-root.service /usr/sbin "$folder"
  install_unit nvublkd-root-reload.service /usr/sbin "$folder"
  mkdir "$folder/sysinit.target.wants"
  ln -s ../nvublkd-root-reload.service "$folder/sysinit.target.wants/"
  ln -s vm.target "$folder/default.target"
  mkdir "$folder/vm.target.wants"
  ln -s ../writer.service /usr/lib/systemd/system/systemd-journal-flush.service \
    "$folder/vm.target.wants/"
  cat >"$folder/writer.service" <<'UNIT'
[Service]
ExecStart=/bin/bash -c '. /root/crash-lib.sh; mount_point=/var/records; sync_files'
UNIT
  echo "$device / ext4 defaults 0 0" >"$kNew/etc/fstab"
}

mount_new_root() {
  mkfs.ext4 -q -F "$device" && mkdir -p "$kNew" "$kWriters" && mount "$device" "$kNew"
}
unmount_new_root() { umount "$kNew" && nvublk detach --all && stop_daemon; }

# --- the initial RAM disk: this machine's files, with two more units ------------------------------

# The unit that nvublkd(8) has for it, with the options of this test.
attaching_unit() {
  sed -n '/^\.Ss A root file system/,/^\.Ss Memory/p' "$vm_tests/../../man/nvublkd.8" |
    sed -n '/^\.Bd/,/^\.Ed/p' | grep -v '^\.' |
    sed "s#^\\(ExecStart=.*\\) \\.\\.\\.#\\1 ${to[*]}#"
}

write_initrd_units() {
  attaching_unit | write_unit nvublk-attach.service
  install_unit nvublkd-root.service /usr/sbin /etc/systemd/system
  systemctl enable nvublk-attach.service nvublkd-root.service &&
    systemctl daemon-reload
}

on_new_root() { [ -e "$kRoot/root/crash-lib.sh" ] && active vm.target; }
start_from_device() {
  systemctl start --no-block initrd.target
  if wait_until 150 on_new_root; then return; fi
  systemctl list-jobs
  journal_folder=/run/log/journal journal | tail -n 25
  return 1
}

# --- the system -----------------------------------------------------------------------------------

daemon() { cat "$NVUBLK_SOCKET.lock"; }
goes_on() { wait_until 60 is "$device" live && writer_goes_on writer; }

# Nothing of the root is in memory but what is used.
forget_files() { echo 3 >/proc/sys/vm/drop_caches; }

kill_round() {
  local old
  old=$(daemon)
  pause
  loses_no_request || { systemctl kill -s STOP writer && sleep 1; }
  forget_files && kill -KILL "$old"
  wait_until 90 another_daemon "$old"
  systemctl kill -s CONT writer
  another_daemon "$old" && goes_on
}
another_daemon() { [ "$(daemon)" != "$1" ] && kill -0 "$(daemon)" && active nvublkd-root; }

same_file() { [ "$1" -ef "$2" ]; }
runs_from_root() { same_file "/proc/$(daemon)/exe" "$kRoot/usr/sbin/nvublkd"; }
refused() { ! systemctl "$1" nvublkd-root && kill -0 "$(daemon)"; }

reload_round() {
  local old
  old=$(daemon)
  forget_files
  systemctl reload nvublkd-root && wait_until 90 another_daemon "$old" && goes_on
}
nothing_under_way() { ! journal -u nvublkd-root | grep 'commands were under way'; }

# Little of the memory is left, and as there is no swap, only what was read from files can go.
take_memory() {
  mkdir -p "$kHog" && mount -t tmpfs -o size=100% hog "$kHog" || return 1
  dd if=/dev/zero of="$kHog/file" bs=1M count=$(($(available_mib) - 100)) status=none
  [ "$(available_mib)" -lt 160 ]
}
available_mib() { awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo; }
write_much() { timeout 120 dd if=/dev/zero of="$kRoot/var/much" bs=1M count=150 conv=fsync; }

no_journal_to_replay() { ! dumpe2fs -h "$1" | grep needs_recovery; }

require "the network is up" start_network
require "the modules load" load_modules ublk_drv
require "a daemon starts" start_daemon
require "it attaches" attach "${to[@]}" --ctrl-loss-tmo -1
require "the programs are installed" install_programs
require "the root file system is made" mount_new_root
require "a system is copied to it" fill_root
require "it has its units" write_root_units
require "it is unmounted" unmount_new_root
require "systemd reads the initial RAM disk's units" write_initrd_units
require "the system starts from the device" start_from_device
check_match "its root is on the device" "^$device / ext4 rw" "$(cat /proc/1/mounts)"
check "systemd has the daemon as a service" active nvublkd-root
check "the daemon of the system's files takes over" wait_until 90 runs_from_root
check "it looks into the system's root, no longer into the RAM disk" same_file \
  "/proc/$(daemon)/root" "$kRoot"
wait_until 60 test -s "$kWriters/synced"
require "a service writes" goes_on

check "a restart, which would have to read from the device, is refused" refused restart
check "the daemon is replaced by a reload" reload_round
check "nothing was under way then" nothing_under_way
check "the daemon is killed $kills times, with nothing of the root in memory" \
  repeat "$kills" kill_round
check "the service has seen no error" active writer
require "memory is short" take_memory
check "the root is written then" write_much
check "the daemon is killed then" kill_round
umount "$kHog"
check "the service has seen no error" active writer

# --- the end: the device is there to the last -----------------------------------------------------
guard=$(main_pid nvublkd-root) last=$(daemon)
require "the machine is shut down, under load" shut_down
check_match "the root file system is read-only" "^$device / ext4 ro" "$(cat /proc/1/mounts)"
check_equal "the daemon has not ended" "$last" "$(daemon)"
check "nor has its guard" kill -0 "$guard"
check "the device is live" is "$device" live
check "everything that was synced is there" verify_writers
check "the file system was left in order" no_journal_to_replay "$device"
check "it is sound" e2fsck -f -n "$device"
finish_tests
