# SPDX-License-Identifier: MIT
"""A bootloader's console: its prompt, and commands with their status.

The way of a command: one line carries the command and, after it, an echo of a marker with ``$?``. The marker is typed
in two halves, so that the shell's own echo of the line cannot be taken for the answer. Nothing is typed before the
prompt is there, since bootloaders eat type-ahead when they poll for Ctrl-C.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from re import Pattern
from typing import IO, Callable

import pexpect

from .deadline import Deadline
from .dialect import Dialect
from .errors import GuestError, ShellError, UsageError
from .wire import OUTPUT_LIMIT, TooMuch, Wire

TAIL = 20
LAST_WORDS_SECONDS = 0.5
UNWATCHED_SECONDS = 1.0
"""Within these, nobody looks at the load of the host, which would slow every command down."""
LENIENCE = 4
CTRL_C = "\x03"


@dataclass(frozen=True)
class Result:
    """What a command left: its exit status and the lines it printed."""

    command: str
    status: int
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"$ {self.command}", *self.lines, f"(exit status {self.status})"])


@dataclass(frozen=True)
class Boot:
    """One start, as seen on the console; ``seconds`` from the start of QEMU or of the reset to the prompt."""

    version: str
    build: str
    board: str
    seconds: float
    text: str


class Console:
    """The console of one running guest.

    :param from_guest: file descriptor to read from
    :param to_guest: file descriptor to write to
    :param log: takes everything that the guest prints, as it is
    :param was_reset: tells whether the machine was reset since it was asked last
    :param silence: seconds without a character after which a busy guest is taken for dead
    :param waited: seconds in which QEMU, since it was started, could have run and had no processor. Of these, no
        deadline counts up to ``LENIENCE`` times the silence.
    """

    def __init__(
        self,
        from_guest: int,
        to_guest: int,
        dialect: Dialect,
        log: IO[str],
        was_reset: Callable[[], bool],
        silence: float,
        waited: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.wire = Wire(from_guest, to_guest, log)
        self.dialect = dialect
        self.silence = silence
        self._was_reset = was_reset
        self._waited = waited
        self._count = 0

    def boot(self, started: float, seconds: float, panics: bool = False) -> Boot:
        """Wait for banner and prompt, and stop the automatic boot on the first character that tells of it.

        :param started: time.monotonic() when the guest was started or reset
        :param seconds: the deadline
        :param panics: a panic comes first, and its text is the beginning of the boot's
        :raises GuestError: silence, another panic, a second banner, the end of QEMU, or no prompt in time
        """
        deadline = Deadline(seconds)
        d = self.dialect
        self.wire.amount = 0
        banner, text = None, ""
        patterns = [d.prompt, d.autoboot, d.banner, d.panic]
        while True:
            index, before, match = self._wait("the prompt", patterns, deadline)
            text += before + match.group()
            if index == 0:
                break
            if index == 1:
                self.wire.send(d.key)
                patterns[1] = _NEVER
            elif index == 2 and banner is not None:
                raise self._trouble("the guest started a second time before its prompt came: it resets in a loop")
            elif index == 2:
                banner = match
            elif panics and banner is None:
                panics = False
            else:
                self._panicked(match)
        seconds_taken = time.monotonic() - started
        if banner is None:
            raise self._trouble(f"a prompt without {d.name}'s banner before it")
        groups = banner.groupdict()
        return Boot(groups["version"], groups["build"], groups.get("board", ""), seconds_taken, text)

    def run(self, command: str, seconds: float = 30.0) -> Result:
        """Run one command at the prompt.

        :raises UsageError: the command has a line break or is longer than the shell takes
        :raises ShellError: the shell refused the line
        :raises GuestError: silence, a panic, a reset, the end of QEMU, or no prompt in time
        """
        marker, line = self._line(command)
        deadline = Deadline(seconds)
        self.wire.amount = 0
        self.wire.send(line + "\r")
        output, status = self._answer(command, marker, deadline)
        self._wait("the prompt", [self.dialect.prompt], deadline, command)
        return Result(command, status, _lines(_after_echo(line, self.dialect.noise.sub("", output))))

    def send(self, command: str) -> None:
        """Type a command that does not come back to this prompt, such as reset."""
        self.wire.amount = 0
        self.wire.send(command + "\r")

    def press(self, keys: str) -> None:
        """Press keys, control characters too, as they are and to whatever runs."""
        self.wire.amount = 0
        self.wire.send(keys)

    def expect(self, pattern: Pattern[str], seconds: float) -> tuple[str, re.Match[str]]:
        """The text before what matches a pattern, and the match.

        :raises GuestError: it does not come, or the guest panicked
        """
        index, before, match = self._wait(f"{pattern.pattern!r}", [pattern, self.dialect.panic], Deadline(seconds))
        if index:
            self._panicked(match)
        return before, match

    def watch(self, seconds: float) -> str:
        """What the guest prints within some seconds.

        :raises GuestError: QEMU ended
        """
        try:
            self.wire.find([_NEVER], seconds)
        except pexpect.TIMEOUT:
            return str(self.wire.before)
        except pexpect.EOF:
            raise self._trouble("QEMU ended while the guest was watched") from None
        except TooMuch:
            raise self._trouble(f"more than {OUTPUT_LIMIT >> 20} MiB of output") from None
        raise AssertionError("nothing matches a pattern that matches nothing")

    def await_text(self, text: str, seconds: float) -> str:
        """What the guest prints up to ``text``, a regular expression, and with it.

        :raises GuestError: it is not printed in time, the prompt comes before it, or QEMU ends
        """
        patterns = [re.compile(text, re.M), self.dialect.prompt, self.dialect.panic]
        index, before, match = self._wait(f"{text!r}", patterns, Deadline(seconds))
        if index == 2:
            self._panicked(match)
        if index == 1:
            raise self._trouble(f"the prompt is back, and {text!r} was not printed")
        return before + match.group()

    def wait_end(self, seconds: float) -> None:
        """Wait until QEMU closes the console.

        :raises GuestError: it did not in time
        """
        try:
            self.wire.find([_NEVER], seconds)
        except pexpect.EOF:
            return
        except (pexpect.TIMEOUT, TooMuch):
            raise self._trouble(f"QEMU still runs {seconds:g} s later") from None

    def _line(self, command: str) -> tuple[str, str]:
        self._count = (self._count + 1) % 1000
        marker = f"ZxQ{self._count}"
        line = f'{command};echo {marker}""e$?'
        if "\n" in command or "\r" in command:
            raise UsageError(f"a command is one line: {command!r}")
        if len(line) > self.dialect.line_limit:
            room = self.dialect.line_limit - len(line) + len(command)
            raise UsageError(
                f"a command of {len(command)} characters; {self.dialect.name} takes {room}: {command[:60]}..."
            )
        return marker, line

    def _answer(self, command: str, marker: str, deadline: Deadline) -> tuple[str, int]:
        """The text up to the marker, and the status behind it."""
        d = self.dialect
        patterns = [re.compile(marker + r"e(\d+)\r?\n"), d.prompt, d.continuation, d.banner, d.panic]
        text = ""
        while True:
            index, before, match = self._wait("the command's status", patterns, deadline, command)
            text += before
            if index == 0:
                return text, int(match.group(1))
            text += match.group()
            if index == 1:
                raise self._trouble("the shell refused the line (syntax error?)", command, ShellError)
            if index == 2:
                self.wire.send(CTRL_C)
                self._wait("the prompt", [d.prompt], deadline, command)
                what = "the shell wants more: a quote or a compound command is left open"
                raise self._trouble(what, command, ShellError)
            if index == 3 and self._was_reset():
                raise self._trouble("the guest was reset while the command ran", command)
            if index == 4:
                self._panicked(match, command)

    def _wait(
        self, what: str, patterns: list[Pattern[str]], deadline: Deadline, command: str = ""
    ) -> tuple[int, str, re.Match[str]]:
        """The first of ``patterns`` that the guest prints, within the deadline and without too long a silence."""
        wire = self.wire
        asked, before, grace = time.monotonic(), None, 0.0
        while True:
            quiet = self.silence + grace - (time.monotonic() - max(asked, wire.heard))
            piece = UNWATCHED_SECONDS if before is None else quiet
            try:
                return wire.find(patterns, max(0.0, min(deadline.left, quiet, piece)))
            except pexpect.EOF:
                raise self._trouble(f"QEMU ended while {what} was awaited", command) from None
            except pexpect.TIMEOUT:
                now = self._waited()
                gained = min(now - (now if before is None else before), LENIENCE * self.silence - grace)
                before, grace = now, grace + gained
                deadline.extend(gained)
                if deadline.expired:
                    raise self._trouble(f"{what} did not come within {deadline.seconds:g} s", command) from None
                if time.monotonic() - max(asked, wire.heard) >= self.silence + grace:
                    raise self._trouble(f"silence for {self.silence:g} s while {what} was awaited", command) from None
            except TooMuch:
                limit = f"more than {OUTPUT_LIMIT >> 20} MiB of output"
                raise self._trouble(f"{limit} while {what} was awaited", command) from None

    def _panicked(self, match: re.Match[str], command: str = "") -> None:
        """Let the guest finish its last words, then fail."""
        with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF, TooMuch):
            self.wire.find([self.dialect.banner], LAST_WORDS_SECONDS)
        said = match.group()  # perhaps of a line that was not whole when it was seen
        lines = [found.group() for found in self.dialect.panic.finditer(self.wire.tail)]
        whole = [line for line in lines if line.startswith(said)] or [said]
        raise self._trouble(f"the guest panicked: {whole[-1].strip()}", command)

    def _trouble(self, what: str, command: str = "", kind: type[GuestError] = GuestError) -> GuestError:
        sent = f"\nsent: {command}" if command else ""
        tail = "\n".join([x for x in _lines(self.wire.tail) if x.strip()][-TAIL:]) or "(nothing)"
        return kind(f"{what}{sent}\nlast lines of the console:\n{tail}")


_NEVER = re.compile(r"(?!)")


def _after_echo(line: str, text: str) -> str:
    """What follows the echo of ``line``. Messages of the guest may stand between its characters, so it is followed
    character by character."""
    position = 0
    for character in line:
        found = text.find(character, position)
        if found < 0:
            return text
        position = found + 1
    return text[position:].lstrip("\r").removeprefix("\n")


def _lines(text: str) -> tuple[str, ...]:
    """The lines of ``text``; a last one need not end."""
    lines = re.split(r"\r*\n", text)
    return tuple(lines[:-1] if lines[-1].strip("\r") == "" else lines)
