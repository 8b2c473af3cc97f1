# SPDX-License-Identifier: MIT
"""A kernel of a few instructions, which tells what a bootloader hands over to it.

It is in the Image format of Linux, prints one line of registers on the UART, and waits. What the registers point to is
read from outside (Target.memory). No assembler is needed: payloads/<arch>.hex is made of payloads/<arch>.S.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

from .errors import Unavailable

FOLDER = Path(__file__).with_name("payloads")
IMAGE_SIZE = slice(16, 24)
ALIGNMENT = 1 << 21
"""A kernel begins at a multiple of this (arm64: booting.rst, riscv: boot.rst in Linux)."""

REGISTERS = {
    "aarch64": ("dtb", "x1", "x2", "x3", "start", "CurrentEL", "SCTLR", "DAIF"),
    "riscv64": ("hart", "dtb", "start", "satp", "sie", "sstatus"),
}
LINE = r"^handover((?: [0-9a-f]{16})+)\r?\n"
"""What it prints, as a regular expression."""

SCTLR_MMU_DATA_CACHE = 0b101
RESERVED = {"aarch64": 4096, "riscv64": 1 << 21}
"""To a multiple of how many bytes Linux reserves its image, and takes nothing that begins in there for an initrd
(paging_init of arch/arm64/mm, setup_bootmem of arch/riscv/mm)."""

Memory = Callable[[int, int], bytes]


def check(arch: str) -> str:
    """The architecture's name again.

    :raises Unavailable: there is no payload for it
    """
    if arch not in REGISTERS:
        raise Unavailable(f"there is no payload for {arch}; there are: {', '.join(sorted(REGISTERS))}")
    return arch


def image(arch: str, size: int = 1 << 20) -> bytes:
    """A kernel of ``size`` bytes for an architecture: code, and noise behind it.

    :raises Unavailable: there is none for the architecture
    """
    lines = (FOLDER / f"{check(arch)}.hex").read_text(encoding="utf-8").splitlines()
    code = bytearray.fromhex("".join(line for line in lines if not line.startswith("#")))
    code[IMAGE_SIZE] = size.to_bytes(8, "little")
    return bytes(code) + random.randbytes(size - len(code))


def registers(arch: str, text: str) -> dict[str, int]:
    """The registers in what the payload printed.

    :raises ValueError: they are not in ``text``
    """
    found = re.findall(LINE, text, re.M)
    if len(found) != 1:
        raise ValueError(f"the payload's line is there {len(found)} times:\n{text}")
    words = found[0].split()
    if len(words) != len(REGISTERS[arch]):
        raise ValueError(f"{len(REGISTERS[arch])} registers are expected: {found[0]}")
    return {name: int(word, 16) for name, word in zip(REGISTERS[arch], words)}


def broken_rules(arch: str, regs: dict[str, int]) -> list[str]:
    """What of Linux' boot protocol the registers do not keep to (booting.rst, boot.rst)."""
    dtb, start = regs["dtb"], regs["start"]
    rules = {
        f"the device tree is at {dtb:#x}, not at a multiple of 8": dtb % 8 == 0 and dtb != 0,
        f"the kernel is at {start:#x}, not at a multiple of 2 MiB": start % ALIGNMENT == 0,
    }
    if arch == "aarch64":
        rules["x1 to x3 are not zero"] = not (regs["x1"] or regs["x2"] or regs["x3"])
        rules["MMU or data cache are on"] = not regs["SCTLR"] & SCTLR_MMU_DATA_CACHE
        rules["interrupts are not masked"] = regs["DAIF"] & 0x3C0 == 0x3C0
    else:
        rules["address translation is on (satp)"] = regs["satp"] == 0
    return [text for text, kept in rules.items() if not kept]


def handed_blob(regs: dict[str, int], memory: Memory) -> bytes:
    """The device tree that the payload was given, as a blob, read from the machine's memory."""
    head = memory(regs["dtb"], 8)
    return memory(regs["dtb"], int.from_bytes(head[4:8], "big"))
