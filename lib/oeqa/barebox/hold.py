# SPDX-License-Identifier: MIT
"""A machine that failed, kept as it is for somebody who wants to look: paused, its console and gdb's end on sockets.

Nothing of it is there before: QEMU opens gdb's socket only now.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import socket
from collections.abc import Sequence
from pathlib import Path

from . import backtrace
from .backtrace import Placed, Read
from .errors import GuestError
from .hazards.binutils import OBJDUMP_MACHINES
from .hazards.elf import Elf
from .process import Running

CHUNK = 4096
POLL_SECONDS = 0.2


class Held:
    """One paused machine.

    :param what: what failed, for the text
    :param folder: for the sockets
    :param read: the guest's memory
    :param files: the bootloader's ELF files, for the symbols
    :raises ConnectionError: QEMU is gone
    :raises RequestRefused: QEMU cannot open gdb's socket
    """

    def __init__(self, what: str, arch: str, process: Running, folder: Path, read: Read, files: Sequence[Elf]) -> None:
        self._what, self._arch, self._process = what, arch, process
        self.console, self.gdb = folder / "held-console", folder / "held-gdb"
        process.qmp.execute("stop")
        monitor = "human-monitor-command"
        said = process.qmp.execute(monitor, **{"command-line": f"gdbserver unix:{self.gdb},server=on,wait=off"})
        registers = process.qmp.execute(monitor, **{"command-line": "info registers"})
        self._gdb_said = str(said).strip()
        self.placed: list[Placed] = backtrace.placed(backtrace.collect(str(registers), "", read), files)
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.console))
        self._server.listen(1)

    def __str__(self) -> str:
        gdb = ["gdb-multiarch", "-ex", f"set architecture {OBJDUMP_MACHINES[self._arch]}"]
        gdb += ["-ex", f"target remote {self.gdb}"]
        for p in self.placed:
            gdb += ["-ex", f"add-symbol-file {p.elf.path} -o {p.distance:#x}"]
        return "\n".join(
            [
                f"held, paused: {self._what}",
                f"QEMU: process group {self._process.pid}, {self._gdb_said}",
                f"console: socat -,raw,echo=0,escape=0x1d UNIX-CONNECT:{self.console}    (Ctrl-] leaves it)",
                f"gdb: {shlex.join(gdb)}",
                "In gdb, continue lets the machine go on. Ctrl-C here ends it.",
            ]
        )

    def serve(self) -> None:
        """Carry the console to who connects to its socket, until Ctrl-C or until QEMU ends."""
        with contextlib.suppress(KeyboardInterrupt), self._server:
            while self._process.wait(0) is None:
                if select.select([self._server], [], [], POLL_SECONDS)[0]:
                    with self._server.accept()[0] as client:
                        self._carry(client)
        self.console.unlink(missing_ok=True)

    def _carry(self, client: socket.socket) -> None:
        console = self._process.console
        with contextlib.suppress(ConnectionError):
            while self._process.wait(0) is None:
                ready = select.select([client.fileno(), console.from_guest], [], [], POLL_SECONDS)[0]
                if console.from_guest in ready:
                    client.sendall(os.read(console.from_guest, CHUNK))
                if client.fileno() in ready:
                    typed = client.recv(CHUNK)
                    if not typed:
                        return
                    os.write(console.to_guest, typed)


def reason(error: Exception) -> str:
    """Why a machine cannot be held, in one line."""
    kind = "" if isinstance(error, GuestError) else "QEMU is gone, there is nothing to hold: "
    return f"{kind}{str(error).partition(chr(10))[0]}"
