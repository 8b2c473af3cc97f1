# SPDX-License-Identifier: MIT
"""A KVM host as data, read from the JSON file that ``barebox-virt machines`` makes of conf/kvm-hosts/<arch>.yaml.

The meaning of each field is in conf/kvm-hosts/schema.json, which the description was checked against.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..machine import build

FOLDER = "conf/kvm-hosts"


@dataclass(frozen=True)
class Qemu:
    """The QEMU that emulates the host; ``memory`` in MiB, beside what the guest gets."""

    binary: str
    minimum: str
    machine: str
    cpu: str
    accel: str
    smp: int
    memory: int
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Debian:
    """The packages that the image is made of."""

    architecture: str
    suites: tuple[str, ...]
    mirror: str
    keyrings: tuple[str, ...]
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Content:
    """What of the packages gets into the image."""

    kernel: tuple[str, ...]
    modules: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """One KVM host."""

    name: str
    title: str
    qemu: Qemu
    console: str
    patience: float
    debian: Debian
    content: Content
    complaints: tuple[str, ...]
    kernel: str = ""

    @property
    def program(self) -> str:
        """QEMU's path in the host."""
        return f"/usr/bin/{self.qemu.binary}"


def from_dict(data: Mapping[str, Any], where: str) -> Description:
    """The host that ``data`` describes; ``where`` names its file in errors.

    :raises UsageError: a key is unknown or missing
    """
    values = dict(data)
    for key, cls in (("qemu", Qemu), ("debian", Debian), ("content", Content)):
        values[key] = build(cls, values.get(key, {}), f"{where}: {key}")
    return build(Description, values, where)


def load(path: Path) -> Description:
    """The host in a generated description.

    :raises UsageError: the file cannot be read or is of another format
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}. Run barebox-virt machines to generate it again.") from None
    return from_dict(data, str(path))


def names(layers: Iterable[Path]) -> list[str]:
    """The architectures that a host is described for."""
    return sorted({p.stem for layer in layers for p in (layer / FOLDER).glob("*.json")} - {"schema"})


def find(arch: str, layers: Iterable[Path]) -> Description:
    """The description of ``arch``'s host in the first of ``layers`` that has one.

    :raises UsageError: none has
    """
    layers = list(layers)
    for layer in layers:
        if (path := layer / FOLDER / f"{arch}.json").exists():
            return load(path)
    raise UsageError(f"no KVM host is described for {arch!r}; described: {', '.join(names(layers)) or 'none'}")
