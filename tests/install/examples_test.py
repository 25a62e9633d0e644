#!/usr/bin/env python3
"""The examples of the build tree: examples_test.py FOLDER."""

import sys
import unittest
from pathlib import Path

from examples import check_examples

FOLDER = Path(sys.argv.pop())


class Examples(unittest.TestCase):
    """What they print."""

    def test_they_do_what_they_say(self):
        check_examples(self, FOLDER)


if __name__ == "__main__":
    unittest.main()
