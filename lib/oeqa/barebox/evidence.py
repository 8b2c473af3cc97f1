# SPDX-License-Identifier: MIT
"""One folder for each failed case, with all that is known of the machine.

transcript.txt has what was typed and printed, with times; qemu-command.txt and versions.json what ran; status,
registers, memory-map and devices are QEMU's; dmesg, iomem and devinfo the guest's, where it still answers;
backtrace.txt has names for addresses, disks.txt what changed on the disks; replay runs that one case again.

Nothing here fails a case or takes a green run's time: a machine is asked only once something is wrong, within a
deadline, and what cannot be had or written is said in its place.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import backtrace, changes
from .backtrace import Read, Traces
from .console import Console
from .deadline import Deadline
from .errors import GuestError, RequestRefused, UsageError
from .firmware import Firmware
from .hazards.elf import Elf
from .process import Running

MONITOR = {"registers.txt": "info registers -a", "memory-map.txt": "info mtree -f -o", "devices.txt": "info qtree"}
GUEST = ("dmesg", "iomem", "devinfo")
SECONDS = 15.0
ANSWER_SECONDS = 5.0
LAST_WORDS = 8192
Replay = Callable[[str, int], str]
"""Makes the shell commands that run one case again, with the same seed of random data."""


@dataclass
class Snapshot:
    """What a machine told when something was wrong: texts by the names of their files, and addresses."""

    texts: dict[str, str] = field(default_factory=dict)
    traces: Traces = field(default_factory=Traces)


@dataclass(frozen=True)
class Facts:
    """What ran: for the results, and for names."""

    info: Mapping[str, object]
    arch: str
    firmware: Firmware
    seed: int


def take(process: Running, console: Console | None, read: Read) -> Snapshot:
    """Ask QEMU, whatever state the guest is in. What QEMU does not answer is left out."""
    texts = {"qemu-command.txt": shlex.join(process.command) + "\n"}
    if console is not None:
        texts["transcript.txt"] = console.wire.transcript()
    deadline = Deadline(SECONDS)
    with contextlib.suppress(ConnectionError):
        texts["status.json"] = json.dumps(process.qmp.execute("query-status"), indent=1) + "\n"
        for name, command in MONITOR.items():
            if not deadline.expired:
                texts[name] = _monitor(process, command)
        words = console.wire.tail[-LAST_WORDS:] if console is not None else ""
        return Snapshot(texts, backtrace.collect(texts.get("registers.txt", ""), _panic(words), read))
    return Snapshot(texts)


def _monitor(process: Running, command: str) -> str:
    try:
        return str(process.qmp.execute("human-monitor-command", **{"command-line": command}))
    except RequestRefused as error:
        return f"{error}\n"


def _panic(words: str) -> str:
    """The guest's last words from where its trouble began; none where it printed no addresses of its own code."""
    marks = [words.rfind(mark) for mark in ("PANIC: ", "Unhandled exception", "!!!! ", "Call trace:", "Backtrace:")]
    start = min((m for m in marks if m >= 0), default=-1)
    return words[start:] if start >= 0 else ""


def ask(console: Console, snapshot: Snapshot) -> None:
    """Ask a guest that is at its prompt, until it fails to answer."""
    deadline = Deadline(SECONDS)
    with contextlib.suppress(GuestError, UsageError):
        for command in GUEST:
            result = console.run(command, min(ANSWER_SECONDS, deadline.left))
            if result.status == 0:
                snapshot.texts[f"{command}.txt"] = "\n".join(result.lines) + "\n"


class Evidence:
    """Writes the folders.

    :param folder: for one folder a failed case; nothing is written where it is left out
    :param replay: makes the commands that run one case again
    """

    def __init__(self, folder: Path | None = None, replay: Replay | None = None) -> None:
        self._folder = folder
        self._replay = replay
        self.snapshot: Snapshot | None = None

    @property
    def wanted(self) -> bool:
        """Whether anything is written."""
        return self._folder is not None

    def write(self, case: str, message: str, about: Facts, disks: Iterable[Path]) -> str:
        """Write one case's folder and return a line for its failure's text that names it."""
        if self._folder is None:
            return ""
        folder = self._unused(self._folder / case)
        try:
            folder.mkdir(parents=True)
            for name, text in self._texts(case, message, about, disks).items():
                (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
            if (folder / "replay").exists():
                (folder / "replay").chmod(0o755)
        except OSError as error:
            return f"evidence: {folder} is incomplete: {error.strerror}"
        return f"evidence: {folder}"

    def _unused(self, folder: Path) -> Path:
        number = 2
        while folder.exists():
            folder = folder.with_name(f"{folder.name.partition('~')[0]}~{number}")
            number += 1
        return folder

    def _texts(self, case: str, message: str, about: Facts, disks: Iterable[Path]) -> dict[str, str]:
        """The files' names and texts, what is small and important first, since the disk may be full."""
        snapshot = self.snapshot or Snapshot({"transcript.txt": "(the machine was off)\n"})
        texts = {"failure.txt": f"{case}\n\n{message}\n"}
        if self._replay is not None:
            texts["replay"] = f"#!/bin/sh\n# Runs {case} again.\n{self._replay(case, about.seed)}\n"
        texts["versions.json"] = json.dumps({"HOST": platform.platform(), **about.info}, indent=1, default=str) + "\n"
        texts.update(snapshot.texts)
        if snapshot.traces.found:
            texts["backtrace.txt"] = backtrace.describe(about.arch, snapshot.traces, elves(about.firmware))
        if changed := "\n".join(filter(None, map(_changes, disks))):
            texts["disks.txt"] = changed
        return texts


def elves(firmware: Firmware) -> list[Elf]:
    """The firmware's ELF files that can be read."""
    found = []
    for path in (firmware.elf, firmware.pbl):
        with contextlib.suppress(UsageError):
            found += [Elf(path)] if path is not None else []
    return found


def _changes(disk: Path) -> str:
    """What changed on a disk, or why that cannot be told."""
    try:
        return changes.describe(disk)
    except OSError as error:
        return f"{disk.name}: {error.strerror}\n"
