#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How many defects, seeded into barebox one at a time, turn a case red.

    scripts/benchmarks/defects.py qemuarm64-barebox --source SRC --build BUILD --patches all

SRC is a barebox source tree and BUILD a finished build of it (make O=BUILD, or SRC itself). Both are changed and put
back, so give it copies of yours. For each defect of defects.yaml: change the one file, make, run the case that ought to
catch it and, where that stays green, the whole fast set; then put the file back. What was measured is kept in
BUILD/defects, so that an interrupted measurement goes on where it was; a defect that was changed in the list is
measured again. A defect whose place is gone, which does not build or which leaves the image as it was counts as an
error, never as a catch. Exit status 1 where a defect stayed green or could not be measured. Goal: 95 %.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LAYER = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(LAYER / "scripts/lib"), str(LAYER / "lib")]

from barebox_virt import bootstrap  # noqa: E402

if __name__ == "__main__":
    bootstrap.enter(LAYER / "scripts/requirements.txt", sys.argv)

from barebox_virt import common, seeds, table  # noqa: E402
from barebox_virt.main import guarded  # noqa: E402
from barebox_virt.seeds import Defect, Progress, Seed  # noqa: E402
from oeqa.barebox import results  # noqa: E402
from oeqa.barebox.errors import SetupError, UsageError  # noqa: E402
from oeqa.barebox.machine import Machine  # noqa: E402

# The same in each build, so that images differ by their code alone.
BUILD_ID = {"KBUILD_BUILD_VERSION": "1", "KBUILD_BUILD_TIMESTAMP": "Thu Jan 1 00:00:00 UTC 2026"}


class Build:
    """A build of barebox that is made again for each defect.

    :raises UsageError: there is no source tree or no build
    """

    def __init__(self, m: Machine, arguments: argparse.Namespace) -> None:
        self.source, self.folder = arguments.source.absolute(), arguments.build.absolute()
        if LAYER in (self.source, *self.source.parents) or not (self.source / "Kbuild").is_file():
            raise UsageError(f"{self.source}: a copy of barebox' sources is expected, outside of the layer")
        if not (self.folder / ".config").is_file():
            raise UsageError(f"{self.folder}: no .config; a finished build is expected (make O={self.folder})")
        self._make = shlex.split(arguments.make) if arguments.make else _make(self.folder, m)
        self.prefix = shlex.split(arguments.prefix)
        loader = m.bootloader("barebox")
        names = [loader.image, *(part.image for part in (loader.flash.parts if loader.flash else ()))]
        self.targets = [f"images/{n}" if n.endswith(".img") else n for n in dict.fromkeys(filter(None, names))]
        self.firmware = self.folder / self.targets[0]

    def run(self, log: Path) -> bool:
        """Build the images; whether that went well."""
        tree = [] if self.folder == self.source else [f"O={self.folder}"]
        # One thing after the other: each image's own make would write what they have in common.
        command = [*self.prefix, *self._make, "-j1", "-C", str(self.source), *tree, *self.targets]
        with log.open("w", encoding="utf-8") as stream:
            done = subprocess.run(command, stdout=stream, stderr=stream, env={**os.environ, **BUILD_ID}, check=False)
        return done.returncode == 0

    def digest(self) -> str:
        """Tells two builds apart."""
        files = [self.folder / name for name in self.targets]
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _make(build: Path, m: Machine) -> list[str]:
    """make for the architecture that a build is configured for, by the distribution's cross-compiler."""
    match = re.search(r"(?m)^# Barebox/(\w+) ", (build / ".config").read_text(encoding="utf-8"))
    if match is None:
        raise UsageError(f"{build}/.config: does not tell its architecture; tell by --make 'make ARCH=...'")
    return ["make", "-s", f"ARCH={match[1]}", f"CROSS_COMPILE={m.arch}-linux-gnu-"]


