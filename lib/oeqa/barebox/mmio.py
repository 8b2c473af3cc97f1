# SPDX-License-Identifier: MIT
"""What the guest writes to a device's registers, by QEMU's own trace events; under every accelerator."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from .errors import RequestRefused, Unavailable
from .process import Running

EVENT = "memory_region_ops_write"
LINE = re.compile(rf"{EVENT} cpu -?\d+ mr 0x[0-9a-f]+ addr 0x([0-9a-f]+) value 0x([0-9a-f]+) size \d+ name '([^']*)'")


@contextlib.contextmanager
def writes(process: Running, region: str, log: Path) -> Iterator[list[tuple[int, int]]]:
    """A time in which the writes to a memory region, by QEMU's name of it, are collected: address and value of each.

    :param log: takes QEMU's log from now on; on its standard error nobody may listen, and it would wait for them
    :raises Unavailable: this QEMU has no such trace event, or does not print it
    """
    found: list[tuple[int, int]] = []
    log.touch()
    start = log.stat().st_size
    process.qmp.execute("human-monitor-command", **{"command-line": f'logfile "{log}"'})
    _switch(process, True)
    try:
        yield found
    finally:
        _switch(process, False)
    seen = LINE.findall(log.read_text(encoding="utf-8", errors="replace")[start:])
    if not seen:
        raise Unavailable(f"this QEMU does not print its trace event {EVENT}: it was built without the log backend")
    found += [(int(address, 16), int(value, 16)) for address, value, name in seen if name == region]


def _switch(process: Running, enable: bool) -> None:
    try:
        process.qmp.execute("trace-event-set-state", name=EVENT, enable=enable)
    except RequestRefused as error:
        raise Unavailable(f"this QEMU has no trace event {EVENT}: {error}") from None
