# SPDX-License-Identifier: MIT
"""Progress of long work: a bar on a terminal, lines elsewhere."""

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
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)


def quiet(_what: str, _percent: int) -> None:
    """Progress that nobody wants to see."""


class Lines:
    """Progress of things that follow one another, each told by its name and how much of it is done, in per cent."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self._bar = Bar(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("", total=100)
        self._what = ""

    def __enter__(self) -> Lines:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def __call__(self, what: str, percent: int) -> None:
        if what != self._what:
            self._console.print(what, markup=False, highlight=False, soft_wrap=True)
        self._what = what
        self._bar.update(self._task, description=what, completed=percent)
