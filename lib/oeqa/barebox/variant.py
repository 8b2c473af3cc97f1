# SPDX-License-Identifier: MIT
"""How a case's machine differs from its description, as data.

A case's class names its variant, and the machine is started with it when the class is reached; cases of one class share
its starts:

    class GptTest(case.BootloaderTestCase):
        variant = Variant(drives=(Drive("gpt", images.blank(8)),))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Maker = Callable[[Path], None]


@dataclass(frozen=True)
class Fault:
    """An error of a disk (QEMU's blkdebug).

    ``kind``: what fails: read, write or flush.
    ``sector``: requests that touch this sector of 512 bytes; every one when negative.
    ``once``: the first of them alone.
    """

    kind: str
    sector: int = -1
    once: bool = False


@dataclass(frozen=True)
class Drive:
    """A disk beside the described ones, which the bootloader numbers on after them.

    ``make`` writes the image to the path that it is given, once for each machine of the variant.
    ``model`` is QEMU's -device name, that of the last described disk when empty. ``faults``: what goes wrong with it.
    ``state`` makes it a disk that the bootloader can keep its state on; the description may name a model for it.
    """

    id: str
    make: Maker
    read_only: bool = False
    model: str = ""
    state: bool = False
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Variant:
    """What is added to the described machine, or replaced in it.

    ``memory``: RAM in MiB, as described when 0.
    ``drives``: further disks, in QEMU's order.
    ``fw_cfg``: names and texts that QEMU hands to the guest by its fw_cfg device.
    ``flash``: the flash that keeps the bootloader's environment and state is a file of the host's (the description's
    firmware.*.flash), so that it outlasts QEMU.
    ``without``: kinds of described devices that are left out.
    ``peer``: the other end of the first network device is the test's.
    ``globals``: properties of devices (QEMU's -global), beside those of the description.
    ``icount``: the guest's clock counts instructions (TCG alone), so that what it measures is the same on a busy host.
    ``board``: properties of the board (QEMU's -machine), beside those of the description (TCG alone).
    ``cpu``: another processor than the described one (QEMU's -cpu, TCG alone).
    ``devices``: further devices without data (QEMU's -device), such as bridges; they come before the drives.
    """

    memory: int = 0
    drives: tuple[Drive, ...] = ()
    fw_cfg: tuple[tuple[str, str], ...] = ()
    flash: bool = False
    peer: bool = False
    icount: bool = False
    board: tuple[str, ...] = ()
    cpu: str = ""
    devices: tuple[str, ...] = ()
    globals: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
