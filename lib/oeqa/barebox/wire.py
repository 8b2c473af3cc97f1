# SPDX-License-Identifier: MIT
"""The console's wire: pexpect on two pipes, with VT100 escapes taken out."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Sequence
from re import Pattern
from typing import IO, TYPE_CHECKING

from pexpect.fdpexpect import fdspawn

if TYPE_CHECKING:
    _Spawn = fdspawn[str]
else:
    _Spawn = fdspawn

VT100 = re.compile(r"\x1b(?:\[[0-9;?=]*[@-~]|[()][0-9A-B]|[=>78cDEHMNOZ])")
HALF_VT100 = re.compile(r"\x1b(?:\[[0-9;?=]*|[()])?\Z")
CHUNK = 4096
WINDOW = CHUNK + 2048
OUTPUT_LIMIT = 4 * 1024 * 1024
REMEMBERED = 4000


class TooMuch(Exception):
    """The guest prints without end."""


class Wire(_Spawn):
    """pexpect on the console's pipes, without VT100 escapes; it notes when the guest spoke last, and how much."""

    def __init__(self, from_guest: int, to_guest: int, log: IO[str]) -> None:
        super().__init__(from_guest, encoding="utf-8", codec_errors="replace", maxread=CHUNK, searchwindowsize=WINDOW)
        self._to_guest = to_guest
        self.delayafterread = None
        self.logfile_read = log
        self.heard = time.monotonic()
        self.amount = 0
        self.tail = ""
        self._half = ""
        self._began = time.monotonic()
        self._seen: deque[tuple[float, str, str]] = deque(maxlen=REMEMBERED)

    def transcript(self) -> str:
        """What was printed and typed of late, each line with the seconds since the console was opened; typed text
        stands behind a >."""
        lines, open_line = [], False
        for when, mark, text in self._seen:
            for piece in text.replace("\r", "").splitlines(keepends=True):
                if mark == ">" or not open_line:
                    lines.append(f"{'' if not open_line else chr(10)}[{when - self._began:10.4f}] {mark} ")
                lines.append(piece if mark == "<" else f"{piece.rstrip()!r}\n")
                open_line = mark == "<" and not piece.endswith("\n")
        return "".join(lines) + "\n" * open_line

    def send(self, s: str | bytes) -> int:
        self._seen.append((time.monotonic(), ">", s if isinstance(s, str) else s.decode(errors="replace")))
        return os.write(self._to_guest, s.encode() if isinstance(s, str) else s)

    def find(self, patterns: Sequence[Pattern[str]], timeout: float) -> tuple[int, str, re.Match[str]]:
        """The first pattern that comes: its index, the text before it, and the match.

        :raises pexpect.EOF: QEMU ended
        :raises pexpect.TIMEOUT: nothing came in time
        """
        index = self.expect_list(list(patterns), timeout=timeout)
        assert isinstance(self.match, re.Match)
        return index, str(self.before), self.match

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> str:
        raw = self._half + super().read_nonblocking(size, timeout)
        self.heard = time.monotonic()
        self.amount += len(raw)
        if self.amount > OUTPUT_LIMIT:
            raise TooMuch
        half = HALF_VT100.search(raw)
        self._half = half.group() if half else ""
        text = VT100.sub("", raw[: len(raw) - len(self._half)])
        self._seen.append((self.heard, "<", text))
        self.tail = (self.tail + text)[-2 * CHUNK :]
        return text
