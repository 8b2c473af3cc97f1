# SPDX-License-Identifier: MIT
"""Memory as barebox' commands show it: the numbers of md's dump, the banks that iomem lists, what malloc has left."""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import case

WIDTHS = {"b": 1, "w": 2, "l": 4, "q": 8}
MIB = 1 << 20


def values(lines: Sequence[str], width: str) -> list[int]:
    """The numbers in md's hex dump, as many as its line holds of the width."""
    digits = 2 * WIDTHS[width]
    columns = 16 * (digits + 1) // WIDTHS[width] + 2
    found = []
    for line in lines:
        text = line.partition(": ")[2][:columns]
        found += [int(x, 16) for x in re.findall(rf"\b[0-9a-f]{{{digits}}}\b", text)]
    return found


def split(data: bytes | bytearray, width: str) -> list[int]:
    """The little-endian numbers of one width in some bytes."""
    size = WIDTHS[width]
    return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]


def malloc(test: case.BootloaderTestCase) -> tuple[int, int]:
    """Bytes that malloc has given away, and has left."""
    text = "\n".join(test.shell("meminfo"))
    used, free = (re.search(rf"{word}: (\d+)", text) for word in ("used", "free"))
    assert used and free, text
    return int(used[1]), int(free[1])


class RamCase(case.BootloaderTestCase):
    """RAM that is nobody's."""

    def setUp(self) -> None:
        if "EFI_PAYLOAD" in (self.board.symbols or ()):
            self.skipTest("CONFIG_EFI_PAYLOAD is on: RAM belongs to the firmware below")
        super().setUp()

    def banks(self) -> list[tuple[int, int, list[tuple[int, int]]]]:
        """Each bank of RAM: its bounds and the bounds of what lies in it."""
        self.need("CMD_IOMEM", "iomem")
        found: list[tuple[int, int, list[tuple[int, int]]]] = []
        for line in self.shell("iomem"):
            match = re.match(r"( *)0x(\w+) - 0x(\w+) \(.*?\) (.*)", line)
            assert match, line
            indent, first, last, name = match.groups()
            area = int(first, 16), int(last, 16) + 1
            if len(indent) == 2:
                found += [(*area, [])] if re.match(r"ram\d+$", name) else []
            elif found and len(indent) == 4 and found[-1][0] <= area[0] < found[-1][1]:
                found[-1][2].append(area)
        if not found:
            self.skipTest("iomem lists no RAM: an EFI payload owns none")
        return found

    def free(self) -> tuple[int, int]:
        """The bounds of the larger gap in the first bank, less its first half, where QEMU's device tree may be."""
        start, end, used = self.banks()[0]
        edges = [(start, start), *sorted(used), (end, end)]
        low, high = max(((a[1], b[0]) for a, b in zip(edges, edges[1:])), key=lambda gap: gap[1] - gap[0])
        return (low + (high - low) // 2 + 0xFFF) & ~0xFFF, high
