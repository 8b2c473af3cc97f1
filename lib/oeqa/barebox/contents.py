# SPDX-License-Identifier: MIT
"""What a machine's disks, its flash and its folders hold at first."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

from . import changes, flash
from .errors import BareboxError, SetupError
from .firmware import Firmware
from .machine import Machine
from .qemu import Files
from .variant import Variant

DISK_SIZE = 16 << 20
DOWNLOAD_SIZE = 4 << 20


class Contents:
    """Makes what differs in each run, and can tell later what was changed."""

    def __init__(self, machine: Machine, firmware: Firmware, seed: int) -> None:
        self._machine = machine
        self._firmware = firmware
        self._bank = machine.bootloader(firmware.bootloader).flash
        self._seed = seed

    def fill(self, files: Files) -> None:
        """Make the described disks, a file for TFTP and folders to share.

        :raises SetupError: there is no room
        """
        noise = random.Random(self._seed)
        try:
            for folder in files.folders(self._machine):
                folder.mkdir()
            for disk in files.disks(self._machine):
                disk.write_bytes(noise.randbytes(DISK_SIZE))
            (files.tftp() / "download.bin").write_bytes(noise.randbytes(DOWNLOAD_SIZE))
        except OSError as error:
            raise SetupError(f"{files.folder}: {error.strerror}. Set TMPDIR to a folder with 100 MB of room.") from None

    def make(self, files: Files, variant: Variant, keep: bool) -> None:
        """Make the disks and the flash of a variant; keep the disks as they are at first, or not.

        :raises Unavailable: the host lacks what makes a disk's or the flash's contents
        """
        for old in files.folder.glob(f"*{changes.INITIAL}"):
            old.unlink()
        for drive in variant.drives:
            drive.make(files.disk(drive))
            if keep:
                changes.keep(files.disk(drive))
        if variant.flash and self._bank:
            flash.make(files.flash(), self._bank, self._firmware)

    def kept(self, files: Files, variant: Variant) -> list[Path]:
        """The disks that are at hand as they were at first. Those of which that can be made again are, only now."""
        noise = random.Random(self._seed)
        with contextlib.suppress(OSError, BareboxError):
            for disk in files.disks(self._machine):
                changes.initial(disk).write_bytes(noise.randbytes(DISK_SIZE))
            if variant.flash and self._bank:
                flash.make(changes.initial(files.flash()), self._bank, self._firmware)
        return sorted(path.with_suffix("") for path in files.folder.glob(f"*{changes.INITIAL}"))
