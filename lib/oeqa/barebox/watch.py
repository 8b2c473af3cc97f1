# SPDX-License-Identifier: MIT
"""A time in which each QEMU that is started writes down what KVM would have had to emulate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .firmware import Firmware
from .hazards import memory, report, trace
from .hazards.elf import Elf
from .hazards.plugin import Plugin
from .machine import Machine


class Watch:
    """Takes what the plugin sees in each start of a machine; ``report`` tells what came out, once it is off.

    :param folder: for the plugin's files
    :raises UsageError: the firmware's ELF file is none
    """

    def __init__(self, plugin: Plugin, machine: Machine, firmware: Firmware, folder: Path) -> None:
        self._plugin = plugin
        self._machine = machine
        self._elves = [Elf(path) for path in (firmware.elf or _elf_image(firmware.image), firmware.pbl) if path]
        self._folder = folder
        self._files: list[Path] = []
        self._starts = 0
        self._cut = 0
        self._memory: memory.MemoryMap | None = None
        self._report: report.Report | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What QEMU has to have in its environment."""
        return self._plugin.environment

    def arguments(self) -> list[str]:
        """QEMU's options for one more start."""
        path = self._folder / f"hazards-{self._starts}.jsonl"
        self._starts += 1
        self._files.append(path)
        return self._plugin.arguments(self._machine, path)

    def started(self, query: memory.Query) -> None:
        """The guest is at its prompt: its devices are where they will be."""
        self._memory = memory.ask(query)

    def cut(self) -> None:
        """The last start was cut off, so that its QEMU wrote nothing."""
        self._files.pop()
        self._cut += 1

    def ended(self) -> None:
        """The machine is off, and what was written is about to be removed.

        :raises SetupError: a QEMU did not write what it saw
        """
        traces = [trace.read(path) for path in self._files]
        made = report.make(self._machine.arch, traces, self._memory, self._elves)
        if self._cut:
            made = replace(made, skipped=(*made.skipped, f"{self._cut} starts of {self._starts}, whose power was cut"))
        self._report = made

    @property
    def report(self) -> report.Report:
        """What came out; only once the watch is over."""
        assert self._report is not None, "the watch is not over"
        return self._report


def _elf_image(image: Path) -> Path | None:
    """The image, where it is an ELF file itself."""
    with image.open("rb") as stream:
        return image if stream.read(4) == b"\x7fELF" else None
