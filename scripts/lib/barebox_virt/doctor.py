# SPDX-License-Identifier: MIT
"""doctor: what this host can do, found out by trying, and the command that mends what it cannot."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from oeqa.barebox.errors import BareboxError

from . import LAYER, host, packages, sources, table
from .host import Finding

NAME = "doctor"
HELP = "tell what this host can do, and the command that mends what it cannot; exit status 1 where something is missing"
EXAMPLES = """\
  barebox-virt doctor                  a table; on a pipe one line a finding
  barebox-virt doctor --install-deps   install what is missing first
  barebox-virt doctor --json           for programs"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``doctor``."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    workspace = "where a build would go (default: the current directory)"
    parser.add_argument("--workspace", type=Path, default=Path(), metavar="DIR", help=workspace)


def examine(workspace: Path) -> list[Finding]:
    """Every finding; the network is asked while QEMU runs."""
    machines = list(host.known_machines(LAYER).values())
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(sources.reach, {}, None, None)
        nested = [host.nested(arch) for arch in sorted({m.arch for m in machines})]
        found = [*host.tests(machines), *nested, *host.build(machines, workspace.resolve())]
        try:
            return found + host.reachable(asked.result())
        except BareboxError as error:
            return [*found, Finding("sources", host.MISSING, str(error), packages.remedy(["git"]), "build")]


def show(title: str, found: Sequence[Finding]) -> None:
    """Print findings as a table."""
    rows = [(f.state, f.topic, f.detail, f.remedy) for f in found]
    table.show(title, ("state", "what", "found", "what mends it"), rows)


def run(arguments: argparse.Namespace) -> int:
    """Examine this host and print what was found."""
    if arguments.install_deps:
        packages.provide(packages.wanted(["test", "images", "build", "bitbake"]), True)
    found = examine(arguments.workspace)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(f) for f in found], indent=1))
    else:
        show("This host", found)
    return 1 if any(f.state == host.MISSING for f in found) else 0
