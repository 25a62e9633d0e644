#!/usr/bin/env python3
"""What is installed: programs and units; the library, its symbols, and clients built against it.

ctest runs each class by itself: install_test.py CLASS.
"""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from pathlib import Path

from examples import check_examples

BUILD = Path(os.environ["NVUBLK_BUILD"])
SOURCE = Path(os.environ["NVUBLK_SOURCE"])
CXX = os.environ["NVUBLK_CXX"]
LIBDIR = os.environ["NVUBLK_LIBDIR"]
EXAMPLES = ("hello", "identify", "pollloop")
# Applications say so too: the headers are C++23.
STANDARD = ["-std=c++23", "-Wall", "-Wextra", "-Werror"]


class InstallTest(unittest.TestCase):
    """A prefix of its own with the library in it."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="install-test-", dir=BUILD))
        self.addCleanup(shutil.rmtree, self.folder)
        self.prefix = self.folder / "prefix"
        self.must("cmake", "--install", BUILD, "--prefix", self.prefix, "--component", "library")
        self.libraries = self.prefix / LIBDIR

    def must(self, *words, **more):
        run = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                             check=False, **more)
        self.assertEqual(run.returncode, 0, f"{words}\n{run.stdout}\n{run.stderr}")
        return run.stdout

    def environment(self):
        return {**os.environ, "PKG_CONFIG_PATH": str(self.libraries / "pkgconfig")}

    def shared(self):
        return {**os.environ, "LD_LIBRARY_PATH": str(self.libraries)}

    def needed(self, program):
        return re.findall(r"\(NEEDED\).*\[(.*)\]", self.must("readelf", "-d", program))

    def exported(self):
        """What the shared library exports: names with their arguments and version."""
        lines = self.must("nm", "-DC", "--defined-only", self.libraries / "libnvublk.so")
        return [line.split(" ", 2)[2] for line in lines.splitlines()]


class Headers(InstallTest):
    """Only what applications need, and all of that."""

    def test_those_listed_are_there_and_no_others(self):
        root = self.prefix / "include/nvublk"
        found = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        self.assertEqual(found, sorted(os.environ["NVUBLK_HEADERS"].split(",")))
        self.assertIn("nvme/initiator.h", found)
        for private in ("nvme/controller_impl.h", "nvme/data_pointer.h", "nvme/tcp/tcp_queue.h"):
            self.assertNotIn(private, found)

    def test_they_compile_without_the_source_tree(self):
        flags = self.must("pkg-config", "--cflags", "nvublk", env=self.environment()).split()
        includes = "".join(f"#include <{header}>\n"
                           for header in os.environ["NVUBLK_HEADERS"].split(","))
        self.must(CXX, *STANDARD, "-fsyntax-only", *flags, "-x", "c++", "-", input=includes)


class Symbols(InstallTest):
    """What the shared library exports."""

    def test_the_soname_has_the_major_version(self):
        dynamic = self.must("readelf", "-d", self.libraries / "libnvublk.so")
        self.assertIn("[libnvublk.so.0]", dynamic)

    def test_only_the_public_ones_under_their_version(self):
        names = self.exported()
        names.remove("NVUBLK_0")
        self.assertTrue(any(name.startswith("nvublk::nvme::Initiator::connect") for name in names))
        for name in names:
            self.assertRegex(name, r"^nvublk::.*@@NVUBLK_0$")
        # Insides, and what was only linked in.
        for inside in (r"^nvublk::nvme::tcp::", r"::Impl\b", r"ControllerInit", r"^[^(]*\bstd::",
                       r"spdlog", r"\bfmt::", r"IoQueueLedger::", r"QueueTransport"):
            found = [name for name in names if re.search(inside, name.split("(")[0])]
            self.assertEqual(found, [], inside)


def is_no_template(element):
    return element.find("templateparamlist") is None


def is_defined_elsewhere(member):
    """Whether `member`, of Doxygen's XML, is a function whose body is in the library."""
    result = member.find("type")
    return (member.get("kind") == "function" and member.get("prot") != "private"
            and member.get("inline") == "no" and member.get("virt") != "pure-virtual"
            and is_no_template(member)
            and not (result is not None and "constexpr" in "".join(result.itertext()).split())
            and not re.search(r"=\s*(default|delete)$", member.findtext("argsstring")))


class Declarations(InstallTest):
    """What the reference describes can be called: Doxygen knows what there is."""

    def described(self):
        """How many functions of each name are declared, and not defined right there."""
        counts = Counter()
        for path in (self.folder / "reference/xml").glob("*.xml"):
            for scope in ElementTree.parse(path).iter("compounddef"):
                if scope.get("kind") in ("class", "struct", "namespace") and is_no_template(scope):
                    for member in filter(is_defined_elsewhere, scope.iter("memberdef")):
                        counts[f"{scope.findtext('compoundname')}::{member.findtext('name')}"] += 1
        return counts

    def test_all_functions_of_the_reference_are_exported(self):
        self.must(SOURCE / "scripts/reference", self.folder / "reference")
        overloads = defaultdict(set)
        for name in self.exported():
            name = re.sub(r"\[abi:\w+\]", "", name)
            overloads[name.split("(")[0]].add(name)
        described = self.described()
        self.assertIn("nvublk::nvme::Initiator::connect", described)
        missing = [name for name, count in sorted(described.items())
                   if len(overloads[name]) < count]
        self.assertEqual(missing, [], "add these to nvublk.map, or take them out of the headers")


