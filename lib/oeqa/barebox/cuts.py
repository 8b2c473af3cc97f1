# SPDX-License-Identifier: MIT
"""Power failures while the state is written, wherever it is kept."""

from __future__ import annotations

import random
import re
import time

from . import case


class CutCase(case.BootloaderTestCase):
    """A case on a state variable, which :meth:`get` reads after a start."""

    def get(self) -> int:
        """The variable's value."""
        raise NotImplementedError

    def check_cuts(self, cuts: int, variable: str, save: str, shortest: float) -> None:
        """After the power failed in a row of writes, the value is the last reported as saved, or a newer one.

        :param save: the command that writes the state
        :param shortest: seconds that a row of writes lasts at least
        """
        self.get()  # a start of the machine is no part of a save's time
        started = time.monotonic()
        self.shell(save)
        longest = max(0.4, 8 * (time.monotonic() - started))
        seen = 0
        for number in range(cuts):
            before, first = self.get(), 1000 * (number + 1)
            loop = f"i={first}; while true; do let i++; {variable}=$i; {save} && echo saved $i now; done"
            text = self.board.cut(loop, random.uniform(shortest, longest))
            saved = [int(x) for x in re.findall(r"saved (\d+) now", text)]
            seen += len(saved)
            allowed = range(saved[-1], saved[-1] + 50) if saved else {before, *range(first + 1, first + 100)}
            self.assertIn(self.get(), allowed, f"cut {number}; before: {before}, saved: {saved[-1:]}")
        self.assertTrue(seen, "no save was reported at all, so nothing was tested")
