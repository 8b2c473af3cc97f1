#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How many runs of the cases in a row are clean, on an idle and on a busy host: any red case is a false alarm.

    scripts/benchmarks/soak.py qemuarm64-barebox --firmware FILE --patches all --state DIR

The firmware has to be one on which all cases pass. Runs are counted in DIR, so that a soak that was stopped, by Ctrl-C
or by --runs or --minutes, goes on where it was; another firmware starts another count. Each run notes the load average
at its start and end. Goals: 100 clean runs of the fast set a machine, 20 of the whole suite (--slow). Exit status 1
where a run had a false alarm.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

LAYER = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(LAYER / "scripts/lib"), str(LAYER / "lib")]

from barebox_virt import bootstrap  # noqa: E402

if __name__ == "__main__":
    bootstrap.enter(LAYER / "scripts/requirements.txt", sys.argv)

from barebox_virt import common, table  # noqa: E402
from barebox_virt.main import guarded  # noqa: E402
from oeqa.barebox import results  # noqa: E402
from oeqa.barebox.errors import SetupError  # noqa: E402

GOALS = {"fast": 100, "whole": 20}
BUSY = 1.5
"""A load average for each processor from which on a host counts as busy."""


class Soak:
    """Runs and their counts; ``folder`` takes both, and the results and evidence of red runs."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.folder = arguments.state
        self.folder.mkdir(parents=True, exist_ok=True)
        self._path = self.folder / "soak.json"
        firmware = common.find_firmware(arguments, common.find_machine(arguments))
        self._key = {
            "machine": arguments.machine,
            "firmware": hashlib.sha256(firmware.image.read_bytes()).hexdigest()[:16],
            "set": "whole" if arguments.slow else "fast",
            "accelerator": arguments.accel,
        }
        try:
            self._all: list[dict[str, Any]] = json.loads(self._path.read_text()) if self._path.exists() else []
        except (OSError, ValueError) as error:
            raise SetupError(f"{self._path}: {error}. Remove it to count from 0.") from None

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The runs so far of this machine, firmware, set of cases and accelerator."""
        return [run for run in self._all if {key: run.get(key) for key in self._key} == self._key]

    @property
    def goal(self) -> int:
        """How many clean runs are wanted."""
        return self._arguments.goal or GOALS[self._key["set"]]

    def once(self) -> dict[str, Any]:
        """One run of all cases, counted; what is green leaves no files."""
        a = self._arguments
        folder = self.folder / f"{a.machine}-{time.strftime('%Y%m%d-%H%M%S')}"
        command = [*shlex.split(a.prefix), *common.test_command(a, a.accel, folder)]
        before, started = os.getloadavg()[0], time.monotonic()
        with (self.folder / "last-run.log").open("w", encoding="utf-8") as log:
            done = subprocess.run(command, stdout=log, stderr=log, check=False)
        if done.returncode not in (0, 1):
            raise SetupError(f"the cases did not run, exit status {done.returncode}: {self.folder}/last-run.log")
        (entry,) = json.loads((folder / results.FILE).read_text(encoding="utf-8")).values()
        red = sorted(name for name, case in entry["result"].items() if case["status"] in results.BAD)
        if not red:
            shutil.rmtree(folder)
        load = [round(x, 1) for x in (before, os.getloadavg()[0])]
        facts = {
            "seconds": round(time.monotonic() - started, 1),
            "load": load,
            "red": red,
            "cases": len(entry["result"]),
            "jobs": a.jobs,
        }
        self._all.append({**self._key, "when": time.strftime("%Y-%m-%dT%H:%M:%S"), **facts})
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(self._all, indent=1), encoding="utf-8")
        draft.replace(self._path)
        return self._all[-1]


def show(soak: Soak, machine: str) -> bool:
    """Print the counts and the false alarms; whether there were none."""
    runs = soak.runs
    rows = []
    processors = os.cpu_count() or 1
    for name, chosen in (
        ("idle", [r for r in runs if max(r["load"]) < BUSY * processors]),
        ("busy", [r for r in runs if max(r["load"]) >= BUSY * processors]),
        ("all", runs),
    ):
        clean = sum(not r["red"] for r in chosen)
        load = f"{min(min(r['load']) for r in chosen)} to {max(max(r['load']) for r in chosen)}" if chosen else ""
        seconds = f"{sum(r['seconds'] for r in chosen) / len(chosen):.0f}" if chosen else ""
        rows.append((name, str(len(chosen)), str(clean), load, seconds))
    title = f"Soak of {machine}, goal {soak.goal} clean runs ({processors} processors)"
    table.show(title, ("host", "runs", "clean", "load average", "seconds a run"), rows)
    alarms = Counter(case for r in runs for case in r["red"])
    if alarms:
        print()
        found = [(case, str(count), f"{100 * count / len(runs):.1f} %") for case, count in alarms.most_common()]
        table.show("False alarms", ("case", "runs", "rate"), found)
    return not alarms


def run(arguments: argparse.Namespace) -> int:
    """Run until the goal, the limit or Ctrl-C."""
    soak = Soak(arguments)
    end = time.monotonic() + arguments.minutes * 60 if arguments.minutes else float("inf")
    done = 0
    try:
        while not arguments.show and done < (arguments.runs or float("inf")) and time.monotonic() < end:
            if sum(not r["red"] for r in soak.runs) >= soak.goal:
                break
            facts = soak.once()
            done += 1
            verdict = f"red: {', '.join(facts['red'])}" if facts["red"] else "clean"
            print(f"run {len(soak.runs)}: {verdict}, {facts['seconds']} s, load {facts['load']}", flush=True)
    except KeyboardInterrupt:
        print("stopped; the run in hand does not count, the same command goes on")
    return 0 if show(soak, arguments.machine) else 1


def interrupt(_number: int, _frame: object) -> None:
    """End as by Ctrl-C."""
    raise KeyboardInterrupt


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_firmware_arguments(p)
    common.add_patches_argument(p)
    common.add_run_arguments(p)
    p.add_argument("--state", type=Path, required=True, metavar="DIR", help="counts, and what red runs left")
    p.add_argument("--goal", type=int, default=0, metavar="N", help="clean runs (default: 100, with --slow 20)")
    p.add_argument("--runs", type=int, default=0, metavar="N", help="stop after so many runs")
    p.add_argument("--minutes", type=float, default=0, metavar="M", help="start no run after so many minutes")
    p.add_argument("--prefix", default="", metavar="COMMAND", help="what each run is started by, such as nice")
    p.add_argument("--show", action="store_true", help="run nothing, show the counts")
    return p


def main() -> int:
    """The command line."""
    signal.signal(signal.SIGTERM, interrupt)
    return guarded(run, parser().parse_args())


if __name__ == "__main__":
    sys.exit(main())
