#!/usr/bin/env python3
"""Authentication (DH-HMAC-CHAP) as the user of the programs meets it.

ctest runs each class by itself: authentication_test.py CLASS. Exit status 77: this machine cannot
run it.
"""

import base64
import hashlib
import hmac
import stat
import unittest
import zlib
from pathlib import Path

from harness import HOSTNQN, PROGRAMS, SUBNQN, CliTest, run, run_tests, wait_until

KEY = "DHHC-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:"
CTRL_KEY = ("DHHC-1:02:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vcSEgBQ==:")


def nvublk(*words):
    return run(PROGRAMS / "nvublk", *words)


class Keys(unittest.TestCase):

    def secret(self, key):
        bytes_of_key = base64.b64decode(key.split(":")[2], validate=True)
        secret, crc = bytes_of_key[:-4], bytes_of_key[-4:]
        self.assertEqual(zlib.crc32(secret), int.from_bytes(crc, "little"))
        return secret

    def test_a_key_is_made_at_random(self):
        for options, hash_id, length in (((), 0, 32), (("-l", 48), 0, 48), (("-l", 64), 0, 64),
                                         (("-m", 1), 1, 32), (("-m", 2), 2, 48),
                                         (("--hmac", 3, "--key-length", 64), 3, 64)):
            made = [nvublk("gen-dhchap-key", "-n", HOSTNQN, *options) for _ in range(2)]
            self.assertEqual([outcome.status for outcome in made], [0, 0], made)
            self.assertNotEqual(made[0].out, made[1].out)
            key = made[0].out.strip()
            self.assertTrue(key.startswith(f"DHHC-1:0{hash_id}:") and key.endswith(":"), key)
            self.assertEqual(len(self.secret(key)), length)
            checked = nvublk("check-dhchap-key", "-k", key)
            self.assertEqual(checked.out, f"Key is valid (HMAC {hash_id}, length {length}, CRC "
                                          f"{zlib.crc32(self.secret(key)):08x})\n")

    def test_a_key_is_made_of_a_secret(self):
        secret = bytes(range(48))
        plain = nvublk("gen-dhchap-key", "-s", secret.hex(), "-o", "json")
        self.assertEqual(self.secret(plain.json["key"]), secret)
        transformed = nvublk("gen-dhchap-key", "--secret", secret.hex(), "-m", "2",
                             "--nqn", "nqn.x")
        self.assertEqual(self.secret(transformed.out.strip()),
                         hmac.new(secret, b"nqn.xNVMe-over-Fabrics", hashlib.sha384).digest())

    def test_what_is_wrong_is_said(self):
        for words, status, why in (
                (("gen-dhchap-key", "-m", "4"), 2, "hmac"),
                (("gen-dhchap-key", "-l", "33"), 2, "key-length"),
                (("gen-dhchap-key", "-m", "1", "-n", "nqn.x", "-l", "48"), 2, "32 bytes"),
                (("gen-dhchap-key", "-s", "abc"), 2, "hexadecimal"),
                (("gen-dhchap-key", "-s", "zz" * 32), 2, "hexadecimal"),
                (("gen-dhchap-key", "-s", "ab" * 16), 2, "32, 48 or 64"),
                (("gen-dhchap-key", "-s", "ab" * 32, "-l", "48"), 2, "--key-length"),
                (("check-dhchap-key",), 2, "key"),
                (("check-dhchap-key", "-k", "bla"), 1, "DHHC-1"),
                (("check-dhchap-key", "-k", KEY.replace("AAEC", "AAED")), 1, "CRC"),
                (("check-dhchap-key", "-k", KEY.replace(":01:", ":02:")), 1, "sha384")):
            outcome = nvublk(*words)
            self.assertEqual(outcome.status, status, (words, outcome))
            self.assertEqual(outcome.err.count("\n"), 1, outcome)
            self.assertIn(why, outcome.err)
            self.assertNotIn("AAE", outcome.err)


