# SPDX-License-Identifier: MIT
"""A running QEMU: its start, its console's pipes, and its end, also when the harness is killed."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from .deadline import Deadline
from .errors import SetupError
from .qmp import Qmp

SOCKET_PATH_LIMIT = 80
QUIT_SECONDS = 5.0
REAPER = 'while read -r line; do group=$line; done; [ -z "$group" ] || kill -s KILL -- "-$group"; rm -rf -- "$1"'


class RunFolder:
    """A short-lived folder for sockets and disks, and a reaper that removes it with QEMU when this process dies.

    The reaper is a shell in a session of its own that reads from a pipe: process groups to kill, an empty line when
    there is none. The pipe ends with this process, however it ends.
    """

    def __init__(self) -> None:
        try:
            self.path = Path(_make_folder())
        except OSError as error:
            raise SetupError(f"no temporary folder: {error}. Set TMPDIR to a folder that can be written.") from None
        self._reaper = subprocess.Popen(
            ["/bin/sh", "-c", REAPER, "reaper", str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def guard(self, group: int | None) -> None:
        """Name the process group that must not outlive this process."""
        assert self._reaper.stdin is not None
        self._reaper.stdin.write(f"{group or ''}\n".encode())
        self._reaper.stdin.flush()

    def outlive_exec(self) -> None:
        """Leave the folder to the program that is about to replace this process; it goes when that one ends."""
        assert self._reaper.stdin is not None
        os.set_inheritable(self._reaper.stdin.fileno(), True)

    def close(self) -> None:
        """Remove the folder."""
        if self._reaper.poll() is None:
            self._reaper.communicate(timeout=60)


def _make_folder() -> str:
    folder = tempfile.mkdtemp(prefix="barebox-virt-")
    if len(folder) <= SOCKET_PATH_LIMIT:
        return folder
    Path(folder).rmdir()
    return tempfile.mkdtemp(prefix="barebox-virt-", dir="/tmp")


class Pipes:
    """The console's two pipes. A socket would not do: QEMU sends single characters, some 280 of them fill a socket's
    buffer, and then QEMU waits for its reader with its lock held and answers no QMP request."""

    def __init__(self, path: Path) -> None:
        self._paths = [path.with_suffix(suffix) for suffix in (".in", ".out")]
        for pipe in self._paths:
            os.mkfifo(pipe)
        self.to_guest = os.open(self._paths[0], os.O_RDWR | os.O_CLOEXEC)
        self.from_guest = os.open(self._paths[1], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self) -> None:
        for fd in (self.to_guest, self.from_guest):
            os.close(fd)
        for pipe in self._paths:
            pipe.unlink(missing_ok=True)


class Console(Protocol):
    """The two ends of a guest's console, as file descriptors."""

    from_guest: int
    to_guest: int


class Running:
    """What the harness needs of a QEMU that runs, wherever it does.

    ``errors`` is a file with what QEMU printed beside the console, once it has ended; ``started`` is when it was
    started, by time.monotonic().
    """

    command: list[str]
    errors: Path
    started: float
    console: Console
    qmp: Qmp
    pid: int = 0
    """The process, and its group, that was started out here; 0 where it runs elsewhere."""

    def was_reset(self) -> bool:
        """Whether the machine was reset since this was asked last."""
        try:
            self.qmp.execute("query-status")
        except ConnectionError:
            return False
        return any(event["event"] == "RESET" for event in self.qmp.events())

    def said(self) -> str:
        """What QEMU printed beside the console."""
        return self.errors.read_text(encoding="utf-8", errors="replace").strip() if self.errors.exists() else ""

    def wait(self, seconds: float) -> int | None:
        """QEMU's exit status; None where it still runs."""
        raise NotImplementedError

    def quit(self) -> None:
        """End QEMU, whatever state it is in."""
        if self.wait(0) is None:
            with contextlib.suppress(ConnectionError):
                self.qmp.execute("quit")
                self.wait(QUIT_SECONDS)
        self.kill()

    def cut(self) -> None:
        """End QEMU as a power failure would; what belongs to it stays until :meth:`kill`."""
        raise NotImplementedError

    def kill(self) -> None:
        """End QEMU without asking, and free what belongs to it."""
        raise NotImplementedError

    def _connect(self, death: int, seconds: float) -> None:
        """Take QEMU's connection for QMP, or notice its death by ``death``, which becomes readable then."""
        try:
            self.qmp.accept(death, seconds)
        except ConnectionError:
            status = self.wait(0.5)
            self.kill()
            what = "does not answer" if status is None else f"ended at once, with status {status}"
            raise SetupError(
                f"QEMU {what}: {self.said() or 'without a word'}\ncommand: {shlex.join(self.command)}"
            ) from None
        except BaseException:
            self.kill()
            raise


class Process(Running):
    """One QEMU, started by ``command``, with its console's pipes and its QMP socket in ``folder``.

    :param errors: file for what QEMU prints beside the console
    :param seconds: deadline for QEMU to come up
    :raises SetupError: it did not come up
    """

    def __init__(
        self, command: Sequence[str], folder: RunFolder, errors: Path, seconds: float, env: Mapping[str, str] | None
    ) -> None:
        self.command = list(command)
        self.errors = errors
        self.started = time.monotonic()
        self._folder = folder
        self.console = self._pipes = Pipes(folder.path / "console")
        self.qmp = Qmp(folder.path / "qmp")
        try:
            with errors.open("wb") as stream:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    env=env,
                    start_new_session=True,
                )
        except OSError as error:
            self._free()
            raise SetupError(f"{self.command[0]} cannot be started: {error.strerror}") from None
        self.pid = self._process.pid
        folder.guard(self._process.pid)
        death = os.pidfd_open(self._process.pid)
        try:
            self._connect(death, seconds)
        finally:
            os.close(death)

    def wait(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def cut(self) -> None:
        _signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait(QUIT_SECONDS)
        _wait_for_group(self._process.pid)

    def kill(self) -> None:
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            _signal_group(self._process.pid, signal_number)
            try:
                self._process.wait(QUIT_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        _signal_group(self._process.pid, signal.SIGKILL)
        _wait_for_group(self._process.pid)
        self._folder.guard(None)
        self._free()

    def _free(self) -> None:
        self.qmp.close()
        self._pipes.close()
        (self._folder.path / "qmp").unlink(missing_ok=True)


def _signal_group(group: int, signal_number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal_number)


def _wait_for_group(group: int) -> None:
    """Wait until nobody is left in a process group that was killed. Who is waited for may be runqemu alone, whose QEMU
    still holds the disks' locks for a moment."""
    deadline = Deadline(QUIT_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        while not deadline.expired:
            os.killpg(group, 0)
            time.sleep(0.002)
