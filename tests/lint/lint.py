#!/usr/bin/env python3
"""Checks of the tree that no compiler makes: who includes whom, lengths, words, citations, build
lists, manual pages.

With --programs, where the built programs are, each option that a program's --help names must also
be in its manual page. Prints one line per finding; exit status 1 if there is one.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

# --- the rules -----------------------------------------------------------------------------------

# The arrows of ARCHITECTURE.md: who may include from where, beside the folder itself.
ARROWS = {
    "src/engine": [],
    "src/nvme/spec": ["engine"],
    "src/nvme": ["engine", "nvme/spec"],
    "src/nvme/pcie": ["engine", "nvme", "nvme/spec"],
    "src/nvme/rdma": ["engine", "nvme", "nvme/spec"],
    "src/nvme/tcp": ["engine", "nvme", "nvme/spec"],
    "src/ublk": ["engine"],
    "src/fuse": ["engine"],
    "src/service": ["engine", "keys", "nvme", "nvme/spec", "ublk", "fuse"],
    "src/target": ["engine", "nvme/spec"],
    "src/keys": ["engine", "nvme"],
    "src/perf": ["engine", "keys", "nvme", "nvme/spec"],
    "tools": ["engine", "keys", "service", "target", "perf"],
}
# Files that may include more, and why.
ARROW_EXCEPTIONS = {
    "src/nvme/transport_factory.cc": ["nvme/pcie", "nvme/rdma", "nvme/tcp"],  # names all transports
}
# Headers that only some folders may include.
HEADERS = {
    r"linux/ublk_cmd\.h": (),  # old ones lack most flags: src/ublk has an ABI of its own
    r"nlohmann/.*": ("src/service/", "src/target/", "src/perf/", "tools/", "tests/"),
    r"spdlog/.*": ("src/engine/log.cc",),
    r"fuse.*\.h": ("src/fuse/", "src/service/", "tests/"),
    r"liburing\.h": ("src/engine/", "src/ublk/", "src/fuse/", "src/nvme/rdma/", "src/nvme/tcp/",
                     "src/service/",
                     "tests/"),
}

MAX_LINES = [("src/nvme/spec/", 1000), ("tests/", 1000), ("", 600)]
MAX_COLUMNS = 100
MAX_FUNCTION_LINES = 70

UNFINISHED = r"\b(TODO|FIXME|XXX|HACK)\b"
# The library's face: handles that applications hold, some of them on shards of their own, and that
# outlive each other in any order. The way of an I/O below them is free of all this.
LIBRARY = tuple("src/nvme/" + name for name in (
    "initiator.", "connection.", "discovery_walk.", "probe_context.", "controller_impl.",
    "io_queue_ledger.", "io_queue_pair.", "admin_commands.", "firmware_update."))
# Words that hide an owner or cost on the way of an I/O, where they may not be, and the exceptions.
# src/target is a program of its own, with threads and locks as servers have them.
WORDS = [
    (r"std::(mutex|shared_mutex|condition_variable|lock_guard|unique_lock|scoped_lock)\b",
     "shards share nothing: post a message", (
         "src/target/", "src/nvme/io_queue_ledger.",
         "src/nvme/pcie/dma_space.",       # one device's view of all shards' memory, changed when
         "src/nvme/pcie/vfio_space.",      # a region is first used and when it ends
         "src/nvme/pcie/controller_memory.",  # queues of all shards, when they are made
         "src/nvme/pcie/bar_guard.cc",     # the process has one handler of SIGBUS
     )),
    (r"std::(atomic|memory_order)",
     "shards share nothing: post a message, or use Counter", (
         "src/target/",
         "src/perf/",                   # threads that begin and stop together
         "src/engine/mailbox.", "src/engine/counter.h",  # the two ways to be seen by others
         "src/engine/counter_groups.",  # how many counters there are
         "src/engine/reactor.h",        # stop() from any thread
         "src/nvme/queue_pair.",        # its state, read for status
         "src/nvme/io_queue_ledger.",   # queue pairs on other shards than their controller
         "src/nvme/pcie/bar_guard.cc",  # read by a signal handler
     )),
    (r"std::shared_ptr|std::make_shared|std::weak_ptr",
     "name the owner", (
         "src/target/", *LIBRARY,
         "src/engine/log.cc",           # spdlog's interface
         "src/service/",                # jobs of the control path with several steps
         "src/nvme/pcie/admin_link.", "src/nvme/pcie/admin_queue.",  # a device stays open until the
         "src/nvme/pcie/io_queue.", "src/nvme/pcie/pcie_",           # last queue of any shard lets
         "src/nvme/pcie/vfio_device.",                               # go of it
     )),
    (r"std::(function|move_only_function)\b",
     "a function pointer and a context: this is the way of an I/O", (
         "src/target/", "src/service/", "src/perf/histogram.", *LIBRARY,
         "src/engine/block_export.h", "src/engine/blocking_call.",  # control path callbacks
         "src/nvme/controller", "src/ublk/", "src/fuse/",           # likewise: start, stop, drain
         "src/nvme/io_passthrough.",                                # likewise: the user's own
         "src/nvme/pcie/admin_link.", "src/nvme/pcie/pcie_device.h",  # queues are made and deleted
         "src/nvme/transport_options.h",                            # a device is opened
     )),
    (r"std::(thread|jthread|async)\b", "threads are shards", (
        "src/target/", "src/engine/shard.", "src/engine/blocking_call.", "src/engine/wake_time.",
        "src/perf/worker.")),
    (r"\b(usleep|nanosleep|sleep_for|sleep_until|sleep)\(", "a timer, never a sleep",
     ("src/target/",)),
    (r"\bassert\(", "CHECK, which also holds in release builds", ()),
]

# One form: [Base 2.1 §3.5.1], [TCP 1.1 §3.6.2.4, §3.6.2.5]; step tables have the same as a string.
SPECIFICATIONS = r"(Base 2\.[13]|NVM 1\.1|TCP 1\.1|PCIe 1\.1|RDMA 1\.0|ZNS 1\.2|RFC \d+)"
SECTIONS = r'§[A-Z0-9][0-9A-Za-z.]*((, | to | and )§[A-Z0-9][0-9A-Za-z.]*)*(, figure "[^"]*")?'
CITATION = re.compile(rf'(?:\[{SPECIFICATIONS} {SECTIONS}(; {SPECIFICATIONS} {SECTIONS})*\]'
                      rf'|"{SPECIFICATIONS} {SECTIONS}")')

CODE = (".h", ".cc")
NO_FUNCTION = r"(\}|(if|else|for|while|switch|do|namespace|class|struct|enum|union|extern)\b)"


class Tree:
    """The files of a source tree and what was found in them."""

    def __init__(self, root):
        self.root = Path(root)
        self.findings = []
        self._text = {}

    def find(self, path, line, text):
        self.findings.append(f"{path}:{line}: {text}" if line else f"{path}: {text}")

    def text(self, path):
        if path not in self._text:
            self._text[path] = (self.root / path).read_text(encoding="utf-8", errors="replace")
        return self._text[path]

    def lines(self, path):
        return list(enumerate(self.text(path).splitlines(), 1))

    def files(self, folders, endings):
        for folder in folders:
            for path in sorted((self.root / folder).rglob("*")):
                if path.is_file() and path.name.endswith(endings):
                    yield str(path.relative_to(self.root))

    def code(self):
        return self.files(["src", "tools", "tests"], CODE)

    def scripts(self):
        """Programs in shell or Python, which have no ending of their own."""
        for path in self.files(["scripts", "tests", ".ci"], ""):
            if not path.endswith(CODE) and "/corpus/" not in path:
                with open(self.root / path, "rb") as file:
                    if re.match(rb"#!.*\b(bash|sh|python3)\b", file.readline()):
                        yield path


def without_comments(line):
    """`line` without its comment; strings stay."""
    return re.sub(r"//.*", "", line)


# --- one function per rule ------------------------------------------------------------------------


def check_includes(tree):
    rooms = sorted({arrow.removeprefix("src/") for arrow in ARROWS}, key=len, reverse=True)
    for path in tree.code():
        own = max((a for a in ARROWS if path.startswith(a + "/")), key=len, default=None)
        allowed = None
        if own:
            allowed = {own.removeprefix("src/"), *ARROWS[own], *ARROW_EXCEPTIONS.get(path, [])}
        for number, line in tree.lines(path):
            match = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', line)
            if not match:
                continue
            header = match[1] or match[2]
            room = next((r for r in rooms if header.startswith(r + "/")), None)
            if match[1] and "/" not in header:
                tree.find(path, number, f'"{header}": includes say the folder')
            elif match[1] and allowed is not None and room not in allowed:
                tree.find(path, number, f'"{header}": {own} must not include from {room}')
            for pattern, folders in HEADERS.items():
                known = match[2] and re.fullmatch(pattern, header)
                if known and not path.startswith(folders or "?"):
                    tree.find(path, number, f"<{header}> is not for this folder")


def check_headers_guarded(tree):
    for path in tree.code():
        if path.endswith(".h") and not tree.text(path).startswith("#pragma once\n"):
            tree.find(path, 1, "a header begins with #pragma once")


def check_lengths(tree):
    for path in [*tree.code(), *tree.scripts(), *tree.files(["cmake"], ".cmake")]:
        lines = tree.lines(path)
        limit = next(limit for folder, limit in MAX_LINES if path.startswith(folder))
        if len(lines) > limit:
            tree.find(path, None, f"{len(lines)} lines, more than {limit}")
        for number, line in lines:
            if len(line) > MAX_COLUMNS:
                tree.find(path, number, f"{len(line)} columns, more than {MAX_COLUMNS}")


def check_function_lengths(tree):
    """Counts from the line with the opening brace to the closing one."""
    for path in tree.code():
        depth = 0
        begun = []  # (depth outside, line) of what looks like a function
        for number, line in tree.lines(path):
            code = without_comments(re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', "", line)).strip()
            depth += code.count("{") - code.count("}")
            if code.endswith("{") and ")" in code and not re.match(NO_FUNCTION, code):
                begun.append((depth - 1, number))
            while begun and depth <= begun[-1][0]:
                length = number - begun.pop()[1] + 1
                if length > MAX_FUNCTION_LINES:
                    tree.find(path, number, f"a function of {length} lines, more than "
                              f"{MAX_FUNCTION_LINES}")


def check_words(tree):
    for path in [*tree.code(), *tree.scripts()]:
        if path.startswith("tests/lint/"):
            continue
        for number, line in tree.lines(path):
            if re.search(UNFINISHED, line):
                tree.find(path, number, "unfinished work is not landed")
    for path in tree.files(["src"], CODE):
        for number, line in tree.lines(path):
            code = without_comments(line)
            for pattern, reason, exceptions in WORDS:
                match = re.search(pattern, code)
                if match and not path.startswith(exceptions or "?"):
                    tree.find(path, number, f"{match[0]}: {reason}")


def check_citations(tree):
    for path in tree.code():
        if path.startswith("tests/"):
            continue
        lines = [re.sub(r"^\s*//+<?\s*", "", line) for _, line in tree.lines(path)]
        text = "\n".join(lines)
        rest = CITATION.sub(lambda match: "\n" * match[0].count("\n"), text.replace("\n§", " §"))
        if "§" in rest:
            for number, line in tree.lines(path):
                if "§" in CITATION.sub("", line):
                    tree.find(path, number, "a citation has the form [Base 2.1 §3.5.1]")


def check_build_lists(tree):
    for path in tree.code():
        folder, name = os.path.split(path)
        lists = f"{folder}/CMakeLists.txt"
        if not (tree.root / lists).exists():
            if path.startswith("src/"):
                tree.find(path, None, f"there is no {lists}")
            continue
        if path.startswith("tests/") and name.endswith(".h"):
            continue
        if not re.search(rf"(?<![\w/.-]){re.escape(name)}(?![\w.])", tree.text(lists)):
            tree.find(path, None, f"is not listed in {lists}")


def check_scripts(tree):
    for path in tree.scripts():
        if not os.access(tree.root / path, os.X_OK) and "/tests/" not in path:
            tree.find(path, None, "a script is executable")
        if re.match(r"#!.*\bpython3\b", tree.text(path)):
            continue
        run = subprocess.run(["bash", "-n", tree.root / path], capture_output=True, text=True,
                             check=False)
        if run.returncode != 0:
            tree.find(path, None, run.stderr.strip().splitlines()[0])


def help_text(program, words=()):
    run = subprocess.run([program, *words, "--help"], capture_output=True, text=True, timeout=30,
                         stdin=subprocess.DEVNULL, check=False)
    return run.stdout if run.returncode == 0 else ""


def check_manual_pages(tree, programs):
    lists = tree.root / "tools/CMakeLists.txt"
    names = re.findall(r"add_executable\(\s*([\w-]+)", lists.read_text()) if lists.exists() else []
    for name in names:
        pages = [page for page in tree.files(["man"], (".1", ".8")) if
                 re.fullmatch(rf"man/{re.escape(name)}\.\d", page)]
        if not pages:
            tree.find("man", None, f"{name} has no manual page")
            continue
        program = Path(programs) / name if programs else None
        if program is None or not program.exists():
            continue
        page = tree.text(pages[0]).replace("\\-", "-")
        top = help_text(program)
        if not top:
            tree.find(pages[0], None, f"{name} --help says nothing")
        _, _, commands = top.partition("ommands:\n")
        words = [(word,) for word in re.findall(r"^  ([a-z][\w-]*) ", commands, re.MULTILINE)]
        for command in [(), *words]:
            text = top if not command else help_text(program, command)
            for option in sorted(set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))):
                # In mdoc(7) "--option" is written "Fl -option", or "Fl o , -option".
                if not re.search(rf"(--|\bFl (\S+ , )?-){re.escape(option[2:])}(?![\w-])", page):
                    called = " ".join([name, *command])
                    tree.find(pages[0], None, f"does not name {option} of {called}")


def check(root, programs=None):
    """All findings in the tree at `root`, as lines of text."""
    tree = Tree(root)
    for rule in (check_includes, check_headers_guarded, check_lengths, check_function_lengths,
                 check_words, check_citations, check_build_lists, check_scripts):
        rule(tree)
    check_manual_pages(tree, programs)
    return tree.findings


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default=Path(__file__).parents[2])
    parser.add_argument("--programs")
    options = parser.parse_args()
    findings = check(options.source, options.programs)
    print("\n".join(findings) if findings else "lint: nothing found")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
