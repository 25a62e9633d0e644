#!/usr/bin/env python3
"""The programs as a user meets them: nvublk-target, nvublkd, nvublk, FUSE and loop devices.

ctest runs each class by itself: cli_test.py CLASS. Exit status 77: this machine cannot run it.
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time
import unittest
from pathlib import Path

from harness import (HOSTNQN, PROGRAMS, SUBNQN, CliTest, cpu_time_ns, open_files, refuses,
                     resident_kib, run, run_tests, threads, wait_until, zombie)


class MainJob(CliTest):
    """From attach to detach, with a file system in between."""

    def test_a_file_system_lives_on_an_attached_namespace(self):
        target = self.target(namespaces=("size=128M,bs=4096",))
        device, = self.attach(target)
        listed, = self.nvublk("list", "-o", "json").json["devices"]
        self.assertEqual(
            list(listed),
            ["device", "name", "controller", "nsid", "transport", "traddr", "trsvcid", "subnqn",
             "size_bytes", "block_size", "model", "serial", "uuid", "nguid", "eui64", "frontend",
             "state", "reason"])
        self.assertEqual(listed["device"], device)
        self.assertEqual((listed["name"], listed["size_bytes"], listed["block_size"]),
                         ("nvublk0n1", 128 << 20, 4096))
        self.must("mkfs.ext4", "-q", device)
        mount = self.folder / "mnt"
        mount.mkdir()
        self.must("mount", device, mount)
        try:
            self.must("fio", "--name=verify", f"--directory={mount}", "--rw=randrw", "--bs=4k-256k",
                      "--size=32m", "--direct=1", "--ioengine=libaio", "--iodepth=8",
                      "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0",
                      "--end_fsync=1")
            refused = self.must_fail(f"{device}.*mounted on {mount}", "detach", device)
            self.assertIn("--force", refused.err)
            counters, = self.status(device)["devices"]
            self.assertGreater(counters["writes"], 0)
            self.assertGreater(counters["write_bytes"], 16 << 20)
            self.assertEqual(counters["errors"], 0)
        finally:
            self.must("umount", mount)
        self.must("fsck.ext4", "-f", "-n", device)
        self.assertEqual(self.nvublk("detach", device).status, 0)
        self.assertEqual(self.nvublk("list", "-o", "json").json, {"devices": []})

    def test_attach_prints_paths_first_and_json_like_list(self):
        target = self.target(namespaces=("size=16M,bs=512", "size=16M,bs=4096"))
        outcome = self.nvublk("attach", *target.options(), "-o", "json", "--name", "disk")
        self.assertEqual(outcome.status, 0, outcome)
        self.assertEqual(outcome.json, self.nvublk("list", "-o", "json").json)
        self.assertEqual([device["name"] for device in outcome.json["devices"]],
                         ["diskn1", "diskn2"])
        self.assertEqual(self.nvublk("detach", "diskn2").status, 0)
        self.assertEqual(self.nvublk("detach", SUBNQN).status, 0)
        for device in self.attach(target):
            self.assertTrue(Path(device).is_block_device())
        self.assertEqual(self.nvublk("detach", "nvublk0").status, 0)

    def test_uris_host_names_and_read_only_work(self):
        target = self.target()
        uri = f"nvme+tcp://localhost:{target.port}/{SUBNQN}"
        outcome = self.nvublk("attach", uri, "-q", HOSTNQN, "--frontend", "fuse", "--read-only")
        self.assertEqual(outcome.status, 0, outcome)
        device = outcome.out.split()[0]
        self.assertEqual(self.must("blockdev", "--getro", device).strip(), "1")
        self.assertEqual(self.nvublk("detach", "--all").status, 0)
        spdk = (f"trtype:TCP adrfam:IPv4 traddr:127.0.0.1 trsvcid:{target.port} subnqn:{SUBNQN}")
        self.assertEqual(self.nvublk("attach", spdk, "-q", HOSTNQN).status, 0)

    def test_force_takes_away_what_is_mounted(self):
        target = self.target()
        device, = self.attach(target)
        self.must("mkfs.ext4", "-q", device)
        mount = self.folder / "mnt"
        mount.mkdir()
        self.must("mount", device, mount)
        try:
            self.assertEqual(self.nvublk("detach", device, "--force").status, 0)
            self.assertEqual(self.nvublk("list", "-o", "json").json, {"devices": []})
        finally:
            run("umount", mount)


class Errors(CliTest):
    """What a user can get wrong: one clear line, exit status 1, and nothing left behind."""

    def setUp(self):
        super().setUp()
        self.good = self.target("--allow-host", HOSTNQN, namespaces=("size=16M", "size=16M"))
        self.attach(self.good)
        self.assertEqual(self.nvublk("detach", "--all").status, 0)
        pid = self.daemon_pid()
        self.files = open_files(pid)
        self.addCleanup(self.check_nothing_is_left, pid)

    def check_nothing_is_left(self, pid):
        if zombie(pid):
            return
        report = self.status()
        self.assertEqual((report["controllers"], report["devices"]), ([], []))
        wait_until(lambda: open_files(pid) <= self.files, "all files of failed attaches are closed")

    def attach_fails(self, expected, *words):
        return self.must_fail(expected, "attach", *words)

    def options(self, address="127.0.0.1", port=None, nqn=SUBNQN):
        return ["-t", "tcp", "-a", address, "-s", port or self.good.port, "-n", nqn, "-q", HOSTNQN]

    def listener(self, serve):
        server = socket.socket()
        server.bind(("127.0.0.1", 0))
        server.listen()
        self.addCleanup(server.close)

        def loop():
            kept = []
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    break
                kept.append(connection)
                serve(connection)
            for connection in kept:
                connection.close()
        threading.Thread(target=loop, daemon=True).start()
        return str(server.getsockname()[1])

    def test_wrong_port(self):
        closed = socket.socket()
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
        self.attach_fails(f"{port}.*refused.*step: ", *self.options(port=port))
        closed.close()

    def test_wrong_address_and_unknown_name(self):
        self.attach_fails("no-such-host.invalid", *self.options(address="no-such-host.invalid"))
        # Linux refuses to connect to this class at once.
        self.attach_fails("240.0.0.1|unreachable|refused", *self.options(address="240.0.0.1"))

    def test_unknown_nqn_and_host_that_is_not_allowed(self):
        self.attach_fails("nqn.2026-01.io.nvublk:nobody",
                          *self.options(nqn="nqn.2026-01.io.nvublk:nobody"))
        self.attach_fails("allow.*nqn.2026-01.io.nvublk:stranger.*step: ", *self.options()[:-2],
                          "-q", "nqn.2026-01.io.nvublk:stranger")

    def test_port_that_speaks_http(self):
        def serve(connection):
            connection.recv(8)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        self.attach_fails("NVMe/TCP", *self.options(port=self.listener(serve)))

    def test_silent_target_shows_its_step_in_status_meanwhile(self):
        port = self.listener(lambda connection: None)
        attach = self.start_nvublk("attach", *self.options(port=port))
        wait_until(lambda: any("ICResp" in controller["step"]
                               for controller in self.status()["controllers"]),
                   "status shows the step that hangs")
        controller, = self.status()["controllers"]
        self.assertEqual(controller["state"], "connecting")
        self.assertGreater(controller["step_deadline_ms"], 0)
        text = self.nvublk("status").out
        self.assertRegex(text, r"step +.*ICResp, for .*given up in ")
        out, err = attach.communicate(timeout=60)
        self.assertEqual((attach.returncode, out), (1, ""))
        self.assertRegex(err, r"^nvublk: attach: .*no answer within 5000 ms \(step: ICResp\)")

    def test_interrupted_attach_is_cleaned_up(self):
        port = self.listener(lambda connection: None)
        attach = self.start_nvublk("attach", *self.options(port=port))
        wait_until(lambda: self.status()["controllers"], "status shows the controller")
        attach.send_signal(signal.SIGINT)
        attach.communicate(timeout=60)
        wait_until(lambda: not self.status()["controllers"], "the controller is gone")

    def test_namespace_that_does_not_exist(self):
        outcome = self.attach_fails("namespace 9 .*it has 1, 2", *self.options(), "--nsid", "1,9",
                                    "-o", "json")
        self.assertEqual(list(outcome.json["error"]), ["message", "step", "code"])
        self.assertEqual(outcome.json["error"]["code"], "not_found")

    def test_second_attach(self):
        device = self.attach(self.good)[0]
        self.attach_fails(f"already attached as nvublk0 .*{device}", *self.options())
        self.assertEqual(self.nvublk("detach", "--all").status, 0)

    def test_what_is_not_there(self):
        self.must_fail("/dev/ublkb77", "detach", "/dev/ublkb77")
        self.must_fail("nothing.*nvublk7", "status", "nvublk7")

    def test_frontend_that_this_kernel_lacks(self):
        if os.path.exists("/dev/ublk-control"):
            self.skipTest("this kernel has ublk")
        self.attach_fails("ublk_drv.*fuse", *self.options(), "--frontend", "ublk")

    def test_wrong_usage(self):
        self.must_fail("--depth.*--help", "attach", *self.options(), "--depth", "0", status=2)
        outcome = self.must_fail("--help", "detach", "-o", "json", status=2)
        self.assertIn("message", outcome.json["error"])

    def test_output_that_cannot_be_written(self):
        self.attach(self.good)
        for words in (["list"], ["status", "-o", "json"], ["id-ctrl", "nvublk0", "-b"], ["version"],
                      ["features"], ["--help"]):
            command = [PROGRAMS / "nvublk", *words]
            with open("/dev/full", "wb") as full:
                ended = subprocess.run(command, env=self.environment(), stdout=full, text=True,
                                       stderr=subprocess.PIPE, timeout=60, check=False)
            self.assertEqual(ended.returncode, 1, words)
            self.assertRegex(ended.stderr, r"^nvublk: cannot write the output: .+\n$", words)
        self.assertEqual(self.nvublk("detach", "--all").status, 0)

    def test_device_that_is_open(self):
        device = self.attach(self.good)[0]
        with open(device, "rb"):
            self.must_fail(f"{device}.*(open|use)", "detach", device)
        self.assertEqual(self.nvublk("detach", "--all").status, 0)


class DaemonLife(CliTest):
    """Starting, ending, permissions."""

    def test_nothing_but_attach_starts_a_daemon(self):
        for words in (["list"], ["status"], ["detach", "--all"]):
            self.must_fail(f"no daemon answers at {self.socket}", *words)
        self.assertEqual(self.nvublk("version").status, 0)
        self.assertEqual(self.nvublk("features", "-o", "json").json["io_uring"]["available"], True)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_other_users_are_kept_out(self):
        target = self.target()
        self.attach(target)
        self.assertEqual(self.socket.stat().st_mode & 0o777, 0o600)
        program = self.folder / "nvublk"
        self.must("install", "-m", "755", PROGRAMS / "nvublk", program)
        self.folder.chmod(0o755)
        outcome = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program,
                      "list", "--socket", self.socket)
        self.assertEqual(outcome.status, 1, outcome)
        self.assertRegex(outcome.err, "^nvublk: list: no permission.*root")

    def test_other_users_get_one_piece_of_advice(self):
        target = self.target()
        program = self.folder / "nvublk"
        self.must("install", "-m", "755", PROGRAMS / "nvublk", program)
        self.must("install", "-m", "755", PROGRAMS / "nvublkd", self.folder / "nvublkd")
        self.folder.chmod(0o755)
        commands = (["attach", *target.options()], ["list"], ["status"], ["recover"],
                    ["recover", "--dry-run"], ["detach", "--all"], ["set", "x", "io-timeout=5"],
                    ["id-ctrl", "x"])

        def advice():
            said = set()
            for words in commands:
                outcome = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                              program, *words, "--socket", self.socket)
                self.assertEqual((outcome.status, outcome.out), (1, ""), outcome)
                said.add(outcome.err.partition(f"{words[0]}: ")[2])
            return said
        self.assertEqual(advice(), {
            f"no daemon answers at {self.socket}, and none can be started: no permission to write "
            f"to {self.folder}; run it as root, such as with sudo\n"})
        self.attach(target)
        self.assertEqual(advice(), {
            f"no permission to use {self.socket}; run it as root, such as with sudo\n"})

    def test_no_tree_of_directories_is_made_for_a_socket(self):
        target = self.target()
        left = sorted(self.folder.iterdir())
        nowhere = self.folder / "no"
        for words in (["attach", *target.options()], ["recover"], ["list"]):
            self.must_fail(f"no directory {nowhere}; make it, or give another --socket", *words,
                           socket=nowhere / "such" / "x.sock")
        self.assertEqual(sorted(self.folder.iterdir()), left)

    def test_a_peer_that_is_no_daemon_is_told(self):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(self.socket))
            server.listen()

            def serve():
                client, _ = server.accept()
                with client:
                    client.recv(1 << 16)
                    client.sendall(b'{"result": {"devices": []}}\n')
            peer = threading.Thread(target=serve, daemon=True)
            peer.start()
            self.must_fail("is not an nvublk daemon; look at --socket", "list")
            peer.join()
        self.socket.unlink()

    def test_two_daemons_with_one_run_directory_are_refused(self):
        target = self.target()
        directory = self.folder / "run"
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            first = subprocess.Popen([PROGRAMS / "nvublkd", "--socket", self.socket, "--run-dir",
                                      directory], stderr=log)
        self.pids.add(first.pid)
        wait_until(self.socket.exists, "the daemon listens")
        self.attach(target)
        other = self.folder / "other.sock"
        second = run(PROGRAMS / "nvublkd", "--socket", other, "--run-dir", directory)
        self.assertEqual(second.status, 1, second)
        self.assertIn(f"another nvublkd (pid {first.pid}) has the run directory {directory}; end "
                      "that one first, or give this one another --run-dir", second.err)
        self.assertFalse(other.exists() or Path(f"{other}.lock").exists())
        self.assertEqual(len(self.nvublk("list", "-o", "json").json["devices"]), 1)
        first.terminate()
        self.assertEqual(first.wait(timeout=60), 0)

    def test_versions_as_json(self):
        target = self.target()
        without = self.nvublk("version", "-o", "json").json
        self.assertEqual((list(without), without["nvublkd"]), (["nvublk", "nvublkd"], None))
        self.attach(target)
        both = self.nvublk("version", "-o", "json").json
        self.assertEqual(both, {"nvublk": without["nvublk"], "nvublkd": without["nvublk"]})

    def test_a_second_daemon_is_refused_and_a_stale_socket_replaced(self):
        target = self.target()
        self.attach(target)
        pid = self.daemon_pid()
        second = run(PROGRAMS / "nvublkd", "--socket", self.socket)
        self.assertEqual(second.status, 1)
        self.assertIn(f"another nvublkd (pid {pid})", second.err)
        self.assertEqual(self.nvublk("detach", "--all").status, 0)
        os.kill(pid, signal.SIGKILL)
        # The kernel closes a dead process's sockets a little after it is a zombie.
        wait_until(lambda: zombie(pid) and refuses(self.socket), "the daemon is dead")
        self.must_fail("no daemon answers", "list")
        self.attach(target)
        self.assertNotEqual(self.daemon_pid(), pid)

    def test_sigterm_detaches_and_ends_with_status_0(self):
        target = self.target()
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            daemon = subprocess.Popen([PROGRAMS / "nvublkd", "--socket", self.socket], stderr=log)
        wait_until(self.socket.exists, "the daemon listens")
        self.attach(target)
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(timeout=60), 0)
        self.assertEqual(self.leftovers(), [])

    def test_sigterm_waits_for_users_and_then_forces(self):
        target = self.target()
        daemon = subprocess.Popen([PROGRAMS / "nvublkd", "--socket", self.socket, "--stop-timeout",
                                   "5"], stderr=subprocess.PIPE, text=True)
        wait_until(self.socket.exists, "the daemon listens")
        device, = self.attach(target)
        with open(device, "rb"):
            daemon.send_signal(signal.SIGTERM)
            _, log = daemon.communicate(timeout=60)
        self.assertEqual(daemon.returncode, 1)
        self.assertIn("by force", log)
        self.assertEqual(log.count("waiting to end"), 1, log)
        self.assertEqual(self.leftovers(), [])

    def test_a_daemon_that_cannot_start_says_why(self):
        target = self.target()
        blocked = self.folder / "blocked"
        blocked.write_text("")
        self.must_fail("blocked", "attach", *target.options(), socket=blocked / "nvublk.sock")

    def test_two_at_once_start_one_daemon(self):
        targets = [self.target(), self.target()]
        runs = [self.start_nvublk("attach", *target.options(), "--frontend", "fuse")
                for target in targets]
        for each in runs:
            _, err = each.communicate(timeout=60)
            self.assertEqual(each.returncode, 0, err)
        self.daemon_pid()
        self.assertEqual(len(self.nvublk("list", "-o", "json").json["devices"]), 2)

    def test_json_rpc_for_programs(self):
        target = self.target()
        self.attach(target)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.socket))
            lines = client.makefile("rw")

            def call(**request):
                lines.write(json.dumps({"jsonrpc": "2.0", **request}) + "\n")
                lines.flush()
                return json.loads(lines.readline())
            self.assertEqual(len(call(id=1, method="list")["result"]["devices"]), 1)
            self.assertEqual(call(id="a", method="version")["id"], "a")
            self.assertEqual(call(id=2, method="dance")["error"]["code"], -32601)
            refused = call(id=3, method="attach", params={"traddr": 5})["error"]
            self.assertEqual(refused["code"], -32602)
            self.assertEqual(set(refused["data"]), {"step", "code"})
            missing = call(id=4, method="detach", params={"target": "x"})["error"]
            self.assertEqual((missing["code"], missing["data"]["code"]), (-32000, "not_found"))
            self.assertEqual(call(id=5, method="shutdown")["result"], {})
        wait_until(lambda: not self.leftovers(), "everything is gone")


class Parameters(CliTest):
    """What is wrong with a parameter of JSON-RPC is said by its name."""

    def setUp(self):
        super().setUp()
        target = self.target()
        self.attach(target)
        self.address = {"transport": "tcp", "traddr": "127.0.0.1", "trsvcid": target.port,
                        "nqn": SUBNQN}
        self.client = self.enterContext(socket.socket(socket.AF_UNIX))
        self.client.connect(str(self.socket))
        self.lines = self.client.makefile("rw")

    def error(self, method, params):
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.lines.write(json.dumps(request) + "\n")
        self.lines.flush()
        return json.loads(self.lines.readline())["error"]

    def refused(self, method, params, expected):
        error = self.error(method, params)
        self.assertEqual(error["code"], -32602, (method, params, error))
        self.assertEqual(error["data"]["code"], "invalid_argument", (method, params))
        self.assertRegex(error["message"], expected, (method, params))

    def test_parameters_have_names(self):
        for method in ("list", "attach", "detach", "set", "status", "recover", "id-ctrl",
                       "discover", "version", "features", "hand-over", "shutdown"):
            self.refused(method, [], '"params" must be an object')
            self.refused(method, {**self.base(method), "bogus": 1},
                         'there is no parameter "bogus"')

    def test_types(self):
        texts = {"attach": ["transport", "traddr", "trsvcid", "nqn", "hostnqn", "hostid",
                            "host_traddr", "host_trsvcid", "host_iface", "dhchap_secret",
                            "dhchap_ctrl_secret", "tls_key", "name", "frontend",
                            "timeout_action"],
                 "detach": ["target"], "set": ["target"], "status": ["target"],
                 "id-ctrl": ["target"], "reset": ["target"], "ns-rescan": ["target"],
                 "admin-passthru": ["data", "metadata"]}
        flags = {"attach": ["hdr_digest", "data_digest", "cmb_queues", "shared_receive_queue",
                            "read_only", "hotplug"],
                 "detach": ["all", "force", "keep_bound"], "recover": ["clean"],
                 "shutdown": ["force"], "discover": ["raw", "hdr_digest"],
                 "id-ctrl": ["raw", "vendor-specific"],
                 "id-ns": ["raw", "force", "vendor-specific"], "list-ns": ["all"],
                 "smart-log": ["raw"], "error-log": ["raw"], "ana-log": ["groups", "raw"]}
        for wrong, kinds in ((7, texts), ("yes", flags)):
            for method, names in kinds.items():
                for name in names:
                    self.refused(method, {**self.base(method), name: wrong}, f'"{name}" must be ')
        self.refused("set", {"target": "nvublk0", "policy": 7}, '"policy" must be an object')
        self.refused("set", {"target": "nvublk0"}, '"policy" says what to change')
        self.refused("attach", {**self.address, "nsid": 1}, '"nsid" must be a list of whole')

    def base(self, method):
        if method in ("attach", "discover"):
            return self.address
        if method in ("list", "recover", "version", "features", "hand-over", "shutdown"):
            return {}
        needed = {"admin-passthru": {"opcode": 6}, "get-feature": {"feature-id": 1},
                  "set": {"policy": {"io_timeout": 5}}}
        return {"target": "nvublk0", **needed.get(method, {})}

    def test_ranges(self):
        most32 = 0xffffffff
        ranges = {
            "attach": {"nr_io_queues": (1, 65535), "queue_size": (16, 1024),
                       "keep_alive_tmo": (0, 4294967), "reconnect_delay": (1, 2**31 - 1),
                       "ctrl_loss_tmo": (-1, 2**31 - 1), "fast_io_fail_tmo": (-1, 2**31 - 1),
                       "io_timeout": (1, 86400), "admin_timeout": (1, 86400), "tos": (-1, 255),
                       "rdma_ack_timeout": (-1, 31), "tls_identity_version": (0, 1),
                       "id": (0, 1 << 20), "queues": (1, 4096), "depth": (1, 1024)},
            "id-ns": {"namespace-id": (1, most32)},
            "list-ns": {"namespace-id": (1, most32 - 1), "csi": (0, 255)},
            "smart-log": {"namespace-id": (1, most32)},
            "error-log": {"log-entries": (1, most32)},
            "get-feature": {"feature-id": (1, 255), "namespace-id": (0, most32), "sel": (0, 8),
                            "cdw11": (0, most32), "uuid-index": (0, 127),
                            "data-len": (0, 1 << 20)},
            "admin-passthru": {"opcode": (0, 255), "namespace-id": (0, most32),
                               "data-len": (0, 1 << 20), "metadata-len": (0, 1 << 16),
                               "prefill": (0, 255), "timeout": (0, most32),
                               **{f"cdw{n}": (0, most32) for n in (2, 3, 10, 11, 12, 13, 14, 15)}},
        }
        for method, names in ranges.items():
            for name, (least, most) in names.items():
                for wrong in (least - 1, most + 1, 1.5, "1", True, [1], {}):
                    self.refused(method, {**self.base(method), name: wrong},
                                 f'^"{name}" must be a whole number from {least} to {most}$')
        for wrong in ([0], [most32], [1, -1], ["1"], [1.5]):
            self.refused("attach", {**self.address, "nsid": wrong},
                         '^"nsid" must be a list of whole numbers from 1 to 4294967294$')
        self.refused("id-ns", {"target": "nvublk0", "force": True, "namespace-id": most32},
                     '"namespace-id" must be a whole number from 1 to 4294967294')
        for name, wrong, least, most in (("io_timeout", 0, 1, 86400), ("ctrl_loss_tmo", -2, -1,
                                                                       2**31 - 1)):
            self.refused("set", {"target": "nvublk0", "policy": {name: wrong}},
                         f'"{name}" must be a whole number from {least} to {most}')


class Rounds(CliTest):
    """50 attach/detach rounds leave nothing behind."""

    def rounds(self, target, count):
        for _ in range(count):
            device, = self.attach(target)
            self.must("dd", f"if={device}", "of=/dev/null", "bs=64k", "count=4", "status=none")
            self.assertEqual(self.nvublk("detach", device).status, 0)

    def test_50_rounds(self):
        target = self.target()
        self.rounds(target, 10)
        pid = self.daemon_pid()
        files, running, memory = open_files(pid), threads(pid), resident_kib(pid)
        self.rounds(target, 40)
        # The connection of the last command is closed after its answer.
        wait_until(lambda: open_files(pid) <= files, "no file is left open")
        self.assertEqual(threads(pid), running)
        # A sanitizer keeps what was freed, and looks for leaks itself when the daemon ends.
        if not os.environ.get("NVUBLK_SANITIZE"):
            self.assertLess(resident_kib(pid) - memory, 1024)
        self.assertEqual([line for line in run("losetup", "-a").out.splitlines()
                          if str(self.folder) in line], [])
        self.assertEqual(json.loads(target.control_call("list")).get("controllers"), [])


class SideBySide(CliTest):
    """Several daemons, several namespaces, and what they cost when idle."""

    def test_two_daemons(self):
        first_target, second_target = self.target(), self.target()
        second_socket = self.folder / "second.sock"
        first, = self.attach(first_target)
        second, = self.attach(second_target, socket=second_socket)
        self.assertNotEqual(first, second)
        for device, byte in ((first, b"1"), (second, b"2")):
            Path(self.folder / "data").write_bytes(byte * (1 << 20))
            self.must("dd", f"if={self.folder}/data", f"of={device}", "bs=64k", "oflag=direct",
                      "status=none")
        for device, byte in ((first, b"1"), (second, b"2")):
            with open(device, "rb") as opened:
                self.assertEqual(opened.read(1 << 20), byte * (1 << 20))
        pids = {self.daemon_pid(), self.daemon_pid(second_socket)}
        self.assertEqual(len(pids), 2)
        self.assertEqual(self.nvublk("detach", "--all", socket=second_socket).status, 0)
        self.assertEqual([each["device"] for each in
                          self.nvublk("list", "-o", "json").json["devices"]], [first])

    def test_eight_namespaces_and_an_idle_daemon(self):
        target = self.target(namespaces=["size=16M,bs=4096"] * 8)
        devices = self.attach(target)
        self.assertEqual(len(set(devices)), 8)
        self.must("fio", "--name=all", f"--filename={':'.join(devices)}", "--rw=randwrite",
                  "--bs=16k", "--size=64m", "--direct=1", "--ioengine=libaio", "--iodepth=16",
                  "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0")
        pid = self.daemon_pid()
        time.sleep(2)
        before = cpu_time_ns(pid)
        time.sleep(10)
        self.assertLess(cpu_time_ns(pid) - before, 50_000_000, "ns of CPU in 10 s: 0.5 %")


if __name__ == "__main__":
    run_tests()
