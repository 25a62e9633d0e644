"""A target, a daemon of its own and nvublk, for tests that use the programs as a user does."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

PROGRAMS = Path(os.environ.get("NVUBLK_BIN", "build/dev/tools")).resolve()
SUBNQN = "nqn.2026-01.io.nvublk:target"
HOSTNQN = "nqn.2026-01.io.nvublk:cli-test"
# Only to fail a hang: nothing is expected to take that long.
PATIENCE_S = 90


def need(condition, reason):
    if not condition:
        raise unittest.SkipTest(reason)


class Outcome:
    """What a command did."""

    def __init__(self, run):
        self.status, self.out, self.err = run.returncode, run.stdout, run.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit status {self.status}\nout: {self.out}\nerr: {self.err}"


def run(*words, **more):
    return Outcome(subprocess.run([str(word) for word in words], capture_output=True, text=True,
                                  timeout=PATIENCE_S, check=False, **more))


def refuses(path):
    """Whether nobody listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return True
    return False


def wait_until(condition, what):
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.02)


class Target:
    """A running nvublk-target."""

    def __init__(self, folder, *options, namespaces=("size=64M,bs=4096",)):
        self.control = folder / f"target-{id(self)}.sock"
        self.words = ["--control", self.control, *options]
        for namespace in namespaces:
            self.words += ["--ns", namespace]
        self.port = "0"
        self.start()

    def start(self):
        """Starts it, again after close() on the port that it had."""
        words = [PROGRAMS / "nvublk-target", "--listen", f"127.0.0.1:{self.port}", *self.words]
        self.process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE,
                                        text=True)
        listening = json.loads(self.process.stdout.readline())["listening"]
        self.port = listening["trsvcid"]

    def options(self, nqn=SUBNQN):
        return ["-t", "tcp", "-a", "127.0.0.1", "-s", self.port, "-n", nqn, "-q", HOSTNQN]

    def control_call(self, method, params=None):
        words = [PROGRAMS / "nvublk-target", "ctl", self.control, method]
        outcome = run(*words, *([json.dumps(params)] if params else []))
        assert outcome.status == 0, outcome
        return outcome.out

    def close(self):
        """Kills it."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Verifier:
    """fio, which writes to a device and verifies all of it, round after round, until end(), which
    waits for the end of the round under way: what was in flight at a fault is not left out. Jobs
    of one block size without a time limit: of others fio does not look whether a block has the
    last of its writes, or an older one."""

    def __init__(self, device, size_mib=4):
        self.failure = ""  # fio's words when something was wrong
        self.words = ["fio", f"--filename={device}", "--rw=randwrite", "--direct=1",
                      "--ioengine=libaio", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1",
                      "--verify_state_save=0", "--randrepeat=0", "--fsync=64", "--thread",
                      "--name=small", "--bs=4k", f"--size={size_mib}m",
                      "--name=large", "--bs=64k", f"--size={size_mib}m", f"--offset={size_mib}m",
                      "--loops=4"]
        self.enough = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.enough.is_set() and not self.failure:
            fio = subprocess.run(self.words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, check=False)
            self.failure = fio.stdout if fio.returncode != 0 else ""

    def end(self):
        self.enough.set()
        self.thread.join(timeout=300)
        if self.thread.is_alive():
            self.failure = "fio hangs"


class CliTest(unittest.TestCase):
    """A folder, a socket in it, and what must not be left when the test ends."""

    def setUp(self):
        need(os.geteuid() == 0, "needs root: loop devices and mounts")
        need(os.path.exists("/dev/fuse") and os.path.exists("/dev/loop-control"),
             "needs FUSE and loop devices")
        self.folder = Path(tempfile.mkdtemp(prefix="nvublk-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.socket = self.folder / "nvublk.sock"
        self.pids = set()
        self.addCleanup(self.end_daemons)

    def end_daemons(self):
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
            wait_until(lambda pid=pid: not os.path.exists(f"/proc/{pid}") or zombie(pid),
                       f"daemon {pid} ends")
        left = self.leftovers()
        self.take_away_leftovers()
        self.assertEqual(left, [], "what is left behind")

    # A test that failed with a dead daemon must not leave the machine its devices.
    def take_away_leftovers(self):
        for line in run("losetup", "-a").out.splitlines():
            if str(self.folder) in line:
                run("losetup", "-d", line.partition(":")[0])
        for line in Path("/proc/mounts").read_text().splitlines():
            if line.split()[1].startswith(str(self.folder)):
                run("umount", "-l", line.split()[1])

    def leftovers(self):
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        loops = run("losetup", "-a").out.splitlines()
        return ([mount for mount in mounts if mount.startswith(str(self.folder))] +
                [loop for loop in loops if str(self.folder) in loop] +
                [str(path) for path in (self.socket, Path(f"{self.socket}.lock")) if path.exists()])

    def target(self, *options, **more):
        made = Target(self.folder, *options, **more)
        self.addCleanup(made.close)
        return made

    def environment(self, socket=None):
        return {**os.environ, "NVUBLK_SOCKET": str(socket or self.socket)}

    def nvublk(self, *words, socket=None, **more):
        outcome = run(PROGRAMS / "nvublk", *words, env=self.environment(socket), **more)
        if words[0] in ("attach", "discover"):
            self.learn_pid(socket)
        return outcome

    def start_nvublk(self, *words):
        return subprocess.Popen([str(PROGRAMS / "nvublk"), *words], env=self.environment(),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def learn_pid(self, socket=None):
        lock = Path(f"{socket or self.socket}.lock")
        if lock.exists():
            self.pids.add(int(lock.read_text()))

    def status(self, *words, socket=None):
        outcome = self.nvublk("status", "-o", "json", *words, socket=socket)
        self.assertEqual(outcome.status, 0, outcome)
        return outcome.json

    def daemon_pid(self, socket=None):
        pid = self.status(socket=socket)["daemon"]["pid"]
        self.pids.add(pid)
        return pid

    def attach(self, target, *words, socket=None):
        """The paths of the new devices."""
        outcome = self.nvublk("attach", *target.options(), "--frontend", "fuse", *words,
                              socket=socket)
        self.assertEqual(outcome.status, 0, outcome)
        return [line.split()[0] for line in outcome.out.splitlines()]

    def must(self, *words):
        outcome = run(*words)
        self.assertEqual(outcome.status, 0, outcome)
        return outcome.out

    def must_fail(self, expected, *words, status=1, socket=None, **more):
        """`expected` is a regular expression for the one line on standard error."""
        outcome = self.nvublk(*words, socket=socket, **more)
        self.assertEqual(outcome.status, status, outcome)
        self.assertEqual(len(outcome.err.splitlines()), 1, outcome)
        self.assertRegex(outcome.err, re.compile(rf"^nvublk: {words[0]}: .*{expected}"))
        return outcome


def zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def cpu_time_ns(pid):
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def run_tests():
    """The main program of a file of tests; exit status 77: this machine could run none of them."""
    result = unittest.main(exit=False, verbosity=2).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.skipped and len(result.skipped) == result.testsRun else 0)
