# SPDX-License-Identifier: MIT
"""A guest's console on this terminal, as QEMU's own does it: Ctrl-A X ends."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator

from oeqa.barebox.process import Console

ESCAPE, END = b"\x01", b"x"
CHUNK = 4096


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    """The terminal without echo and line editing; anything else as it is."""
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def connect(console: Console) -> None:
    """Carry characters until the guest or the user ends it."""
    keyboard, escaped = sys.stdin.fileno(), False
    wanted = [keyboard, console.from_guest]
    with _raw(keyboard):
        while True:
            ready = select.select(wanted, [], [])[0]
            if console.from_guest in ready:
                text = os.read(console.from_guest, CHUNK)
                if not text:
                    return
                os.write(sys.stdout.fileno(), text)
            if keyboard in ready:
                typed = os.read(keyboard, CHUNK)
                if not typed:
                    wanted.remove(keyboard)
                if ends(typed, escaped):
                    return
                escaped = typed.endswith(ESCAPE)
                os.write(console.to_guest, typed.replace(ESCAPE, b""))


def ends(typed: bytes, escaped: bool) -> bool:
    """Whether Ctrl-A X was typed; ``escaped`` tells that Ctrl-A was the last key before."""
    return (escaped and typed[:1] == END) or ESCAPE + END in typed
