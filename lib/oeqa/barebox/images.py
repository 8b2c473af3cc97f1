# SPDX-License-Identifier: MIT
"""Disk images for the tests, made and read on the host with the tools that everybody makes them with.

A tree of files is {path: contents}, or {path: Link(target)}; a folder appears with the files in it.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Union

from . import tools


class Link(str):
    """A symbolic link in a tree, by what it leads to."""


Tree = Mapping[str, Union[bytes, Link]]
Maker = Callable[[Path], None]

PAGE = 4096
SECTOR = 512
MIB = 1 << 20
FAT_SECTORS, FAT_BACKUP = 32, 6
"""Where a boot sector of FAT tells how many sectors there are, and in which sector its copy is."""


def noise(size: int) -> Maker:
    """A disk of ``size`` bytes of random data."""

    def make(path: Path) -> None:
        path.write_bytes(random.randbytes(size))

    return make


def sparse(size: int, pieces: Mapping[int, bytes]) -> Maker:
    """A disk of ``size`` bytes of nothing, which take no room, with some pieces in it by their places."""

    def make(path: Path) -> None:
        _empty(path, size)
        _put(path, pieces)

    return make


def table(label: str, size: int, partitions: Sequence[str], pieces: Mapping[int, bytes] | None = None) -> Maker:
    """A disk of ``size`` bytes of random data with a partition table.

    :param label: dos or gpt
    :param partitions: one line a partition, as sfdisk reads them: "start=2048, size=4096, type=83"
    :param pieces: what is on the disk in place of the random data, by its place
    """

    def make(path: Path) -> None:
        (noise(size) if pieces is None else sparse(size, pieces))(path)
        script = "\n".join([f"label: {label}", *partitions]) + "\n"
        tools.run("sfdisk", ["--quiet", "--wipe", "always", path], script.encode())

    return make


def partitioned(label: str, size: int, partitions: Mapping[str, Maker], head: Sequence[str] = ()) -> Maker:
    """A disk of ``size`` bytes with a partition table, and in each partition what its maker makes.

    :param label: dos or gpt
    :param partitions: the lines, as :func:`table` takes them and with a place ("start=2048, ..."), with their makers
    :param head: what goes before them, as sfdisk reads it: "label-id: 0x1234abcd"
    """

    def make(path: Path) -> None:
        pieces = {}
        with tempfile.TemporaryDirectory() as folder:
            for number, (line, maker) in enumerate(partitions.items()):
                part = Path(folder) / str(number)
                maker(part)
                pieces[int(re.findall(r"\bstart=(\d+)", line)[0]) * SECTOR] = part.read_bytes()
        table(label, size, [*head, *partitions], pieces)(path)

    return make


def fat(
    tree: Callable[[], Tree],
    size: int,
    bits: int = 32,
    cluster: int = 1,
    more: Sequence[str] = (),
    fixed: Sequence[str] = (),
) -> Maker:
    """A FAT file system of ``size`` bytes; ``bits`` is 12, 16 or 32, ``cluster`` in sectors, ``more`` are options of
    mkfs.fat, ``fixed`` are files that are read-only."""

    def make(path: Path) -> None:
        _empty(path, size)
        tools.run("mkfs.fat", ["-F", str(bits), "-s", str(cluster), *more, path])
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), tree())
            for entry in sorted(Path(folder).iterdir()):
                tools.run("mcopy", ["-s", "-Q", "-i", path, entry, "::"])
        for name in fixed:
            tools.run("mattrib", ["+r", "-i", path, f"::{name}"])

    return make


def small_fat32(tree: Callable[[], Tree], size: int) -> Maker:
    """A FAT with 32 bits of ``size`` bytes, which has fewer clusters than one is to have: mtools would refuse it."""

    def make(path: Path) -> None:
        fat(tree, 40 * MIB)(path)
        for sector in (0, FAT_BACKUP):
            _put(path, {sector * SECTOR + FAT_SECTORS: (size // SECTOR).to_bytes(4, "little")})
        with path.open("r+b") as stream:
            stream.truncate(size)

    return make


def ext4(tree: Callable[[], Tree], size: int, block: int = 4096, more: Sequence[str] = ()) -> Maker:
    """An ext4 file system of ``size`` bytes with blocks of ``block`` bytes; ``more`` are options of mke2fs."""

    def make(path: Path) -> None:
        _empty(path, size)
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), tree())
            tools.run("mke2fs", ["-q", "-F", "-t", "ext4", "-b", str(block), *more, "-d", folder, path])

    return make


def squashfs(tree: Callable[[], Tree], compression: str = "gzip", more: Sequence[str] = ()) -> Maker:
    """A squashfs; ``more`` are options of mksquashfs."""

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), tree())
            options = ["-quiet", "-no-progress", "-noappend", "-comp", compression, *more]
            tools.run("mksquashfs", [folder, path, *options])
        _pad(path, MIB)

    return make


def from_fat(path: Path, name: str) -> bytes:
    """A file out of a FAT file system.

    :raises AssertionError: it is not there, or cannot be read
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        tools.run("mcopy", ["-i", path, f"::{name}", copy], ok=(0, 1))
        if not copy.is_file():
            raise AssertionError(f"{path.name}: mcopy finds no file {name}")
        return copy.read_bytes()


def listed_fat(path: Path, folder: str = "") -> list[str]:
    """What is in a folder of a FAT file system, by the names that the host shows."""
    lines = tools.run("mdir", ["-b", "-i", path, f"::{folder}"]).splitlines()
    return sorted(line.rstrip("/").rpartition("/")[2] for line in lines if line.startswith("::"))


def check_fat(path: Path) -> str:
    """What fsck.fat, which repairs nothing here, complains of; empty where it finds no fault."""
    text = tools.run("fsck.fat", ["-n", path], ok=(0, 1))
    lines = [x for x in text.splitlines() if x.strip() and not x.startswith(("fsck.fat ", f"{path}:"))]
    return "\n".join(lines)


def _put(path: Path, pieces: Mapping[int, bytes]) -> None:
    with path.open("r+b") as stream:
        for place, content in pieces.items():
            stream.seek(place)
            stream.write(content)


def _empty(path: Path, size: int) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as stream:
        stream.truncate(size)


def _pad(path: Path, unit: int) -> None:
    with path.open("ab") as stream:
        stream.truncate(-(-stream.tell() // unit) * unit)


def _write(folder: Path, tree: Tree) -> None:
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content)
            continue
        _empty(path, len(content))  # so that pages of zeros become holes
        pages = {place: content[place : place + PAGE] for place in range(0, len(content), PAGE)}
        _put(path, {place: page for place, page in pages.items() if any(page)})
