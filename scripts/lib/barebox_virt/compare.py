# SPDX-License-Identifier: MIT
"""compare: the same cases under several accelerators, or with several firmwares, and what differs."""

from __future__ import annotations

import argparse
import random
import string
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oeqa.barebox import accelerator, qemu, results, transcript
from oeqa.barebox.errors import GuestError, SetupError, UsageError
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.machine import Machine
from oeqa.barebox.results import Verdict
from oeqa.barebox.target import BOOT_SECONDS, SILENCE_SECONDS, Target

from . import common, progress, table, test

NAME = "compare"
HELP = "run the cases under several accelerators or with several firmwares; exit status 1 where verdicts differ"
EXAMPLES = """\
  barebox-virt compare qemuarm64-barebox --firmware barebox-dt-2nd.img --accel tcg,nested
  barebox-virt compare qemux86-64-barebox --firmware A.efi --firmware B.efi --accel tcg
  barebox-virt compare qemuriscv64-barebox --bootloader u-boot --accel tcg,kvm,nested"""
SHOWN = 40


@dataclass
class Column:
    """One run: its name, and what it left."""

    name: str
    verdicts: list[Verdict]
    devices: list[str]
    transcript: list[str]
    boot_seconds: float
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``compare``."""
    common.add_firmware_arguments(parser, several=True)
    only = "only these cases; repeatable"
    parser.add_argument("--case", action="append", default=[], metavar="MODULE[.CLASS[.TEST]]", help=only)
    where = "folder for testresults.json and logs (default: a new one below barebox-virt-results)"
    parser.add_argument("--results", type=Path, metavar="DIR", help=where)
    test.add_seed_argument(parser)
    silence = f"a busy guest that says nothing for so long is taken for dead (default: {SILENCE_SECONDS:g})"
    parser.add_argument("--silence-seconds", type=test.seconds, default=SILENCE_SECONDS, metavar="S", help=silence)


# Running


def _devices(target: Target) -> list[str]:
    """What the bootloader found, in its own words."""
    commands = ("drvinfo", "iomem") if target.firmware.bootloader == "barebox" else ("dm tree",)
    try:
        found = [line for c in commands for line in target.run(c).lines]
    except GuestError:
        return []
    return transcript.lines("\n".join(found), target.dialect)


def _column(name: str, target: Target, arguments: argparse.Namespace, folder: results.Folder) -> Column:
    cases = test.load_cases(arguments)
    started = time.time()
    with target, progress.Progress(name, len(cases)) as shown:
        try:
            target.start()
        except GuestError as error:
            shown.note(f"{name}: does not come to its prompt: {str(error).splitlines()[0]}")
        verdicts = results.run(cases, target, lambda v: shown.step(f"{name} {v.case}", test.WORDS[v.status]))
        seconds = time.time() - started
        devices = _devices(target) if target.boots else []
        folder.add(*results.configuration(target, started), verdicts)
        logs = sorted(target.logs.glob("*.console.log"), key=lambda p: p.stat().st_mtime_ns)
        boot = target.boots[0].seconds if target.boots else 0.0
    return Column(name, verdicts, devices, transcript.of_logs(logs, target.dialect), boot, seconds)


def _columns(arguments: argparse.Namespace, m: Machine, folder: results.Folder) -> tuple[list[Column], dict[str, str]]:
    """A column for each pair of firmware and accelerator, and why one cannot be had."""
    columns, refused = [], {}
    firmwares = [_firmware(arguments, m, path) for path in arguments.firmware or [None]]
    for number, firmware in enumerate(firmwares):
        letter = f" {string.ascii_uppercase[number]}" if len(firmwares) > 1 else ""
        print(f"{letter.strip() or 'Firmware'}: {firmware.image}, {firmware.bootloader} {firmware.version}", flush=True)
        for accel in arguments.accel:
            name = f"{accel}{letter}"
            try:
                target = _target(arguments, m, firmware, accel, folder.path / f"logs/{number}-{accel}")
                columns.append(_column(name, target, arguments, folder))
            except SetupError as error:
                refused[name] = str(error).splitlines()[0]
                print(f"{name} cannot be had: {refused[name]}", flush=True)
    return columns, refused


def _firmware(arguments: argparse.Namespace, m: Machine, path: Path | None) -> Firmware:
    return common.find_firmware(argparse.Namespace(**{**vars(arguments), "firmware": path}), m)


def _target(arguments: argparse.Namespace, m: Machine, firmware: Firmware, accel: str, logs: Path) -> Target:
    one = argparse.Namespace(**{**vars(arguments), "accel": accel})
    return Target(
        m,
        firmware,
        qemu.find(m),
        logs,
        accel,
        known_issues=common.find_known_issues(arguments),
        boot_seconds=BOOT_SECONDS,
        silence_seconds=arguments.silence_seconds,
        host=common.find_kvm_host(one, m),
        seed=arguments.seed,
    )


# Comparing


def differing(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """Each case whose verdict is not the same in all columns, with the verdicts."""
    found = [{v.case: test.WORDS[v.status] for v in column.verdicts} for column in columns]
    names = dict.fromkeys(name for verdicts in found for name in verdicts)
    rows = [(name, *(verdicts.get(name, "not run") for verdicts in found)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def changes(first: Sequence[str], other: Sequence[str]) -> list[str]:
    """The lines that only one of the two has, - the first and + the other, in their order and each once. Cases retry
    and read random places: how often a line comes, and after which, is no finding."""
    known, found = set(first), set(other)
    gone = [f"-{line}" for line in dict.fromkeys(first) if line not in found]
    return gone + [f"+{line}" for line in dict.fromkeys(other) if line not in known]


def _show_changes(what: str, columns: Sequence[Column], lines: Callable[[Column], list[str]]) -> None:
    """What differs between the first column and each other one."""
    first = columns[0]
    for other in columns[1:]:
        found = changes(lines(first), lines(other))
        if not found:
            print(f"\n{what}: {first.name} and {other.name} have the same {len(set(lines(first)))} lines")
            continue
        print(f"\n{what}: {len(found)} lines are in one alone, - {first.name}, + {other.name}")
        print("\n".join(found[:SHOWN] + [f"... {len(found) - SHOWN} more"] * (len(found) > SHOWN)))


def _show_time(columns: Iterable[Column]) -> None:
    rows = [(c.name, f"{c.boot_seconds:.2f}", f"{c.seconds:.1f}") for c in columns]
    table.show("\nTime", ("run", "to the prompt, s", "all cases, s"), rows)


def show(columns: Sequence[Column]) -> int:
    """Print the differences; 1 where verdicts differ."""
    rows = differing(columns)
    if rows:
        table.show(f"\n{len(rows)} verdicts differ", ("case", *(c.name for c in columns)), rows)
    else:
        print(f"\nAll {len(columns[0].verdicts)} verdicts agree: {', '.join(c.name for c in columns)}")
    _show_changes("Devices", columns, lambda c: c.devices)
    _show_changes("Consoles", columns, lambda c: c.transcript)
    _show_time(columns)
    return 1 if rows else 0


def run(arguments: argparse.Namespace) -> int:
    """Run and compare."""
    arguments.seed = random.getrandbits(32) if arguments.seed is None else arguments.seed
    arguments.accel = list(dict.fromkeys(arguments.accel.split(",")))
    if unknown := [a for a in arguments.accel if a not in accelerator.REQUESTS]:
        raise UsageError(f"unknown accelerator {unknown[0]!r}; allowed: {', '.join(accelerator.REQUESTS)}")
    m = common.find_machine(arguments)
    if len(arguments.accel) * len(arguments.firmware or [None]) < 2:
        raise UsageError("nothing to compare: name two accelerators (--accel tcg,nested) or two firmwares (--firmware)")
    if len(arguments.firmware or []) > len(string.ascii_uppercase):
        raise UsageError(f"more than {len(string.ascii_uppercase)} firmwares to compare")
    if not test.load_cases(arguments):
        raise UsageError(f"no case speaks to {arguments.bootloader}")
    path = arguments.results or Path("barebox-virt-results") / f"{m.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    with results.Folder(path) as folder:
        columns, refused = _columns(arguments, m, folder)
    status = show(columns) if len(columns) > 1 else 0
    for name, reason in refused.items():
        print(f"\n{name} cannot be had: {reason}")
    if len(columns) < 2:
        raise SetupError("fewer than two runs are left, there is nothing to compare")
    print(f"\nResults and logs: {path}")
    return status
