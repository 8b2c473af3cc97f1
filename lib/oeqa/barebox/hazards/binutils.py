# SPDX-License-Identifier: MIT
"""Source lines and disassembly by GNU or LLVM binutils, where they are installed; nothing here is ever needed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

SECONDS = 60
SLOT = 16
OBJDUMP_MACHINES = {"aarch64": "aarch64", "riscv64": "riscv:rv64", "x86_64": "i386:x86-64"}
PADDING = {"aarch64": b"\x1f\x20\x03\xd5", "riscv64": b"\x01\x00", "x86_64": b"\x90"}
"""No operation, in each architecture."""


def _run(arch: str, tool: str, arguments: Sequence[str], text: str = "") -> list[str]:
    """What the first installed tool that accepts the arguments prints; nothing where none does."""
    for name in (f"{arch}-linux-gnu-{tool}", tool, f"llvm-{tool}"):
        program = shutil.which(name)
        if program is None:
            continue
        try:
            command = [program, *arguments]
            done = subprocess.run(
                command, input=text, capture_output=True, text=True, errors="replace", timeout=SECONDS
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return done.stdout.splitlines()
    return []


def lines(arch: str, elf: Path, addresses: Sequence[int]) -> list[str]:
    """``file:line`` of each of an ELF's addresses, empty where its debug information, or a tool, is missing."""
    if not addresses:
        return []
    found = _run(arch, "addr2line", ["-e", str(elf)], "\n".join(map(hex, addresses)) + "\n")
    if len(found) != len(addresses):
        return [""] * len(addresses)
    return ["" if "??" in line or line.endswith(":0") else re.sub(r" \(.*", "", line) for line in found]


def line_table(arch: str, elf: Path) -> Iterator[tuple[str, int, int]]:
    """File, line and first address of each piece of an ELF's code that its debug information tells of; nothing where
    that, or a tool, is missing."""
    file = ""
    for line in _run(arch, "readelf", ["--debug-dump=decodedline", "--wide", str(elf)]):
        words = line.removeprefix("CU: ").split()
        if len(words) == 1 and words[0].endswith(":"):
            file = words[0][:-1]
        elif file and len(words) > 2 and words[1].isdigit() and words[2].startswith("0x"):
            yield file, int(words[1]), int(words[2], 16)


def disassemble(arch: str, codes: Sequence[bytes]) -> list[str]:
    """Each instruction in the assembler's words, empty where a tool is missing."""
    if not codes:
        return []
    slots = [(code + PADDING[arch] * SLOT)[:SLOT] for code in codes]
    with tempfile.NamedTemporaryFile(prefix="barebox-virt-", suffix=".bin") as file:
        file.write(b"".join(slots))
        file.flush()
        options = ["-D", "-z", "-b", "binary", "-m", OBJDUMP_MACHINES[arch], "--no-show-raw-insn", file.name]
        printed = _run(arch, "objdump", options)
    found = {
        int(m[1], 16): " ".join(m[2].split()) for m in (re.match(r"\s*([0-9a-f]+):\s*(.*)", x) for x in printed) if m
    }
    comment = " // " if arch == "aarch64" else " # "
    return [found.get(index * SLOT, "").partition(comment)[0] for index in range(len(codes))]
