#!/usr/bin/env python3
"""What a daemon leaves behind, and who looks after it. (With ublk: tests/vm/tests/crash.sh.)"""

import os
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from harness import PROGRAMS, CliTest, refuses, run, run_tests, wait_until, zombie


class Daemons(CliTest):
    def start_daemon(self, *words):
        with open(self.folder / "log", "a", encoding="utf-8") as log:
            daemon = subprocess.Popen([PROGRAMS / "nvublkd", "--socket", self.socket, *words],
                                      stderr=log)
        self.addCleanup(self.end, daemon)
        self.pids.add(daemon.pid)
        wait_until(lambda: self.answers(daemon), "the daemon answers")
        return daemon

    def answers(self, daemon):
        # Between one that hands over and the next one, nobody does.
        outcome = self.nvublk("status", "-o", "json")
        return outcome.status == 0 and outcome.json["daemon"]["pid"] == daemon.pid

    @staticmethod
    def end(daemon):
        if daemon.poll() is None:
            daemon.terminate()
        daemon.wait(timeout=60)

    def log(self):
        return (self.folder / "log").read_text()


class Crash(Daemons):
    def run_directory(self):
        return Path(f"{self.socket}.d")

    def mounts(self):
        return [line for line in Path("/proc/mounts").read_text().splitlines()
                if str(self.folder) in line]

    def kill(self, daemon):
        daemon.send_signal(signal.SIGKILL)
        wait_until(lambda: zombie(daemon.pid), "the daemon is dead")
        # Its socket closes a little later.
        wait_until(lambda: refuses(self.socket), "its socket is closed")

    def left(self):
        """What a daemon that starts would change."""
        return (sorted(os.listdir(self.run_directory())), self.mounts(), run("losetup", "-a").out,
                self.socket.lstat().st_ino)

    def test_a_dry_run_changes_nothing(self):
        outcome = self.nvublk("recover", "--dry-run", "-o", "json")
        self.learn_pid()
        self.assertEqual(outcome.json, {"devices": [], "orphans": [], "problems": []})
        self.assertEqual(list(self.folder.iterdir()), [], "no daemon was started")
        target = self.target()
        daemon = self.start_daemon()
        device, = self.attach(target)
        (self.run_directory() / "state.json").write_text("{ damaged")
        self.kill(daemon)
        left = self.left()
        self.assertIn("state.json", left[0])
        mount = self.mounts()[0].split()[1]
        report = self.nvublk("recover", "--dry-run", "-o", "json").json
        self.assertEqual([(orphan["kind"], orphan["path"], orphan["cleaned"])
                          for orphan in report["orphans"]],
                         [("mount", mount, False), ("loop", device, False)])
        self.assertRegex(report["problems"][0], r"state\.json cannot be used: ")
        text = self.nvublk("recover", "--dry-run").out
        self.assertIn(f"left: {mount} is a FUSE mount whose daemon is gone\n", text)
        self.assertIn(f"left: {device} is on {mount}/", text)
        self.assertEqual(self.left(), left)
        self.must_fail("no daemon answers", "list")
        self.start_daemon()
        self.assertEqual(self.mounts(), [])

    def test_recover_tells_what_starting_the_daemon_has_cleaned(self):
        target = self.target()
        daemon = self.start_daemon()
        device, = self.attach(target)
        mount = self.mounts()[0].split()[1]
        self.kill(daemon)
        report = self.nvublk("recover", "-o", "json")
        self.learn_pid()
        self.assertEqual(self.mounts(), [])
        self.assertEqual([(orphan["kind"], orphan["path"], orphan["cleaned"])
                          for orphan in report.json["orphans"]],
                         [("mount", mount, True), ("loop", device, True)])
        self.assertEqual(self.nvublk("recover").out, "There is nothing to recover.\n")
        self.kill_started(device, target)

    def kill_started(self, device, target):
        """The same with a daemon that is there already, first as a dry run, and as text."""
        self.attach(target)
        pid = self.daemon_pid()
        mount = self.mounts()[0].split()[1]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: refuses(self.socket) and zombie(pid), "it is dead")
        self.start_daemon()
        for words in (["--dry-run"], []):
            self.assertEqual(self.nvublk("recover", *words).out,
                             f"cleaned: {mount} is a FUSE mount whose daemon is gone\n"
                             f"cleaned: {device} is on {mount}/{Path(mount).name}, whose daemon is "
                             "gone\n")
        self.assertEqual(self.nvublk("recover").out, "There is nothing to recover.\n")

    def test_recover_starts_a_daemon_and_has_nothing_to_do(self):
        outcome = self.nvublk("recover")
        self.learn_pid()
        self.assertEqual((outcome.status, outcome.out), (0, "There is nothing to recover.\n"))
        self.assertEqual(self.nvublk("recover", "--dry-run", "-o", "json").json,
                         {"devices": [], "orphans": [], "problems": []})

    def test_a_fuse_device_ends_with_its_daemon_and_its_mount_is_cleaned(self):
        target = self.target()
        daemon = self.start_daemon()
        outcome = self.nvublk("attach", *target.options(), "--frontend", "fuse")
        self.assertIn("ends with the daemon", outcome.err)
        self.assertIs(self.status()["devices"][0]["outlives_daemon"], False)
        self.assertIn("ends with the daemon", self.nvublk("status").out)
        self.assertFalse((self.run_directory() / "state.json").exists())
        self.kill(daemon)
        self.assertEqual(len(self.mounts()), 1)
        self.start_daemon()
        self.assertEqual(self.mounts(), [])
        self.assertIn("whose daemon is gone", self.log())
        self.attach(target)

    def test_a_damaged_state_is_kept_aside_and_told(self):
        self.run_directory().mkdir()
        state = self.run_directory() / "state.json"
        state.write_text("{ \"format\": 1")
        old = self.start_daemon()
        self.assertFalse(state.exists())
        self.assertIn("state.json cannot be used", self.log())
        self.assertIn("state.json cannot be used", self.nvublk("recover").out)
        self.assertEqual(self.nvublk("recover").out, "There is nothing to recover.\n")
        state.write_text("{ \"format\": 99, \"attachments\": [] }")
        self.start_daemon("--takeover")
        self.assertEqual(old.wait(timeout=60), 0)  # until then it may answer itself
        wait_until(lambda: "format 99" in self.log(), "the new one has read the state")

    def test_takeover_replaces_a_daemon(self):
        target = self.target()
        old = self.start_daemon()
        self.attach(target)
        new = self.start_daemon("--takeover")
        self.assertEqual(old.wait(timeout=60), 0)
        self.assertEqual(self.daemon_pid(), new.pid)
        self.assertEqual(self.mounts(), [])
        self.attach(target)

    def test_takeover_of_nobody_just_starts(self):
        self.start_daemon("--takeover")

    def test_sigusr2_ends_a_daemon_without_devices_with_status_0(self):
        daemon = self.start_daemon()
        daemon.send_signal(signal.SIGUSR2)
        self.assertEqual(daemon.wait(timeout=60), 0)
        self.assertEqual(self.leftovers(), [])


