# SPDX-License-Identifier: MIT
"""Names for addresses: an ELF file's code and symbols, and where in memory that code lay.

Only what is needed here of 64-bit little-endian ELF ("Tool Interface Standard, ELF Specification", and the psABI of
each architecture for symbols that are none).
"""

from __future__ import annotations

import bisect
import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

PAGE = 4096
LEAST_MATCHES = 8
LEAST_SHARE = 0.95
PROGRAM, SYMBOLS = 1, 2
EXECUTABLE = 4
FUNCTION = 2
MAPPING_SYMBOL = re.compile(r"^\$([adtx](\.|$)|xrv)|^\.L")


@dataclass(frozen=True)
class Section:
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True)
class Symbol:
    address: int
    size: int
    name: str


class Elf:
    """An ELF file's code and the names in it.

    :raises UsageError: no 64-bit little-endian ELF
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._data = path.read_bytes()
            if self._data[:6] != b"\x7fELF\2\1":
                raise ValueError("no 64-bit little-endian ELF")
            self._sections = list(self._read_sections())
            self.symbols = sorted(set(self._read_symbols()), key=lambda s: (s.address, -s.size, s.name))
        except (OSError, ValueError, struct.error) as error:
            raise UsageError(f"{path}: {error}; the bootloader's ELF file is expected") from None
        self._addresses = [symbol.address for symbol in self.symbols]
        self.code = [
            (s.address, self._data[s.offset : s.offset + s.size])
            for s in self._sections
            if s.kind == PROGRAM and s.flags & EXECUTABLE
        ]

    def has(self, address: int) -> bool:
        """Whether there is code at the address."""
        return any(start <= address < start + len(data) for start, data in self.code)

    def at(self, address: int, size: int) -> bytes:
        """The code at an address; empty where there is none."""
        return next(
            (
                d[address - start : address - start + size]
                for start, d in self.code
                if start <= address < start + len(d)
            ),
            b"",
        )

    def name(self, address: int) -> str:
        """``symbol+0xoffset``; empty where no symbol is near."""
        index = bisect.bisect_right(self._addresses, address) - 1
        if index < 0:
            return ""
        while index > 0 and self._addresses[index - 1] == self._addresses[index]:
            index -= 1
        symbol = self.symbols[index]
        if symbol.size and address >= symbol.address + symbol.size:
            return ""
        return f"{symbol.name}+{address - symbol.address:#x}"

    def _read_sections(self) -> Iterator[Section]:
        (table,) = struct.unpack_from("<Q", self._data, 0x28)
        entry, count = struct.unpack_from("<HH", self._data, 0x3A)
        for index in range(count):
            _, kind, flags, address, offset, size, link = struct.unpack_from(
                "<IIQQQQI", self._data, table + index * entry
            )
            yield Section(kind, flags, address, offset, size, link)

    def _read_symbols(self) -> Iterator[Symbol]:
        for section in (s for s in self._sections if s.kind == SYMBOLS):
            names = self._sections[section.link]
            text = self._data[names.offset : names.offset + names.size]
            for offset in range(section.offset, section.offset + section.size, 24):
                name, info, _, index, value, size = struct.unpack_from("<IBBHQQ", self._data, offset)
                kind = info & 15
                if index and index < len(self._sections) and (kind == FUNCTION or kind == 0):
                    label = text[name : text.index(b"\0", name)].decode(errors="replace")
                    if self._sections[index].flags & EXECUTABLE and not MAPPING_SYMBOL.search(label):
                        yield Symbol(value, size, label)


def place(elf: Elf, seen: Sequence[tuple[int, bytes]]) -> int | None:
    """How far from its own addresses an ELF's code lay in memory; None where it was not there.

    Each instruction that was seen votes for every distance at which the same bytes are in the ELF; code is moved by
    whole pages. The winner has to be right for practically all that was seen in its range, else it is another build's.

    :param seen: program counters and instructions
    """
    votes: Counter[int] = Counter()
    for pc, code in seen:
        for address in _occurrences(elf, code, pc % PAGE):
            votes[pc - address] += 1
    for distance, _ in votes.most_common(3):
        within = [(pc, code) for pc, code in seen if elf.has(pc - distance)]
        right = sum(elf.at(pc - distance, len(code)) == code for pc, code in within)
        if right >= LEAST_MATCHES and right >= LEAST_SHARE * len(within):
            return distance
    return None


def _occurrences(elf: Elf, code: bytes, remainder: int) -> Iterator[int]:
    for start, data in elf.code:
        for position in range((remainder - start) % PAGE, len(data), PAGE):
            if data.startswith(code, position):
                yield start + position
