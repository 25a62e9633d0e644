#!/usr/bin/env python3
"""What a target's log of writes and flushes says about what must be left of its namespace.

As a program: write_log.py LOG IMAGE, where the target has had one life. It prints how many blocks
were made durable by FUA and how many have lost what was not durable; exit status 1 and the
reasons if anything is missing that was.
"""

import sys
import zlib
from pathlib import Path


class Life:
    """From one start of the target to its end: blocks by number, versions as CRC-32."""

    def __init__(self, block_size):
        self.block_size = block_size
        self.versions = {}  # block: [(line, crc), ...] in the order of the log
        self.flushes = []   # (line, microseconds)
        self.forced = {}    # block: the last line that made it durable by itself (FUA)

    def last_before(self, block, line):
        found = [version for version in self.versions.get(block, []) if version[0] < line]
        return found[-1] if found else None

    def durable_until(self, block):
        """The line before which all that was written to the block is durable."""
        flushed = self.flushes[-1][0] if self.flushes else -1
        return max(flushed, self.forced.get(block, -1))


def read_lives(path):
    """Every start of the target has a Life. The last line may be cut short: it was told nobody."""
    text = Path(path).read_text(encoding="ascii")
    lives = []
    for number, line in enumerate(text[:text.rfind("\n") + 1].splitlines()):
        kind, time, *rest = line.split()
        if kind == "begin":
            lives.append(Life(int(rest[0])))
        elif kind == "write":
            for index, crc in enumerate(rest[1:]):
                lives[-1].versions.setdefault(int(rest[0]) + index, []).append((number, int(crc)))
        elif kind == "zero":
            zeroes = zlib.crc32(bytes(lives[-1].block_size))
            for block in range(int(rest[0]), int(rest[0]) + int(rest[1])):
                lives[-1].versions.setdefault(block, []).append((number, zeroes))
        elif kind == "flush":
            lives[-1].flushes.append((number, int(time)))
        elif kind == "fua":
            for block in range(int(rest[0]), int(rest[0]) + int(rest[1])):
                lives[-1].forced[block] = number
        else:
            raise ValueError(f"line {number + 1} of {path}: {line}")
    return lives


class Checker:
    """Follows an image through the lives of its target."""

    def __init__(self):
        self.before = {}  # block: what it had when the last life ended

    def check(self, life, image_path):
        """The blocks of the image that have what they must not have, as sentences, and how many
        have lost what was written and not made durable. To be called for each life, when it has
        ended and before the next begins."""
        problems, lost = [], 0
        with open(image_path, "rb") as image:
            for block, versions in life.versions.items():
                image.seek(block * life.block_size)
                found = zlib.crc32(image.read(life.block_size))
                until = life.durable_until(block)
                durable = life.last_before(block, until)
                allowed = {crc for line, crc in versions if line > until}
                # Who was never flushed in this life has what it had before.
                kept = durable[1] if durable else self.before.get(block)
                if kept is None:
                    kept = zlib.crc32(bytes(life.block_size))
                if found != kept and found not in allowed:
                    problems.append(f"block {block} has neither what was flushed (CRC {kept}) nor "
                                    f"anything later: CRC {found}")
                lost += found != versions[-1][1]
                self.before[block] = found
        return problems, lost

    @staticmethod
    def check_acknowledged(life, acknowledged):
        """`acknowledged`: (began, returned, {block: crc}) of each fsync of a host, in microseconds
        of the monotonic clock, with the newest content of blocks that it had written before. Each
        must have a flush that came between, after those contents were written."""
        problems = []
        for began, returned, contents in acknowledged:
            within = [line for line, time in life.flushes if began <= time <= returned]
            if not within:
                problems.append(f"an fsync from {began} to {returned} came to no flush")
                continue
            for block, crc in contents.items():
                lines = [line for line, found in life.versions.get(block, []) if found == crc]
                if not any(line < within[-1] for line in lines):
                    problems.append(f"block {block}, CRC {crc}, was acknowledged by fsync at "
                                    f"{returned} and not written before a flush")
        return problems


def main(log, image):
    life, = read_lives(log)
    problems, lost = Checker().check(life, image)
    print(f"{len(life.forced)} blocks by FUA, {len(life.flushes)} flushes, {lost} blocks lost")
    print("\n".join(problems[:10]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
