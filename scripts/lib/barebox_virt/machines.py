# SPDX-License-Identifier: MIT
"""machines: render what is generated from the machine descriptions, check it, or list the machines."""

from __future__ import annotations

import argparse
import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from . import LAYER

if TYPE_CHECKING:
    from .describe import Generated

NAME = "machines"
HELP = (
    "render conf/machine/*.conf and the compiled descriptions from conf/machines/*.yaml; check them; list the machines"
)
EXAMPLES = """\
  barebox-virt machines                      render what has changed
  barebox-virt machines --check              exit status 1 and a diff where a generated file is out of date
  barebox-virt machines --list               show the machines
  barebox-virt machines --layer ../meta-mine render the machines that another layer describes"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``machines``."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check", action="store_true", help="change nothing; show what is out of date and exit with status 1"
    )
    what.add_argument("--list", action="store_true", help="show a table of the machines")
    parser.add_argument(
        "--layer", type=Path, default=LAYER, metavar="DIR", help="the layer with conf/machines/ (default: this one)"
    )


def _short(path: Path, layer: Path) -> str:
    return str(path.relative_to(layer))


def _drifted(layer: Path) -> list[Generated]:
    """The files that are out of date. A machine's configuration that was written by hand is its author's."""
    from . import describe

    drifted = []
    for file in describe.generate(layer):
        if file.path.suffix == ".conf" and describe.MARKER not in (file.current() or describe.MARKER):
            print(f"{_short(file.path, layer)} was written by hand, it has no {describe.MARKER!r} line: kept")
        elif file.current() != file.text:
            drifted.append(file)
    return drifted


def _check(layer: Path) -> int:
    from . import describe

    drifted = _drifted(layer)
    for file in drifted:
        name = _short(file.path, layer)
        old, new = (file.current() or "").splitlines(True), file.text.splitlines(True)
        print("".join(difflib.unified_diff(old, new, f"{name} (as it is)", f"{name} (as generated)")), end="")
    gone = describe.stale(layer)
    for path in gone:
        print(f"{_short(path, layer)}: its description {path.stem}.yaml is gone")
    if drifted or gone:
        print(f"{len(drifted) + len(gone)} generated file(s) out of date. Run: barebox-virt machines")
    return 1 if drifted or gone else 0


def _write(path: Path, text: str) -> None:
    """Replace the file at once, so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _render(layer: Path) -> int:
    from . import describe

    for file in _drifted(layer):
        _write(file.path, file.text)
        print(f"wrote {_short(file.path, layer)}")
    for path in describe.stale(layer):
        path.unlink()
        print(f"removed {_short(path, layer)}, its description is gone")
    return 0


def _list(layer: Path) -> int:
    from . import describe, table

    rows = []
    for path in describe.sources(layer):
        m = describe.describe(path)
        kinds = " ".join(sorted({d["kind"] for d in m["devices"]}))
        qemu = f"{m['qemu']['machine']}, QEMU {m['qemu']['minimum']}+"
        rows.append((m["name"], m["arch"], qemu, ", ".join(sorted(m["firmware"])), kinds, m["title"]))
    table.show("Machines", ("machine", "arch", "QEMU", "bootloaders", "devices", "title"), rows)
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Render, check or list."""
    layer = arguments.layer.resolve()
    if arguments.list:
        return _list(layer)
    return _check(layer) if arguments.check else _render(layer)
