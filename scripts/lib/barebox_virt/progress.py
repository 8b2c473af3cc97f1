# SPDX-License-Identifier: MIT
"""Progress of long work: a bar on a terminal, a line a step elsewhere."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar


class Progress:
    """Steps of a piece of work, shown while it runs."""

    def __init__(self, what: str, steps: int) -> None:
        self._terminal = sys.stdout.isatty()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
        )
        self._bar = Bar(*columns, console=Console(), transient=True, disable=not self._terminal)
        self._task = self._bar.add_task(what, total=steps, now="")

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def step(self, name: str, end: str) -> None:
        """One step is done."""
        if self._terminal:
            self._bar.update(self._task, advance=1, now=f"{end}: {name}")
        else:
            print(f"{end:8} {name}", flush=True)

    def note(self, text: str) -> None:
        """Something that people should read at once."""
        if self._terminal:
            self._bar.console.print(text, markup=False)
        else:
            print(text, flush=True)
