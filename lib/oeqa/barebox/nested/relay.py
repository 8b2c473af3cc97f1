# SPDX-License-Identifier: MIT
"""The console of a guest in a KVM host, as a pipe that ends when the guest's QEMU does.

The port lives as long as the host does; a console has to tell by its end that QEMU is gone.
"""

from __future__ import annotations

import os
import select
import threading

CHUNK = 65536
HOST_ENDED = -1


class Relay(threading.Thread):
    """Copies what comes from ``port`` to ``from_guest``, until a line comes from ``end``: QEMU's exit status.

    :param port: the console's port
    :param end: the port of exit statuses
    """

    def __init__(self, port: int, end: int) -> None:
        super().__init__(daemon=True)
        self.status: int | None = None
        """QEMU's exit status once it has ended; HOST_ENDED where its host did first."""
        self.from_guest, self._to_console = os.pipe()
        self.ended, self._living = os.pipe()  # the first becomes readable when QEMU has ended
        self._halted, self._halt = os.pipe()
        self._port, self._end = port, end
        self.start()

    def run(self) -> None:
        try:
            while self._copy(None) and not self._has_ended():
                pass
            while self._copy(0):
                pass
        except OSError:
            pass  # the reader of the console has gone
        finally:
            if self.status is None:
                self.status = HOST_ENDED
            os.close(self._to_console)
            os.close(self._living)

    def close(self) -> None:
        """Stop copying and free the pipes."""
        os.close(self._halt)
        os.close(self.from_guest)
        self.join()
        os.close(self._halted)
        os.close(self.ended)

    def _copy(self, seconds: float | None) -> bool:
        """Wait for either port and copy what the console has; whether there may be more."""
        ready = select.select([self._port, self._end, self._halted], [], [], seconds)[0]
        if self._port in ready:
            data = os.read(self._port, CHUNK)
            os.write(self._to_console, data)
            return bool(data)
        return bool(ready) and seconds is None and self._halted not in ready

    def _has_ended(self) -> bool:
        if not select.select([self._end], [], [], 0)[0]:
            return False
        line = os.read(self._end, CHUNK).decode(errors="replace").split()
        self.status = int(line[-1]) if line and line[-1].isdecimal() else None
        return True
