# SPDX-License-Identifier: MIT
"""How a machine's QEMU gets started: out here by a command, or in a KVM host."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Callable

from . import qemu
from .errors import AcceleratorError
from .firmware import Firmware
from .machine import Machine
from .nested.guest import CONSOLE, QMP, Guest
from .nested.host import Host
from .nested.mirror import Mirror, MirroredFiles
from .process import Process, RunFolder, Running
from .variant import Variant
from .watch import Watch

Launch = Callable[[str, Sequence[str]], Sequence[str]]


class Direct:
    """Starts QEMU out here.

    :param program: the QEMU that ``launch`` starts
    :param launch: accelerator and QEMU's further options to the whole command; a start without runqemu when left out
    """

    patience = 1.0
    files_are_here = True
    """Whether a file that QEMU writes is one of this system's."""

    def __init__(
        self,
        machine: Machine,
        firmware: Firmware,
        program: qemu.Program,
        launch: Launch | None,
        env: Mapping[str, str] | None,
    ) -> None:
        self._machine = machine
        self._firmware = firmware
        self.program = program
        self._launch = launch or self._direct
        self._env = env

    def files(self, folder: Path) -> qemu.Files:
        """The machine's files as cases see them."""
        return qemu.Files(folder)

    def start(
        self,
        accelerator: str,
        folder: RunFolder,
        errors: Path,
        seconds: float,
        variant: Variant,
        watch: Watch | None = None,
    ) -> Running:
        """Start QEMU, watched for hazards or not.

        :raises SetupError: it does not come up
        """
        io = qemu.io_args(folder.path / "console", folder.path / "qmp")
        extra = [*self._machine_args(qemu.Files(folder.path), variant), *io]
        env = self._env
        if watch is not None:
            extra += watch.arguments()
            env = {**(os.environ if env is None else env), **watch.environment}
        return Process(self._launch(accelerator, extra), folder, errors, seconds, env)

    def refusal(self, variant: Variant) -> str:  # noqa: ARG002
        """Why a variant of the machine cannot be had; empty where it can."""
        return ""

    def sync(self) -> None:
        """Let QEMU see what changed in the machine's files."""

    def complaints(self) -> list[str]:
        """What the kernel that runs KVM complained of since this was asked last."""
        return []

    def info(self) -> dict[str, object]:
        """What the results tell of the start."""
        return {}

    def stop(self) -> None:
        """Free what outlives a single QEMU."""

    def _machine_args(self, files: qemu.Files, variant: Variant) -> list[str]:
        """Firmware and devices."""
        flash = files.flash() if variant.flash else None
        args = qemu.firmware_args(self._machine, self._firmware, flash, files.cache)
        return args + qemu.device_args(self._machine, self._firmware.bootloader, self.program, files, variant)

    def _direct(self, accelerator: str, extra: Sequence[str]) -> Sequence[str]:
        return qemu.command(self._machine, self.program, accelerator, list(extra))


class Nested(Direct):
    """Starts QEMU with KVM in a host that QEMU emulates; the host stays for the next start."""

    files_are_here = False

    def __init__(self, machine: Machine, firmware: Firmware, host: Host) -> None:
        super().__init__(machine, firmware, host.program, None, None)
        self.patience = host.description.patience
        self._host = host
        self._mirror: Mirror | None = None
        self._shape: object = None

    def files(self, folder: Path) -> qemu.Files:
        return MirroredFiles(folder, mirror=self._mirror)

    def start(
        self,
        accelerator: str,
        folder: RunFolder,
        errors: Path,
        seconds: float,
        variant: Variant,
        watch: Watch | None = None,
    ) -> Running:
        assert accelerator == "nested" and watch is None, "hazards are watched under TCG alone"
        memory = variant.memory or self._machine.qemu.memory
        disks = self._disks(folder.path, variant)
        shape = (memory, {name: (path.stat().st_ino, path.stat().st_size) for name, path in disks.items()})
        if not self._host.running or shape != self._shape:
            self._start_host(folder, memory, disks, errors.with_suffix("").with_suffix(".host.log"))
            self._shape = shape
        self.sync()
        return Guest(self._host, self._inner(folder.path, variant), errors, seconds)

    def refusal(self, variant: Variant) -> str:
        if variant.peer:
            return "nested: a network whose other end is the test's does not reach into the KVM host"
        if variant.flash and qemu.flash_format(self._machine, self._firmware) != "raw":
            return "nested: the flash is a qcow2 file, which the KVM host cannot have as a disk"
        return ""

    def commands(self, folder: Path) -> list[Sequence[str]]:
        """The host's command, and the one that runs in it, for files in ``folder``."""
        self.program = self._host.known_program() or self.program
        host = self._host.command(folder, self._machine.qemu.memory, self._disks(folder, Variant()))
        return [host, self._inner(folder, Variant())]

    def sync(self) -> None:
        if self._mirror is not None and self._host.running:
            self._mirror.push()

    def complaints(self) -> list[str]:
        return self._host.complaints()

    def info(self) -> dict[str, object]:
        return {"KVM_HOST": str(self._host), "KVM_HOST_SECONDS": round(self._host.start_seconds, 3)}

    def stop(self) -> None:
        self._host.stop()

    def _inner(self, folder: Path, variant: Variant) -> Sequence[str]:
        files = qemu.Files(folder, cache="none")  # a disk's writes have to get out of the host
        extra = self._machine_args(files, variant)
        return self._direct("kvm", [*extra, *qemu.io_args(CONSOLE, QMP, "pipe")])

    def _disks(self, folder: Path, variant: Variant) -> dict[str, Path]:
        """Every file that QEMU writes to as a disk or as flash."""
        files = qemu.Files(folder)
        found = {d.id: files.disk(d) for d in self._machine.devices if d.kind == "block"}
        found.update({d.id: files.disk(d) for d in variant.drives})
        return {**found, "flash": files.flash()} if variant.flash else found

    def _start_host(self, folder: RunFolder, memory: int, disks: Mapping[str, Path], log: Path) -> None:
        files = qemu.Files(folder.path)
        self._host.stop()
        agent = self._host.start(folder, memory, disks, log)
        self.program = self._host.guest_program()
        further = [p for p in (self._firmware.image, self._firmware.bios) if p is not None]
        self._mirror = Mirror(agent, [*files.folders(self._machine), *further])
        agent.run(f"mkdir -p '{folder.path}'")
        for name, path in disks.items():
            agent.run(f"ln -sf /dev/disk/{name} '{path}'")


def make(
    machine: Machine,
    firmware: Firmware,
    program: qemu.Program,
    accelerators: Sequence[str],
    launch: Launch | None,
    env: Mapping[str, str] | None,
    host: Host | None,
) -> Direct:
    """What starts the machine with one of ``accelerators``.

    :raises AcceleratorError: nested without a host
    """
    if "nested" not in accelerators:
        return Direct(machine, firmware, program, launch, env)
    if host is None:
        raise AcceleratorError("the accelerator nested needs a KVM host: barebox-virt kvm-host build makes one")
    return Nested(machine, firmware, host)
