# For tests of crashes: writers on an ext4 file system that know what must be there.
# shellcheck shell=bash disable=SC2154

mount_point=/mnt/crash
readonly kWriters=/run/writers

make_file_system() {
  mkdir -p "$mount_point" "$kWriters" &&
    mkfs.ext4 -q -F "$1" && mount -o errors=remount-ro "$1" "$mount_point"
}

# The file system has not been remounted read-only, and takes a file that is synced.
still_writable() {
  grep -q " $mount_point ext4 rw" /proc/mounts &&
    timeout 60 dd if=/dev/zero of="$mount_point/probe" bs=4k count=1 conv=fsync status=none
}

# One writer whose data fio verifies, and one that syncs.
start_writers() { start_verifying --directory="$mount_point" && start_syncing; }
# It makes and syncs a file after the other, and notes each, outside of the file system, only when
# fsync has returned.
start_syncing() {
  : >"$kWriters/synced"
  sync_files &
  sync_pid=$!
  wait_until 60 test -s "$kWriters/synced"
}
# Runs until SIGTERM, in a shell of its own.
sync_files() {
  trap 'exit 0' TERM
  number=0
  while :; do
    number=$((number + 1))
    file=$mount_point/file-$((number % 200))
    printf '%s %0200d\n' "$number" "$number" >"$file" && sync "$file" || exit 1
    echo "$((number % 200)) $number" >>"$kWriters/synced"
  done
}

# They stop for a moment, with nothing under way.
rest_writers() { kill -STOP -- "-$fio_pid" "$sync_pid" && sleep 1; }
wake_writers() { kill -CONT -- "-$fio_pid" "$sync_pid"; }

writers_live() { still_verifying && kill -0 "$sync_pid"; }

# They end in order: fio when it has verified all that it has written.
end_writers() { kill -TERM "$sync_pid" && wait "$sync_pid" && end_verifying; }
stop_writers() { kill -KILL -- "-${fio_pid-}" "${sync_pid-}"; }

# The last synced content of each file, or a later one, is there, read from the device.
verify_writers() {
  local slot number found missing=0
  echo 3 >/proc/sys/vm/drop_caches
  while read -r slot number; do
    read -r found _ <"$mount_point/file-$slot" || found=0
    [ "$found" -ge "$number" ] || { echo "file-$slot has $found, $number was synced"; missing=1; }
  done < <(awk '{ last[$1] = $2 } END { for (s in last) print s, last[s] }' "$kWriters/synced")
  echo "$(wc -l <"$kWriters/synced") synced files"
  [ "$missing" = 0 ]
}

check_file_system() { umount "$mount_point" && e2fsck -f -n "$1"; }

disable_namespace() { echo 0 >"$kNvmet/subsystems/$1/namespaces/$2/enable"; }
enable_namespace() { echo 1 >"$kNvmet/subsystems/$1/namespaces/$2/enable"; }

# --- the daemon: $device is the device ---------------------------------------------------------------

# of_device PATH FIELD
of_device() {
  nvublk list -o json | jq -r --arg path "$1" --arg field "$2" \
    '.devices[] | select(.device == $path) | .[$field]'
}
is() { [ "$(of_device "$1" state)" = "$2" ]; }

kill_daemon() { kill -KILL "$daemon_pid" && wait_until 30 not_running "$daemon_pid"; }

# The moment is random, but told, so that it can be had again.
seed=${VM_SEED:-$$}
RANDOM=$seed
pause() { sleep "0.$(printf '%03d' $((RANDOM % 900)))"; }

loses_no_request() { nvublk features -o json | grep -q '"QUIESCE"'; }

tell_round() {
  echo "round $1 failed (VM_SEED=$seed)"
  nvublk status
  tail -n 10 "$kDaemonLog"
}
# Older drivers lose a request that they just hand over when the server dies, and the device with
# it: there the writers rest at that moment.
kill_round() {
  pause
  loses_no_request || rest_writers
  kill_daemon && wake_writers && start_daemon && wait_until 60 is "$device" live && still_writable
}

# repeat TIMES ROUND: ROUND gets the number, from 1.
repeat() {
  local round
  for ((round = 1; round <= $1; round++)); do
    "$2" "$round" || { tell_round "$round of $1"; return 1; }
  done
}

# take_over PROGRAM: as an upgrade does it.
take_over() {
  local old=$daemon_pid
  "$1" --socket "$NVUBLK_SOCKET" --takeover >>"$kDaemonLog" 2>&1 &
  daemon_pid=$!
  wait_until 30 not_running "$old" && wait_until 30 nvublk status
}

# As "systemctl restart" does it, and as "nvublkd --takeover" does.
upgrade_round() {
  local old=$daemon_pid
  pause
  if [ $(($1 % 2)) = 0 ]; then
    take_over "$NVUBLK_BIN/nvublkd" || return 1
  else
    kill -USR2 "$old" && wait_until 30 not_running "$old" && start_daemon || return 1
  fi
  wait "$old" || { echo "the old daemon ended with $?"; return 1; }
  wait_until 60 is "$device" live && still_writable
}