class Programs(InstallTest):
    """All that there is, in a folder that a distribution makes a package of."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="install-test-", dir=BUILD))
        self.addCleanup(shutil.rmtree, self.folder)
        prefix = re.search(r"^CMAKE_INSTALL_PREFIX:\w+=/?(.*)$",
                           (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE).group(1)
        self.root = self.folder / "root"
        self.prefix = self.root / prefix
        self.must("cmake", "--install", BUILD, env={**os.environ, "DESTDIR": str(self.root)})

    def test_everything_is_in_its_place(self):
        library = ("include/", f"{LIBDIR}/libnvublk", f"{LIBDIR}/pkgconfig/", f"{LIBDIR}/cmake/")
        # With the prefix /usr, systemd may want its units in /lib.
        found = [str(path.relative_to(self.prefix if path.is_relative_to(self.prefix)
                                      else self.root))
                 for path in self.root.rglob("*") if path.is_file()]
        self.assertEqual(sorted(name for name in found if not name.startswith(library)), [
            "bin/nvublk", "bin/nvublk-perf", "bin/nvublk-target",
            "lib/systemd/system/nvublkd-root-reload.service",
            "lib/systemd/system/nvublkd-root.service", "lib/systemd/system/nvublkd.service",
            "sbin/nvublkd",
            "share/bash-completion/completions/nvublk",
            "share/man/man1/nvublk-perf.1", "share/man/man1/nvublk-target.1",
            "share/man/man1/nvublk.1", "share/man/man8/nvublkd.8"])
        for name in library:
            self.assertTrue([path for path in found if path.startswith(name)], name)

    def test_the_units_start_what_is_installed(self):
        for unit in self.root.rglob("*.service"):
            program = re.search(r"^ExecStart=@?/(\S+)", unit.read_text(), re.MULTILINE).group(1)
            root = Path("/") if program == "bin/systemctl" else self.root
            self.assertTrue(os.access(root / program, os.X_OK), program)

    def test_the_command_line_starts_the_daemon_beside_it(self):
        socket = self.folder / "run" / "nvublk.sock"
        command = [self.prefix / "bin/nvublk", "--socket", socket]
        nowhere = subprocess.run([*command, "attach", "nvme+tcp://127.0.0.1:9/nqn.2026-01.a:b"],
                                 capture_output=True, text=True, check=False)
        daemon = json.loads(self.must(*command, "status", "-o", "json"))["daemon"]["pid"]
        try:
            self.assertIn("refused", nowhere.stderr)
            self.assertEqual(Path(f"/proc/{daemon}/exe").resolve(), self.prefix / "sbin/nvublkd")
        finally:
            handle = os.pidfd_open(daemon)
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            self.assertTrue(select.select([handle], [], [], 60)[0], "it does not end")
            os.close(handle)


class PkgConfig(InstallTest):
    """Clients that ask pkg-config."""

    def build(self, flags):
        for example in EXAMPLES:
            self.must(CXX, *STANDARD, SOURCE / f"examples/{example}.cc", "-o",
                      self.folder / f"nvublk-example-{example}", *flags)

    def test_shared(self):
        self.build(self.must("pkg-config", "--cflags", "--libs", "nvublk",
                             env=self.environment()).split())
        self.assertIn("libnvublk.so.0", self.needed(self.folder / "nvublk-example-hello"))
        check_examples(self, self.folder, env=self.shared())

    def test_static(self):
        flags = self.must("pkg-config", "--static", "--cflags", "--libs", "nvublk",
                          env=self.environment()).split()
        archive = self.libraries / "libnvublk.a"
        self.build([str(archive) if flag == "-lnvublk" else flag for flag in flags])
        self.assertNotIn("libnvublk.so.0", self.needed(self.folder / "nvublk-example-hello"))
        check_examples(self, self.folder)


class CMakePackage(InstallTest):
    """Clients that call find_package(nvublk)."""

    def build(self, *options):
        build = self.folder / "build"
        self.must("cmake", "-G", "Ninja", "-S", SOURCE / "examples", "-B", build,
                  f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_CXX_COMPILER={CXX}", *options)
        self.must("cmake", "--build", build)
        return build

    def test_shared(self):
        build = self.build()
        self.assertIn("libnvublk.so.0", self.needed(build / "nvublk-example-hello"))
        check_examples(self, build)

    def test_static(self):
        build = self.build("-DNVUBLK_STATIC=ON")
        self.assertNotIn("libnvublk.so.0", self.needed(build / "nvublk-example-hello"))
        check_examples(self, build)

    def test_the_version_is_checked(self):
        probe = self.folder / "probe"
        probe.mkdir()
        (probe / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(probe CXX)\n"
            "find_package(nvublk 0.99 QUIET)\n"
            "if(nvublk_FOUND)\n  message(FATAL_ERROR \"found\")\nendif()\n")
        self.must("cmake", "-S", probe, "-B", probe / "build",
                  f"-DCMAKE_PREFIX_PATH={self.prefix}")


if __name__ == "__main__":
    unittest.main()
