#!/usr/bin/env python3
"""nvublk-perf against nvublk-target, as a user runs them. Needs no privileges.

ctest runs each class by itself: perf_test.py CLASS.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import HOSTNQN, PROGRAMS, SUBNQN, Target, run, wait_until

HOST_KEY = "DHHC-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:"
CTRL_KEY = ("DHHC-1:02:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vcSEgBQ==:")
TLS_KEY = "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"
DISCOVERY = "nqn.2014-08.org.nvmexpress.discovery"
FIRST_CPU = min(os.sched_getaffinity(0))


class PerfTest(unittest.TestCase):
    """A folder for the sockets of targets."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="nvublk-perf-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def target(self, *options, **more):
        made = Target(self.folder, *options, **more)
        self.addCleanup(made.close)
        return made

    @staticmethod
    def uri(target, nqn=SUBNQN):
        return f"nvme+tcp://127.0.0.1:{target.port}/{nqn}"

    def words(self, target, *words):
        return [PROGRAMS / "nvublk-perf", "-q", "8", "-o", "4096", "-r", self.uri(target), *words]

    def endless(self, target):
        """A run that has begun and would go on for an hour."""
        words = [str(word) for word in self.words(target, "-w", "read", "-t", "3600")]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        while "Workers are launched" not in process.stdout.readline():
            pass
        return process

    def perf(self, target, *words, status=0):
        outcome = run(*self.words(target, *words))
        self.assertEqual(outcome.status, status, outcome)
        return outcome


class Reports(PerfTest):
    """What is printed."""

    def test_tables_like_those_of_spdk(self):
        outcome = self.perf(self.target(), "-w", "randread", "-d", "2000", "-LL")
        self.assertIn("Latency(us)", outcome.out)
        self.assertRegex(outcome.out, r"Device Information +: +IOPS +MiB/s +Average +min +max\n")
        row = (rf"TCP \(addr:127\.0\.0\.1 subnqn:{SUBNQN}\) NSID 1 from core {FIRST_CPU} *"
               r": +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d\n")
        self.assertRegex(outcome.out, row)
        self.assertRegex(outcome.out, r"Total +: +\d+\.\d\d")
        self.assertRegex(outcome.out, r" 99\.90000% : +\d+\.\d{3}us\n")
        self.assertIn("Range in us     Cumulative    IO count", outcome.out)
        self.assertRegex(outcome.out, r"100\.0000%  \( +\d+\)\n")

    def test_json_has_the_same(self):
        outcome = self.perf(self.target(), "-w", "randrw", "-M", "25", "-d", "4000", "-L", "--json")
        report = outcome.json
        self.assertEqual((report["io_pattern"], report["rwmixread"], report["io_size"],
                          report["io_depth"]), ("randrw", 25, 4096, 8))
        result, = report["results"]
        self.assertEqual((result["subnqn"], result["nsid"], result["core"], result["queue_pairs"]),
                         (SUBNQN, 1, FIRST_CPU, 1))
        self.assertEqual(result["reads"] + result["writes"], 4000)
        self.assertAlmostEqual(result["reads"], 1000, delta=200)
        latency = result["latency_us"]
        percentiles = list(latency["percentiles"].values())
        self.assertEqual(percentiles, sorted(percentiles))
        self.assertTrue(0 < latency["min"] <= latency["avg"] <= latency["max"])
        self.assertAlmostEqual(report["total"]["iops"], 4000 / result["elapsed_s"], delta=1)
        self.assertNotIn("histogram", latency)

    def test_a_time_ends_it(self):
        report = self.perf(self.target(), "-w", "read", "-t", "1", "-a", "1", "--json").json
        self.assertGreater(report["total"]["elapsed_s"], 0.9)
        self.assertGreater(report["total"]["reads"], 0)

    def test_a_signal_ends_it_with_a_report(self):
        target = self.target()
        with self.endless(target) as process:
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            self.assertEqual(process.wait(), 0)
        self.assertIn("Total", rest)


