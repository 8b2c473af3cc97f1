# SPDX-License-Identifier: MIT
"""Cases that compare what something takes with other work in the same run."""

from __future__ import annotations

import re
from collections.abc import Callable

from . import case
from .variant import Variant

MIB = 1 << 20
TRIES = 90
"""For requests, which wait for the host's side; on a host with ten times as much to do as it can, few are quick."""
FACTOR = 2
ARCHS = ("aarch64", "riscv64", "x86_64")
MEASURED = {
    "start": (6, 2.2, 4.1),
    "stage": (1.5, 0.6, 0.9),
    "command": (0.006, 0.004, 0.004),
    "loop": (8.1, 7.7, 7.3),
    "output": (35, 37, 1850),
    "glob": (11, 12, 13),
    "ls": (11, 12, 270),
    "of_dump": (2.7, 4.4, None),
    "copy": (0.11, 0.1, 1),
    "odd copy": (0.11, 1.05, 1),
    "memcmp": (1.5, 0.9, 1.6),
    "memset": (0.05, 0.04, 0.5),
    "cp": (0.09, 0.09, 1.4),
    "prng": (0.17, 0.17, 0.17),
    "unpack": (0.81, 0.57, 1.8),
    "again": (0.18, 0.14, 0.13),
    "sha256sum": (0.34, 6.7, 5),
    "sha1sum": (0.35, 2.9, 2.4),
    "md5sum": (1.9, 1.6, 1.9),
    "fat read": (0.25, 0.35, 1.6),
    "ext4 read": (0.25, 0.35, 1.9),
    "squashfs read": (0.5, 0.7, 3),
    "ping": (1.4, 1.7, 31),
    "tftp": (0.08, 0.11, 0.5),
    "erase": (0.01, 0.008, None),
    "flash write": (0.05, 0.032, None),
    "flash read": (0.26, 0.1, None),
}
"""The highest ratio of v2026.06.1 with GCC 12.2 and QEMU 7.2 on each of ARCHS; None where there is no such thing. Loop,
output, glob, ls, of_dump and ping are to a command that does nothing, the others to the CRC of a MiB. FACTOR times as
much is red. (x86_64's output goes through OVMF.)"""
REQUEST = 1.6
"""A request to a disk or for random data, to the same command on RAM: 1.0 to 1.1 everywhere."""
SEEN: list[tuple[str, float, float]] = []
"""What each ratio of this run is of, the ratio, and from where it is red; for scripts/benchmarks/speed.py."""


class SpeedCase(case.BootloaderTestCase):
    """A machine whose clock counts instructions. ``most`` is the ratio, by its name, from which a case is red; in
    ``/data`` and ``/copy`` is the same random MiB."""

    variant = Variant(icount=True)
    needs = ("CMD_TIME", "CMD_MEMCPY", "CMD_CRC")
    most: dict[str, float]

    def setUp(self) -> None:
        super().setUp()
        if self.board.machine.arch not in ARCHS:
            self.skipTest(f"nobody measured {self.board.machine.arch}")
        ratios = {what: ratio[ARCHS.index(self.board.machine.arch)] for what, ratio in MEASURED.items()}
        self.most = {"request": REQUEST, **{what: FACTOR * ratio for what, ratio in ratios.items() if ratio}}
        self.shell(f"memcpy -s /dev/prng -d /data 0 0 {MIB}; memcpy -s /data -d /copy 0 0 {MIB}")

    def took(self, command: str, number: int = 0) -> int:
        """The time of a successful command in ns; # in it stands for the place of another piece in each repetition, in
        KiB."""
        text = "\n".join(self.shell(f"time -n '{command.replace('#', str(64 * number))} || echo FAILED'", seconds=120))
        self.assertNotIn("FAILED", text, command)
        found = re.search(r"time: (\d+)ns", text)
        assert found, text
        return int(found[1])

    def compare(self, what: str, command: str, base: float, tries: int = 3) -> int:
        """A command takes at most so many times ``base`` ns, in one of some tries. Its shortest time in ns."""
        return self.within(what, lambda number: self.took(command, number), base, tries)

    def within(self, what: str, measure: Callable[[int], int], base: float, tries: int = 3) -> int:
        """What is measured is at most so many times ``base`` in one of some tries. Its shortest time in ns."""
        if what not in self.most:
            self.skipTest(f"nobody measured {what} on {self.board.machine.arch}")
        most = self.most[what]
        shortest = measure(0)
        for number in range(1, tries):
            if shortest < most * base:
                break
            shortest = min(shortest, measure(number))
        label = f"{self._in_hand.model} {what}" if self._in_hand else what
        SEEN.append((label, shortest / base, most))
        message = f"{what}: {shortest / base:.3f} times what it is compared to; less than {most:.3f} times is expected"
        self.assertLess(shortest, most * base, message)
        return shortest

    def crc(self) -> int:
        """The time of a CRC of a MiB."""
        return min(self.took(f"crc32 -f /data 0+{MIB}") for _ in range(2))

    def copy(self) -> int:
        """The time of a command that copies 512 bytes from RAM."""
        return min(self.took("memcpy -s /data -d /dev/null #K 0 512", number) for number in range(5))

    def nothing(self) -> int:
        """The time of a command that does nothing."""
        return min(self.took("true") for _ in range(5))

    def requests(self, device: str, command: str) -> tuple[int, ...]:
        """How many requests a command makes on a disk of this id: reads and writes."""
        counts = []
        for what in (command, ""):
            stats = next(x["stats"] for x in self.board.query("query-blockstats") if x["device"] == device)
            counts.append((stats["rd_operations"], stats["wr_operations"]))
            if what:
                self.shell(what, seconds=120)
        return tuple(b - a for a, b in zip(*counts))