class Guard(Daemons):
    def start_guard(self, program=PROGRAMS / "nvublkd"):
        with open(self.folder / "log", "a", encoding="utf-8") as log:
            guard = subprocess.Popen([program, "--socket", self.socket, "--guard"], stderr=log)
        self.addCleanup(self.end, guard)
        return guard, self.another_daemon(None)

    def another_daemon(self, old):
        def serves():
            outcome = self.nvublk("status", "-o", "json")
            return outcome.status == 0 and outcome.json["daemon"]["pid"] != old
        wait_until(serves, "a daemon answers")
        return self.daemon_pid()

    def copy_of_program(self):
        return Path(shutil.copy(PROGRAMS / "nvublkd", self.folder / "nvublkd"))

    def test_a_daemon_that_dies_is_started_again_without_its_file(self):
        program = self.copy_of_program()
        guard, daemon = self.start_guard(program)
        self.assertNotEqual(guard.pid, daemon)
        program.unlink()
        for _ in range(3):
            os.kill(daemon, signal.SIGKILL)
            daemon = self.another_daemon(daemon)
        self.assertIsNone(guard.poll())
        self.assertEqual(self.log().count("the daemon has died: Killed"), 3)

    def test_a_hang_up_replaces_the_daemon_by_the_program_that_is_there_now(self):
        program = self.copy_of_program()
        guard, daemon = self.start_guard(program)
        program.unlink()
        self.copy_of_program()
        for _ in range(2):
            guard.send_signal(signal.SIGHUP)
            daemon = self.another_daemon(daemon)
            self.assertTrue(program.samefile(f"/proc/{daemon}/exe"))
            self.assertTrue(program.samefile(f"/proc/{guard.pid}/exe"))
        os.kill(daemon, signal.SIGKILL)
        self.another_daemon(daemon)

    def test_without_a_program_the_daemon_stays(self):
        program = self.copy_of_program()
        guard, daemon = self.start_guard(program)
        program.unlink()
        guard.send_signal(signal.SIGHUP)
        wait_until(lambda: "the daemon stays" in self.log(), "it says so")
        self.assertEqual(self.daemon_pid(), daemon)

    def test_it_ends_with_its_daemon(self):
        for ending in (signal.SIGTERM, signal.SIGUSR2):
            guard, _ = self.start_guard()
            guard.send_signal(ending)
            self.assertEqual(guard.wait(timeout=60), 0)
            self.assertEqual(self.leftovers(), [])


if __name__ == "__main__":
    run_tests()
