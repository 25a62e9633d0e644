#!/usr/bin/env python3
"""The commands that are nvme-cli's, against nvublk-target. ctest runs each class by itself."""

import json
import unittest
from pathlib import Path

from harness import HOSTNQN, PROGRAMS, SUBNQN, CliTest, run, run_tests, wait_until

PASSTHROUGH = ("admin-passthru", "nvublk0", "--opcode=6", "--cdw10=1", "--data-len=4096")


class Verbs(CliTest):
    """One attached controller, and what can be asked of it."""

    def setUp(self):
        super().setUp()
        self.served = self.target(namespaces=("size=16M,bs=4096", "size=32M,bs=512"))
        self.devices = self.attach(self.served)

    def ask(self, *words):
        outcome = self.nvublk(*words, "-o", "json")
        self.assertEqual((outcome.status, outcome.err), (0, ""), outcome)
        return outcome.json

    def show(self, *words, **more):
        outcome = self.nvublk(*words, **more)
        self.assertEqual((outcome.status, outcome.err), (0, ""), outcome)
        return outcome.out

    def test_a_controller_is_named_by_name_device_or_path(self):
        wanted = self.ask("id-ctrl", "nvublk0")
        self.assertEqual(wanted["subnqn"], SUBNQN)
        for name in ("nvublk0n1", self.devices[0], self.devices[1]):
            self.assertEqual(self.ask("id-ctrl", name), wanted)
        self.assertEqual(self.ask("id-ns", self.devices[1])["nsze"], (32 << 20) // 512)
        self.assertEqual(self.ask("id-ns", "nvublk0", "-n", "1")["nsze"], (16 << 20) // 4096)

    def test_a_path_may_be_relative_and_a_link(self):
        device = Path(self.devices[0])
        link = self.folder / "link"
        link.symlink_to(device)
        for name, folder in ((device.name, "/dev"), (f"../dev/{device.name}", "/dev"),
                             ("link", self.folder), ("./link", self.folder), (link, "/")):
            outcome = self.nvublk("status", name, "-o", "json", cwd=folder)
            self.assertEqual((outcome.status, outcome.err), (0, ""), outcome)
            self.assertEqual([each["device"] for each in outcome.json["devices"]], [str(device)])
        self.assertEqual(self.nvublk("detach", device.name, cwd="/dev").status, 0)

    def test_text_is_in_nvme_clis_manner(self):
        self.assertRegex(self.show("id-ctrl", "nvublk0"), r"^NVME Identify Controller:\nvid +: ")
        self.assertRegex(self.show("id-ns", "nvublk0n2"), r"\nlbaf  0 : ms:0   lbads:9 .*in use")
        self.assertEqual(self.show("list-ns", "nvublk0"), "[   0]:0x1\n[   1]:0x2\n")
        self.assertRegex(self.show("smart-log", "nvublk0"), r"temperature +: 25°C \(298 Kelvin\)")
        self.assertEqual(self.show("get-feature", "nvublk0", "-f", "6"),
                         "get-feature:0x06 (Volatile Write Cache), Current value:0x00000001\n")
        self.assertRegex(self.show("error-log", "nvublk0", "-e", "1"), r"entries:1\n")

    def test_passthrough_moves_data_both_ways(self):
        raw = self.folder / "identify"
        self.show(*PASSTHROUGH, "-r", "-i", raw)
        self.assertEqual(len(raw.read_bytes()), 4096)
        self.assertEqual(raw.read_bytes()[768:].split(b"\0")[0].decode(), SUBNQN)
        self.assertRegex(self.show(*PASSTHROUGH),
                         r"^Admin Command Identify is Success and result: 0x00000000\n +0 +1 ")
        block = self.folder / "block"
        block.write_bytes(bytes(range(256)) * 16)
        self.show("io-passthru", self.devices[0], "-O", "1", "--cdw10=5", "-w", "-i", block)
        back = self.folder / "back"
        self.show("io-passthru", self.devices[0], "-o", "2", "--cdw10=5", "-l", "4096", "-r",
                  "-i", back)
        self.assertEqual(back.read_bytes(), block.read_bytes())
        self.assertEqual(self.show("io-passthru", "nvublk0", "-O", "0", "-n", "1"),
                         "IO Command Flush is Success and result: 0x00000000\n")

    def test_a_megabyte_goes_through(self):
        mdts = self.ask("id-ctrl", "nvublk0")["mdts"]
        most = min(1 << 20, 4096 << mdts) if mdts else 1 << 20
        wanted = bytes(index % 251 for index in range(most))
        given, back = self.folder / "given", self.folder / "back"
        given.write_bytes(wanted)
        count = f"--cdw12={most // 512 - 1}"
        self.show("io-passthru", "nvublk0n2", "-O", "1", count, "-w", "-i", given)
        self.show("io-passthru", "nvublk0n2", "-O", "2", count, "-r", "-l", str(most), "-i", back)
        self.assertEqual(back.read_bytes(), wanted)

    def admin(self, opcode, *words):
        return self.show("admin-passthru", "nvublk0", f"--opcode={opcode}", *words)

    def log_page(self, page, length):
        path = self.folder / "log"
        self.admin(2, "-n", "0xffffffff", f"--cdw10={page | (length // 4 - 1) << 16}",
                   f"--data-len={length}", "-r", "-i", path)
        return path.read_bytes()

    def test_firmware_is_updated_by_passthrough(self):
        image = self.folder / "image"
        image.write_bytes(b"NVUBLKFW" + b"2.0     " + (32).to_bytes(16, "little"))
        self.admin(0x11, "--cdw10=7", "--data-len=32", "-w", "-i", image)
        self.admin(0x10, f"--cdw10={2 | 3 << 3}")
        self.assertEqual(self.ask("id-ctrl", "nvublk0")["fr"].strip(), "2.0")
        log = self.log_page(3, 512)
        self.assertEqual((log[0], log[8:24]), (2, b"1       2.0     "))
        self.must_fail("INVALID_FIRMWARE_SLOT", "admin-passthru", "nvublk0", "--opcode=0x10",
                       f"--cdw10={7 | 2 << 3}")

    def test_a_sanitize_operation_erases_and_a_self_test_passes(self):
        block, back = self.folder / "block", self.folder / "back"
        block.write_bytes(b"precious" * 512)
        self.show("io-passthru", "nvublk0n1", "-O", "1", "-l", "4096", "-w", "-i", block)
        self.admin(0x84, "--cdw10=2")
        wait_until(lambda: self.log_page(0x81, 512)[2] & 7 == 1, "the end of the operation")
        self.show("io-passthru", "nvublk0n1", "-O", "2", "-l", "4096", "-r", "-i", back)
        self.assertEqual(back.read_bytes(), bytes(4096))
        self.admin(0x14, "-n", "1", "--cdw10=2")
        wait_until(lambda: self.log_page(6, 564)[0] == 0, "the end of the self-test")
        self.assertEqual(self.log_page(6, 564)[4], 0x20)  # extended, passed
        self.must_fail("INVALID_FIELD", "admin-passthru", "nvublk0", "--opcode=0x82",
                       f"--cdw10={1 << 24}", "--cdw11=512", "--data-len=512", "-r")

    def test_what_cannot_be_read_is_not_written_as_zeroes(self):
        write = ("io-passthru", "nvublk0n1", "-O", "1", "-l", "4096", "-w", "-i")
        block, back = self.folder / "block", self.folder / "back"
        block.write_bytes(b"precious" * 512)
        self.show(*write, block)
        self.must_fail(f"cannot read {self.folder}: Is a directory", *write, self.folder)
        with open(self.folder / "unreadable", "wb") as unreadable:
            self.must_fail("cannot read the standard input: Bad file descriptor", *write, "-",
                           stdin=unreadable)
        self.must_fail(f"cannot read {self.folder}: Is a directory.*--metadata", *write, block,
                       "-m", "8", "-M", self.folder)
        self.show("io-passthru", "nvublk0n1", "-O", "2", "-l", "4096", "-r", "-i", back)
        self.assertEqual(back.read_bytes(), block.read_bytes())
        block.write_bytes(b"short")
        self.show(*write, block, "-p", "0x20")
        self.show("io-passthru", "nvublk0n1", "-O", "2", "-l", "4096", "-r", "-i", back)
        self.assertEqual(back.read_bytes(), b"short".ljust(4096))

    def test_what_is_shown_is_the_command_that_is_sent(self):
        self.assertRegex(self.show(*PASSTHROUGH, "-s"), r"^opcode +: 06\n(.*\n)+Admin Command")
        shown = self.show(*PASSTHROUGH, "--dry-run")
        self.assertRegex(shown, r"\nnsid +: 00000000\n(.*\n)+data_len +: 00001000\n")
        self.assertNotIn("Success", shown)
        block = self.folder / "block"
        block.write_bytes(bytes(512))
        for device in ("nvublk0n2", self.devices[1]):
            write = ("io-passthru", device, "-O", "1", "-i", block)
            for option in ("--dry-run", "--show-command"):
                self.assertRegex(self.show(*write, option),
                                 r"\nnsid +: 00000002\n(.*\n)+data_len +: 00000200\n")
        self.assertRegex(self.show("io-passthru", "nvublk0n2", "-O", "0", "-n", "1", "-d"),
                         r"\nnsid +: 00000001\n")
        self.must_fail("nothing attached is called 'nvublk9'", "io-passthru", "nvublk9", "-O", "0",
                       "--dry-run")
        self.must_fail("no daemon answers", *PASSTHROUGH, "--dry-run",
                       socket=self.folder / "nobody")

    def test_binary_output_is_the_data(self):
        words = [PROGRAMS / "nvublk", "smart-log", "nvublk0", "-o", "binary"]
        outcome = run("sh", "-c", f"{' '.join(map(str, words))} | wc -c", env=self.environment())
        self.assertEqual(outcome.out.strip(), "512")

    def test_reset_and_rescan(self):
        self.show("reset", "nvublk0")
        self.assertEqual(self.status()["controllers"][0]["state"], "live")
        self.show("ns-rescan", self.devices[0])
        self.must("dd", f"if={self.devices[0]}", "of=/dev/null", "bs=4096", "count=1")

    def test_errors_are_one_line_that_says_what_to_try(self):
        self.must_fail("nothing attached is called 'nvublk9'.*nvublk list", "id-ctrl", "nvublk9")
        self.must_fail("--namespace-id", "id-ns", "nvublk0")
        self.must_fail("not active.*list-ns", "id-ns", "nvublk0", "-n", "9")
        self.must_fail("INVALID_FIELD.*get features", "get-feature", "nvublk0", "-f", "0x99")
        self.must_fail("nvublkd's", "admin-passthru", "nvublk0", "-O", "0x0c")
        self.must_fail("Asymmetric", "ana-log", "nvublk0")
        self.must_fail("use -r instead of -w", *PASSTHROUGH, "-w", status=2)
        self.must_fail("cannot read", "io-passthru", "nvublk0n1", "-O", "1", "-i", "/nowhere")
        outcome = self.nvublk("get-feature", "nvublk0", "-f", "0x99", "-o", "json")
        self.assertEqual(outcome.status, 1)
        self.assertEqual(list(outcome.json["error"]), ["message", "step", "code"])
        self.must_fail("no daemon answers", "id-ctrl", "nvublk0", socket=self.folder / "nobody")

    def test_help_has_examples(self):
        for verb in ("admin-passthru", "ana-log", "discover", "error-log", "get-feature", "id-ctrl",
                     "id-ns", "io-passthru", "list-ns", "ns-rescan", "reset", "smart-log"):
            self.assertIn(f"Examples:\n  nvublk {verb} ", self.show(verb, "--help"))


class Discovery(CliTest):
    """What a discovery subsystem lists, and attaching it."""

    def address(self, target):
        return ["-t", "tcp", "-a", "127.0.0.1", "-s", target.port, "-q", HOSTNQN]

    def discover(self, target, *words):
        return self.nvublk("discover", *self.address(target), *words)

    def test_the_log_is_shown_and_nothing_attached(self):
        target = self.target()
        report = self.discover(target, "-o", "json").json
        record, = report["records"]
        self.assertEqual((record["subnqn"], record["trsvcid"], record["subtype"]),
                         (SUBNQN, str(target.port), "nvme subsystem"))
        text = self.discover(target).out
        self.assertIn("Discovery Log Number of Records 1, Generation counter", text)
        self.assertIn(f"subnqn:  {SUBNQN}\n", text)
        self.assertEqual(self.nvublk("list", "-o", "json").json, {"devices": []})

    def test_the_saved_log_is_reported_as_json(self):
        target = self.target()
        saved = self.folder / "log"
        outcome = self.discover(target, "-r", saved, "-o", "json")
        self.assertEqual((outcome.status, outcome.err), (0, ""), outcome)
        self.assertEqual(outcome.json, {"file": str(saved), "bytes": saved.stat().st_size})
        self.assertGreaterEqual(saved.stat().st_size, 2048)
        self.assertEqual(self.discover(target, "-r", saved).out, "")

    def test_everything_listed_is_attached_once(self):
        target = self.target(namespaces=("size=16M", "size=16M"))
        words = ["attach", "--discover", *self.address(target), "--frontend", "fuse"]
        outcome = self.nvublk(*words)
        self.assertEqual((outcome.status, outcome.err), (0, ""), outcome)
        self.assertEqual(len(outcome.out.splitlines()), 2)
        again = self.nvublk(*words, "-o", "json")
        self.assertEqual((again.status, again.json), (0, {"devices": []}), again)
        self.assertEqual(len(self.nvublk("list", "-o", "json").json["devices"]), 2)

    def test_errors_name_what_to_try(self):
        self.must_fail("is the target running", "discover", "-t", "tcp", "-a", "127.0.0.1",
                       "-s", "1", "-q", HOSTNQN)
        refusing = self.target("--allow-host", "nqn.2026-01.io.nvublk:somebody-else")
        refused = self.must_fail("lists no subsystem for this host", "attach", "--discover",
                                 *self.address(refusing))
        self.assertIn("-q", refused.err)
        outcome = self.nvublk("attach", "--discover", *self.address(refusing), "-o", "json")
        self.assertEqual(json.loads(outcome.out)["error"]["code"], "not_found")


if __name__ == "__main__":
    run_tests()
