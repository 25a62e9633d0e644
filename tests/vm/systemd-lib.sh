# For tests with systemd as process 1 ("# run: --init systemd"): the project's units as they are
# packaged, a service that writes, and what systemd says of both. Mounts are systemd's: the test has
# others, so that it holds none; what is on a mount of systemd's is under /proc/1/root.
# shellcheck shell=bash disable=SC2154

readonly kUnitFiles=$vm_tests/../../packaging/systemd

# install_unit NAME BINARIES FOLDER: as the build does it, for programs in BINARIES.
install_unit() { sed "s#@CMAKE_INSTALL_FULL_SBINDIR@#$2#" "$kUnitFiles/$1.in" >"$3/$1"; }

# write_unit NAME: with what is on standard input, before a "systemctl daemon-reload".
write_unit() { cat >"/etc/systemd/system/$1"; }

# property UNIT NAME
property() { systemctl show -P "$2" "$1"; }
main_pid() { property "$1" MainPID; }
active() { systemctl is-active -q "$1"; }

# journal OPTION...: messages since the boot; also when journald has ended.
journal() { journalctl -D "${journal_folder:-/run/log/journal}" -q --no-pager -o cat "$@"; }
# systemd_said TEXT: the number of its last message with this text; 0 if there is none.
systemd_said() { journal _PID=1 | grep -nF -- "$1" | tail -n 1 | cut -d : -f 1 | grep . || echo 0; }
# said_in_order TEXT TEXT: systemd has said both, the first one earlier.
said_in_order() {
  local first second
  first=$(systemd_said "$1") second=$(systemd_said "$2")
  if [ "$first" -gt 0 ] && [ "$first" -lt "$second" ]; then return; fi
  printf '%s: %s\n' "$1" "$first" "$2" "$second"
  journal _PID=1 | tail -n 25
  return 1
}

# shut_down: as "systemctl reboot"; true when all is unmounted and nothing runs but the kernel, the
# test, and what systemd leaves alone.
shut_down() {
  systemctl reboot
  wait_until 200 test -e /run/vm/shut-down
}

# writer_goes_on UNIT: it runs, and has synced something since.
writer_goes_on() {
  local lines
  lines=$(wc -l <"$kWriters/synced")
  wait_until 90 more_lines_than "$lines" "$kWriters/synced" && active "$1"
}
more_lines_than() { [ "$(wc -l <"$2")" -gt "$1" ]; }
