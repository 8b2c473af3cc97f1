# SPDX-License-Identifier: MIT
"""Upstream defects that are known, as data: conf/known-issues.json of every layer, made from conf/known-issues.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .errors import UsageError
from .firmware import Firmware


@dataclass(frozen=True)
class KnownIssue:
    """A defect of some releases; conf/known-issues.schema.json tells what each field means."""

    id: str
    title: str
    bootloader: str
    first: str
    last: str
    machines: tuple[str, ...]
    accelerators: tuple[str, ...]
    cases: tuple[str, ...]
    at_times: tuple[str, ...]
    evidence: str
    link: str
    config: tuple[str, ...]
    patch: str
    qemu_first: str = ""
    qemu_last: str = ""

    def concerns(self, firmware: Firmware, machine: str, accelerator: str, version: str, qemu: str) -> bool:
        """Whether this firmware, as far as anybody knows, has the defect here.

        :param version: the bootloader's, as its firmware or its banner tells
        :param qemu: QEMU's version, of the one that the bootloader runs in
        """
        symbols = firmware.symbols() if self.config else None
        return (
            firmware.bootloader == self.bootloader
            and not {machine, "*"}.isdisjoint(self.machines)
            and (not self.accelerators or accelerator in self.accelerators)
            and _within(version, self.first, self.last)
            and _within(qemu, self.qemu_first, self.qemu_last)
            and (symbols is None or symbols.issuperset(self.config))
            and not (self.patch and self.patch in (firmware.patches or ()))
        )

    def covers(self, case: str) -> bool:
        """Whether the failure of a case, ``module.Class.test``, is this defect's."""
        return self.fails_always(case) or any(fnmatchcase(case, pattern) for pattern in self.at_times)

    def fails_always(self, case: str) -> bool:
        """Whether a case fails by it in every run, so that the defect is gone where it passes."""
        return any(fnmatchcase(case, pattern) for pattern in self.cases)


def _within(version: str, first: str, last: str) -> bool:
    """Whether a version is in a range, both ends included; an end that is empty is open."""
    return (not first or release(first) <= release(version)) and (not last or release(version) <= release(last))


def release(version: str) -> tuple[int, ...]:
    """A release's numbers for comparison; what follows them, as in 2026.06.0-00056-gdd1d839c, counts for nothing."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(n) for n in match.group(1).split(".")) if match else ()


def patches(request: str, issues: Sequence[KnownIssue]) -> tuple[str, ...]:
    """The patches that a user says are in a firmware: all, none, or a list of their numbers or file names.

    :raises UsageError: a name is none of a patch that a known issue names
    """
    known = sorted({issue.patch for issue in issues if issue.patch})
    if request in ("all", "none"):
        return tuple(known) if request == "all" else ()
    found = {}
    for name in request.split(","):
        matching = [patch for patch in known if patch == name or patch.startswith(f"{name}-")]
        if not name or len(matching) != 1:
            raise UsageError(f"--patches {request}: {name!r} is no patch; allowed: all, none, {', '.join(known)}")
        found[matching[0]] = True
    return tuple(sorted(found))


def load(paths: Iterable[Path]) -> tuple[KnownIssue, ...]:
    """The entries of all files.

    :raises UsageError: a file is malformed
    """
    return tuple(issue for path in paths for issue in _read(path))


def _read(path: Path) -> list[KnownIssue]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["issues"]
        return [
            KnownIssue(
                id=e["id"],
                title=e["title"],
                bootloader=e["bootloader"],
                first=e["releases"].get("first", ""),
                last=e["releases"].get("last", ""),
                machines=tuple(e["machines"]),
                accelerators=tuple(e.get("accelerators", ())),
                cases=tuple(e.get("cases", ())),
                at_times=tuple(e.get("at_times", ())),
                evidence=e["evidence"],
                link=e["link"],
                config=tuple(e.get("config", ())),
                patch=e.get("patch", ""),
                qemu_first=e.get("qemu", {}).get("first", ""),
                qemu_last=e.get("qemu", {}).get("last", ""),
            )
            for e in entries
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: {error!r}. Run barebox-virt machines to generate it again.") from None
