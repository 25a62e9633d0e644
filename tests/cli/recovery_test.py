#!/usr/bin/env python3
"""Targets that die, hang, forget and lie, as the user of a device meets them.

ctest runs each class by itself: recovery_test.py CLASS. NVUBLK_KILLS says how often a target is
killed, NVUBLK_SEED when. Exit status 77: this machine cannot run it.
"""

import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib
from pathlib import Path

from harness import CliTest, Verifier, run_tests, wait_until
from write_log import Checker, read_lives

KILLS = int(os.environ.get("NVUBLK_KILLS", "6"))
SEED = int(os.environ.get("NVUBLK_SEED", str(random.randrange(1 << 31))))
BLOCK = 4096


class RecoveryTest(CliTest):

    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        print(f"NVUBLK_SEED={SEED}", file=sys.stderr)

    def controller(self):
        return self.status()["controllers"][0]

    def wait_for(self, state):
        wait_until(lambda: self.controller()["state"] == state, f"the controller is {state}")

    def no_errors(self):
        self.assertEqual([device["errors"] for device in self.status()["devices"]], [0])

    def file_target(self, *namespace, **more):
        words = ",".join([f"file={self.folder}/disk.img", "size=64M", "bs=4096", *namespace])
        return self.target(namespaces=(words,), **more)


class Kills(RecoveryTest):

    def test_a_target_that_is_killed_and_comes_back_costs_no_io(self):
        target = self.file_target()
        device, = self.attach(target, "--reconnect-delay", "1", "-l", "-1")
        verifier = Verifier(device)
        try:
            for _ in range(KILLS):
                time.sleep(self.random.uniform(0.1, 1.5))
                target.close()
                time.sleep(self.random.uniform(0.0, 1.5))
                target.start()
                self.wait_for("live")
                self.assertEqual(verifier.failure, "", "fio goes on")
        finally:
            verifier.end()
        self.assertEqual(verifier.failure, "")
        self.no_errors()
        self.assertEqual(self.nvublk("detach", device).status, 0)

    def first_error_after(self, *options):
        """Seconds from the target's end to the first error of a reader."""
        target = self.target(namespaces=("size=16M",))
        device, = self.attach(target, "--reconnect-delay", "1", *options)
        failed_at = []
        handle = os.open(device, os.O_RDONLY | os.O_DIRECT)
        buffer = mmap.mmap(-1, BLOCK)

        def read():
            try:
                while True:
                    os.preadv(handle, [buffer], 0)
            except OSError:
                failed_at.append(time.monotonic())

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.3)
        killed_at = time.monotonic()
        target.close()
        reader.join(timeout=60)
        os.close(handle)
        self.assertTrue(failed_at, "the reader gets an error")
        return failed_at[0] - killed_at, target

    def test_with_a_short_ctrl_loss_tmo_errors_come_then(self):
        seconds, _ = self.first_error_after("--ctrl-loss-tmo", "3")
        self.assertGreaterEqual(seconds, 3)
        self.assertLess(seconds, 6)
        controller = self.controller()
        self.assertEqual((controller["state"], controller["step"]), ("failed", ""))
        for reason in (controller["reason"], self.status()["devices"][0]["reason"]):
            self.assertRegex(reason, "^given up: .*; detach it, and attach again")
        self.must_fail("failed cannot be reset; detach it", "reset", "nvublk0")
        policy = controller["policy"]
        self.must_fail("nvublk0: it was given up .*detach it, and attach it again", "set",
                       "nvublk0", "ctrl-loss-tmo=-1")
        self.assertEqual(self.controller()["policy"], policy, "nothing has changed")

    def test_with_fast_io_fail_tmo_errors_come_then_and_io_comes_back(self):
        seconds, target = self.first_error_after("--fast_io_fail_tmo", "2", "-l", "60")
        self.assertGreaterEqual(seconds, 2)
        self.assertLess(seconds, 5)
        self.assertEqual(self.controller()["state"], "reconnecting")
        target.start()
        self.wait_for("live")


