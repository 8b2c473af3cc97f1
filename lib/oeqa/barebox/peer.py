# SPDX-License-Identifier: MIT
"""The test's end of a network: frames that the guest sent come in, frames for it go out.

What is spoken is the case's business; this is Ethernet on a pair of datagram sockets of QEMU's (-netdev dgram).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .errors import GuestError, SetupError

FRAME_LIMIT = 65536
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 20
"""How long a guest may take no frame."""

Answer = Callable[[bytes], Iterable[bytes]]


class Peer:
    """Answers the guest's frames, in a thread of its own, while it is used as a context.

    :param ends: the sockets' paths, QEMU's and this one's
    :param answer: the frames that a frame of the guest's is answered with
    :raises SetupError: the socket cannot be made
    """

    def __init__(self, ends: tuple[Path, Path], answer: Answer) -> None:
        self._theirs, self._ours = ends
        self._answer = answer
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ours.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(str(self._ours))
        except OSError as error:
            self._socket.close()
            raise SetupError(f"{self._ours}: {error.strerror}. Set TMPDIR to a folder with a short name.") from None
        self._socket.settimeout(POLL_SECONDS)

    def __enter__(self) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()
        self._ours.unlink(missing_ok=True)
        if self._error is not None:
            raise self._error

    def send(self, frame: bytes) -> None:
        """Send one frame to the guest, as soon as QEMU takes it. Where QEMU is not there, it is lost, as on a wire.

        :raises GuestError: the guest takes none any more
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._stop.is_set():
            try:
                self._socket.sendto(frame, str(self._theirs))
            except socket.timeout:
                if time.monotonic() > deadline:
                    raise GuestError(f"the guest has taken no frame for {PATIENCE_SECONDS} s") from None
                continue
            except (ConnectionError, FileNotFoundError):
                pass
            return

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                frame = self._socket.recv(FRAME_LIMIT)
            except socket.timeout:
                continue
            try:
                for answer in self._answer(frame):
                    self.send(answer)
            except BaseException as error:
                self._error = error
                return
