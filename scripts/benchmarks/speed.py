#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The ratios of the cases barebox_speed over many runs: how far noise reaches, and how far each is from red.

scripts/benchmarks/speed.py qemuarm64-barebox --firmware FILE --runs 20
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

LAYER = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(LAYER / "scripts/lib"), str(LAYER / "lib")]

from barebox_virt import bootstrap  # noqa: E402

if __name__ == "__main__":
    bootstrap.enter(LAYER / "scripts/requirements.txt", sys.argv)

from barebox_virt import common, table  # noqa: E402
from barebox_virt.main import guarded  # noqa: E402
from oeqa.barebox import qemu, results, speed  # noqa: E402
from oeqa.barebox.target import Target  # noqa: E402


def run(arguments: argparse.Namespace) -> int:
    """Run the cases, and print the table; 1 where one was red."""
    m = common.find_machine(arguments)
    firmware = common.find_firmware(arguments, m)
    cases = results.load([LAYER / "lib/oeqa/runtime/cases"], "barebox", ["barebox_speed"])
    bad = []
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as logs, Target(m, firmware, qemu.find(m), Path(logs), "tcg") as target:
            verdicts = results.run(cases, target, lambda _: None)
        bad += [v.case for v in verdicts if v.status in results.BAD]
    ratios = defaultdict(list)
    for what, ratio, most in speed.SEEN:
        ratios[what, most].append(ratio)
    rows = []
    for (what, most), found in ratios.items():
        numbers = (min(found), statistics.median(found), max(found), most)
        rows.append((what, str(len(found)), *(f"{number:.3f}" for number in numbers)))
    table.show(f"{m.name}, {arguments.runs} runs", ("ratio", "values", "lowest", "median", "highest", "red from"), rows)
    print(f"red: {', '.join(bad) or 'none'}")
    return int(bool(bad))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, conflict_handler="resolve"
    )
    common.add_firmware_arguments(parser)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="how often (default: 5)")
    return guarded(run, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
