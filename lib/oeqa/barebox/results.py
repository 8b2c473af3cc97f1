# SPDX-License-Identifier: MIT
"""Cases, loaded and run without BitBake, and their verdicts in oeqa's testresults.json."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import sys
import time
import unittest
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, TypeVar

from .case import BootloaderTestCase
from .errors import SetupError, UsageError
from .target import Target
from .variant import Variant

BAD = ("FAILED", "ERROR")
FILE = "testresults.json"
Case = TypeVar("Case", bound=unittest.TestCase)
NO_VERDICT = ("ERROR", "interrupted")


@dataclass(frozen=True)
class Verdict:
    """One case's end, in oeqa's words; ``seconds`` is how long it ran."""

    case: str
    status: str
    seconds: float
    log: str = ""

    @property
    def reason(self) -> str:
        """The log's first line that says something."""
        lines = [x for x in self.log.splitlines() if x.strip() and not x.startswith((" ", "Traceback"))]
        return lines[0] if lines else ""


class Recorder(unittest.TestResult):
    """Takes each case's verdict and hands it on at once."""

    def __init__(self, heard: Callable[[Verdict], None]) -> None:
        super().__init__()
        self.verdicts: list[Verdict] = []
        self._heard = heard
        self._started = 0.0
        self._last = NO_VERDICT

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._started = time.monotonic()
        self._last = NO_VERDICT

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self._last = ("PASSED", "")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self._last = ("FAILED", _text(err))

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self._last = ("ERROR", self.errors[-1][1])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self._last = ("SKIPPED", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._last = ("EXPECTEDFAIL", _text(err))

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        name = test.name if isinstance(test, BootloaderTestCase) else test.id()
        verdict = Verdict(name, self._last[0], time.monotonic() - self._started, self._last[1])
        self.verdicts.append(verdict)
        self._heard(verdict)


def load(folders: Iterable[Path], bootloader: str, wanted: Sequence[str] = ()) -> list[BootloaderTestCase]:
    """The cases for a bootloader in all modules of ``folders``, arranged.

    :param wanted: module[.Class[.test]]; all when empty
    :raises UsageError: a folder is missing, a module cannot be imported, or nothing matches one of ``wanted``
    """
    cases = [c for folder in folders for c in _cases(folder) if c.bootloader == bootloader]
    chosen = [c for c in cases if not wanted or any(c.name == w or c.name.startswith(f"{w}.") for w in wanted)]
    for w in wanted:
        if not any(c.name == w or c.name.startswith(f"{w}.") for c in cases):
            modules = ", ".join(sorted({c.name.partition(".")[0] for c in cases}))
            raise UsageError(
                f"no case {w!r} for {bootloader}; modules: {modules}. barebox-virt test --list shows all cases."
            )
    return arranged(chosen)


def arranged(cases: Iterable[Case]) -> list[Case]:
    """Cases of one machine together, those of the described one first: every change of the machine is a start."""
    found = list(cases)
    machines = list({Variant(): None, **dict.fromkeys(_machine(c) for c in found)})
    return sorted(found, key=lambda c: machines.index(_machine(c)))


def groups(cases: Sequence[Case]) -> list[list[Case]]:
    """Cases in groups, each of which had better run on one machine: all of a variant; without one, those of a class."""
    found: dict[object, list[Case]] = {}
    for case in cases:
        machine = _machine(case)
        found.setdefault(type(case) if machine == Variant() else machine, []).append(case)
    return list(found.values())


def _machine(case: unittest.TestCase) -> object:
    """The class's variant; where that is known at run time alone, the property that tells it."""
    return getattr(type(case), "variant", Variant())


def _cases(folder: Path) -> Iterator[BootloaderTestCase]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; one with modules of cases is expected")
    loader = unittest.TestLoader()
    for path in sorted(folder.glob("[a-z]*.py")):
        try:
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = module
            spec.loader.exec_module(module)
        except Exception as error:
            raise UsageError(f"{path}: cannot be imported: {error!r}") from error
        for case in _flat(loader.loadTestsFromModule(module)):
            if isinstance(case, BootloaderTestCase):
                yield case


def _flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flat(test)
        else:
            yield test


def run(cases: Sequence[BootloaderTestCase], target: Target, heard: Callable[[Verdict], None]) -> list[Verdict]:
    """Run cases one after the other on one machine; once a failed one was held, no others.

    :param heard: is told each verdict as soon as it is there
    :raises SetupError: QEMU cannot be started
    """
    recorder = Recorder(heard)
    for case in cases:
        case.target = target
        case.run(recorder)
        if target.held:
            break
    return recorder.verdicts


class Folder:
    """A folder for results, for one run at a time.

    :raises SetupError: it cannot be written, or another run uses it
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise SetupError(
                f"{path}: {error.strerror}. Name a folder for results that can be written: --results DIR"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise SetupError(
                f"{path}: another run writes its results there. Name another folder: --results DIR"
            ) from None

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *exception: object) -> None:
        (self.path / ".lock").unlink(missing_ok=True)
        os.close(self._lock)

    def add(self, result_id: str, configuration: Mapping[str, object], verdicts: Iterable[Verdict]) -> Path:
        """Add one run to the folder's testresults.json, as oeqa does.

        :raises SetupError: it cannot be written
        """
        path = self.path / FILE
        try:
            data = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            data[result_id] = {"configuration": dict(configuration), "result": {v.case: _entry(v) for v in verdicts}}
            draft = path.with_suffix(".draft")
            draft.write_text(json.dumps(data, sort_keys=True, indent=1), encoding="utf-8")
            draft.replace(path)
        except (OSError, ValueError) as error:
            raise SetupError(f"{path}: {error}. Name another folder: --results DIR") from None
        return path


def title(target: Target) -> str:
    """What was tested, where and how."""
    info = target.info()
    reason = f" ({info['ACCELERATOR_REASON']})" if info["ACCELERATOR_REASON"] else ""
    name = f"{info['BOOTLOADER']} {info['BOOTLOADER_VERSION']}".strip()
    return f"{name} on {target.machine.name}, QEMU {info['QEMU_VERSION']}, {info['ACCELERATOR']}{reason}"


def configuration(target: Target, started: float) -> tuple[str, dict[str, object]]:
    """A run's id and what oeqa calls its configuration. The accelerator is part of the id, so that resulttool does not
    compare KVM with TCG."""
    info = target.info()
    stamp = time.strftime("%Y%m%d%H%M%S", time.localtime(started))
    name = f"{target.firmware.bootloader}-{info['ACCELERATOR'] or 'none'}"
    return f"runtime_{name}_{target.machine.name}_{stamp}", {
        "TEST_TYPE": "runtime",
        "IMAGE_BASENAME": name,
        "IMAGE_PKGTYPE": "none",
        "DISTRO": "none",
        "STARTTIME": stamp,
        "LAYERS": {},
        **info,
    }


def _entry(verdict: Verdict) -> dict[str, object]:
    entry: dict[str, object] = {"status": verdict.status, "duration": round(verdict.seconds, 4)}
    return {**entry, "log": verdict.log} if verdict.log else entry


def _text(err: Any) -> str:
    """A failure as its message alone: what was sent, awaited and seen is in there, the traceback is not needed."""
    return str(err[1])