class Places(PerfTest):
    """Namespaces, cores and queue pairs."""

    def test_all_namespaces_that_discovery_finds(self):
        target = self.target(namespaces=("size=16M,bs=4096", "size=8M,bs=512"))
        outcome = run(PROGRAMS / "nvublk-perf", "-q", "4", "-o", "8K", "-w", "write", "-d", "500",
                      "--json", "--verify", "-r", self.uri(target, DISCOVERY))
        self.assertEqual(outcome.status, 0, outcome)
        self.assertEqual([(each["nsid"], each["writes"]) for each in outcome.json["results"]],
                         [(1, 500), (2, 500)])

    def test_one_of_them_by_its_id_and_two_transports(self):
        one = self.target(namespaces=("size=16M,bs=4096", "size=8M,bs=512"))
        two = self.target()
        outcome = self.perf(two, "-w", "read", "-d", "100", "--json", "-r",
                            f"trtype:TCP traddr:127.0.0.1 trsvcid:{one.port} subnqn:{SUBNQN} ns:2")
        self.assertEqual([each["nsid"] for each in outcome.json["results"]], [1, 2])

    def test_cores_and_queue_pairs_share_a_namespace_without_overlap(self):
        cores = sorted(os.sched_getaffinity(0))[:2]
        report = self.perf(self.target(), "-w", "randrw", "-d", "3001", "--json", "--verify", "-P",
                           "3", "-c", f"[{','.join(map(str, cores))}]").json
        self.assertEqual([each["core"] for each in report["results"]], cores)
        for result in report["results"]:
            self.assertEqual(result["queue_pairs"], 3)
            self.assertEqual(result["reads"] + result["writes"], 3001)
        self.assertGreater(report["total"]["verified"], 0)
        self.assertEqual(report["total"]["verify_errors"], 0)

    def test_what_does_not_fit_is_skipped_with_the_reason(self):
        target = self.target(namespaces=("size=16M,bs=4096", "size=8M,bs=512"))
        outcome = run(PROGRAMS / "nvublk-perf", "-q", "1", "-o", "512", "-w", "read", "-d", "10",
                      "-r", self.uri(target))
        self.assertEqual(outcome.status, 0, outcome)
        self.assertIn("Skipping namespace 1: I/Os of 512 bytes are not whole blocks", outcome.out)
        self.assertIn(f"NSID 2 from core {FIRST_CPU}", outcome.out)

    def test_digests_and_large_ios(self):
        report = self.perf(self.target("--max-transfer", "64K"), "-w", "write", "-d", "50", "-H",
                           "-I", "--json", "--verify").json
        self.assertEqual(report["total"]["verify_errors"], 0)
        outcome = run(PROGRAMS / "nvublk-perf", "-q", "2", "-o", "1M", "-w", "write", "-d", "50",
                      "--json", "--verify", "-r",
                      self.uri(self.target("--max-transfer", "64K")))
        self.assertEqual(outcome.json["total"]["writes"], 50)
        self.assertEqual(outcome.json["total"]["errors"], 0)


