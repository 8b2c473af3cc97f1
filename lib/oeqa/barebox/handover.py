# SPDX-License-Identifier: MIT
"""The base of the cases that boot a payload from a disk, and look at what it was given."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable, ClassVar

from . import devicetree, images, payload, tools
from .case import BootloaderTestCase
from .variant import Drive, Variant

DISK_SIZE = 48 << 20
Files = Callable[[str], images.Tree]


@functools.cache
def kernel(arch: str) -> bytes:
    """The payload of an architecture, the same each time."""
    return payload.image(arch, 3 << 20)


@functools.cache
def disk(files: Files, arch: str) -> Drive:
    """A disk with an ext4 of what ``files`` gives for the architecture, the same each time."""
    return Drive("boot", images.ext4(functools.partial(files, arch), DISK_SIZE))


@dataclass(frozen=True)
class Handover:
    """What a payload was given, and what barebox printed before."""

    text: str
    registers: dict[str, int]
    blob: bytes
    tree: devicetree.Tree

    @property
    def bootargs(self) -> str:
        """The kernel's command line; empty where there is none."""
        return self.tree["/chosen"].get("bootargs", b"\0").decode().removesuffix("\0")

    @property
    def initrd(self) -> tuple[int, int]:
        """Where the initrd begins and ends, by the device tree.

        :raises KeyError: there is none
        """
        chosen = self.tree["/chosen"]
        start, end = (int.from_bytes(chosen[f"linux,initrd-{name}"], "big") for name in ("start", "end"))
        return start, end

    @property
    def memory(self) -> int:
        """The bytes of memory that the device tree tells of, in cells of 64 bits as on the virt boards."""
        regs = [node["reg"] for path, node in self.tree.items() if path.startswith("/memory")]
        return sum(int.from_bytes(reg[i + 8 : i + 16], "big") for reg in regs for i in range(0, len(reg), 16))


class HandoverCase(BootloaderTestCase):
    """A disk with ``files`` of the machine's architecture, mounted at ``folder``, which DISK stands for in commands."""

    needs = ("CMD_BOOTM", "FS_EXT4")
    files: ClassVar[Files]
    folder: ClassVar[str] = "/boot-disk"
    memory: ClassVar[int] = 0

    @property
    def variant(self) -> Variant:  # type: ignore[override]
        """The machine with the disk; the case is skipped where there is no payload for its architecture."""
        return Variant(memory=self.memory, drives=(disk(type(self).files, payload.check(self.board.machine.arch)),))

    def setUp(self) -> None:
        super().setUp()
        self.disk = self.board.node(self.variant.drives[0])
        if self.attempt(f"test -d {self.folder}").status:
            self.shell(f"mkdir {self.folder}; mount /dev/{self.disk} {self.folder}")
        # barebox tells the kernel of it where the device tree numbers the console: QEMU 9.1 and newer.
        self.attempt("global -r linux.bootargs.console")

    @contextlib.contextmanager
    def started(self, command: str) -> Iterator[Handover]:
        """A time in which the payload that ``command`` starts is there."""
        arch = self.board.machine.arch
        with self.board.handed_over(command.replace("DISK", self.folder), payload.LINE) as text:
            registers = payload.registers(arch, text)
            self.assertEqual(payload.broken_rules(arch, registers), [], text)
            blob = payload.handed_blob(registers, self.board.memory)
            yield Handover(text, registers, blob, devicetree.from_blob(blob))

    def refused(self, command: str, message: str) -> None:
        """A command boots nothing, prints ``message``, a regular expression, and leaves the prompt."""
        result = self.attempt(command.replace("DISK", self.folder))
        self.assertNotEqual(result.status, 0, str(result))
        self.assertRegex("\n".join(result.lines), message)
        self.shell("true")

    def check_kernel(self, handed: Handover) -> None:
        """The kernel is in memory as it is on the disk."""
        content = kernel(self.board.machine.arch)
        self.check_same(self.board.memory(handed.registers["start"], len(content)), content, "the kernel in memory")

    def check_initrd(self, handed: Handover, content: bytes) -> None:
        """The initrd in memory is ``content``."""
        start, end = handed.initrd
        self.check_same(self.board.memory(start, end - start), content, "the initrd in memory")

    def check_initrds(self, handed: Handover, *contents: bytes) -> None:
        """The initrd in memory begins with the first of ``contents``, and the others follow in their order."""
        start, end = handed.initrd
        found = self.board.memory(start, end - start)
        places = [found.find(content) for content in contents]
        self.assertEqual(places[0], 0, f"the initrds are at {places}")
        self.assertEqual(places, sorted(set(places)), f"the initrds are at {places}")

    def own(self, source: str, name: str = "/own", labels: bool = False) -> None:
        """Have a device tree as a file of the guest's, with or without its labels."""
        options = ["-q", *["-@"] * labels, "-"]
        self.shell(f"cp {self.shared(tools.data('dtc', options, source.encode()))} {name}")

    def check_same(self, found: bytes, expected: bytes, what: str) -> None:
        """Bytes are what is expected, by length and digest."""
        self.assertEqual((len(found), self.hash(found)), (len(expected), self.hash(expected)), what)
