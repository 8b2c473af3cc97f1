# SPDX-License-Identifier: MIT
"""QEMU's monitor, by the library qemu.qmp."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError, Runstate

from .errors import RequestRefused

ANSWER_SECONDS = 5.0


class Qmp:
    """QEMU's monitor, one request after the other.

    :param path: a socket; QEMU connects to it, unless ``listen`` is false: then QEMU's side listens
    :param patience: how many times as long as on hardware an answer may take
    """

    def __init__(self, path: Path, listen: bool = True, patience: float = 1.0) -> None:
        self._path = str(path)
        self._listen = listen
        self._seconds = ANSWER_SECONDS * patience
        self._loop = asyncio.new_event_loop()
        self._client = QMPClient("barebox-virt")
        if listen:
            self._loop.run_until_complete(self._client.start_server(self._path))

    def accept(self, death: int, seconds: float) -> None:
        """Wait for QEMU and agree on capabilities.

        :param death: a file descriptor that becomes readable when QEMU ends
        :raises ConnectionError: QEMU ended, did not come or does not speak QMP
        """
        try:
            self._loop.run_until_complete(self._accept(death, seconds))
        except (asyncio.TimeoutError, QMPError, OSError, EOFError, AssertionError) as error:
            # AssertionError: qemu.qmp takes for granted that QEMU still lives once capabilities were agreed on
            raise ConnectionError(f"QMP: {error!r}") from None

    async def _accept(self, death: int, seconds: float) -> None:
        ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(death, _once(ended))
        coming = self._client.accept() if self._listen else self._client.connect(self._path)
        accept = asyncio.ensure_future(coming)
        try:
            await asyncio.wait({accept, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not accept.done():
                raise ConnectionError("nobody came")
            await accept
        finally:
            self._loop.remove_reader(death)
            accept.cancel()
            await asyncio.gather(accept, return_exceptions=True)

    def execute(self, name: str, /, **arguments: object) -> Any:
        """The answer to one request.

        :raises RequestRefused: QEMU's answer is an error
        :raises ConnectionError: QEMU is gone or does not answer
        """
        try:
            request = self._client.execute(name, arguments or None)
            return self._loop.run_until_complete(asyncio.wait_for(request, self._seconds))
        except ExecuteError as error:
            raise RequestRefused(f"QMP {name}: {error}") from None
        except (asyncio.TimeoutError, QMPError, OSError) as error:
            raise ConnectionError(f"QMP {name}: {error!r}") from None

    def events(self) -> list[Mapping[str, Any]]:
        """What happened since this was asked last."""
        return list(self._client.events.clear())

    def close(self) -> None:
        if self._client.runstate in (Runstate.RUNNING, Runstate.DISCONNECTING):
            with contextlib.suppress(asyncio.TimeoutError, QMPError, OSError, EOFError):
                self._loop.run_until_complete(asyncio.wait_for(self._client.disconnect(), self._seconds))
        self._cancel()
        self._loop.close()

    def _cancel(self) -> None:
        """End what Ctrl-C left half done, as asyncio.run does."""
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        if pending:
            self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))


def _once(future: asyncio.Future[None]) -> Callable[[], None]:
    def settle() -> None:
        if not future.done():
            future.set_result(None)

    return settle