class Measurement:
    """Seeds, builds and tests; ``folder`` takes logs, results and what was measured."""

    def __init__(self, m: Machine, arguments: argparse.Namespace) -> None:
        self._machine = m
        self._arguments = arguments
        self.build = Build(m, arguments)
        self.folder = arguments.state or self.build.folder / "defects"
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        self.progress = Progress(self.folder / "state.json")
        self._clean = ""
        self._red: list[str] = []

    def prepare(self) -> None:
        """Take out what an interrupted run left, and build without a defect.

        :raises SetupError: that does not build
        """
        if mended := seeds.restore(self.folder):
            print(f"{mended}: taken out what an interrupted run had left there")
        log = self.folder / "logs/clean.build.log"
        if not self.build.run(log):
            raise SetupError(f"barebox does not build without a defect either: {log}")
        self._clean = self.build.digest()

    def bad_cases(self, name: str, cases: Sequence[str]) -> list[str]:
        """The cases that are red; all of the fast set where none is named."""
        folder = self.folder / "results" / name / ("case" if cases else "all")
        a = self._arguments
        command = [*self.build.prefix, sys.executable, str(LAYER / "scripts/barebox-virt"), "test", a.machine]
        command += ["--firmware", str(self.build.firmware), "--results", str(folder), "--accel", a.accel]
        command += ["--patches", a.patches] if a.patches else []
        command += ["--silence-seconds", f"{a.silence_seconds:g}", *shlex.split(a.more)]
        command += [f"--case={case}" for case in cases] + [f"--layer={layer}" for layer in a.layer]
        (folder / results.FILE).unlink(missing_ok=True)
        with (self.folder / f"logs/{name}.test.log").open("w", encoding="utf-8") as stream:
            try:
                done = subprocess.run(command, stdout=stream, stderr=stream, timeout=a.seconds, check=False)
            except subprocess.TimeoutExpired:
                return [f"(no end within {a.seconds:g} s)"]
        if done.returncode not in (0, 1):
            raise SetupError(f"the cases did not run: {stream.name}")
        return _bad(folder / results.FILE)

    def measure(self, defect: Defect) -> dict[str, Any]:
        """One defect: its verdict and what led to it."""
        log = self.folder / f"logs/{defect.id}.build.log"
        try:
            with Seed(defect, self.build.source, self.folder):
                if not self.build.run(log):
                    return {"verdict": "does not build", "why": str(log)}
                if self.build.digest() == self._clean:
                    return {"verdict": "changes nothing", "why": "the images are the same"}
                return self._test(defect)
        except UsageError as error:
            return {"verdict": "does not apply", "why": str(error)}

    def _test(self, defect: Defect) -> dict[str, Any]:
        """The case that ought to catch it; the whole fast set only where that stays green, since it is a part of it."""
        if bad := self._without_clean(self.bad_cases(defect.id, [defect.case])):
            return {"verdict": "red", "by": "its case", "cases": bad}
        if self._arguments.quick:
            return {"verdict": "green", "by": "its case", "cases": []}
        bad = self._without_clean(self.bad_cases(defect.id, []))
        return {"verdict": "red" if bad else "green", "by": "the fast set", "cases": bad}

    def _without_clean(self, bad: Sequence[str]) -> list[str]:
        """Only what is not red without a defect as well: that would call everything caught."""
        return [case for case in bad if case not in self._red]

    def clean_cases(self, defects: Sequence[Defect]) -> None:
        """Find the cases that are red without a defect: those of the defects, or the whole fast set."""
        wanted = sorted({d.case for d in defects}) if self._arguments.quick else []
        known = self.progress.clean(self._clean, wanted)
        self._red = self.bad_cases("clean", wanted) if known is None else known
        self.progress.put_clean(self._clean, wanted, self._red)
        if self._red:
            print(f"red without a defect, so they catch nothing: {', '.join(self._red)}", flush=True)


def _bad(path: Path) -> list[str]:
    """The red cases of a testresults.json with one run."""
    (entry,) = json.loads(path.read_text(encoding="utf-8")).values()
    return sorted(name for name, case in entry["result"].items() if case["status"] in results.BAD)


def chosen(arguments: argparse.Namespace, progress: Progress) -> tuple[list[Defect], list[Defect]]:
    """The defects that count, and those of them that are still to be measured.

    :raises UsageError: an id is unknown
    """
    defects = seeds.of_machine(seeds.load(arguments.defects), arguments.machine)
    if unknown := sorted(set(arguments.only) - {d.id for d in defects}):
        raise UsageError(f"no such defect for {arguments.machine}: {', '.join(unknown)}")
    counted = [d for d in defects if not arguments.area or d.area in arguments.area]
    if arguments.sample:
        counted = seeds.interleaved(counted)[: arguments.sample]
    asked = [d for d in counted if d.id in arguments.only] if arguments.only else seeds.interleaved(counted)
    return counted, [d for d in asked if arguments.only or _open(progress, d, arguments.again)]


def _open(progress: Progress, defect: Defect, again: bool) -> bool:
    entry = progress.of(defect)
    return entry is None or (again and entry["verdict"] != "red")


