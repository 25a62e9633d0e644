#!/usr/bin/env python3
"""TLS as the user of the programs meets it.

ctest runs each class by itself: tls_test.py CLASS. Exit status 77: this machine cannot run it.
"""

import base64
import hashlib
import hmac
import os
import unittest
import zlib
from pathlib import Path

from harness import HOSTNQN, PROGRAMS, SUBNQN, CliTest, run, run_tests, wait_until

KEY = "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"
LONG_KEY = ("NVMeTLSkey-1:02:"
            "VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:")
DISCOVERY = "nqn.2014-08.org.nvmexpress.discovery"


def nvublk(*words):
    return run(PROGRAMS / "nvublk", *words)


class TlsKeys(unittest.TestCase):

    def secret(self, key):
        bytes_of_key = base64.b64decode(key.split(":")[2], validate=True)
        secret, crc = bytes_of_key[:-4], bytes_of_key[-4:]
        self.assertEqual(zlib.crc32(secret), int.from_bytes(crc, "little"))
        return secret

    def test_a_key_is_made_at_random(self):
        for options, hash_id, length in (((), 1, 32), (("-m", 1), 1, 32), (("--hmac", 2), 2, 48)):
            made = [nvublk("gen-tls-key", *options) for _ in range(2)]
            self.assertEqual([outcome.status for outcome in made], [0, 0], made)
            self.assertNotEqual(made[0].out, made[1].out)
            key = made[0].out.strip()
            self.assertTrue(key.startswith(f"NVMeTLSkey-1:0{hash_id}:") and key.endswith(":"), key)
            self.assertEqual(len(self.secret(key)), length)
            checked = nvublk("check-tls-key", "-d", key)
            self.assertEqual(checked.out, f"Key is valid (HMAC {hash_id}, length {length}, CRC "
                                          f"{zlib.crc32(self.secret(key)):08x})\n")

    def test_a_key_is_made_of_a_secret(self):
        secret = self.secret(KEY)
        self.assertEqual(nvublk("gen-tls-key", "-s", secret.hex()).out, KEY + "\n")
        made = nvublk("gen-tls-key", "--secret", self.secret(LONG_KEY).hex(), "-m", "2", "-o",
                      "json")
        self.assertEqual(made.json, {"key": LONG_KEY})

    def test_the_identity_is_shown_for_a_subsystem(self):
        words = ("-n", "nqn.psk-test-host", "-c", "nqn.psk-test-subsys")
        first = "R01 nqn.psk-test-host nqn.psk-test-subsys"
        second = "iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU="
        self.assertEqual(nvublk("check-tls-key", "-d", KEY, *words, "-o", "json").json,
                         {"hmac": 1, "length": 32, "crc": "d9baf45f", "identity": "NVMe0" + first})
        shown = nvublk("check-tls-key", "--keydata", KEY, *words, "-I", "1")
        self.assertEqual(shown.out.splitlines()[1], f"NVMe1{first} {second}")
        made = nvublk("gen-tls-key", *words)
        self.assertEqual(made.out.splitlines()[1:], ["NVMe0" + first])

    def test_the_identity_is_what_other_code_makes_it(self):
        key = nvublk("gen-tls-key", "-s", "5a" * 32, "-c", SUBNQN, "-n", HOSTNQN, "-I", "1")
        label = b"tls13 HostNQN"
        info = (b"\0\x20" + bytes([len(label)]) + label + bytes([len(HOSTNQN)]) +
                HOSTNQN.encode() + b"\1")
        extracted = hmac.new(bytes(32), b"\x5a" * 32, hashlib.sha256).digest()
        retained = hmac.new(extracted, info, hashlib.sha256).digest()
        names = f"{HOSTNQN} {SUBNQN} NVMe-over-Fabrics".encode()
        digest = base64.b64encode(hmac.new(retained, names, hashlib.sha256).digest()).decode()
        self.assertEqual(key.out.splitlines()[1], f"NVMe1R01 {HOSTNQN} {SUBNQN} {digest}")

    def test_what_is_wrong_is_said(self):
        for words, status, why in (
                (("gen-tls-key", "-m", "0"), 2, "hmac"),
                (("gen-tls-key", "-m", "3"), 2, "hmac"),
                (("gen-tls-key", "-I", "2"), 2, "identity"),
                (("gen-tls-key", "-s", "abc"), 2, "hexadecimal"),
                (("gen-tls-key", "-s", "ab" * 48), 2, "must have 32"),
                (("gen-tls-key", "-c", "x" * 224, "-n", HOSTNQN), 2, "--subsysnqn"),
                (("gen-tls-key", "-c", SUBNQN, "-n", "x" * 224), 2, "--hostnqn"),
                (("check-tls-key",), 2, "keydata"),
                (("check-tls-key", "-d", "bla"), 1, "NVMeTLSkey-1"),
                (("check-tls-key", "-d", KEY.replace("VRLb", "VRLc")), 1, "CRC"),
                (("check-tls-key", "-d", KEY.replace(":01:", ":02:")), 1, "must have 48")):
            outcome = nvublk(*words)
            self.assertEqual(outcome.status, status, (words, outcome))
            self.assertEqual(outcome.err.count("\n"), 1, outcome)
            self.assertIn(why, outcome.err)
            self.assertNotIn("VRL", outcome.err)