class Policy(RecoveryTest):

    def test_status_shows_the_policy_and_the_recovery(self):
        target = self.target()
        self.attach(target, "--reconnect-delay", "30", "-l", "120", "-F", "60", "-k", "7",
                    "--io-timeout", "9", "--admin-timeout", "8", "--timeout-action", "abort")
        controller = self.controller()
        self.assertEqual(controller["policy"],
                         {"keep_alive_tmo": 7, "reconnect_delay": 30, "ctrl_loss_tmo": 120,
                          "fast_io_fail_tmo": 60, "io_timeout": 9, "admin_timeout": 8,
                          "timeout_action": "abort"})
        self.assertIsNone(controller["recovery"])
        target.close()
        wait_until(lambda: (self.controller()["recovery"] or {}).get("attempts", 0) > 1,
                   "two attempts were made")
        recovery = self.controller()["recovery"]
        self.assertIn(recovery["step"], ("stop queues", "wait to reconnect", "reconnect"))
        self.assertLessEqual(recovery["gives_up_ms"], 120000)
        self.assertLessEqual(recovery["io_fails_ms"], 60000)
        self.assertIn("attempts", self.nvublk("status").out)

    def test_set_changes_what_is_in_force(self):
        target = self.target()
        device, = self.attach(target)
        changed = self.nvublk("set", device, "ctrl-loss-tmo=-1", "timeout-action=abort",
                              "io_timeout=12", "keep-alive-tmo=8", "-o", "json")
        self.assertEqual(changed.status, 0, changed)
        policy = changed.json["controllers"][0]["policy"]
        self.assertEqual((policy["ctrl_loss_tmo"], policy["timeout_action"], policy["io_timeout"],
                          policy["keep_alive_tmo"]), (-1, "abort", 12, 8))
        self.assertEqual(self.controller()["policy"], policy)
        self.assertEqual(self.controller()["keep_alive_ms"], 8000)
        target.close()
        self.wait_for("reconnecting")
        self.assertEqual(self.nvublk("set", "nvublk0", "ctrl-loss-tmo=1",
                                     "reconnect-delay=1").status, 0)
        self.wait_for("failed")

    def test_fast_io_fail_tmo_can_be_set_while_io_waits(self):
        target = self.target()
        device, = self.attach(target, "--reconnect-delay", "2")
        target.close()
        self.wait_for("reconnecting")
        reader = subprocess.Popen(["dd", f"if={device}", "of=/dev/null", "bs=4096", "count=1",
                                   "iflag=direct"], stderr=subprocess.DEVNULL)
        wait_until(lambda: self.status()["devices"][0]["in_flight"] > 0, "it waits")
        self.assertIsNone(reader.poll())
        self.assertEqual(self.nvublk("set", "nvublk0", "fast_io_fail_tmo=0").status, 0)
        self.assertNotEqual(reader.wait(timeout=30), 0)
        self.assertTrue(self.controller()["recovery"]["io_fails"])
        self.assertEqual(self.nvublk("set", "nvublk0", "fast_io_fail_tmo=-1").status, 0)
        self.assertFalse(self.controller()["recovery"]["io_fails"])
        target.start()
        self.wait_for("live")
        self.must("dd", f"if={device}", "of=/dev/null", "bs=4096", "count=1", "iflag=direct")

    def test_what_cannot_work_is_explained(self):
        target = self.target()
        self.attach(target)
        self.must_fail("fast_io_fail_tmo .*longer than ctrl-loss-tmo", "set", "nvublk0",
                       "ctrl-loss-tmo=10", "fast_io_fail_tmo=20")
        self.must_fail("reconnect-delay .*longer than ctrl-loss-tmo", "set", "nvublk0",
                       "ctrl-loss-tmo=5")
        self.must_fail("gone silent", "set", "nvublk0", "keep-alive-tmo=0", "timeout-action=none")
        self.must_fail("there is no setting 'loss'", "set", "nvublk0", "loss=1", status=2)
        self.must_fail("write NAME=VALUE", "set", "nvublk0", "ctrl-loss-tmo", status=2)
        self.must_fail("nothing attached is called", "set", "nvublk9", "ctrl-loss-tmo=9")
        self.must_fail("longer than ctrl-loss-tmo", "attach", *target.options(), "-l", "5", "-F",
                       "6", status=2)


