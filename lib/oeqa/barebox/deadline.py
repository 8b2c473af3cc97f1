# SPDX-License-Identifier: MIT
"""One deadline for an operation, handed down as what remains of it."""

from __future__ import annotations

import time


class Deadline:
    """A point in time ``seconds`` from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that remain, never below 0."""
        return max(0.0, self._end - time.monotonic())

    def extend(self, seconds: float) -> None:
        """Put it off, by what did not count."""
        self._end += seconds

    @property
    def expired(self) -> bool:
        return self.left == 0.0
