# SPDX-License-Identifier: MIT
"""What crosses the border of a KVM host: ports, each a pair of pipes out here and /dev/virtio-ports/NAME in there."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from pathlib import Path
from typing import Callable

from ..deadline import Deadline
from ..errors import SetupError
from ..process import Pipes

CHUNK = 65536
SECONDS = 60.0


class HostError(SetupError):
    """The KVM host ended, hangs or cannot do its work."""


class Port:
    """One port, by the path of its pipes."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.pipes = Pipes(path)
        os.set_blocking(self.pipes.to_guest, False)
        self._rest = b""

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Hand ``data`` to the host.

        :raises HostError: it does not take them in time
        """
        rest = memoryview(data)
        while rest:
            if not select.select([], [self.pipes.to_guest], [], deadline.left)[1]:
                raise HostError(f"the KVM host takes nothing on its port {self.name} for {deadline.seconds:g} s")
            rest = rest[os.write(self.pipes.to_guest, rest[:CHUNK]) :]

    def read(self, length: int, deadline: Deadline) -> bytes:
        """The next ``length`` bytes.

        :raises HostError: the host ended, or they do not come in time
        """
        while len(self._rest) < length:
            self._rest += self._more(deadline)
        data, self._rest = self._rest[:length], self._rest[length:]
        return data

    def line(self, deadline: Deadline) -> str:
        """The next line, without its end.

        :raises HostError: the host ended, or it does not come in time
        """
        while b"\n" not in self._rest:
            self._rest += self._more(deadline)
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def forget(self) -> None:
        """Drop what nobody read."""
        self._rest = b""
        while select.select([self.pipes.from_guest], [], [], 0)[0] and os.read(self.pipes.from_guest, CHUNK):
            pass

    def close(self) -> None:
        self.pipes.close()

    def _more(self, deadline: Deadline) -> bytes:
        if not select.select([self.pipes.from_guest], [], [], deadline.left)[0]:
            raise HostError(f"the KVM host says nothing on its port {self.name} for {deadline.seconds:g} s")
        data = os.read(self.pipes.from_guest, CHUNK)
        if not data:
            raise HostError("the KVM host ended")
        return data


class Agent:
    """The host's first process, init.sh, at the other end of the ports ``control`` and ``files``.

    :param evidence: what to add to an error's text when the host fails
    """

    def __init__(self, control: Port, files: Port, evidence: Callable[[], str]) -> None:
        self._control = control
        self._files = files
        self._evidence = evidence

    def wait_ready(self, seconds: float) -> str:
        """Wait until the host is up; the release of its kernel.

        :raises HostError: it does not come up, or cannot run guests
        """
        try:
            word, _, text = self._control.line(Deadline(seconds)).partition(" ")
        except HostError as error:
            raise self._lost(error) from None
        if word != "ready":
            raise self._lost(HostError(f"the KVM host cannot run guests: {text}"))
        return text

    def run(self, line: str, seconds: float = SECONDS) -> str:
        """What a shell command in the host prints.

        :raises HostError: the host ended or hangs, or the command's status is not 0
        """
        return self._do(line, Deadline(seconds))

    def put(self, archive: bytes) -> None:
        """Unpack a tar archive in the host."""
        self._do(f"head -c {len(archive)} /dev/virtio-ports/files | tar -x -C /", Deadline(SECONDS), archive)

    def get(self, path: Path) -> bytes:
        """A file or a folder of the host as a tar archive."""
        name = str(path).lstrip("/")
        length = int(self.run(f"tar -c -f /run/files.tar -C / '{name}' && wc -c </run/files.tar"))
        deadline = Deadline(SECONDS)
        self._control.write(b"cat /run/files.tar >/dev/virtio-ports/files\n", deadline)
        data = self._files.read(length, deadline)
        self._answer("fetching files", deadline)
        return data

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove files of the host."""
        self.run("rm -rf " + " ".join(f"'{p}'" for p in paths))

    def _do(self, line: str, deadline: Deadline, files: bytes = b"") -> str:
        try:
            self._control.write(f"{line}\n".encode(), deadline)
            self._files.write(files, deadline)
            return self._answer(line, deadline)
        except (HostError, OSError) as error:
            raise self._lost(error) from None

    def _answer(self, line: str, deadline: Deadline) -> str:
        head = self._control.line(deadline).split()
        if len(head) != 3 or head[0] != "done":
            raise HostError(f"the KVM host answers {' '.join(head)!r} to {line[:200]}")
        output = self._control.read(int(head[2]), deadline).decode(errors="replace")
        if head[1] != "0":
            raise HostError(f"in the KVM host, with status {head[1]}: {line[:200]}\n{output}")
        return output

    def _lost(self, error: Exception) -> HostError:
        return HostError(f"{error}\n{self._evidence()}".rstrip())
