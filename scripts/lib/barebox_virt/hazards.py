# SPDX-License-Identifier: MIT
"""hazards: what a firmware does that KVM could not emulate, found under TCG."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from oeqa.barebox import qemu, results
from oeqa.barebox.case import BootloaderTestCase
from oeqa.barebox.errors import UsageError
from oeqa.barebox.hazards import plugin
from oeqa.barebox.hazards.report import Report
from oeqa.barebox.results import Verdict
from oeqa.barebox.target import Target

from . import common, progress, table, test

NAME = "hazards"
HELP = "tell what of a firmware KVM could not emulate, found under TCG; exit status 1 where there is something"
EXAMPLES = """\
  barebox-virt hazards qemuarm64-barebox --firmware images/barebox-dt-2nd.img
  barebox-virt hazards qemuriscv64-barebox --bootloader u-boot --json
  barebox-virt hazards qemuarm64-barebox --firmware FILE --case barebox_boot    a shorter workload"""
ITSELF = "barebox_kvm_hazards."
WORKLOAD = {
    "barebox": ("barebox_boot", "barebox_devices", "barebox_virtio", "barebox_reset"),
    "u-boot": ("uboot_virt",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``hazards``."""
    common.add_firmware_arguments(parser)
    workload = "cases that the firmware runs meanwhile; repeatable (default: start, devices, reset)"
    parser.add_argument("--case", action="append", default=[], metavar="MODULE[.CLASS[.TEST]]", help=workload)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    ready = "the plugin, ready (default: built by the host's compiler)"
    parser.add_argument("--plugin", type=Path, metavar="FILE", help=ready)
    where = "folder for logs (default: a new one below barebox-virt-results)"
    parser.add_argument("--results", type=Path, metavar="DIR", help=where)


def load_cases(arguments: argparse.Namespace) -> list[BootloaderTestCase]:
    """The workload: cases that do not watch for hazards themselves.

    :raises UsageError: there is none
    """
    arguments.case = arguments.case or list(WORKLOAD[arguments.bootloader])
    cases = [case for case in test.load_cases(arguments) if not case.name.startswith(ITSELF)]
    if not cases:
        raise UsageError(f"no case of {arguments.bootloader} is left for the workload")
    return cases


def watch(
    arguments: argparse.Namespace, cases: Sequence[BootloaderTestCase], logs: Path
) -> tuple[Report, list[Verdict], Target]:
    """Run the cases on a machine that is watched."""
    m = common.find_machine(arguments)
    firmware = common.find_firmware(arguments, m)
    known = common.find_known_issues(arguments)
    program = qemu.find(m)
    plugin.get(program.path, arguments.plugin)  # what is wrong with it should be told before anything starts
    with Target(m, firmware, program, logs, "tcg", known_issues=known, hazards=arguments.plugin) as target:
        with target.watched() as watched, progress.Progress(f"hazards of {m.name}", len(cases)) as shown:
            heard = _nothing if arguments.json else lambda v: shown.step(v.case, test.WORDS[v.status])
            verdicts = results.run(cases, target, heard)
        return watched.report, verdicts, target


def _nothing(_: Verdict) -> None:
    """Nothing but JSON belongs on the standard output then."""


def run(arguments: argparse.Namespace) -> int:
    """Watch one firmware on one machine and print what came out."""
    if arguments.accel not in ("auto", "tcg"):
        raise UsageError(f"--accel {arguments.accel}: hazards are watched under TCG; allowed: auto, tcg")
    cases = load_cases(arguments)
    name = f"hazards-{arguments.machine}-{time.strftime('%Y%m%d-%H%M%S')}"
    logs = arguments.results or Path("barebox-virt-results") / name
    report, verdicts, target = watch(arguments, cases, logs)
    if arguments.json:
        print(json.dumps({**target.info(), **report.data()}, indent=1))
    else:
        show(report, results.title(target))
    failed = [v.case for v in verdicts if v.status in results.BAD]
    if failed:
        print(f"{len(failed)} cases of the workload failed ({failed[0]} first): {logs}", file=sys.stderr)
    return 1 if report.hazards else 0


def show(report: Report, title: str) -> None:
    """Print a table of hazards and what was watched."""
    rows = [(h.kind, h.words or h.code, h.where(), h.source, h.target(), h.why) for h in report.hazards]
    if rows:
        table.show(f"Hazards: {title}", ("kind", "instruction", "in", "source", "what it did", "why"), rows)
        print()
    count = f"{len(rows)} hazards" if len(rows) != 1 else "1 hazard"
    print(f"{title}: {count}. Watched: {report.accesses} kinds of access to {len(report.regions)} regions of devices.")
    for skipped in report.skipped:
        print(f"Not watched: {skipped}")
    nameless = any(not h.symbol for h in report.hazards)
    for code in report.code:
        if code.problem and nameless:
            print(f"{code.elf}: {code.problem}")
