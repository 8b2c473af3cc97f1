# SPDX-License-Identifier: MIT
"""How each bootloader's shell talks, as data.

Patterns are matched after VT100 escapes were stripped. Sources: barebox 2026.06.1 and Debian 12's U-Boot 2023.01 as
they print themselves; line limits from CONFIG_CBSIZE (barebox 1024; U-Boot 256 on riscv64, 512 elsewhere) and trials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from re import Pattern

from .errors import UsageError


@dataclass(frozen=True)
class Dialect:
    """One bootloader's console.

    ``banner`` has the groups version and build and matches a start only, not what the version command prints.
    ``autoboot`` is the first that is printed when a key stops the automatic boot; ``key`` stops it.
    ``continuation`` is what the shell prints when it wants the rest of a command.
    ``noise`` is what the guest prints in between where the host is busy; it is in the log and in no command's output.
    ``line_limit`` is the longest line that the shell takes, in characters.
    ``poweroff`` and ``reset`` are the commands that end and restart the machine.
    """

    name: str
    banner: Pattern[str]
    autoboot: Pattern[str]
    key: str
    prompt: Pattern[str]
    continuation: Pattern[str]
    panic: Pattern[str]
    noise: Pattern[str]
    line_limit: int
    poweroff: str = "poweroff"
    reset: str = "reset"


BAREBOX = Dialect(
    name="barebox",
    banner=re.compile(
        r"(?m)^barebox (?P<version>\S+) (?P<build>#[^\r\n]*)\s+"
        r"(?:Buildsystem version: [^\r\n]*\s+)?Board: (?P<board>[^\r\n]+)\r?\n"
    ),
    autoboot=re.compile(r"(?m)^Hit "),
    key="\r",
    prompt=re.compile(r"(?m)^barebox@(?P<board>[^:\r\n]+):(?P<directory>[^ \r\n]+) "),
    continuation=re.compile(r"(?m)^> \Z"),
    panic=re.compile(r"(?m)^(PANIC: |Unhandled exception: |!!!! \S+ Exception Type )[^\r\n]*"),
    noise=re.compile(r"WARNING: poller: '[^'\r\n]*' takes unexpectedly long: \d+ms\r*\n"),
    line_limit=1022,
)

U_BOOT = Dialect(
    name="u-boot",
    banner=re.compile(r"(?m)^U-Boot (?P<version>\d\S+) \((?P<build>[^\r\n]*)\)\s+(?:CPU|DRAM|Model):"),
    autoboot=re.compile(r"(?m)^Hit any key"),
    key="\r",
    prompt=re.compile(r"(?m)^=> "),
    continuation=re.compile(r"(?m)^> \Z"),
    panic=re.compile(r'(?m)^("[^"\r\n]+" handler|Unhandled exception: |### ERROR ### )[^\r\n]*'),
    noise=re.compile(r"(?!)"),
    line_limit=255,
)

DIALECTS: Mapping[str, Dialect] = {d.name: d for d in (BAREBOX, U_BOOT)}


def get(name: str) -> Dialect:
    """The dialect called ``name``.

    :raises UsageError: there is none
    """
    if name not in DIALECTS:
        raise UsageError(f"unknown bootloader {name!r}; known: {', '.join(sorted(DIALECTS))}")
    return DIALECTS[name]
