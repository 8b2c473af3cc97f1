# SPDX-License-Identifier: MIT
"""A machine as the tests know it, read from the JSON file that ``barebox-virt machines`` makes of its description.

The meaning of each field is in conf/machines/schema.json, which the description was checked against.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from .errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Kvm:
    """What differs under KVM; ``machine`` is empty where it is as under TCG."""

    cpu: str
    machine: str = ""


@dataclass(frozen=True)
class Qemu:
    """What QEMU is started with; ``memory`` in MiB. Where instructions are counted, one takes 2^``icount`` ns."""

    binary: str
    minimum: str
    machine: str
    cpu: str
    smp: int
    memory: int
    kvm: Kvm | None = None
    globals: tuple[str, ...] = ()
    fw_cfg: bool = True
    icount: int = 1


@dataclass(frozen=True)
class Device:
    """A device that the tests add, and how each bootloader shows it."""

    id: str
    kind: str
    model: str
    driver: str
    config: tuple[str, ...]
    node: Mapping[str, str]


@dataclass(frozen=True)
class Bios:
    """A second firmware that runs below the bootloader."""

    name: str
    recipe: str
    deployed: str
    installed: tuple[str, ...]
    package: str


@dataclass(frozen=True)
class FlashPart:
    """A part of a flash's contents: a file beside the bootloader's image, the second firmware, or bytes."""

    offset: int
    image: str = ""
    bios: bool = False
    code: str = ""


@dataclass(frozen=True)
class Flash:
    """The flash bank that keeps the environment, as a file of the host's; ``replaces`` is QEMU's option that it stands
    in for, ``size`` is 0 where its parts tell it. ``slow``: QEMU takes so long to write it that the second firmware may
    be silent for a minute while it tidies it."""

    index: int
    replaces: str
    parts: tuple[FlashPart, ...]
    size: int = 0
    slow: bool = False


@dataclass(frozen=True)
class Bootloader:
    """How one bootloader is started on the machine; ``load`` is QEMU's option, kernel or bios. ``state_disk`` is QEMU's
    model of a disk that the bootloader can keep its state on, where the described ones are none. ``slow_start``: a
    start takes so long that cases with many of them are slow."""

    load: str
    image: str
    defconfig: str = ""
    board: str = ""
    installed: tuple[str, ...] = ()
    package: str = ""
    bios: Bios | None = None
    flash: Flash | None = None
    state_disk: str = ""
    slow_start: bool = False


@dataclass(frozen=True)
class Machine:
    """One QEMU machine that a bootloader is tested on; ``linux_console`` is Linux' name of the serial console."""

    name: str
    title: str
    arch: str
    base: str
    qemu: Qemu
    devices: tuple[Device, ...]
    altered_properties: tuple[str, ...] = ()
    firmware: Mapping[str, Bootloader] = field(default_factory=dict)
    linux_console: str = "ttyS0"

    def bootloader(self, name: str) -> Bootloader:
        """How ``name`` is started here.

        :raises UsageError: the description has no such bootloader
        """
        if name not in self.firmware:
            raise UsageError(
                f"{self.name} does not describe the bootloader {name!r}; it has: {', '.join(sorted(self.firmware))}"
            )
        return self.firmware[name]

    def of_kind(self, kind: str, bootloader: str) -> tuple[Device, ...]:
        """The devices of one kind that ``bootloader`` can use."""
        return tuple(d for d in self.devices if d.kind == kind and bootloader in d.node)


def build(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """A dataclass of ``cls`` from ``data``.

    :raises UsageError: a key is unknown or missing
    """
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(data) - known):
        allowed = ", ".join(sorted(known))
        raise UsageError(f"{where}: unknown key {unknown[0]!r}; allowed: {allowed}. Run barebox-virt machines again.")
    try:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
    except TypeError as error:
        raise UsageError(f"{where}: {error}. Run barebox-virt machines again.") from None


def from_dict(data: Mapping[str, Any], where: str) -> Machine:
    """The machine that ``data`` describes; ``where`` names its file in errors.

    :raises UsageError: a key is unknown or missing
    """
    values = dict(data)
    qemu = dict(values.get("qemu", {}))
    if "kvm" in qemu:
        qemu["kvm"] = build(Kvm, qemu["kvm"], f"{where}: qemu.kvm")
    firmware = {}
    for name, entry in values.get("firmware", {}).items():
        entry = dict(entry)
        if "bios" in entry:
            entry["bios"] = build(Bios, entry["bios"], f"{where}: firmware.{name}.bios")
        if "flash" in entry:
            entry["flash"] = _flash(entry["flash"], f"{where}: firmware.{name}.flash")
        firmware[name] = build(Bootloader, entry, f"{where}: firmware.{name}")
    values["qemu"] = build(Qemu, qemu, f"{where}: qemu")
    values["devices"] = [build(Device, d, f"{where}: devices[{i}]") for i, d in enumerate(values.get("devices", []))]
    values["firmware"] = firmware
    return build(Machine, values, where)


def _flash(data: Mapping[str, Any], where: str) -> Flash:
    parts = [build(FlashPart, part, f"{where}.parts[{i}]") for i, part in enumerate(data.get("parts", []))]
    return build(Flash, {**data, "parts": parts}, where)


def load(path: Path) -> Machine:
    """The machine in a generated description.

    :raises UsageError: the file is missing, no JSON, or of another format
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Run barebox-virt machines to generate it.") from None
    except ValueError as error:
        raise UsageError(f"{path}: not JSON ({error}). Run barebox-virt machines to generate it again.") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path}: a JSON object is expected. Run barebox-virt machines to generate it again.")
    return from_dict(data, str(path))
