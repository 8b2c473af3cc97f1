# SPDX-License-Identifier: MIT
"""BitBake on one machine: builds the bootloader and tests it, with a log and a line now and then."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .workspace import tail, variables

END_SECONDS = (3.0, 60.0)
SETTINGS = """\
# Settings of one run of quickstart.
OEQA_JSON_RESULT_DIR = "{results}"
BAREBOX_ACCEL = "{accel}"
BB_NO_NETWORK = "{offline}"
{suites}"""
TASK = re.compile(r"^NOTE: Running (?:noexec )?task (\d+) of (\d+) \((.*)\)")
SHOWN = re.compile(r"(?:ERROR|WARNING): .*|^Parsing of \d+.*")


class BitBake:
    """A build environment.

    :param setup: the folder that bitbake-setup made
    :param log: takes all that BitBake prints
    :param results: folder for testresults.json
    :param offline: every source is at hand, so that BitBake need not ask whether there is a network
    :param suites: modules of cases; the class's own choice when empty
    """

    def __init__(
        self, setup: Path, log: Path, results: Path, accel: str, offline: bool, suites: Sequence[str] = ()
    ) -> None:
        self._setup = setup
        self.log = log
        self.results = results
        self._settings = results / "quickstart.conf"
        self._start = 0
        chosen = f'TEST_SUITES:pn-barebox = "{" ".join(suites)}"\n' if suites else ""
        text = SETTINGS.format(results=results, accel=accel, offline=int(offline), suites=chosen)
        self._settings.write_text(text, encoding="utf-8")

    def test(self, machine: str) -> int:
        """Build barebox for a machine and run its cases.

        :returns: BitBake's exit status
        """
        command = [*_guard(), "bitbake", "-R", str(self._settings), "barebox", "-c", "testimage"]
        script = f". {shlex.quote(str(self._setup / 'build/init-build-env'))} >/dev/null && exec {shlex.join(command)}"
        with self.log.open("a", encoding="utf-8") as stream:
            self._start = stream.tell()
            process = subprocess.Popen(
                ["bash", "-c", script],
                env={**variables(self._setup), "MACHINE": machine},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            try:
                for line in _copied(process, stream):
                    self._show(machine, line)
                return process.wait()
            except BaseException:
                _end(process, self._setup / "build/bitbake.lock")
                raise

    def trouble(self) -> str:
        """Why the last run has no results: the first errors in its part of the log, or its end."""
        text = self.log.read_bytes()[self._start :].decode(errors="replace")
        errors = re.findall(r"ERROR: .*", text)[:5]
        return "\n  ".join(["BitBake failed:", *errors, f"log: {self.log}"]) if errors else tail(self.log)

    def _show(self, machine: str, line: str) -> None:
        if match := TASK.match(line):
            task = match[3].rpartition("/")[2]
            print(f"{machine}: task {match[1]} of {match[2]}: {task}", flush=True)
        elif match := SHOWN.search(line):
            print(f"{machine}: {match[0]}", flush=True)


def _guard() -> list[str]:
    """What ends BitBake with its parent, even one that is killed: on SIGTERM it ends its tasks at once."""
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "TERM"] if program else []


def _copied(process: subprocess.Popen[str], log: object) -> Iterator[str]:
    """BitBake's lines, each written to the log first."""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", file=log, flush=True)  # type: ignore[call-overload]
        yield line.rstrip()


def _end(process: subprocess.Popen[str], lock: Path) -> None:
    """Interrupt BitBake twice, as by Ctrl-C, so that it ends its tasks at once; where it hangs, kill it with them."""
    for seconds in END_SECONDS:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGINT)
            process.wait(seconds)
            return
    with contextlib.suppress(OSError, ValueError, IndexError):
        server = int(lock.read_text(encoding="utf-8").split()[0])
        for pid in [*_descendants(server), server]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _descendants(ancestor: int) -> list[int]:
    """The children of a process, their children and so on; BitBake's tasks have sessions of their own."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, parent = int(stat.parent.name), int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(pid)
    found = list(children.get(ancestor, []))
    for pid in found:  # grows while it is read
        found += children.get(pid, [])
    return found


def stamp() -> str:
    """A name for a run's folder."""
    return time.strftime("%Y%m%d-%H%M%S")
