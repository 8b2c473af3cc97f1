# SPDX-License-Identifier: MIT
"""Hazards as data: each instruction of a run that KVM could not have emulated, with its name, place and device."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

from . import arm64, binutils, riscv64, x86_64
from .decode import Kind
from .elf import Elf
from .memory import MemoryMap, Region
from .names import Code, Names
from .trace import Access, Instruction, Trace

FORMAT = 1
DECODERS: dict[str, ModuleType] = {"aarch64": arm64, "riscv64": riscv64, "x86_64": x86_64}
NO_REGISTERS = (
    "DC IVAC and DC ZVA on devices: only QEMU 9.0 and newer let a plugin read the registers with their addresses"
)
NO_MAP = "DC IVAC and DC ZVA on devices: the guest never came to its prompt, where QEMU's memory map is asked for"


@dataclass(frozen=True)
class Hazard:
    """One instruction that KVM could not have emulated on one device.

    ``kind`` and ``why`` classify it; ``pc`` is where it ran, ``symbol`` and ``source`` where it is from, empty where
    that is not known; ``code`` is its bytes, ``words`` their disassembly. ``access`` is load, store, load and store,
    maintenance or stack; ``address`` the first physical address (0 for stack), ``region`` and ``device`` QEMU's names
    for it; ``count`` how many accesses QEMU made of it, where a pair may be two; ``more`` how many further instructions
    share the cause (stack alone).
    """

    kind: str
    why: str
    pc: int
    symbol: str
    source: str
    code: str
    words: str
    access: str
    address: int
    region: str
    device: str
    size: int
    count: int
    more: int = 0

    def where(self) -> str:
        """Symbol and address of the instruction, as people want to read it."""
        return f"{self.symbol} ({self.pc:#x})" if self.symbol else f"{self.pc:#x}"

    def target(self) -> str:
        """What was accessed, how and how often."""
        if self.access == "stack":
            return f"and {self.more} more instructions" if self.more else ""
        device = self.device if self.region in self.device else f"{self.device} {self.region}".strip()
        return f"{self.access} at {self.address:#x}, {device}, {self.count} times"

    def __str__(self) -> str:
        parts = (f"{self.kind}: {self.words or self.code}", f"in {self.where()}", self.source, self.target(), self.why)
        return "\n  ".join(part for part in parts if part)


@dataclass(frozen=True)
class Report:
    """What one or several runs of QEMU showed. ``regions`` are those that were accessed at all, ``accesses`` counts
    instructions on regions; ``skipped`` names what could not be watched."""

    arch: str
    api: int
    hazards: tuple[Hazard, ...]
    regions: tuple[str, ...]
    accesses: int
    code: tuple[Code, ...]
    skipped: tuple[str, ...]

    def data(self) -> dict[str, object]:
        """The report for JSON."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    def __str__(self) -> str:
        return "\n".join(map(str, self.hazards)) or "no hazards"


@dataclass(frozen=True)
class _Found:
    """A hazard before it has names."""

    instruction: Instruction
    kind: Kind
    access: str
    address: int
    region: str
    size: int
    count: int
    more: int = 0


def make(arch: str, traces: Sequence[Trace], memory: MemoryMap | None, files: Sequence[Elf]) -> Report:
    """The report of the runs in ``traces``.

    :param arch: the guest's architecture, as uname -m prints it
    :param memory: where the devices were; None where nobody could ask
    :param files: ELF files of the code that ran
    """
    instructions = {i for trace in traces for i in _instructions(trace)}
    names = Names(arch, files, sorted(instructions, key=lambda i: i.order))
    found = [f for trace in traces for f in _judge(arch, trace, memory)]
    return Report(
        arch=arch,
        api=max((t.api for t in traces), default=0),
        hazards=tuple(_named(arch, _merged(found, names), names, memory)),
        regions=tuple(sorted({_label(a, memory) for t in traces for a in t.accesses})),
        accesses=len({(a.instruction.code, a.instruction.pc, a.region, a.store) for t in traces for a in t.accesses}),
        code=tuple(names.code),
        skipped=_skipped(arch, traces, memory),
    )


