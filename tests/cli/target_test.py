#!/usr/bin/env python3
"""The command line of nvublk-target. Needs no privileges.

ctest runs each class by itself: target_test.py CLASS.
"""

import shutil
import tempfile
import unittest
from pathlib import Path

from harness import PROGRAMS, Target, run

PROGRAM = PROGRAMS / "nvublk-target"


class Usage(unittest.TestCase):
    """What is wrong is said in one line."""

    def refused(self, *words, status=2):
        outcome = run("timeout", "20", PROGRAM, *words)
        self.assertEqual((outcome.status, outcome.out), (status, ""), outcome)
        self.assertRegex(outcome.err, r"\Anvublk-target: [^\n]+\n\Z")
        if status == 2:
            self.assertTrue(outcome.err.endswith("; see 'nvublk-target --help'\n"), outcome)
        return outcome.err

    def test_an_option_that_can_be_repeated_takes_one_value(self):
        for option, value in (("--listen", "127.0.0.1:0"), ("--ns", "size=1M"),
                              ("--allow-host", "nqn.x"), ("--dhchap-key", "x=y"),
                              ("--dhchap-ctrl-key", "x=y"), ("--retry-delays", "1,2,3")):
            self.assertIn("extra", self.refused(option, value, "extra"))

    def test_what_does_not_fit_is_refused(self):
        self.assertIn("at most 20 characters", self.refused("--serial", "s" * 21))
        self.assertIn("multiple of the block size", self.refused("--ns", "size=1500,bs=512"))
        self.assertIn("at most three", self.refused("--retry-delays", "1,2,3,4"))
        self.assertIn("--colour", self.refused("--colour", "red"))
        self.refused("ctl")

    def test_version_and_help(self):
        version = run(PROGRAM, "--version")
        self.assertEqual(version.status, 0, version)
        self.assertRegex(version.out, r"\Anvublk-target \d+\.\d+\.\d+\n\Z")
        self.assertIn("--listen", run(PROGRAM, "--help").out)

    def test_a_control_socket_that_is_in_use(self):
        folder = Path(tempfile.mkdtemp(prefix="nvublk-target-"))
        self.addCleanup(shutil.rmtree, folder)
        first = Target(folder)
        self.addCleanup(first.close)
        words = ["--listen", "127.0.0.1:0", "--control", first.control]
        self.assertIn("in use by another process", self.refused(*words, status=1))
        first.control_call("stats")


if __name__ == "__main__":
    unittest.main(verbosity=2)
