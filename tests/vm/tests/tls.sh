#!/usr/bin/env bash
# TLS over TCP with ublk devices: data under load, digests, several queues; after the target, or the
# daemon, was away; and that no key is seen anywhere. The target is nvublk-target.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() {
  nvublk detach --all --force
  stop_daemon
  kill "$target_pid"
} >/dev/null 2>&1

readonly kTlsNqn=$kNqn:tls kHost=nqn.2026-01.io.nvublk.test:host
to=(-t tcp -a "$kAddress" -s "$kPort" -n "$kTlsNqn" -q "$kHost" -c 1)

start_target() {
  "$NVUBLK_BIN/nvublk-target" --listen "$kAddress:$kPort" --subnqn "$kTlsNqn" --tls-key "$1" \
    --ns file=/run/tls.img,size=64M,bs=4096 >/tmp/target.log 2>&1 &
  target_pid=$!
  wait_until 30 grep -q listening /tmp/target.log
}
stop_target() { kill -KILL "$target_pid" && wait_until 30 not_running "$target_pid"; }
state_is() { [ "$(nvublk status -o json | jq -r '.controllers[0].state')" = "$1" ]; }
device_is() { [ "$(nvublk list -o json | jq -r '.devices[0].state')" = "$1" ]; }
cipher() { nvublk status -o json | jq -r '.controllers[0].tls_cipher'; }
# verify DEVICE SIZE: fio writes blocks of that size and reads them again.
verify() {
  fio --name=tls --filename="$1" --rw=randwrite --bs="$2" --size=8m --ioengine=libaio \
    --iodepth=16 --direct=1 --verify=crc32c --do_verify=1 --verify_fatal=1 >/tmp/fio.log 2>&1
}

require "the modules load" load_modules ublk_drv
require "the daemon starts" start_daemon
for hmac in 1 2; do
  key=$(nvublk gen-tls-key -m "$hmac")
  require "the target starts" start_target "$key"
  for more in "" "--tls-identity-version=1 -g -G"; do
    # shellcheck disable=SC2086
    require "attach with key $hmac $more" attach "${to[@]}" --tls-key "$key" $more
    check_match "status has the cipher" '^TLS_AES_(128|256)_GCM_SHA(256|384)$' "$(cipher)"
    for size in 4k 64k 1m; do
      check "data is right in blocks of $size" verify "${devices[0]}" "$size"
    done
    check "detach" nvublk detach --all
  done
  check_match "without a key it is refused" "does it want TLS \(--tls-key\)" \
    "$(nvublk attach "${to[@]}" 2>&1)"
  check_match "with another key, too" "is --tls-key the key" \
    "$(nvublk attach "${to[@]}" --tls-key "$(nvublk gen-tls-key -m "$hmac")" 2>&1)"
  require "the target stops" stop_target
done

require "the target starts" start_target "$key"
require "attach, to stay" attach "${to[@]}" --tls-key "$key"
device=${devices[0]}
check "the target goes" stop_target
check "that is noticed" wait_until 60 state_is reconnecting
require "the target is back" start_target "$key"
check "it reconnects" wait_until 60 state_is live
check "data is right" verify "$device" 64k
check_equal "the state is for us only" 600 "$(stat -c %a /run/nvublk/state.json)"
kill -KILL "$daemon_pid"
wait_until 30 not_running "$daemon_pid"
require "a daemon starts" start_daemon
check "it resumes the device" wait_until 60 device_is live
check_equal "with TLS" TLS_AES_256_GCM_SHA384 "$(cipher)"
check "data is right" verify "$device" 64k

seen=$(nvublk status; nvublk status -o json; nvublk list -o json; cat "$kDaemonLog")
check_equal "no key is in status, list and log" "" "$(grep NVMeTLSkey <<<"$seen")"
check "detach" nvublk detach --all
check "the daemon ends" stop_daemon
finish_tests