def _instructions(trace: Trace) -> Iterator[Instruction]:
    for entries in (trace.accesses, trace.stack, trace.maintenance):
        yield from (entry.instruction for entry in entries)


def _skipped(arch: str, traces: Sequence[Trace], memory: MemoryMap | None) -> tuple[str, ...]:
    if arch != "aarch64":
        return ()
    if any(not t.registers for t in traces):
        return (NO_REGISTERS,)
    return (NO_MAP,) if memory is None else ()


def _label(access: Access, memory: MemoryMap | None) -> str:
    region = memory.find(access.address) if memory else None
    if region:
        return region.name
    return "(unnamed)" if access.region.startswith("anon") else access.region


def _judge(arch: str, trace: Trace, memory: MemoryMap | None) -> Iterator[_Found]:
    decoder = DECODERS[arch]
    for access in trace.accesses:
        kind = decoder.judge(access.instruction.code) or (None if access.aligned else decoder.unaligned())
        if kind:
            direction = "store" if access.store else "load"
            where = (access.address, access.region, access.size, access.count)
            yield _Found(access.instruction, kind, direction, *where)
    if arch == "aarch64":
        yield from _judge_stack(trace)
        yield from _judge_maintenance(trace, memory)


def _judge_stack(trace: Trace) -> Iterator[_Found]:
    """The first use of a misaligned stack pointer: KVM's guest would not come to the others."""
    wrong = [use.instruction for use in trace.stack if arm64.misaligned_stack(use.instruction.code, use.offsets)]
    if wrong:
        yield _Found(min(wrong, key=lambda i: i.order), arm64.STACK, "stack", 0, "", 0, 1, len(wrong) - 1)


def _judge_maintenance(trace: Trace, memory: MemoryMap | None) -> Iterator[_Found]:
    for use in trace.maintenance:
        for region in memory.outside_ram(use.low, use.high) if memory else ():
            where = (max(use.low, region.low), region.name, 0, use.count)
            yield _Found(use.instruction, arm64.MAINTENANCE, "maintenance", *where)


def _merged(found: Iterable[_Found], names: Names) -> list[_Found]:
    """Each hazard once, in the order of time: the same instruction may have run at several addresses, before and after
    the bootloader moved itself, and in several runs."""
    merged: dict[tuple[object, ...], _Found] = {}
    for entry in sorted(found, key=lambda f: f.instruction.order):
        place = names.find(entry.instruction.pc, entry.instruction.code)
        identity = place[:2] if place else entry.instruction.pc
        key = (identity, entry.instruction.code, entry.kind, entry.region)
        merged[key] = _joined(merged[key], entry) if key in merged else entry
    return list(merged.values())


def _joined(one: _Found, other: _Found) -> _Found:
    access = one.access if other.access in one.access else "load and store"
    return dataclasses.replace(one, count=one.count + other.count, access=access)


def _named(arch: str, found: Sequence[_Found], names: Names, memory: MemoryMap | None) -> Iterator[Hazard]:
    places = [names.find(f.instruction.pc, f.instruction.code) for f in found]
    words = binutils.disassemble(arch, [f.instruction.code for f in found])
    for entry, place, source, text in zip(found, places, names.sources(places), words):
        region: Region | None = memory.find(entry.address) if memory and entry.access != "stack" else None
        yield Hazard(
            kind=entry.kind.name,
            why=entry.kind.why,
            pc=entry.instruction.pc,
            symbol=place[2] if place else "",
            source=source,
            code=entry.instruction.code.hex(),
            words=text,
            access=entry.access,
            address=entry.address,
            region=region.name if region else entry.region,
            device=region.device if region else "",
            size=entry.size,
            count=entry.count,
            more=entry.more,
        )
