#!/usr/bin/env bash
# scripts/quickstart, in a guest that has ublk: it uses a ublk device and leaves nothing behind.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"
clean_up() { :; }

require "the ublk module loads" load_modules ublk_drv
"$vm_tests/../../scripts/quickstart" >/tmp/quickstart.out 2>&1
check_equal "quickstart's exit status" 0 $?
check_match "it uses a ublk device" '/dev/ublkb0' "$(cat /tmp/quickstart.out)"
sed 's/^/# /' /tmp/quickstart.out
check_nothing_left
check_equal "no program is left running" "" "$(pgrep -l nvublk)"
check_equal "nothing is left mounted" "" "$(grep -E 'nvublk|ublkb' /proc/mounts)"
finish_tests
