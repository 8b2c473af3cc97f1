# SPDX-License-Identifier: MIT
"""A Linux that barebox boots in a test: a kernel, and an initrd of busybox and a script that tells what it sees.

Both are those of the image of a KVM host (:mod:`oeqa.barebox.nested.image`), or a build's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError
from .nested import description, image, pack

INIT = Path(__file__).with_name("linux_init.sh")
BUSYBOX = "usr/bin/busybox"
END = r"^payload: end\r?\n"
"""What its last line is, as a regular expression."""


@dataclass(frozen=True)
class Linux:
    """A kernel, and a file with busybox in it: a cpio archive.

    ``kernel`` is in the format that the machine's bootloader boots; ``source`` tells where it is from.
    """

    kernel: Path
    archive: Path
    source: str

    def initrd(self, noise: bytes) -> bytes:
        """An initrd whose script tells what it sees, with ``noise`` as a file in it."""
        busybox = extract(self.archive, BUSYBOX)
        content = {"bin/busybox": busybox, "init": INIT.read_bytes(), "noise": noise}
        return pack.cpio(content, {}, ("dev", "proc", "sys"))


def find(arch: str, layers: list[Path], folder: Path | None = None) -> Linux | None:
    """The Linux for an architecture: that of the KVM host's image in ``folder``, or in the cache; None where there is
    none.

    :raises UsageError: what is in ``folder`` is no image, or for another architecture
    """
    host = description.find(arch, layers)
    if folder is None:
        folder = image.Cache(image.cache_folder(), _quiet).current_folder(host)
    if folder is None:
        return None
    found = image.load(folder, host)
    return Linux(found.kernel, found.initrd, found.source)


def extract(archive: Path, name: str) -> bytes:
    """A file out of a cpio archive (format "newc", uncompressed).

    :raises UsageError: it is not in there
    """
    data = archive.read_bytes()
    place = 0
    while data[place : place + 6] == b"070701":
        fields = [int(data[place + 6 + 8 * i : place + 14 + 8 * i], 16) for i in range(13)]
        size, length = fields[6], fields[11]
        found = data[place + 110 : place + 110 + length - 1].decode()
        start = place + 110 + length + -(110 + length) % 4
        if found == name:
            return data[start : start + size]
        place = start + size + -size % 4
    raise UsageError(f"{archive}: no {name} in it; build it again: barebox-virt kvm-host build")


def answers(text: str) -> Mapping[str, str]:
    """What the script told, by name."""
    parts = re.split(r"(?m)^payload: (\w+)\r?\n", text)
    return {name: answer.replace("\r", "").strip() for name, answer in zip(parts[1::2], parts[2::2])}


def _quiet(what: str, percent: int) -> None:
    """Nobody is to be told."""
