# SPDX-License-Identifier: MIT
"""What a busy host takes from QEMU, so that deadlines need not count it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def _threads(group: int) -> list[Path]:
    """The folders of all threads of a process group, as proc(5) has them."""
    found: list[Path] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(stat.parent.name)) == group:
                found += (stat.parent / "task").iterdir()
    return found


def waited(group: int) -> float:
    """Seconds in which a process group could have run and had no processor: those of the thread that had to wait most;
    0.0 where nobody can tell. Linux counts them in /proc/PID/task/TID/schedstat, the second number, in nanoseconds
    (Documentation/scheduler/sched-stats.rst)."""
    longest = 0
    for thread in _threads(group) if group else ():
        with contextlib.suppress(OSError, ValueError, IndexError):
            longest = max(longest, int((thread / "schedstat").read_text(encoding="ascii").split()[1]))
    return longest / 1e9
