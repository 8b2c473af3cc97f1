# SPDX-License-Identifier: MIT
"""Names for the addresses that a guest left behind: in its registers, on its stack and in its last words.

A bootloader moves itself, so the addresses are not its ELF file's. Where it is, its code in memory tells: the same
bytes are in the ELF file.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from .errors import GuestError
from .hazards import binutils
from .hazards.elf import PAGE, Elf, place

Read = Callable[[int, int], bytes]
"""The guest's memory at a physical address, so many bytes of it; bootloaders map it where it is."""

# As QEMU's "info registers" calls them on arm64, riscv64 and x86_64.
REGISTERS = {
    "pc": re.compile(r"\b(?:PC|RIP)=([0-9a-f]{16})\b|^ pc +([0-9a-f]{16})\b", re.M),
    "link": re.compile(r"\bX30=([0-9a-f]{16})\b|\bx1/ra +([0-9a-f]{16})\b"),
    "stack": re.compile(r"\b(?:SP|RSP)=([0-9a-f]{16})\b|\bx2/sp +([0-9a-f]{16})\b"),
}
WORD = re.compile(r"\b(?:0x)?([0-9a-f]{8}|[0-9a-f]{16})\b", re.I)
STACK_BYTES = 2048
PAGES = 24
STEP = 32


@dataclass(frozen=True)
class Traces:
    """What a machine was asked for while it could still answer: addresses by where they were found, and the memory
    around them."""

    found: tuple[tuple[str, int], ...] = ()
    pages: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Placed:
    """An ELF file and how far from its own addresses its code lies in memory."""

    elf: Elf
    distance: int


def collect(registers: str, words: str, read: Read) -> Traces:
    """Ask a machine for what a backtrace needs.

    :param registers: what QEMU's "info registers" prints
    :param words: the last that the guest printed
    """
    values = {name: _first(pattern, registers) for name, pattern in REGISTERS.items()}
    found = [(name, values[name]) for name in ("pc", "link") if values[name]]
    found += [("console", int(text, 16)) for text in WORD.findall(words)]
    stack = _read(read, values["stack"] & ~7, STACK_BYTES) if values["stack"] else b""
    found += [("stack", int.from_bytes(stack[i : i + 8], "little")) for i in range(0, len(stack), 8)]
    pages: dict[int, bytes] = {}
    for _, address in found:
        page = address // PAGE * PAGE
        if page and page not in pages and len(pages) < PAGES:
            pages[page] = _read(read, page, PAGE)
    return Traces(tuple(found), pages)


def _first(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.search(text)
    return int(next(g for g in match.groups() if g), 16) if match else 0


def _read(read: Read, address: int, length: int) -> bytes:
    """Memory, or nothing where there is none."""
    with contextlib.suppress(GuestError, ConnectionError, OSError):
        return read(address, length)
    return b""


def placed(traces: Traces, files: Iterable[Elf]) -> list[Placed]:
    """The ELF files whose code is in the memory that was read."""
    seen = [
        (page + offset, data[offset : offset + 8])
        for page, data in traces.pages.items()
        for offset in range(0, len(data) - 8, STEP)
        if len(set(data[offset : offset + 8])) > 2
    ]
    return [Placed(elf, distance) for elf in files if (distance := place(elf, seen)) is not None]


def describe(arch: str, traces: Traces, files: Sequence[Elf]) -> str:
    """The addresses in the bootloader's code with their functions and source lines; the rest is left out."""
    here = placed(traces, files)
    if not here:
        return "none of the addresses is in the code of an ELF file that is at hand\n"
    lines = [f"{p.elf.path}: loaded {p.distance:+#x} from its own addresses" for p in here]
    for p in here:
        inside = [(where, a) for where, a in dict.fromkeys(traces.found) if p.elf.has(a - p.distance)]
        # What is not the program counter is where a call returns to: the call is before that.
        calls = [a - p.distance - (where != "pc") for where, a in inside]
        for (where, address), source in zip(inside, binutils.lines(arch, p.elf.path, calls)):
            name = p.elf.name(address - p.distance) or "?"
            lines.append(f"{where:8} {address:#018x}  {name}  {source}".rstrip())
    return "\n".join(lines) + "\n"