class Faults(RecoveryTest):

    def read_words(self, device):
        return ["dd", f"if={device}", "of=/dev/null", "bs=4096", "count=1", "iflag=direct"]

    def read(self, device):
        self.must(*self.read_words(device))

    def admin_commands(self, target):
        return json.loads(target.control_call("stats"))["admin_commands"]

    def test_an_abort_comes_before_the_reset_if_so_wanted(self):
        target = self.target()
        device, = self.attach(target, "--io-timeout", "1", "--timeout-action", "abort",
                              "--admin-timeout", "1", "--reconnect-delay", "1")
        before = json.loads(target.control_call("stats"))["connections"]
        target.control_call("fault", {"kind": "stuck", "opcode": "read", "count": 1})
        self.read(device)
        self.no_errors()
        after = json.loads(target.control_call("stats"))
        self.assertEqual(after["admin_commands"]["abort"], 1)
        self.assertEqual(after["connections"], before, "it was aborted, and nothing was reset")

    def test_an_abort_that_is_not_answered_is_followed_by_a_reset(self):
        target = self.target()
        device, = self.attach(target, "--io-timeout", "1", "--timeout-action", "abort",
                              "--admin-timeout", "1", "--reconnect-delay", "1")
        before = json.loads(target.control_call("stats"))["connections"]
        target.control_call("fault", {"kind": "stuck", "opcode": "abort", "count": 1})
        target.control_call("fault", {"kind": "stuck", "opcode": "read", "count": 1})
        self.read(device)
        self.no_errors()
        after = json.loads(target.control_call("stats"))
        self.assertEqual(after["admin_commands"]["abort"], 1)
        self.assertGreater(after["connections"], before)

    def test_a_retry_delay_is_waited_for_and_do_not_retry_is_final(self):
        target = self.target("--retry-delays", "3,5,0")
        device, = self.attach(target)
        reads = lambda: json.loads(target.control_call("stats"))["io_commands"].get("read", 0)
        before = reads()
        target.control_call("fault", {"kind": "status", "opcode": "read", "sc": 0x21, "crd": 2,
                                      "count": 2})
        began = time.monotonic()
        self.read(device)
        self.assertGreaterEqual(time.monotonic() - began, 1.0, "twice 500 ms")
        self.assertEqual(reads() - before, 3)
        self.no_errors()
        before = reads()
        target.control_call("fault", {"kind": "status", "opcode": "read", "sc": 0x21, "crd": 2,
                                      "dnr": True, "count": 5})
        self.assertNotEqual(subprocess.run(self.read_words(device), stderr=subprocess.DEVNULL,
                                           check=False).returncode, 0)
        target.control_call("clear_faults")
        self.assertGreaterEqual(self.status()["devices"][0]["errors"], 1)
        self.assertLessEqual(reads() - before, 2, "it is not sent again (the reader may)")

    def test_a_stuck_command_resets_the_controller(self):
        target = self.target()
        device, = self.attach(target, "--io-timeout", "1", "--reconnect-delay", "1")
        target.control_call("fault", {"kind": "stuck", "opcode": "read", "count": 1})
        self.read(device)
        self.no_errors()
        self.assertNotIn("abort", self.admin_commands(target))

    def test_a_black_hole_and_a_fatal_status_are_recovered_from(self):
        target = self.target()
        device, = self.attach(target, "-k", "2", "--reconnect-delay", "1", "-l", "-1")
        for kind in ("black_hole", "fatal_status"):
            target.control_call("fault", {"kind": kind})
            self.wait_for("reconnecting")
            target.control_call("clear_faults")
            self.wait_for("live")
            self.read(device)
        self.no_errors()

    def test_another_disk_behind_the_same_address_is_not_written_to(self):
        target = self.target()
        device, = self.attach(target, "--reconnect-delay", "1")
        target.control_call("fault", {"kind": "wrong_identity"})
        target.control_call("drop")
        wait_until(lambda: "another namespace" in self.status()["devices"][0]["reason"],
                   "the device says what has happened")
        handle = os.open(device, os.O_RDWR | os.O_DIRECT)
        with self.assertRaises(OSError):
            os.pwritev(handle, [mmap.mmap(-1, BLOCK)], 0)
        os.close(handle)
        self.assertEqual(self.nvublk("detach", "--all", "--force").status, 0)

    def test_what_hangs_can_be_reset_and_taken_away(self):
        target = self.target()
        device, = self.attach(target, "-k", "0", "--admin-timeout", "600", "--io-timeout", "600",
                              "--reconnect-delay", "1")
        target.control_call("fault", {"kind": "stuck", "queues": "admin"})
        before = self.admin_commands(target)["identify"]
        asking = self.start_nvublk("id-ctrl", "nvublk0")
        wait_until(lambda: self.admin_commands(target)["identify"] > before, "it is asked")
        target.control_call("clear_faults")
        self.assertEqual(self.nvublk("reset", "nvublk0").status, 0)
        self.assertNotEqual(asking.wait(timeout=60), 0)
        asking.communicate()
        target.control_call("fault", {"kind": "black_hole"})
        reader = subprocess.Popen(["dd", f"if={device}", "of=/dev/null", "bs=4096", "count=1",
                                   "iflag=direct"], stderr=subprocess.DEVNULL)
        began = time.monotonic()
        self.assertEqual(self.nvublk("detach", device, "--force").status, 0)
        self.assertLess(time.monotonic() - began, 30, "as the manual says, and the machine is slow")
        self.assertNotEqual(reader.wait(timeout=60), 0)


    def start_reading(self, device):
        return subprocess.Popen(self.read_words(device), stderr=subprocess.DEVNULL)

    def take_first_away(self, target, break_it, mend):
        """One device of two goes by force while both have readers, and the other stays."""
        first, second = self.attach(target, "-l", "-1", "--reconnect-delay", "1", "-k", "0",
                                    "--io-timeout", "600")
        break_it()
        readers = [self.start_reading(device) for device in (first, second)]
        wait_until(lambda: all(device["in_flight"] for device in self.status()["devices"]),
                   "both wait")
        began = time.monotonic()
        self.assertEqual(self.nvublk("detach", first, "--force").status, 0)
        self.assertLess(time.monotonic() - began, 30, "as the manual says, and it is slow")
        self.assertNotEqual(readers[0].wait(timeout=30), 0)
        self.assertIsNone(readers[1].poll(), "the other one waits")
        mend()
        self.wait_for("live")
        self.assertEqual(readers[1].wait(timeout=60), 0)
        self.no_errors()
        self.assertEqual(self.nvublk("detach", second).status, 0)

    def test_one_device_of_several_goes_by_force_and_the_others_stay(self):
        target = self.target(namespaces=("size=16M", "size=16M"))
        self.take_first_away(target, target.close, target.start)
        self.take_first_away(target,
                             lambda: target.control_call("fault", {"kind": "stuck",
                                                                   "opcode": "read", "count": 2}),
                             lambda: None)

    def test_force_on_everything_overtakes_a_detach_that_hangs(self):
        target = self.target(namespaces=("size=16M", "size=16M"))
        devices = self.attach(target, "-l", "-1", "-k", "0", "--io-timeout", "600",
                              "--admin-timeout", "600")
        target.control_call("fault", {"kind": "black_hole"})
        readers = [self.start_reading(device) for device in devices]
        wait_until(lambda: all(device["in_flight"] for device in self.status()["devices"]),
                   "both wait")
        first = self.start_nvublk("detach", devices[0], "--force")
        wait_until(lambda: self.status()["devices"][0]["state"] == "stopping", "it has begun")
        began = time.monotonic()
        self.assertEqual(self.nvublk("detach", "--all", "--force").status, 0)
        self.assertLess(time.monotonic() - began, 30, "as the manual says, and it is slow")
        self.assertEqual(first.wait(timeout=30), 0)
        first.communicate()
        for reader in readers:
            self.assertNotEqual(reader.wait(timeout=30), 0)


