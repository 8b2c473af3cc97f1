# SPDX-License-Identifier: MIT
"""The folder of a machine's files, the same in the harness and in the KVM host. Disks are aside: the host has them as
block devices."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .. import qemu
from ..machine import Device

State = tuple[int, int]


class Carrier(Protocol):
    """What carries files over the border."""

    def put(self, archive: bytes) -> None: ...

    def get(self, path: Path) -> bytes: ...

    def remove(self, paths: Iterable[Path]) -> None: ...


class Mirror:
    """Files that both sides have under the same path.

    :param paths: files, and folders with all that is in them
    """

    def __init__(self, carrier: Carrier, paths: Iterable[Path]) -> None:
        self._carrier = carrier
        self._paths = tuple(paths)
        self._known: dict[Path, State] = {}

    def push(self) -> None:
        """Bring the host up to date with what changed here."""
        present = {p: _state(p) for top in self._paths for p in _all(top)}
        gone = [p for p in self._known if p not in present]
        changed = [p for p, state in present.items() if self._known.get(p) != state]
        if gone:
            self._carrier.remove(gone)
        if changed:
            self._carrier.put(_archive(changed))
        self._known = present

    def pull(self, path: Path) -> Path:
        """Bring ``path`` here up to date with the host."""
        self.push()
        names = set()
        with tarfile.open(fileobj=io.BytesIO(self._carrier.get(path))) as archive:
            for member in archive.getmembers():
                name = Path("/", member.name)
                names.add(name)
                _extract(archive, member, name)
                if any(top == name or top in name.parents for top in self._paths):
                    self._known[name] = _state(name)
        for old in [p for p in self._known if path in p.parents and p not in names]:
            old.unlink(missing_ok=True)
            del self._known[old]
        return path


def _all(top: Path) -> list[Path]:
    return [top, *sorted(top.rglob("*"))] if top.is_dir() else [top] * top.exists()


def _state(path: Path) -> State:
    status = path.stat()
    return (0, 0) if path.is_dir() else (status.st_mtime_ns, status.st_size)


def _archive(paths: Iterable[Path]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in paths:
            archive.add(path, recursive=False)
    return stream.getvalue()


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write one member in its place; owners and modes are this side's own."""
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
    elif (stream := archive.extractfile(member)) is not None:
        path.write_bytes(stream.read())


@dataclass(frozen=True)
class MirroredFiles(qemu.Files):
    """A machine's files as the cases see them: what the guest may have changed is fetched first."""

    mirror: Mirror | None = None

    def share(self, device: Device) -> Path:
        return self._pulled(super().share(device))

    def console(self, device: Device) -> Path:
        return self._pulled(super().console(device))

    def device_tree(self) -> Path:
        return self._pulled(super().device_tree())

    def memory(self) -> Path:
        return self._pulled(super().memory())

    def _pulled(self, path: Path) -> Path:
        return self.mirror.pull(path) if self.mirror else path
