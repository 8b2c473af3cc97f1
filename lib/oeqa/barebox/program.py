# SPDX-License-Identifier: MIT
"""The QEMU that is installed: what it is, and which devices it knows."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .errors import SetupError
from .machine import Device, Machine

OF_THE_BOARD = ("watchdog",)
"""Kinds of devices that a board brings along: QEMU gets no option for them."""


@dataclass(frozen=True)
class Program:
    """A QEMU that is installed: what it is and which devices it knows."""

    path: Path
    version: str
    models: frozenset[str]

    def lacks(self, device: Device) -> bool:
        """Whether this QEMU was built without the device (9p, most often). A part of the board is always there."""
        return device.kind not in OF_THE_BOARD and device.model not in self.models


class Wanted(Protocol):
    """What a description says of the QEMU that it needs."""

    @property
    def binary(self) -> str: ...

    @property
    def minimum(self) -> str: ...


def find(machine: Machine, path: Path | None = None) -> Program:
    """The machine's QEMU, from PATH or at ``path``.

    :raises SetupError: it is missing, does not run or is too old
    """
    return find_for(machine.qemu, machine.name, path)


def find_for(wanted: Wanted, what: str, path: Path | None = None) -> Program:
    """The QEMU that ``what`` needs, from PATH or at ``path``.

    :raises SetupError: it is missing, does not run or is too old
    """
    name = str(path) if path else wanted.binary
    found = shutil.which(name)
    if found is None:
        raise SetupError(
            f"{name} is not installed; {what} needs it in release {wanted.minimum} or newer. "
            "barebox-virt doctor names the package."
        )
    program = _ask(found)
    if _numbers(program.version) < _numbers(wanted.minimum):
        raise SetupError(f"{found} is release {program.version}; {what} needs {wanted.minimum} or newer")
    return program


@functools.cache
def _ask(path: str) -> Program:
    answer = ""
    for option in (["--version"], ["-machine", "none", "-device", "help"]):
        try:
            run = subprocess.run([path, *option], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SetupError(f"{path} does not run: {error}") from None
        if run.returncode:
            raise SetupError(f"{path} {' '.join(option)} ends with status {run.returncode}: {run.stderr.strip()}")
        answer += run.stdout
    return understand(path, answer)


def understand(path: str, answer: str) -> Program:
    """The QEMU that printed ``answer`` when it was asked for its version and its devices.

    :raises SetupError: it is none
    """
    match = re.search(r"version (\d+(?:\.\d+)+)", answer)
    if match is None:
        raise SetupError(f"{path} --version prints no version: {answer[:80]!r}; a QEMU is expected")
    return Program(Path(path), match.group(1), frozenset(re.findall(r'name "([^"]+)"', answer)))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split("."))
