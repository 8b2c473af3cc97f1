# SPDX-License-Identifier: MIT
"""What a run changed on a disk: ranges and bytes, against the disk as it was at first."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

SECTOR = 512
CHUNK = 1 << 20
SHOWN_RANGES = 64
SHOWN_BYTES = 32
INITIAL = ".initial"


def initial(disk: Path) -> Path:
    """Where a disk is kept as it was at first."""
    return disk.with_name(disk.name + INITIAL)


def keep(path: Path) -> None:
    """Keep a disk as it is now, beside it; holes stay holes. Where there is no room, it is not kept."""
    copy = initial(path)
    try:
        with path.open("rb") as source, copy.open("wb") as target:
            target.truncate(os.fstat(source.fileno()).st_size)
            for start, end in _data(source.fileno()):
                _copy(source.fileno(), target.fileno(), start, end)
    except OSError:
        copy.unlink(missing_ok=True)


def _copy(source: int, target: int, start: int, end: int) -> None:
    os.lseek(target, start, os.SEEK_SET)
    while start < end:
        start += os.sendfile(target, source, start, end - start)


def _data(fd: int) -> Iterator[tuple[int, int]]:
    """The ranges of a file that are no holes."""
    end = 0
    with contextlib.suppress(OSError):  # ENXIO behind the last one
        while True:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
            yield start, end


def ranges(before: Path, after: Path) -> list[tuple[int, int]]:
    """Where two files differ: first byte and the one behind the last, in whole sectors; neighbours are one range."""
    found: list[tuple[int, int]] = []
    with before.open("rb") as old, after.open("rb") as new:
        parts = sorted({*_chunks(old.fileno()), *_chunks(new.fileno())})
        for start in parts:
            one, other = (os.pread(f.fileno(), CHUNK, start) for f in (old, new))
            for offset in range(0, max(len(one), len(other)) if one != other else 0, SECTOR):
                if one[offset : offset + SECTOR] != other[offset : offset + SECTOR]:
                    _add(found, start + offset)
    return found


def _chunks(fd: int) -> Iterator[int]:
    for start, end in _data(fd):
        yield from range(start // CHUNK * CHUNK, end, CHUNK)


def _add(found: list[tuple[int, int]], place: int) -> None:
    if found and found[-1][1] == place:
        found[-1] = (found[-1][0], place + SECTOR)
    else:
        found.append((place, place + SECTOR))


def describe(disk: Path) -> str:
    """What changed on a disk that was kept; empty where it was not kept."""
    before = initial(disk)
    if not before.exists():
        return ""
    found = ranges(before, disk)
    total = sum(end - start for start, end in found)
    lines = [f"{disk.name}: {len(found)} ranges changed, {total} bytes of {disk.stat().st_size}"]
    with before.open("rb") as old, disk.open("rb") as new:
        for start, end in found[:SHOWN_RANGES]:
            lines.append(f"{start:#012x}-{end - 1:#012x}  {end - start} bytes")
            for name, stream in (("before", old), ("now", new)):
                place = _first_difference(old.fileno(), new.fileno(), start, end) // 16 * 16
                lines.append(f"  {name:6} {place:#012x}: {os.pread(stream.fileno(), SHOWN_BYTES, place).hex(' ')}")
    if len(found) > SHOWN_RANGES:
        lines.append(f"and {len(found) - SHOWN_RANGES} ranges more")
    return "\n".join(lines) + "\n"


def _first_difference(old: int, new: int, start: int, end: int) -> int:
    one, other = (os.pread(fd, min(end - start, SECTOR), start) for fd in (old, new))
    return start + next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), 0)
