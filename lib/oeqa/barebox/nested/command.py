# SPDX-License-Identifier: MIT
"""QEMU's command line for a KVM host; pure functions, so that a dry run is free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..qemu import Program, comma
from .description import Description
from .image import Image


def command(description: Description, image: Image, program: Program, memory: int, options: Iterable[str]) -> list[str]:
    """The whole command.

    :param memory: MiB for the guest, on top of the host's own
    """
    q = description.qemu
    return [
        *(str(program.path), "-machine", q.machine, "-cpu", q.cpu, "-accel", q.accel),
        *("-smp", str(q.smp), "-m", str(q.memory + memory), "-nodefaults", "-display", "none", "-no-reboot"),
        *q.options,
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd), *options),
    ]


def kernel_args(description: Description, words: str) -> list[str]:
    """The kernel's command line; a panic ends QEMU."""
    return ["-append", f"console={description.console} panic=-1 {words} {description.kernel}".rstrip()]


def disk_args(disks: Mapping[str, Path]) -> list[str]:
    """The disks, which the host finds by their serial numbers."""
    args = []
    for name, path in disks.items():
        args += ["-drive", f"if=none,id={name},format=raw,file={comma(path)}"]
        args += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
    return args


def port_args(pipes: Mapping[str, Path], qmp: Path) -> list[str]:
    """The ports: each a pair of pipes by its name, and ``qmp`` a socket that takes one connection after the other."""
    backends = {name: f"pipe,id={name},path={comma(path)}" for name, path in pipes.items()}
    backends["guest-qmp"] = f"socket,id=guest-qmp,server=on,wait=off,path={comma(qmp)}"
    args = ["-device", "virtio-serial-pci"]
    for name, backend in backends.items():
        args += ["-chardev", backend, "-device", f"virtserialport,chardev={name},name={name}"]
    return args


def monitor_args(log: Path, qmp: Path) -> list[str]:
    """The kernel's console into a file, QMP on a socket where the harness listens."""
    return [
        *("-chardev", f"file,id=log,path={comma(log)}", "-serial", "chardev:log"),
        *("-chardev", f"socket,id=qmp,path={comma(qmp)}", "-mon", "chardev=qmp,mode=control"),
    ]