class Keys(PerfTest):
    """Authentication and encryption."""

    WORK = ("-w", "randrw", "-d", "200", "--verify", "--json", "--hostnqn", HOSTNQN)

    def total(self, target, *words):
        total = self.perf(target, *self.WORK, *words).json["total"]
        self.assertEqual(total["reads"] + total["writes"], 200)
        self.assertEqual((total["errors"], total["verify_errors"]), (0, 0))

    def refused(self, target, expected, *words):
        outcome = self.perf(target, *self.WORK, *words, status=1)
        self.assertRegex(outcome.err, expected)
        self.assertNotRegex(outcome.err, "AAEC|VRLb")

    def test_authentication_in_both_directions(self):
        target = self.target("--dhchap-key", f"{HOSTNQN}={HOST_KEY}", "--dhchap-ctrl-key",
                             f"{HOSTNQN}={CTRL_KEY}")
        self.total(target, "--dhchap-secret", HOST_KEY)
        self.total(target, "-S", HOST_KEY, "-C", CTRL_KEY)
        self.refused(target, "--dhchap-secret")
        self.refused(target, "AUTH_Failure1", "--dhchap-secret", CTRL_KEY)
        self.refused(target, "--dhchap-ctrl-secret", "-S", HOST_KEY, "--dhchap-ctrl-secret",
                     HOST_KEY)

    def test_tls(self):
        target = self.target("--tls-key", TLS_KEY)
        self.total(target, "--tls", "--tls-key", TLS_KEY)
        self.total(target, "--tls-key", TLS_KEY, "--tls-identity-version", "1")
        self.refused(target, "TLS")
        self.refused(self.target(), "TLS", "--tls-key", TLS_KEY)

    def test_keys_are_hidden_while_it_runs(self):
        target = self.target("--tls-key", TLS_KEY)
        words = [str(word) for word in
                 self.words(target, "-w", "read", "-t", "3600", "--tls-key", TLS_KEY)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            arguments = Path(f"/proc/{process.pid}/cmdline")
            wait_until(lambda: "--tls-key\0****" in arguments.read_text(), "it has hidden its key")
            self.assertNotIn("VRLb", arguments.read_text())
            process.terminate()
            process.stdout.read()

    def test_wrong_usage(self):
        target = self.target()
        work = ("-w", "read", "-d", "1")
        for words, reason in ((("--tls",), "--tls needs a key"),
                              (("--tls-key", "x"), "--tls-key: "),
                              (("-S", "x"), "-S/--dhchap-secret: "),
                              (("-C", CTRL_KEY), "--dhchap-ctrl-secret needs --dhchap-secret"),
                              (("--tls-identity-version", "2"), "--tls-identity-version"),
                              (("--tls-key", TLS_KEY, "-r", "trtype:PCIe traddr:0000:01:00.0"),
                               "--tls-key is for the transport tcp"),
                              (("-S", HOST_KEY, "-r", "trtype:PCIe traddr:0000:01:00.0"),
                               "not for local drives")):
            error = self.perf(target, *work, *words, status=2).err
            self.assertIn(reason, error)
            self.assertNotRegex(error, "AAEC|VRLb")
        error = run(PROGRAMS / "nvublk-perf", "-q", "1", "-o", "4096", *work, "-S", HOST_KEY).err
        self.assertIn("not for local drives", error)


class Failures(PerfTest):
    """What goes wrong is said, and counted."""

    def fault(self, target, **fault):
        target.control_call("fault", fault)

    def test_a_subsystem_that_is_not_there(self):
        target = self.target()
        outcome = run(PROGRAMS / "nvublk-perf", "-q", "1", "-o", "4096", "-w", "read", "-d", "1",
                      "-r", self.uri(target, "nqn.no-such"))
        self.assertEqual(outcome.status, 1)
        self.assertIn("cannot attach", outcome.err)
        self.assertIn("nqn.no-such", outcome.err)

    def test_the_first_error_ends_it(self):
        target = self.target()
        self.fault(target, kind="status", opcode="write", sct=0, sc=6)
        outcome = self.perf(target, "-w", "write", "-d", "100000", "--json", status=1)
        self.assertGreaterEqual(outcome.json["total"]["errors"], 1)
        self.assertLess(outcome.json["total"]["writes"], 100000)
        self.assertIn("a write of block", outcome.json["results"][0]["first_error"])

    def test_or_it_goes_on_and_counts_them(self):
        target = self.target()
        self.fault(target, kind="status", opcode="read", sct=0, sc=6, count=10)
        outcome = self.perf(target, "-w", "read", "-d", "1000", "--json", "-Q", "5", status=1)
        self.assertEqual(outcome.json["total"]["errors"], 10)
        self.assertEqual(outcome.json["total"]["reads"], 1000)
        self.assertEqual(outcome.err.count("failed: "), 2, outcome.err)

    def test_a_connection_that_is_lost(self):
        target = self.target()
        with self.endless(target) as process:
            target.close()
            rest = process.stdout.read()
            self.assertEqual(process.wait(), 1)
        self.assertIn("errors", rest)

    def test_a_namespace_that_is_too_small_to_verify(self):
        outcome = self.perf(self.target(namespaces=("size=32K,bs=4096",)), "-w", "write", "-d", "1",
                            "--verify", status=1)
        self.assertIn("too small", outcome.err)

    def test_why_there_is_no_namespace(self):
        target = self.target()
        words = [PROGRAMS / "nvublk-perf", "-q", "1", "-w", "read", "-d", "1", "-r",
                 f"trtype:TCP traddr:127.0.0.1 trsvcid:{target.port} subnqn:{SUBNQN} ns:7"]
        outcome = run(*words, "-o", "4k")
        self.assertEqual(outcome.status, 1, outcome)
        self.assertIn("has no namespace 7", outcome.err)
        words[-1] = self.uri(target)
        self.assertIn("none can be used", run(*words, "-o", "512").err)
        empty = self.target(namespaces=())
        words[-1] = self.uri(empty)
        self.assertIn("what was attached has none", run(*words, "-o", "512").err)

    def test_wrong_usage(self):
        target = self.target()
        core = max(os.sched_getaffinity(0)) + 1
        for words, reason in ((["-w", "read"], "-t"), (["-w", "trim", "-t", "1"], "-w: "),
                              (["-w", "read", "-t", "0"], "-t"),
                              (["-w", "read", "-t", "1", "extra"], "extra"),
                              (["-w", "read", "-t", "1", "-c", f"[{core}]"], f"CPU {core} ")):
            error = self.perf(target, *words, status=2).err
            self.assertRegex(error, r"\Anvublk-perf: [^\n]+; see 'nvublk-perf --help'\n\Z")
            self.assertIn(reason, error)
        error = run(PROGRAMS / "nvublk-perf", "-q", "1", "-w", "read", "-t", "1", "-o", "4x").err
        self.assertRegex(error, r"\Anvublk-perf: -o: '4x' is not a size [^\n]+ K, M or G; see")
        version = run(PROGRAMS / "nvublk-perf", "--version")
        self.assertEqual(version.status, 0, version)
        self.assertRegex(version.out, r"\Anvublk-perf \d+\.\d+\.\d+\n\Z")
        self.assertEqual(run(PROGRAMS / "nvublk-perf", "--help").status, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