def show(machine: str, defects: Sequence[Defect], progress: Progress) -> bool:
    """Print rates and what was not caught; whether everything was."""
    rows = [
        (area, str(measured), str(red), f"{100 * red / measured:.0f} %" if measured else "", str(errors or ""))
        for area, measured, red, errors in seeds.rates(defects, progress)
    ]
    left = [(d, entry) for d in defects if (entry := progress.of(d) or {"verdict": "not measured"})["verdict"] != "red"]
    if left:
        columns = ("defect", "verdict", "case", "what is broken")
        table.show("Not caught", columns, [(d.id, e["verdict"], d.case, d.what) for d, e in left])
        print()
    table.show(f"Seeded defects, {machine}", ("area", "measured", "caught", "rate", "errors"), rows)
    return not left


def write_json(path: Path, machine: str, defects: Sequence[Defect], progress: Progress) -> None:
    """The same as data."""
    areas = [dict(zip(("area", "measured", "caught", "errors"), row)) for row in seeds.rates(defects, progress)]
    found = {d.id: progress.of(d) for d in defects}
    path.write_text(json.dumps({"machine": machine, "areas": areas, "defects": found}, indent=1), encoding="utf-8")


def run(arguments: argparse.Namespace) -> int:
    """Measure what is still open, and print the rates."""
    m = common.find_machine(arguments)
    measurement = Measurement(m, arguments)
    counted, todo = chosen(arguments, measurement.progress)
    if todo and not arguments.show:
        measurement.prepare()
        measurement.clean_cases(todo)
    for number, defect in enumerate([] if arguments.show else todo, 1):
        started = time.monotonic()
        facts = measurement.measure(defect)
        measurement.progress.put(defect, seconds=round(time.monotonic() - started, 1), **facts)
        why = ", ".join(facts.get("cases", [])[:2]) or facts.get("why", "")
        print(f"[{number}/{len(todo)}] {defect.id}: {facts['verdict']} {why}", flush=True)
    if arguments.json:
        write_json(arguments.json, m.name, counted, measurement.progress)
    return 0 if show(m.name, counted, measurement.progress) else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("machine", metavar="MACHINE", help="a machine's name")
    p.add_argument("--source", type=Path, required=True, metavar="SRC", help="a copy of barebox' sources")
    p.add_argument("--build", type=Path, required=True, metavar="BUILD", help="a finished build of them")
    common.add_patches_argument(p)
    p.add_argument("--accel", default="tcg", metavar="NAME", help="default: tcg")
    p.add_argument(
        "--only", default=[], type=lambda x: x.split(","), metavar="ID,...", help="measure these, even again"
    )
    p.add_argument("--area", action="append", default=[], metavar="AREA", help="only this area; repeatable")
    p.add_argument("--sample", type=int, default=0, metavar="N", help="count only N defects, some of each area")
    p.add_argument("--again", action="store_true", help="measure again what stayed green or could not be measured")
    p.add_argument("--quick", action="store_true", help="only the case that ought to catch it, never the fast set")
    p.add_argument("--show", action="store_true", help="measure nothing, show what is known")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the rates there, too")
    p.add_argument("--state", type=Path, metavar="DIR", help="what was measured, logs (default: BUILD/defects)")
    p.add_argument("--make", metavar="COMMAND", help="default: make for the build's architecture, by a cross-compiler")
    p.add_argument("--prefix", default="", metavar="COMMAND", help="what each build and test is started by, as nice")
    silence = "a busy guest that says nothing for so long is taken for dead (default: 60)"
    p.add_argument("--silence-seconds", type=float, default=60, metavar="S", help=silence)
    more = "further options of barebox-virt test, as '--signing-key FILE'"
    p.add_argument("--more", default="", metavar="OPTIONS", help=more)
    p.add_argument("--seconds", type=float, default=1200, metavar="S", help="a test's longest time (default: 1200)")
    p.add_argument("--defects", type=Path, default=seeds.LIST, metavar="FILE", help="another list of defects")
    common.add_layer_argument(p)
    return p


def interrupt(_number: int, _frame: object) -> None:
    """End as by Ctrl-C, so that the defect in hand is taken out."""
    raise KeyboardInterrupt


def main() -> int:
    """The command line."""
    signal.signal(signal.SIGTERM, interrupt)
    try:
        return guarded(run, parser().parse_args())
    except KeyboardInterrupt:
        print("defects.py: interrupted; the same command goes on where it was", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
