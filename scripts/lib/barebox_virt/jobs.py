# SPDX-License-Identifier: MIT
"""Cases on several machines at once, each in a process of its own."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from oeqa.barebox import results
from oeqa.barebox.case import BootloaderTestCase
from oeqa.barebox.errors import BareboxError, SetupError
from oeqa.barebox.results import Verdict
from oeqa.barebox.target import Target

PR_SET_PDEATHSIG = 1  # prctl(2)
END_SECONDS = 20
FORK = multiprocessing.get_context("fork")
Facts = TypeVar("Facts")
Work = Callable[[int, Connection], None]


class _Job:
    """One process, which says verdicts and, at its end, facts or an error."""

    def __init__(self, number: int, work: Work) -> None:
        self.said, theirs = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=_guarded, args=(work, number, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def end(self) -> None:
        """Whatever it does: QEMU and its files go with it."""
        self.process.terminate()
        self.process.join(END_SECONDS)
        self.process.kill()
        self.process.join()


class Jobs(Generic[Facts]):
    """Runs cases in several processes, to be used as a context, at the end of which they are gone.

    Cases of one variant of the machine run one after the other in one process, and so do those of a class.

    :param make: the target of a process, by its number from 1 on
    :param about: what is to be known of a target and its verdicts, once it has no more to do
    """

    def __init__(
        self,
        cases: Sequence[BootloaderTestCase],
        jobs: int,
        make: Callable[[int], AbstractContextManager[Target]],
        about: Callable[[Target, Sequence[Verdict]], Facts],
    ) -> None:
        groups = sorted(results.groups(cases), key=len, reverse=True)  # what takes long is begun first
        tasks = FORK.SimpleQueue()
        for number in [*range(len(groups)), *[None] * jobs]:
            tasks.put(number)

        def work(job: int, out: Connection) -> None:
            verdicts = []
            with make(job) as target:
                while (number := tasks.get()) is not None:
                    verdicts += results.run(groups[number], target, out.send)
                out.send(about(target, verdicts))

        self._order = {case.name: place for place, case in enumerate(cases)}
        self._jobs = [_Job(number, work) for number in range(1, min(jobs, len(groups)) + 1)]

    def __enter__(self) -> Jobs[Facts]:
        return self

    def __exit__(self, *exception: object) -> None:
        for job in self._jobs:
            job.end()

    def listen(self, heard: Callable[[Verdict], None]) -> tuple[list[Verdict], list[Facts]]:
        """All verdicts, in the cases' order, and each process' facts.

        :param heard: is told each verdict as soon as it is there
        :raises BareboxError: it stopped a process
        :raises SetupError: a process was killed
        """
        verdicts: list[Verdict] = []
        facts: list[Any] = []
        ends = {job.said: job for job in self._jobs}
        while ends:
            for end in wait(list(ends)):
                assert isinstance(end, Connection)
                try:
                    word = end.recv()
                except EOFError:
                    process = ends[end].process
                    process.join(END_SECONDS)
                    raise SetupError(f"a process with cases ended with status {process.exitcode}") from None
                if isinstance(word, BareboxError):
                    raise word
                if isinstance(word, Verdict):
                    verdicts.append(word)
                    heard(word)
                else:
                    facts.append(word)
                    del ends[end]
        return sorted(verdicts, key=lambda v: self._order[v.case]), facts


def _guarded(work: Work, number: int, out: Connection) -> None:
    """What a process does. It ends with the one that started it, which also tells of errors and of an interrupt."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is None or os.getppid() != parent.pid:
        return
    try:
        work(number, out)
    except BareboxError as error:
        out.send(error)
    except KeyboardInterrupt:
        pass
