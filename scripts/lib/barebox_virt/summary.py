# SPDX-License-Identifier: MIT
"""What several machines' testresults.json say, as one table and its footnotes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oeqa.barebox import results
from oeqa.barebox.errors import SetupError

COLUMNS = ("machine", "verdict", "bootloader", "accelerator", "passed", "known", "skipped", "failed", "boot", "total")


@dataclass(frozen=True)
class Run:
    """The newest run of one machine in a results file, or why there is none."""

    machine: str
    configuration: Mapping[str, Any]
    result: Mapping[str, Mapping[str, Any]]
    seconds: float
    trouble: str = ""

    @property
    def good(self) -> bool:
        """Whether cases ran and none of them failed."""
        counts = self.counts()
        bad = any(counts[status] for status in results.BAD)
        return not self.trouble and not bad and counts["PASSED"] + counts["EXPECTEDFAIL"] > 0

    def counts(self) -> Counter[str]:
        """How many cases ended how."""
        return Counter(str(case["status"]) for case in self.result.values())

    def of(self, *statuses: str) -> list[tuple[str, Mapping[str, Any]]]:
        """The cases that ended in one of these ways."""
        return sorted((name, case) for name, case in self.result.items() if case["status"] in statuses)


def newest(path: Path, machine: str, seconds: float) -> Run:
    """The newest run of a machine in a testresults.json.

    :raises SetupError: there is none
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8")).values()
    except (OSError, ValueError) as error:
        raise SetupError(f"{path}: no results of {machine}: {error}") from None
    mine = [e for e in entries if e["configuration"].get("MACHINE") == machine]
    if not mine:
        raise SetupError(f"{path}: no results of {machine}")
    entry = max(mine, key=lambda e: str(e["configuration"].get("STARTTIME")))
    return Run(machine, entry["configuration"], entry["result"], seconds)


def row(run: Run) -> tuple[str, ...]:
    """A machine's row in the table."""
    if run.trouble:
        return (run.machine, "error", *[""] * (len(COLUMNS) - 3), f"{run.seconds:.0f} s")
    c, counts = run.configuration, run.counts()
    boot = f"{c['BOOT_SECONDS']:.2f} s" if c.get("BOOT_SECONDS") else ""
    return (
        run.machine,
        "ok" if run.good else "failed",
        f"{c.get('BOOTLOADER')} {c.get('BOOTLOADER_VERSION')}",
        str(c.get("ACCELERATOR")),
        *(str(n) for n in (counts["PASSED"], counts["EXPECTEDFAIL"], counts["SKIPPED"])),
        str(sum(counts[status] for status in results.BAD)),
        boot,
        f"{run.seconds:.0f} s",
    )


def footnotes(runs: Sequence[Run]) -> list[str]:
    """Reasons, known issues and failures, a line or a block each."""
    lines = []
    for run in runs:
        if run.trouble:
            lines.append(f"{run.machine}: {run.trouble}")
        elif reason := run.configuration.get("ACCELERATOR_REASON"):
            lines.append(f"{run.machine}: {run.configuration['ACCELERATOR']}, since {reason}")
        for name, case in run.of("EXPECTEDFAIL"):
            lines.append(f"{run.machine}: {name}: {_first(case)}")
        for name, case in run.of(*results.BAD):
            lines.append(f"{run.machine}: FAILED {name}\n{_indented(str(case.get('log', '')))}")
    return lines


def skipped(runs: Sequence[Run]) -> list[str]:
    """What was skipped, by its reason: a line a reason with the machines and the number of cases."""
    reasons = Counter((run.machine, str(case.get("log", "")).strip()) for run in runs for _, case in run.of("SKIPPED"))
    return [f"{machine}: {count} skipped: {reason}" for (machine, reason), count in sorted(reasons.items())]


def _first(case: Mapping[str, Any]) -> str:
    lines = [x for x in str(case.get("log", "")).splitlines() if "known issue" in x]
    return lines[0].partition("known issue")[2].strip() if lines else ""


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())