class PowerCut(RecoveryTest):
    """The target's log of writes and flushes, and what fsync has told the host, against what is
    left when the target dies with its cache."""

    def page(self, lba, version):
        page = mmap.mmap(-1, BLOCK)
        page.write(f"{lba} {version}".encode().ljust(BLOCK, b"\0"))
        return page

    def write_and_sync(self, handle, draw, stop, acknowledged):
        """Until `stop`: notes (began, returned, {lba: crc}) of each fsync, with all that was
        written since the last one."""
        version = draw.randrange(1 << 30)
        while not stop.is_set():
            contents = {}
            for _ in range(draw.randrange(1, 30)):
                version += 1
                lba = draw.randrange(256)
                page = self.page(lba, version)
                os.pwritev(handle, [page], lba * BLOCK)
                contents[lba] = zlib.crc32(page[:])
            began = time.monotonic_ns() // 1000
            os.fsync(handle)
            if stop.is_set():
                return  # after the cut: this is another target's answer
            acknowledged.append((began, time.monotonic_ns() // 1000 + 1, contents))

    def test_nothing_that_fsync_acknowledged_is_lost(self):
        log, image = self.folder / "log", self.folder / "disk.img"
        target = self.file_target("cache=volatile", f"log={log}")
        device, = self.attach(target, "--reconnect-delay", "1", "-l", "-1")
        checker, lost = Checker(), 0
        for number in range(max(2, KILLS // 2)):
            stop, acknowledged = threading.Event(), []
            handle = os.open(device, os.O_RDWR | os.O_DIRECT)
            worker = threading.Thread(target=self.write_and_sync, args=(
                handle, random.Random(SEED + number), stop, acknowledged))
            worker.start()
            wait_until(lambda: acknowledged, "something is synced")
            time.sleep(self.random.uniform(0.0, 0.5))
            target.process.send_signal(signal.SIGSTOP)  # the moment of the cut, for the log
            stop.set()
            synced = list(acknowledged)
            target.close()
            life = read_lives(log)[-1]
            problems, lost_now = checker.check(life, image)
            self.assertEqual(problems + checker.check_acknowledged(life, synced), [])
            lost += lost_now
            target.start()
            worker.join(timeout=60)
            self.assertFalse(worker.is_alive(), "the writer goes on once the target is back")
            os.close(handle)
        self.assertGreater(lost, 0, "the cut takes what was not flushed")
        self.no_errors()


class WriteLog(unittest.TestCase):
    """The checker finds what is missing."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="nvublk-log-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def life(self, *lines):
        (self.folder / "log").write_text("\n".join(["begin 1 512", *lines]) + "\nwrite 99 7 12")
        lives = read_lives(self.folder / "log")
        self.assertEqual(len(lives), 1)
        self.assertNotIn(7, lives[0].versions, "the last line is cut short")
        return lives[0]

    def image(self, *blocks):
        (self.folder / "image").write_bytes(b"".join(self.block(block) for block in blocks))
        return self.folder / "image"

    @staticmethod
    def block(value):
        return bytes([value]) * 512

    def crc(self, value):
        return zlib.crc32(self.block(value))

    def test_what_was_flushed_must_be_there_or_something_later(self):
        life = self.life(f"write 2 0 {self.crc(1)} {self.crc(2)}", "flush 3",
                         f"write 4 1 {self.crc(3)}")
        self.assertEqual(Checker().check(life, self.image(1, 2)), ([], 1))
        self.assertEqual(Checker().check(life, self.image(1, 3)), ([], 0))
        self.assertEqual(len(Checker().check(life, self.image(0, 2))[0]), 1, "block 0 is lost")
        self.assertEqual(len(Checker().check(life, self.image(1, 4))[0]), 1, "block 1 is foreign")

    def test_what_was_written_with_fua_must_be_there_and_nothing_else(self):
        life = self.life(f"write 2 0 {self.crc(1)} {self.crc(2)}", "fua 3 1 1")
        self.assertEqual(Checker().check(life, self.image(0, 2)), ([], 1))
        self.assertEqual(len(Checker().check(life, self.image(1, 0))[0]), 1, "block 1 is lost")

    def test_what_was_not_flushed_may_be_as_before(self):
        checker = Checker()
        checker.check(self.life(f"write 2 0 {self.crc(5)}", "flush 3"), self.image(5))
        life = self.life(f"write 4 0 {self.crc(6)}")
        self.assertEqual(checker.check(life, self.image(5)), ([], 1))
        self.assertEqual(len(checker.check(life, self.image(0))[0]), 1)
        zeroed = self.life("zero 4 0 1", "flush 5")
        self.assertEqual(Checker().check(zeroed, self.image(0)), ([], 0))

    def test_an_fsync_must_have_come_to_the_target(self):
        life = self.life(f"write 2 0 {self.crc(1)}", "flush 5", f"write 7 0 {self.crc(2)}",
                         "flush 9")
        check = Checker.check_acknowledged
        self.assertEqual(check(life, [(4, 6, {0: self.crc(1)}), (8, 10, {0: self.crc(2)})]), [])
        self.assertEqual(len(check(life, [(6, 8, {0: self.crc(1)})])), 1, "no flush in between")
        self.assertEqual(len(check(life, [(4, 6, {0: self.crc(2)})])), 1, "written too late")
        self.assertEqual(len(check(life, [(4, 6, {3: self.crc(1)})])), 1, "never written")


if __name__ == "__main__":
    run_tests()
