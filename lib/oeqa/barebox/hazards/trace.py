# SPDX-License-Identifier: MIT
"""What the plugin wrote down, read from its file; hazards.c tells what each line means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SetupError


@dataclass(frozen=True)
class Instruction:
    """An instruction of the guest; ``order`` tells which of two was met first."""

    pc: int
    code: bytes
    order: int


@dataclass(frozen=True)
class Access:
    """An instruction's accesses to one memory region of a device; ``address`` is the first one's, physical."""

    instruction: Instruction
    region: str
    store: bool
    size: int
    aligned: bool
    address: int
    count: int


@dataclass(frozen=True)
class StackUse:
    """An arm64 instruction whose base register is the stack pointer; bit n of ``offsets``: it began to access at an
    address whose remainder by 16 is n."""

    instruction: Instruction
    offsets: int


@dataclass(frozen=True)
class Maintenance:
    """An arm64 DC IVAC or DC ZVA on the pages from ``low`` up to ``high``, exclusive."""

    instruction: Instruction
    low: int
    high: int
    count: int


@dataclass
class Trace:
    """One run of one QEMU. ``registers``: whether this QEMU's plugins can read them, and so see DC IVAC and DC ZVA."""

    target: str
    api: int
    registers: bool
    accesses: list[Access] = field(default_factory=list)
    stack: list[StackUse] = field(default_factory=list)
    maintenance: list[Maintenance] = field(default_factory=list)


def read(path: Path) -> Trace:
    """The trace in a file.

    :raises SetupError: it is missing or not whole: QEMU died, or was killed, before it could write
    """
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not entries or "end" not in entries[-1]:
            raise ValueError("its end is missing")
        head = entries[0]
        trace = Trace(head["target"], head["api"], head["registers"])
        for entry in entries[1:-1]:
            _add(trace, entry)
    except (OSError, ValueError, KeyError) as error:
        raise SetupError(
            f"{path}: what the plugin saw was not written whole ({error}); QEMU did not end in an orderly way"
        ) from None
    return trace


def _add(trace: Trace, entry: Mapping[str, Any]) -> None:
    values = dict(entry)
    instruction = Instruction(values.pop("pc"), bytes.fromhex(values.pop("code")), values.pop("order"))
    if "region" in values:
        trace.accesses.append(Access(instruction, **values))
    elif "offsets" in values:
        trace.stack.append(StackUse(instruction, **values))
    else:
        trace.maintenance.append(Maintenance(instruction, **values))
