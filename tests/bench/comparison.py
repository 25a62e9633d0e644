"""What the comparing benches share: fio in interleaved rounds, the daemon under test, the table."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# (name, fio's rw, block size, depth)
CASES = [
    ("4 KiB random read, depth 1", "randread", "4k", 1),
    ("4 KiB random write, depth 1", "randwrite", "4k", 1),
    ("4 KiB random read, depth 32", "randread", "4k", 32),
    ("4 KiB random write, depth 32", "randwrite", "4k", 32),
    ("128 KiB read, depth 8", "read", "128k", 8),
    ("128 KiB write, depth 8", "write", "128k", 8),
]


def say(text):
    print(text, file=sys.stderr, flush=True)


def output_of(*words, **options):
    run = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, text=True,
                         capture_output=True, check=False, **options)
    if run.returncode != 0:
        sys.exit(f"{words[0]} failed with status {run.returncode}:\n{run.stdout}{run.stderr}")
    return run.stdout


def wait_until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"this never came true: {what}")
        time.sleep(0.05)


def programs_folder():
    """$NVUBLK_BIN, or where the release build puts the programs."""
    folder = Path(os.environ.get("NVUBLK_BIN") or ROOT / "build/release/tools")
    if not (folder / "nvublkd").exists():
        sys.exit(f"no nvublkd in {folder}: build first, or set NVUBLK_BIN")
    return folder


def run_fio(device, case, seconds):
    """(I/Os per second, number of I/Os) of `case` on `device`."""
    _, rw, block_size, depth = case
    report = json.loads(output_of(
        "fio", "--name=bench", f"--filename={device}", f"--rw={rw}", f"--bs={block_size}",
        f"--iodepth={depth}", "--ioengine=libaio", "--direct=1", "--time_based", "--norandommap",
        "--randrepeat=0", f"--runtime={seconds}", "--output-format=json"))
    job = report["jobs"][0]
    return (job["read"]["iops"] + job["write"]["iops"],
            job["read"]["total_ios"] + job["write"]["total_ios"])


class Daemon:
    """An nvublkd of our own, with a socket of its own."""

    def __init__(self, *arguments):
        self.folder = Path(tempfile.mkdtemp(prefix="nvublk-bench.", dir="/run"))
        self.programs = programs_folder()
        self.socket = self.folder / "nvublk.sock"
        self.log = open(self.folder / "log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [self.programs / "nvublkd", "--socket", self.socket, *arguments],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until("the daemon listens", self.socket.exists)

    def nvublk(self, command, *arguments):
        return output_of(self.programs / "nvublk", command, "--socket", self.socket, *arguments)

    def attach(self, *arguments):
        """(path of the only device, seconds that it took)."""
        began = time.monotonic()
        path = self.nvublk("attach", *arguments).split()[0]
        return path, time.monotonic() - began

    def enters(self):
        """Calls of io_uring_enter by all I/O shards."""
        shards = json.loads(self.nvublk("status", "-o", "json"))["daemon"]["shards"]
        return sum(shard.get("enters", 0) for shard in shards)

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def idle_cpu_percent(self, seconds=10):
        before = self.cpu_seconds()
        time.sleep(seconds)
        return 100 * (self.cpu_seconds() - before) / seconds

    def stop(self):
        self.nvublk("detach", "--all", "--force")
        self.process.terminate()
        self.process.wait(60)
        self.log.close()
        shutil.rmtree(self.folder)


def compare(base, ours, daemon, rounds, seconds, others=()):
    """Measures each case on the devices `base`, `ours` and `others`, (name, path) each, alternating;
    `ours` is served by `daemon`. Returns a list of results, one for each case, of medians."""
    results = []
    devices = [base, ours, *others]
    for case in CASES:
        iops = {name: [] for name, _ in devices}
        enters = []
        for number in range(rounds):
            for name, path in devices if number % 2 == 0 else reversed(devices):
                before = daemon.enters()
                speed, count = run_fio(path, case, seconds)
                iops[name].append(speed)
                if name == ours[0] and count > 0:
                    enters.append((daemon.enters() - before) / count)
        medians = {name: statistics.median(values) for name, values in iops.items()}
        results.append({
            "case": case[0], "iops": {name: round(value) for name, value in medians.items()},
            "ratio": round(medians[ours[0]] / max(medians[base[0]], 1e-9), 2),
            "ratios": {name: round(medians[ours[0]] / max(medians[name], 1e-9), 2)
                       for name, _ in others},
            "io_uring_enter_per_io": round(statistics.median(enters), 3),
        })
        say(f"{case[0]}: {results[-1]['iops']}, ratio {results[-1]['ratio']} "
            f"{results[-1]['ratios'] or ''}".rstrip())
    return results


def print_table(report, as_json):
    if as_json:
        print(json.dumps(report, indent=2))
        return
    names = list(report["results"][0]["iops"])
    others = list(report["results"][0]["ratios"])
    heads = ["", *[f"{name}, IOPS" for name in names], "ratio", *[f"to {name}" for name in others],
             "io_uring_enter per I/O"]
    rows = [[result["case"], *[f"{result['iops'][name]:,}" for name in names],
             f"{result['ratio']:.2f}", *[f"{result['ratios'][name]:.2f}" for name in others],
             f"{result['io_uring_enter_per_io']:.3f}"]
            for result in report["results"]]
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
    for key, value in report.items():
        if key != "results":
            print(f"{key.replace('_', ' ')}: {value}")