class Tls(CliTest):

    def controller(self):
        return self.status()["controllers"][0]

    def write_and_read(self, path):
        data = os.urandom(3 << 20)
        with open(path, "r+b", buffering=0) as device:
            device.write(data)
            os.fsync(device.fileno())
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        with open(descriptor, "rb") as device:
            self.assertEqual(device.read(len(data)), data)

    def test_attach_moves_data_and_says_the_cipher_in_status(self):
        for key, cipher, more in ((KEY, "TLS_AES_128_GCM_SHA256", ()),
                                  (LONG_KEY, "TLS_AES_256_GCM_SHA384",
                                   ("--tls", "--tls-identity-version", "1", "-g", "-G"))):
            target = self.target("--tls-key", key)
            outcome = self.nvublk("attach", *target.options(), "--tls-key", key, *more)
            self.assertEqual(outcome.status, 0, outcome)
            self.assertEqual(self.controller()["tls_cipher"], cipher)
            self.assertIn(f"TLS       {cipher}\n", self.nvublk("status").out)
            self.write_and_read(outcome.out.split()[0])
            self.assertEqual(self.nvublk("detach", "--all").status, 0)

    def test_without_a_key_there_is_no_cipher(self):
        target = self.target()
        self.assertEqual(self.nvublk("attach", *target.options()).status, 0)
        self.assertIsNone(self.controller()["tls_cipher"])
        self.assertNotIn("TLS", self.nvublk("status").out)

    def test_a_refusal_says_what_to_do(self):
        target = self.target("--tls-key", KEY)
        plain = self.target()
        other = nvublk("gen-tls-key").out.strip()
        for served, words, why in (
                (target, (), "does it want TLS (--tls-key)?"),
                (target, ("--tls-key", other), "is --tls-key the key that the target has"),
                (target, ("--tls-key", LONG_KEY), "it seems to have no key for"),
                (plain, ("--tls-key", KEY), "does not speak TLS")):
            outcome = self.nvublk("attach", *served.options(), *words)
            self.assertEqual(outcome.status, 1, outcome)
            self.assertEqual(outcome.err.count("\n"), 1, outcome)
            self.assertIn(why, outcome.err)
            self.assertNotIn("NVMeTLSkey", outcome.err)
            self.assertEqual(self.status()["controllers"], [])

    def test_wrong_usage(self):
        where = ("-t", "tcp", "-a", "127.0.0.1", "-n", SUBNQN)
        for words, why in (((*where, "--tls-key", "secret"), "--tls-key: this is no TLS key"),
                           ((*where, "--tls-key", KEY.replace("VRLb", "VRLc")), "CRC"),
                           ((*where, "--tls"), "give it with --tls-key"),
                           ((*where, "--tls-key", KEY, "--tls-identity-version", "2"), "version"),
                           (("-t", "rdma", *where[2:], "--tls-key", KEY), "the transport tcp"),
                           (("-t", "pcie", "-a", "0000:01:00.0", "--tls-key", KEY),
                            "the transport tcp")):
            outcome = self.nvublk("attach", *words)
            self.assertEqual(outcome.status, 2, outcome)
            self.assertIn(why, outcome.err)
            self.assertNotIn("VRL", outcome.err)

    def test_discovery(self):
        target = self.target("--tls-key", KEY)
        words = target.options(nqn=DISCOVERY)
        refused = self.nvublk("discover", *words)
        self.assertIn("does it want TLS", refused.err)
        found = self.nvublk("discover", *words, "--tls-key", KEY, "-o", "json")
        record = found.json["records"][0]
        self.assertEqual((record["subnqn"], record["sectype"]), (SUBNQN, "tls13"))
        self.assertEqual(record["treq"], "required, sq flow control disable supported")
        words = words[:words.index("-n")] + words[words.index("-n") + 2:]
        attached = self.nvublk("attach", "--discover", *words, "--tls-key", KEY, "-o", "json")
        self.assertEqual(attached.status, 0, attached)
        self.assertEqual(len(attached.json["devices"]), 1)
        self.assertEqual(self.controller()["tls_cipher"], "TLS_AES_128_GCM_SHA256")

    def test_a_target_that_comes_back_gets_a_new_connection_with_tls(self):
        target = self.target("--tls-key", KEY)
        outcome = self.nvublk("attach", *target.options(), "--tls-key", KEY, "-c", "1")
        self.assertEqual(outcome.status, 0, outcome)
        target.close()
        wait_until(lambda: self.controller()["state"] == "reconnecting", "the loss is noticed")
        target.start()
        wait_until(lambda: self.controller()["state"] == "live", "it reconnects")
        self.write_and_read(outcome.out.split()[0])
        self.assertEqual(self.nvublk("reset", "nvublk0").status, 0)
        self.write_and_read(outcome.out.split()[0])

    def test_keys_are_seen_nowhere(self):
        target = self.target("--tls-key", KEY)
        outcome = self.nvublk("attach", *target.options(), "--tls-key", KEY)
        self.assertEqual(outcome.status, 0, outcome)
        shown = [self.nvublk("status").out, self.nvublk("status", "-o", "json").out,
                 self.nvublk("list", "-o", "json").out, outcome.out,
                 Path(f"/proc/{self.daemon_pid()}/cmdline").read_text()]
        shown += [log.read_text(errors="replace") for log in self.folder.rglob("*.log")]
        self.assertGreater(len(shown), 5, "there is a log")
        for text in shown:
            self.assertNotIn("NVMeTLSkey", text)
            self.assertNotIn("VRLb", text)

    def test_arguments_are_hidden_while_a_command_runs(self):
        target = self.target("--tls-key", KEY)
        target.control_call("fault", {"kind": "delay", "opcode": "identify", "delay_ms": 3000,
                                      "count": 1})
        attach = self.start_nvublk("attach", *target.options(), "--tls-key", KEY)
        arguments = Path(f"/proc/{attach.pid}/cmdline")
        wait_until(lambda: "--tls-key\0****" in arguments.read_text(), "it has hidden its key")
        self.assertIsNone(attach.poll())
        self.assertNotIn("VRLb", arguments.read_text())
        out, err = attach.communicate()
        self.learn_pid()
        self.assertEqual(attach.returncode, 0, (out, err))


if __name__ == "__main__":
    run_tests()
