#!/usr/bin/env python3
"""Each rule of lint.py finds what it is for, in a tree made for it, and nothing in a clean one."""

import tempfile
import unittest
from pathlib import Path

import lint

GUARD = "#pragma once\n"


class LintTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)

    def write(self, path, text, listed=True):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if listed:
            with open(file.parent / "CMakeLists.txt", "a", encoding="utf-8") as lists:
                lists.write(f"  {file.name}\n")
        return file

    def assert_finds(self, *parts):
        findings = lint.check(self.root)
        self.assertEqual(len(findings), 1, findings)
        for part in parts:
            self.assertIn(part, findings[0])

    def test_a_clean_tree(self):
        self.write("src/nvme/tcp/a.h", GUARD + '#include "nvme/b.h"\n#include "engine/c.h"\n'
                   "// Does this. [TCP 1.1 §3.6.2, §3.6.3]\n"
                   'const char* spec = "Base 2.1 §3.5";\nint f() {\n  return 1;\n}\n')
        self.assertEqual(lint.check(self.root), [])

    def test_include_against_the_arrows(self):
        self.write("src/ublk/a.cc", '#include "nvme/b.h"\n')
        self.assert_finds("src/ublk/a.cc:1", "nvme")

    def test_the_core_includes_no_transport(self):
        self.write("src/nvme/a.cc", '#include "nvme/tcp/b.h"\n')
        self.assert_finds("nvme/tcp")

    def test_one_file_names_the_transports(self):
        self.write("src/nvme/transport_factory.cc", '#include "nvme/tcp/b.h"\n')
        self.assertEqual(lint.check(self.root), [])

    def test_transports_do_not_know_each_other(self):
        self.write("src/nvme/tcp/a.cc", '#include "nvme/rdma/b.h"\n')
        self.assert_finds("nvme/rdma")

    def test_includes_say_the_folder(self):
        self.write("src/engine/a.cc", '#include "b.h"\n')
        self.assert_finds("folder")

    def test_the_kernels_ublk_header(self):
        self.write("src/ublk/a.cc", "#include <linux/ublk_cmd.h>\n")
        self.assert_finds("ublk_cmd")

    def test_json_stays_in_the_service(self):
        self.write("src/nvme/a.cc", "#include <nlohmann/json.hpp>\n")
        self.assert_finds("nlohmann")

    def test_long_file_line_and_function(self):
        self.write("src/engine/a.cc", "int x;\n" * 601)
        self.assert_finds("601 lines")
        self.write("src/engine/a.cc", "// " + "x" * 100 + "\n", listed=False)
        self.assert_finds("103 columns")
        body = "  f();\n" * 70
        self.write("src/engine/a.cc", "A::A(B b = {})\n    : b_([](B&) { f(); }, this) {\n" + body
                   + "}\n", listed=False)
        self.assert_finds("a function of 72 lines")

    def test_header_without_guard(self):
        self.write("src/engine/a.h", "int x;\n")
        self.assert_finds("#pragma once")

    def test_unfinished_work(self):
        self.write("src/engine/a.cc", "// TO" + "DO: more\n")
        self.assert_finds("unfinished")

    def test_words_that_hide_an_owner(self):
        for word in ("std::mutex m;", "std::atomic<int> a;", "std::shared_ptr<int> p;",
                     "std::function<void()> f;", "sleep_for(x);", "assert(x);"):
            with self.subTest(word):
                self.write("src/nvme/tcp/a.cc", word + "\n")
                self.assert_finds("src/nvme/tcp/a.cc:1")
        self.write("src/nvme/tcp/a.cc", "// not std::mutex\n")
        self.assertEqual(lint.check(self.root), [])

    def test_citation_in_another_form(self):
        for line in ("// see §3.5", "// [Base §3.5]", "// (TCP 1.1 §3)", "// [Base 2.1 3.5] §1"):
            with self.subTest(line):
                self.write("src/nvme/a.cc", line + "\n")
                self.assert_finds("citation")

    def test_source_that_is_not_built(self):
        self.write("src/engine/a.cc", "int x;\n")
        self.write("src/engine/ba.cc", "int x;\n", listed=False)
        self.write("src/engine/a.cc", "int x;\n")
        self.assert_finds("src/engine/ba.cc", "not listed")

    def test_script_with_a_syntax_error_or_not_executable(self):
        script = self.write("scripts/x", "#!/usr/bin/env bash\nif\n", listed=False)
        script.chmod(0o755)
        self.assert_finds("syntax error")
        script.write_text("#!/usr/bin/env bash\ntrue\n")
        script.chmod(0o644)
        self.assert_finds("executable")

    def test_program_without_manual_page_and_option_that_it_lacks(self):
        self.write("tools/CMakeLists.txt", "add_executable(prog main.cc)\n", listed=False)
        self.assert_finds("prog has no manual page")
        self.write("man/prog.1", ".TH prog 1\n\\-\\-deep\n", listed=False)
        program = self.write("bin/prog", "#!/bin/sh\n"
                             'if [ "$1" = go ]; then echo "  --deep  --lost"; exit; fi\n'
                             'printf "Commands:\\n  go  Goes\\n"\n', listed=False)
        program.chmod(0o755)
        self.assertEqual(lint.check(self.root), [])
        findings = lint.check(self.root, self.root / "bin")
        self.assertEqual(findings, ["man/prog.1: does not name --lost of prog go"])


if __name__ == "__main__":
    unittest.main()
