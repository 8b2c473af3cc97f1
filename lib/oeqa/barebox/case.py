# SPDX-License-Identifier: MIT
"""The base of every case: a unittest.TestCase that says what the bootloader must do.

oeqa's loader and the command line both set ``target`` before a case runs. A failure that a known issue explains counts
as an expected one; where such a case passes, it fails, so that the issue's range gets narrowed.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import types
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from .console import Result
from .known_issues import KnownIssue
from .machine import Device
from .target import Target
from .variant import Variant

_NUMBERS = itertools.count()
"""Of the files that cases shared."""


class BootloaderTestCase(unittest.TestCase):
    """A case on the machine's console.

    ``target`` is the library's :class:`~oeqa.barebox.target.Target`, or oeqa's controller, whose ``barebox`` is one.
    ``bootloader`` names the one whose shell the case speaks, ``variant`` how the machine differs from its description.
    A class that is ``slow`` is left to the nightly run, and so is one with ``many_starts`` on a machine where a start
    is slow. ``needs`` are Kconfig symbols without which its cases are skipped before the machine of the variant is
    made.
    """

    bootloader: ClassVar[str] = "barebox"
    variant: ClassVar[Variant] = Variant()
    slow: ClassVar[bool] = False
    many_starts: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    target: Any = None
    maxDiff = None
    _in_hand: Device | None = None

    @property
    def board(self) -> Target:
        """The machine under test."""
        target = self.target
        return target if isinstance(target, Target) else target.barebox

    def setUp(self) -> None:
        found = self.board.firmware.bootloader
        if found != self.bootloader:
            self.skipTest(f"the case is for {self.bootloader}, the firmware is {found}")
        slow_start = self.many_starts and self.board.machine.bootloader(self.bootloader).slow_start
        if (self.slow or slow_start) and not self.board.slow:
            self.skipTest(f"slow{' to start here' * slow_start}: left to a run with --slow (BAREBOX_TEST_SLOW)")
        for symbol in self.needs:
            self.need(symbol, symbol.partition("CMD_")[2].lower())
        self.want(self.variant)

    def want(self, variant: Variant) -> None:
        """Go on with another machine; the next case gets its own."""
        if variant.flash and self.board.machine.bootloader(self.bootloader).flash is None:
            self.skipTest(f"{self.board.machine.name}'s description has no firmware.{self.bootloader}.flash")
        if variant.fw_cfg and not self.board.machine.qemu.fw_cfg:
            self.skipTest(f"{self.board.machine.name}: QEMU takes no -fw_cfg there")
        room = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
        if variant.memory > room * 3 // 4:
            self.skipTest(f"a machine with {variant.memory} MiB of RAM; this host has {room}")
        self.board.want(variant)

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        if self.target is None or result is None:
            return super().run(result)
        random.seed(f"{self.board.seed} {self.name}")  # whichever cases ran before it
        self.board.begin()
        issue = self.board.expected_failure(self.name)
        if issue is not None and issue.fails_always(self.name):
            method = getattr(self, self._testMethodName)
            setattr(self, self._testMethodName, unittest.expectedFailure(lambda: method()))
        return super().run(_Result(result, self.board, issue))  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """``module.Class.test``, as in results and known issues."""
        return f"{type(self).__module__.rpartition('.')[2]}.{type(self).__qualname__}.{self._testMethodName}"

    # What a case says

    def shell(self, command: str, status: int = 0, seconds: float = 30.0) -> list[str]:
        """The lines that a command prints; the case fails where its exit status is another."""
        result = self.board.run(command, seconds)
        self.assertEqual(result.status, status, f"exit status {status} is expected:\n{result}")
        return list(result.lines)

    def answer(self, command: str, seconds: float = 30.0) -> str:
        """The only line that a successful command prints."""
        lines = self.shell(command, seconds=seconds)
        self.assertEqual(len(lines), 1, f"one line is expected:\n$ {command}\n" + "\n".join(lines))
        return lines[0]

    def attempt(self, command: str, seconds: float = 30.0) -> Result:
        """What a command leaves, whatever its exit status."""
        return self.board.run(command, seconds)

    def dump(self, path: str, size: int, offset: int = 0) -> bytes:
        """A part of a file, by md."""
        self.need("CMD_MD", "md")
        lines = self.shell(f"md -b -s {path} {offset}+{size}", seconds=60)
        return bytes.fromhex("".join(line.partition(": ")[2][:48].replace(" ", "") for line in lines))

    def shared(self, content: bytes | bytearray) -> str:
        """A file with some bytes on the first share, by its name in barebox. Each has a name of its own, as barebox
        keeps what it knows of a file."""
        share = self.devices("9p")[0]
        name = f"shared-{next(_NUMBERS)}"
        (self.board.files.share(share) / name).write_bytes(content)
        return f"{self.board.node(share)}/{name}"

    # What a case needs, or is skipped by name

    def need(self, symbol: str, command: str = "") -> None:
        """Skip where the firmware lacks a Kconfig symbol, or, where its configuration is not at hand, a command."""
        symbols = self.board.symbols
        if symbols is not None:
            if symbol not in symbols:
                self.skipTest(f"CONFIG_{symbol} is off")
        elif not command:
            self.skipTest(f"no configuration at hand that tells of CONFIG_{symbol}")
        elif command not in self.board.commands():
            self.skipTest(f"the firmware has no command {command}")

    def has(self, device: Device) -> bool:
        """Whether the firmware was built with what the device needs; without its configuration, it is asked itself."""
        if self.board.symbols is not None:
            return set(device.config) <= self.board.symbols
        return device.driver in self.board.run("drvinfo").lines

    def devices(self, kind: str) -> list[Device]:
        """The devices of one kind; the case is skipped where there are none."""
        described = self.board.machine.of_kind(kind, self.bootloader)
        present = self.board.devices(kind)
        if described and not present:
            self.skipTest(f"QEMU {self.board.program.version} has no {', '.join(d.model for d in described)}")
        usable = [d for d in present if self.bootloader != "barebox" or self.has(d)]
        if not usable:
            lacking = sorted({s for d in present for s in d.config if s not in (self.board.symbols or ())})
            self.skipTest(
                f"no {kind} device: " + (f"CONFIG_{', CONFIG_'.join(lacking)} off" if lacking else "none described")
            )
        return usable

    def each(self, kind: str) -> Iterator[tuple[Device, str]]:
        """Each device of one kind with the bootloader's name of it; a failure names the device in hand."""
        for device in self.devices(kind):
            self._in_hand = device
            yield device, self.board.node(device)
        self._in_hand = None

    def _formatMessage(self, msg: Any, standardMsg: str) -> str:
        text = super()._formatMessage(msg, standardMsg)
        return f"{self._in_hand.id} ({self._in_hand.model}): {text}" if self._in_hand else text

    def digest(self, path: Path, kind: str = "sha256") -> str:
        """The digest of a file on the host."""
        return self.hash(path.read_bytes(), kind)

    def hash(self, content: bytes | bytearray, kind: str = "sha256") -> str:
        """The digest of some bytes."""
        return hashlib.new(kind, content).hexdigest()


