"""The examples against an nvublk-target: what they have to print."""

import json
import os
import re
import subprocess
from pathlib import Path

PROGRAMS = Path(os.environ["NVUBLK_BIN"])
SUBNQN = "nqn.2026-01.io.nvublk:target"


class Target:
    """A running nvublk-target with one namespace in memory, on a free port."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [PROGRAMS / "nvublk-target", "--listen", "127.0.0.1:0", "--ns", "size=16M,bs=4096"],
            stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["listening"]["trsvcid"]
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def uri(self, subnqn=SUBNQN):
        return f"nvme+tcp://127.0.0.1:{self.port}/{subnqn}"


def run(program, *words, **more):
    return subprocess.run([str(program), *words], capture_output=True, text=True, timeout=60,
                          check=False, **more)


def check_examples(test, folder, **more):
    """Runs all of them; `more` goes to subprocess.run()."""
    with Target() as target:
        hello = run(folder / "nvublk-example-hello", target.uri(), **more)
        test.assertEqual(hello.returncode, 0, hello)
        test.assertIn("the block says: Hello, namespace!", hello.stdout)
        test.assertIn("compare: ", hello.stdout)
        identify = run(folder / "nvublk-example-identify", target.uri(), **more)
        test.assertEqual(identify.returncode, 0, identify)
        test.assertIn("namespace 1: 4096 blocks of 4096 bytes", identify.stdout)
        found = run(folder / "nvublk-example-identify",
                    target.uri("nqn.2014-08.org.nvmexpress.discovery"), **more)
        # Each connection gets a controller id of its own.
        test.assertEqual(re.sub("controller id.*", "", found.stdout),
                         re.sub("controller id.*", "", identify.stdout), "found by discovery")
        pollloop = run(folder / "nvublk-example-pollloop", target.uri(), **more)
        test.assertEqual(pollloop.returncode, 0, pollloop)
        test.assertIn("64 blocks read, 0 failed", pollloop.stdout)
        for example in ("hello", "identify", "pollloop"):
            nowhere = run(folder / f"nvublk-example-{example}", target.uri("nqn.no-such"), **more)
            test.assertEqual(nowhere.returncode, 1, nowhere)
            test.assertNotEqual(nowhere.stderr, "")
            test.assertEqual(run(folder / f"nvublk-example-{example}", **more).returncode, 1)
