# SPDX-License-Identifier: MIT
"""A running QEMU: its start, its console's socket, QMP, and its end, also when the harness is killed."""

from __future__ import annotations

import asyncio
import os
import select
import shlex
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Mapping, Sequence

from qemu.qmp import QMPClient, QMPError

from .deadline import Deadline
from .errors import SetupError

SOCKET_PATH_LIMIT = 80
QUIT_SECONDS = 5.0
REAPER = 'while read -r line; do group=$line; done; [ -z "$group" ] || kill -KILL -- "-$group"; rm -rf -- "$1"'


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

    def close(self) -> None:
        """Remove the folder."""
        if self._reaper.poll() is None:
            self._reaper.communicate(timeout=60)


def _make_folder() -> str:
    folder = tempfile.mkdtemp(prefix="barebox-virt-")
    if len(folder) <= SOCKET_PATH_LIMIT:
        return folder
    os.rmdir(folder)
    return tempfile.mkdtemp(prefix="barebox-virt-", dir="/tmp")


class Qmp:
    """QEMU's monitor, one request after the other."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = QMPClient("barebox-virt")
        self._loop.run_until_complete(self._client.start_server(str(path)))

    def accept(self, death: int, seconds: float) -> None:
        """Wait for QEMU and agree on capabilities.

        :param death: a file descriptor that becomes readable when QEMU ends
        :raises ConnectionError: QEMU ended, did not come or does not speak QMP
        """
        try:
            self._loop.run_until_complete(self._accept(death, seconds))
        except (asyncio.TimeoutError, QMPError, OSError, EOFError) as error:
            raise ConnectionError(f"QMP: {error!r}") from None

    async def _accept(self, death: int, seconds: float) -> None:
        ended = self._loop.create_future()
        self._loop.add_reader(death, lambda: ended.done() or ended.set_result(None))
        accept = asyncio.ensure_future(self._client.accept())
        try:
            await asyncio.wait({accept, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not accept.done():
                raise ConnectionError("nobody came")
            await accept
        finally:
            self._loop.remove_reader(death)
            accept.cancel()

    def execute(self, name: str, **arguments: object) -> Any:
        """The answer to one request.

        :raises ConnectionError: QEMU is gone or does not answer
        """
        try:
            request = self._client.execute(name, arguments or None)
            return self._loop.run_until_complete(asyncio.wait_for(request, QUIT_SECONDS))
        except (asyncio.TimeoutError, QMPError, OSError) as error:
            raise ConnectionError(f"QMP {name}: {error!r}") from None

    def events(self) -> list[Mapping[str, Any]]:
        """What happened since this was asked last."""
        return self._client.events.clear()

    def close(self) -> None:
        try:
            self._loop.run_until_complete(asyncio.wait_for(self._client.disconnect(), QUIT_SECONDS))
        except (asyncio.TimeoutError, QMPError, OSError, EOFError):
            pass
        self._loop.close()


class Process:
    """One QEMU, started by ``command``; it connects to our sockets in ``folder``.

    :raises SetupError: it ended before its console was there
    """

    def __init__(
        self, command: Sequence[str], folder: RunFolder, errors: Path, seconds: float, env: Mapping[str, str] | None
    ) -> None:
        self.command = list(command)
        self.errors = errors
        self._folder = folder
        self._console: socket.socket | None = None
        self.qmp = Qmp(folder.path / "qmp")
        listener = _listen(folder.path / "console")
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
            folder.guard(self._process.pid)
            self._connect(listener, Deadline(seconds))
        except FileNotFoundError as error:
            self.qmp.close()
            raise SetupError(f"{self.command[0]} cannot be started: {error.strerror}") from None
        finally:
            listener.close()
            (folder.path / "console").unlink(missing_ok=True)

    @property
    def console(self) -> int:
        """The console's file descriptor."""
        assert self._console is not None
        return self._console.fileno()

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
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def quit(self) -> None:
        """End QEMU, whatever state it is in."""
        if self._process.poll() is None:
            try:
                self.qmp.execute("quit")
                self._process.wait(QUIT_SECONDS)
            except (ConnectionError, subprocess.TimeoutExpired):
                pass
        self.kill()

    def kill(self) -> None:
        """End QEMU without asking, and free what belongs to it."""
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            _signal_group(self._process.pid, signal_number)
            try:
                self._process.wait(QUIT_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        _signal_group(self._process.pid, signal.SIGKILL)
        self._folder.guard(None)
        self.qmp.close()
        (self._folder.path / "qmp").unlink(missing_ok=True)
        if self._console is not None:
            self._console.close()

    def _connect(self, listener: socket.socket, deadline: Deadline) -> None:
        """Take QEMU's connections for console and QMP, or notice its death."""
        death = os.pidfd_open(self._process.pid)
        try:
            ready, _, _ = select.select([listener, death], [], [], deadline.left)
            if listener not in ready:
                raise ConnectionError("nobody came")
            self._console = listener.accept()[0]
            self.qmp.accept(death, deadline.left)
        except ConnectionError:
            status = self.wait(0.5)
            self.kill()
            what = "does not answer" if status is None else f"ended at once, with status {status}"
            raise SetupError(f"QEMU {what}: {self.said() or 'without a word'}\ncommand: {shlex.join(self.command)}") from None
        except BaseException:
            self.kill()
            raise
        finally:
            os.close(death)


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    return listener


def _signal_group(group: int, signal_number: int) -> None:
    try:
        os.killpg(group, signal_number)
    except ProcessLookupError:
        pass
