# SPDX-License-Identifier: MIT
"""Tables: by rich on a terminal, plain aligned lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

COLOURS = {
    "ok": "green",
    "passed": "green",
    "failed": "red",
    "error": "red",
    "missing": "red",
    "known": "yellow",
    "note": "yellow",
}


def _plain(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [tuple(columns), *(tuple(r) for r in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    print(title)
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def _rich(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        colour = next((COLOURS[cell] for cell in row if cell in COLOURS), None)
        table.add_row(*row, style=colour)
    console.print(table, markup=False)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; a row is coloured by the first of its cells that is a verdict."""
    if sys.stdout.isatty():
        _rich(Console(), title, columns, rows)
    else:
        _plain(title, columns, rows)