class _Result:
    """A result that switches the machine off after a failure, so that the next case starts from a clean one; that names
    the known issue; and that takes an unexpected success for the failure that it is."""

    def __init__(self, result: unittest.TestResult, board: Target, issue: KnownIssue | None) -> None:
        self._result = result
        self._board = board
        self._issue = issue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        if self._issue is not None:  # in setUp, or in some runs alone: unittest.expectedFailure knows of neither
            self.addExpectedFailure(test, err)
            return
        self._keep_evidence(test, err)
        self._board.discard()
        self._result.addFailure(test, _in_case(err))

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        if self._issue is not None:
            self.addExpectedFailure(test, err)
            return
        self._keep_evidence(test, err)
        self._board.discard()
        self._result.addError(test, err)

    def _keep_evidence(self, test: unittest.TestCase, err: Any) -> None:
        """Put the folder with the evidence into the failure's text, whatever became of it."""
        name = test.name if isinstance(test, BootloaderTestCase) else test.id()
        try:
            line = self._board.keep_evidence(name, str(err[1]))
        except Exception as error:  # evidence never turns a failure into something else
            line = f"evidence: none, {error!r}"
        line = "\n".join(filter(None, (line, self._board.hold(name))))
        if line:
            err[1].args = (f"{err[1]}\n{line}", *err[1].args[1:])

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._board.discard()
        assert self._issue is not None
        error = AssertionError(f"known issue {self._issue.id}: {self._issue.title}\n{self._issue.link}\n{err[1]}")
        self._result.addExpectedFailure(test, (type(error), error, None))  # type: ignore[arg-type]

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        assert self._issue is not None
        if self._issue.patch and self._board.firmware.patches is None:
            self._result.addSuccess(test)  # nobody can tell whether the patch is in
            return
        error = AssertionError(f"known issue {self._issue.id} is gone here: narrow its range in conf/known-issues.yaml")
        self._result.addFailure(test, (type(error), error, None))  # type: ignore[arg-type]


def _in_case(err: Any) -> Any:
    """A failure with the case's own frames alone: what this library was doing is in the message."""
    kind, error, traceback = err
    frames = []
    while traceback is not None:
        if not traceback.tb_frame.f_globals.get("__name__", "").startswith(("oeqa.barebox.", "unittest.")):
            frames.append(traceback)
        traceback = traceback.tb_next
    kept = None
    for frame in reversed(frames):
        kept = types.TracebackType(kept, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return kind, error.with_traceback(kept), kept
