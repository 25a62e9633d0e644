#!/usr/bin/env bash
# The ublk front-end on a back-end in memory: nvublk_ublk_device_test, test by test.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

program=$NVUBLK_BIN/../tests/ublk/nvublk_ublk_device_test
require "the module loads" load_modules ublk_drv
require "the test program is built" test -x "$program"
suite=
while read -r line; do
  case $line in
    *.) suite=$line ;;
    *) check "$suite$line" "$program" --gtest_brief=1 --gtest_filter="$suite$line" ;;
  esac
done < <("$program" --gtest_list_tests | grep -v '^Running')
check_equal "no ublk device is left" 0 "$(ublk_devices)"
finish_tests
