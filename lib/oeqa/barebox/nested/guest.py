# SPDX-License-Identifier: MIT
"""One QEMU in a KVM host, with the face of a QEMU out here."""

from __future__ import annotations

import contextlib
import select
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..process import Running
from ..qmp import Qmp
from .host import Host
from .ports import HostError
from .relay import Relay

CONSOLE, QMP = Path("/dev/virtio-ports/console"), Path("/dev/virtio-ports/guest-qmp")
KILL_SECONDS = 10.0
LINE_FEED = "lf=$(printf '\\nx'); lf=${lf%x}; "
START = (
    "{{ {command} </dev/null >/run/errors 2>&1 & echo $! >/run/pid; wait $!; echo $? >/dev/virtio-ports/end; }}"
    " </dev/null >/dev/null 2>&1 &"
)


def one_line(command: Sequence[str]) -> str:
    """A command as the host takes it, which reads lines: ``$lf`` in place of each line feed, quotes around it."""
    return shlex.join(command).replace("\n", "'\"$lf\"'")


@dataclass
class Ends:
    """The guest's console: what it says by way of the relay, what it hears by its port."""

    from_guest: int
    to_guest: int


class Guest(Running):
    """QEMU in ``host``, started by ``command`` there.

    :param errors: file for what QEMU prints beside the console
    :param seconds: deadline for QEMU to come up
    :raises SetupError: it did not come up
    """

    def __init__(self, host: Host, command: Sequence[str], errors: Path, seconds: float) -> None:
        self.command = list(command)
        self.errors = errors
        self.started = time.monotonic()
        self._host = host
        self._words = ""
        for name in ("console", "end"):
            host.ports[name].forget()
        self._relay = Relay(host.ports["console"].pipes.from_guest, host.ports["end"].pipes.from_guest)
        self.console = Ends(self._relay.from_guest, host.ports["console"].pipes.to_guest)
        self.qmp = Qmp(host.guest_qmp, listen=False, patience=host.description.patience)
        try:
            self._run(LINE_FEED + START.format(command=one_line(self.command)))
        except BaseException:
            self.kill()
            raise
        self._connect(self._relay.ended, seconds)

    def said(self) -> str:
        if self.wait(0) is None:
            with contextlib.suppress(HostError):
                return self._run("cat /run/errors").strip()
        return super().said()

    def wait(self, seconds: float) -> int | None:
        if self._relay.status is None:
            select.select([self._relay.ended], [], [], seconds * self._host.description.patience)
        return self._relay.status

    def cut(self) -> None:
        self._run("kill -9 $(cat /run/pid)")
        self.wait(KILL_SECONDS)

    def kill(self) -> None:
        """End QEMU; where its host does not answer, that goes too."""
        try:
            if self.wait(0) is None:
                self.cut()
            words = self._run("cat /run/errors")
            if self.wait(0) is None:
                raise HostError("the guest's QEMU does not end")
        except HostError as error:
            words = str(error)
            self._host.stop()
        self.errors.write_text(words, encoding="utf-8")
        self._relay.close()
        self.qmp.close()

    def _run(self, line: str) -> str:
        if self._host.agent is None:
            raise HostError("the KVM host is gone")
        return self._host.agent.run(line, KILL_SECONDS * self._host.description.patience)