class Authentication(CliTest):

    def protected(self, *options, host_key=KEY):
        return self.target("--dhchap-key", f"{HOSTNQN}={host_key}", "--dhchap-ctrl-key",
                           f"{HOSTNQN}={CTRL_KEY}", "--dhchap-dhgroup", "ffdhe2048", *options)

    def controller(self):
        return self.status()["controllers"][0]

    def test_attach_says_in_status_how_it_authenticated(self):
        target = self.protected("--dhchap-hash", "sha512")
        for more, both in (((), False), (("-C", CTRL_KEY), True)):
            outcome = self.nvublk("attach", *target.options(), "--dhchap-secret", KEY, *more)
            self.assertEqual(outcome.status, 0, outcome)
            self.assertEqual(self.controller()["authentication"],
                             {"digest": "sha512", "dhgroup": "ffdhe2048", "bidirectional": both})
            path = outcome.out.split()[0]
            Path(path).read_bytes()
            text = self.nvublk("status").out
            self.assertIn("sha512 and ffdhe2048" + (", in both directions" if both else ""), text)
            self.assertEqual(self.nvublk("detach", "--all").status, 0)

    def test_nobody_asks(self):
        target = self.target()
        self.assertEqual(self.nvublk("attach", *target.options(), "-S", KEY).status, 0)
        self.assertIsNone(self.controller()["authentication"])

    def test_a_refusal_says_what_to_do(self):
        target = self.protected()
        other = nvublk("gen-dhchap-key").out.strip()
        for words, why in (((), "--dhchap-secret"),
                           (("-S", other), "AUTH_Failure1: authentication failed"),
                           (("-S", KEY, "-C", other), "--dhchap-ctrl-secret")):
            outcome = self.nvublk("attach", *target.options(), *words)
            self.assertEqual(outcome.status, 1, outcome)
            self.assertEqual(outcome.err.count("\n"), 1, outcome)
            self.assertIn(why, outcome.err)
            self.assertNotIn("DHHC", outcome.err)
            self.assertEqual(self.status()["controllers"], [])

    def test_wrong_usage(self):
        for words, why in ((("-S", "secret"), "-S/--dhchap-secret"),
                           (("-S", KEY.replace("AAEC", "AAED")), "CRC"),
                           (("-C", CTRL_KEY), "--dhchap-secret"),
                           (("-S", KEY, "-C", "x"), "-C/--dhchap-ctrl-secret")):
            outcome = self.nvublk("attach", "-t", "tcp", "-a", "127.0.0.1", "-n", SUBNQN, *words)
            self.assertEqual(outcome.status, 2, outcome)
            self.assertIn(why, outcome.err)
            self.assertNotIn("AAE", outcome.err)
        outcome = self.nvublk("attach", "-t", "pcie", "-a", "0000:01:00.0", "-S", KEY)
        self.assertEqual(outcome.status, 2, outcome)

    def test_discovery_authenticates(self):
        target = self.protected()
        words = target.options(nqn="nqn.2014-08.org.nvmexpress.discovery")
        self.assertEqual(self.nvublk("discover", *words).status, 1)
        found = self.nvublk("discover", *words, "-S", KEY, "-C", CTRL_KEY, "-o", "json")
        self.assertEqual([record["subnqn"] for record in found.json["records"]], [SUBNQN])
        words = words[:words.index("-n")] + words[words.index("-n") + 2:]
        attached = self.nvublk("attach", "--discover", *words, "-S", KEY, "-o", "json")
        self.assertEqual(attached.status, 0, attached)
        self.assertEqual(len(attached.json["devices"]), 1)

    def test_a_target_that_comes_back_is_authenticated_again(self):
        target = self.protected()
        outcome = self.nvublk("attach", *target.options(), "-S", KEY, "-C", CTRL_KEY, "-c", "1")
        self.assertEqual(outcome.status, 0, outcome)
        path = outcome.out.split()[0]
        target.close()
        wait_until(lambda: self.controller()["state"] == "reconnecting", "the loss is noticed")
        target.start()
        wait_until(lambda: self.controller()["state"] == "live", "it reconnects")
        self.assertTrue(self.controller()["authentication"]["bidirectional"])
        Path(path).read_bytes()

    def test_keys_are_seen_nowhere(self):
        target = self.protected()
        outcome = self.nvublk("attach", *target.options(), "-S", KEY, "-C", CTRL_KEY)
        self.assertEqual(outcome.status, 0, outcome)
        shown = [self.nvublk("status").out, self.nvublk("status", "-o", "json").out,
                 self.nvublk("list", "-o", "json").out, outcome.out,
                 Path(f"/proc/{self.daemon_pid()}/cmdline").read_text()]
        shown += [log.read_text(errors="replace") for log in self.folder.rglob("*.log")]
        self.assertGreater(len(shown), 5, "there is a log")
        for text in shown:
            self.assertNotIn("DHHC", text)
            self.assertNotIn("AAECAw", text)
        for state in self.folder.rglob("state.json"):
            self.assertEqual(stat.S_IMODE(state.stat().st_mode), 0o600)

    def test_arguments_are_hidden_while_a_command_runs(self):
        target = self.protected()
        target.control_call("fault", {"kind": "delay", "opcode": "identify", "delay_ms": 3000,
                                      "count": 1})
        attach = self.start_nvublk("attach", *target.options(), "-S", KEY)
        arguments = Path(f"/proc/{attach.pid}/cmdline")
        wait_until(lambda: "-S\0****" in arguments.read_text(), "it has hidden its key")
        self.assertIsNone(attach.poll())
        self.assertNotIn("DHHC", arguments.read_text())
        out, err = attach.communicate()
        self.learn_pid()
        self.assertEqual(attach.returncode, 0, (out, err))


if __name__ == "__main__":
    run_tests()
