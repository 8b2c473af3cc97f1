# SPDX-License-Identifier: MIT
"""The machine under test, as cases see it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import evidence, hold, mmio, qemu
from .contents import DISK_SIZE, DOWNLOAD_SIZE
from .errors import GuestError, Unavailable
from .hold import Held
from .known_issues import KnownIssue
from .machine import Device
from .peer import Answer, Peer
from .power import BOOT_SECONDS, SILENCE_SECONDS
from .states import States
from .variant import Drive

__all__ = ["BOOT_SECONDS", "DISK_SIZE", "DOWNLOAD_SIZE", "SILENCE_SECONDS", "Target"]


class Target(States):
    """One machine with one firmware, made as :class:`~oeqa.barebox.power.Power` tells: states, and what cases ask."""

    _commands: frozenset[str] | None = None

    def devices(self, kind: str) -> tuple[Device, ...]:
        """The devices of a kind that the bootloader can use and this QEMU has."""
        known = self.machine.of_kind(kind, self.firmware.bootloader)
        return tuple(d for d in known if not self.program.lacks(d))

    def node(self, device: Device | Drive) -> str:
        """How the bootloader calls the device. A variant's disks are numbered on after the described ones.

        :raises ValueError: it is a disk for the state, and such have a model of their own on this machine
        """
        if isinstance(device, Device):
            return device.node[self.firmware.bootloader]
        if device.state and self.machine.bootloader(self.firmware.bootloader).state_disk:
            raise ValueError(f"{device.id}: nobody knows how {self.firmware.bootloader} calls the disk for its state")
        last = re.fullmatch(r"(.*?)(\d+)", self.node(self.devices("block")[-1]))
        assert last is not None
        return f"{last[1]}{int(last[2]) + 1 + self._variant.drives.index(device)}"

    def hardware_address(self, device: Device) -> str:
        """The hardware address that QEMU gives a network device."""
        return qemu.mac(self.devices("net").index(device))

    def commands(self) -> frozenset[str]:
        """The commands that the bootloader itself lists."""
        if self._commands is None:
            text = "\n".join(self.run("help").lines)
            self._commands = frozenset(re.findall(r"[\w.\[?-]+", text))
        return self._commands

    def device_tree(self) -> bytes:
        """QEMU's own device tree of the machine, as a blob.

        :raises RequestRefused: the machine has none
        """
        self.query("dumpdtb", filename=str(qemu.Files(self.files.folder).device_tree()))
        return self.files.device_tree().read_bytes()

    def memory(self, address: int, length: int) -> bytes:
        """What QEMU sees in the guest's memory at a physical address; many times faster than the guest's own dump.

        :raises RequestRefused: there is no memory
        """
        self.shell()
        try:
            return self._read(address, length)
        except ConnectionError as error:
            raise self._lost(GuestError(str(error))) from None

    def peer(self, answer: Answer) -> Peer:
        """The test's end of the first network of a variant with ``peer``, to be used as a context."""
        return Peer(self.files.ends(), answer)

    def query(self, name: str, /, **arguments: object) -> Any:
        """QEMU's answer to a QMP request.

        :raises RequestRefused: the answer is an error
        :raises GuestError: QEMU is gone
        """
        self.shell()
        assert self._process is not None
        try:
            return self._process.qmp.execute(name, **arguments)
        except ConnectionError as error:
            raise self._lost(GuestError(str(error))) from None

    def events(self) -> list[Mapping[str, Any]]:
        """What QEMU told of itself (QMP events) since it was asked last."""
        self.query("query-status")
        assert self._process is not None
        return self._process.qmp.events()

    @contextlib.contextmanager
    def mmio_writes(self, region: str) -> Iterator[list[tuple[int, int]]]:
        """A time in which the guest's writes to a device's memory region are collected: address and value of each.

        :param region: QEMU's name of it, as in "info mtree"
        :raises Unavailable: this QEMU does not tell
        """
        if not self._starter.files_are_here:
            raise Unavailable(f"{self.accelerator.name}: what QEMU traces stays in the KVM host")
        self.shell()
        assert self._process is not None
        with mmio.writes(self._process, region, self.files.folder / "trace.log") as found:
            yield found

    def screen(self) -> tuple[int, int, bytes]:
        """What the display shows: width, height, and each pixel's red, green and blue, row by row.

        :raises Unavailable: QEMU's files stay in the KVM host
        """
        if not self._starter.files_are_here:
            raise Unavailable(f"{self.accelerator.name}: what QEMU shows stays in the KVM host")
        path = self.files.folder / "screen.ppm"
        self.query("screendump", filename=str(path))
        kind, width, height, _, pixels = path.read_bytes().split(maxsplit=4)
        assert kind == b"P6"
        return int(width), int(height), pixels

    def expected_failure(self, case: str) -> KnownIssue | None:
        """The known issue that makes a case, ``module.Class.test``, fail here; rather one that does so in every run."""
        version = self.firmware.version or (self.boots[0].version if self.boots else "")
        here = self.machine.name, self.accelerator.name, version, self.program.version
        found = [issue for issue in self.known_issues if issue.covers(case) and issue.concerns(self.firmware, *here)]
        return max(found, key=lambda issue: issue.fails_always(case), default=None)

    def info(self) -> dict[str, object]:
        """What ran where, for the results."""
        boot = self.boots[0] if self.boots else None
        return {
            "MACHINE": self.machine.name,
            "BOOTLOADER": self.firmware.bootloader,
            "BOOTLOADER_VERSION": boot.version if boot else self.firmware.version,
            "BOOTLOADER_COMMIT": self.firmware.commit,
            "BOOTLOADER_PATCHES": list(self.firmware.patches or ()),
            "ACCELERATOR": self.accelerator.name,
            "ACCELERATOR_REASON": self.accelerator.reason,
            "QEMU_VERSION": self.program.version,
            "RANDOM_SEED": self.seed,
            "BOOT_SECONDS": round(boot.seconds, 3) if boot else None,
            **self._starter.info(),
        }

    # Evidence

    def begin(self) -> None:
        """A case begins: what was known of an earlier failure is forgotten."""
        self._evidence.snapshot = None

    def keep_evidence(self, case: str, message: str) -> str:
        """Write all that is known of the machine, which may still run, and return a line for the failure's text."""
        if not self._evidence.wanted:
            return ""
        if self._evidence.snapshot is None and self._process is not None:
            self._evidence.snapshot = evidence.take(self._process, self._console, self._read)
            if self._console is not None:
                evidence.ask(self._console, self._evidence.snapshot)
        files = None if self._folder is None else qemu.Files(self._folder.path)
        disks = self._contents.kept(files, self._variant) if files else []
        about = evidence.Facts(self.info(), self.machine.arch, self.firmware, self.seed)
        return self._evidence.write(case, message, about, disks)

    def hold(self, what: str) -> str:
        """Hold the machine, where somebody wants that, and tell why it cannot be held; empty where it was."""
        if self._holder is None or self._process is None:
            return ""
        files = evidence.elves(self.firmware)
        try:
            held = Held(what, self.machine.arch, self._process, self.files.folder, self._read, files)
        except (ConnectionError, GuestError) as error:
            return f"not held: {hold.reason(error)}"
        self.held = True
        self._holder(held)
        return ""
