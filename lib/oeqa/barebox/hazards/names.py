# SPDX-License-Identifier: MIT
"""Which function and which source line an instruction in memory is from, also after the bootloader moved itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import binutils
from .elf import Elf, place
from .trace import Instruction


@dataclass(frozen=True)
class Code:
    """An ELF file and where its code was found: ``loaded_at`` is what was added to its addresses; None where it was
    not found; ``problem`` why names are missing."""

    elf: str
    loaded_at: int | None
    problem: str = ""


class Names:
    """Names of addresses in memory, by the ELF files whose code was found there; ``code`` tells where that was.

    :param seen: instructions that ran, in the order of time
    """

    def __init__(self, arch: str, files: Sequence[Elf], seen: Sequence[Instruction]) -> None:
        self._arch = arch
        self._placed: list[tuple[Elf, int]] = []
        self.code: list[Code] = []
        for file in files:
            self._place(file, [(i.pc, i.code) for i in seen])

    def _place(self, file: Elf, seen: Sequence[tuple[int, bytes]]) -> None:
        distance = place(file, seen)
        problem = ""
        if distance is None:
            problem = "of another build, or it hardly touched a device: addresses without names"
        elif not file.symbols:
            problem = "stripped, it has no symbols: addresses without names"
        self.code.append(Code(str(file.path), distance, problem))
        if distance is not None:
            self._placed.append((file, distance))

    def find(self, pc: int, code: bytes) -> tuple[Path, int, str] | None:
        """ELF file, address in it and symbol."""
        for file, distance in self._placed:
            if file.at(pc - distance, len(code)) == code:
                return file.path, pc - distance, file.name(pc - distance)
        return None

    def sources(self, places: Sequence[tuple[Path, int, str] | None]) -> list[str]:
        """``file:line`` for each place."""
        found = [""] * len(places)
        for path in {p[0] for p in places if p}:
            here = [(index, p[1]) for index, p in enumerate(places) if p and p[0] == path]
            for (index, _), line in zip(here, binutils.lines(self._arch, path, [address for _, address in here])):
                found[index] = line
        return found
