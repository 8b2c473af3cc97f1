# SPDX-License-Identifier: MIT
"""The guest's physical memory as QEMU maps it: which region and device an address belongs to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import RequestRefused

Query = Callable[..., Any]
REGION = re.compile(
    r"^ +(?P<low>[0-9a-f]{16})-(?P<high>[0-9a-f]{16}) \(prio -?\d+, (?P<kind>[^)]+)\): (?P<name>.*?)"
    r"(?: @[0-9a-f]{16})?(?: KVM)?(?: (?:owner|parent):\{\w+ (?P<by>path|id)=(?P<owner>[^}]*)\})?$"
)


@dataclass(frozen=True)
class Region:
    """Addresses from ``low`` to ``high``, inclusive, by QEMU's "info mtree -f -o". ``kind`` is QEMU's word: ram, rom,
    romd (flash, as long as it is only read) or i/o; ``device`` the type of what owns it."""

    low: int
    high: int
    kind: str
    name: str
    owner: str = ""
    device: str = ""

    @property
    def is_ram(self) -> bool:
        return self.kind in ("ram", "nv-ram")


class MemoryMap:
    """The regions of the processors' address space."""

    def __init__(self, regions: Iterable[Region]) -> None:
        self.regions = sorted(regions, key=lambda region: region.low)

    def find(self, address: int) -> Region | None:
        """The region that has the address."""
        return next((r for r in self.regions if r.low <= address <= r.high), None)

    def outside_ram(self, low: int, high: int) -> list[Region]:
        """The regions that are not RAM and overlap the addresses from ``low`` up to ``high``, exclusive."""
        return [r for r in self.regions if not r.is_ram and r.low < high and low <= r.high]


def parse(text: str) -> list[Region]:
    """The regions of the flat view that the processors see, in what "info mtree -f -o" prints."""
    for view in re.split(r"(?m)^FlatView #", text):
        if re.search(r'AS "(?:cpu-memory|memory)', view):
            return [_region(m) for m in map(REGION.match, view.splitlines()) if m]
    return []


def _region(match: re.Match[str]) -> Region:
    owner = match["owner"] or ""
    if match["by"] == "id":
        owner = f"/machine/peripheral/{owner}"
    return Region(int(match["low"], 16), int(match["high"], 16), match["kind"], match["name"], owner)


def ask(query: Query) -> MemoryMap:
    """The map of a running QEMU.

    :param query: executes a QMP request
    """
    regions = parse(query("human-monitor-command", **{"command-line": "info mtree -f -o"}))
    types = _types(query, sorted({r.owner for r in regions if r.owner and not r.is_ram}))
    return MemoryMap(replace(r, device=types.get(r.owner, "")) for r in regions)


def _types(query: Query, owners: Sequence[str]) -> Mapping[str, str]:
    """The type of each owner; a VirtIO transport is called by the device on it."""
    types = {owner: _property(query, owner, "type") for owner in owners}
    try:
        devices = query("x-query-virtio")
    except RequestRefused:
        return types
    for device in devices:
        path = device["path"].removesuffix("/virtio-backend")
        transport = _property(query, path, "parent_bus").rpartition("/")[0]
        for owner in (path, transport):
            if types.get(owner, "").startswith("virtio"):
                types[owner] = f"{device['name']} ({types[owner]})"
    return types


def _property(query: Query, path: str, name: str) -> str:
    try:
        return str(query("qom-get", path=path, property=name))
    except RequestRefused:
        return ""
