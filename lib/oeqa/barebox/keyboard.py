# SPDX-License-Identifier: MIT
"""Cases that type keys and read what comes back, where a command with its status does not do."""

from __future__ import annotations

import re

from . import case
from .console import CTRL_C


class KeyboardCase(case.BootloaderTestCase):
    """A person at the console. What is typed has to end at a prompt, where the other cases go on."""

    def press(self, keys: str) -> None:
        """Type keys as they are."""
        self.board.shell().press(keys)

    def see(self, pattern: str, seconds: float = 30.0) -> str:
        """Wait for a pattern, ^ and $ of which are those of a line: the text up to its end."""
        before, match = self.board.shell().expect(re.compile(pattern, re.MULTILINE), seconds)
        return before + match.group()

    def prompt(self, seconds: float = 30.0) -> str:
        """Wait for the prompt: what was printed before it."""
        before, _ = self.board.shell().expect(self.board.dialect.prompt, seconds)
        return self.board.dialect.noise.sub("", before)

    def typed(self, keys: str) -> list[str]:
        """Type a line with its editing: the lines that the command prints, without the echo, which editing garbles."""
        self.press(keys + "\r")
        return [line.strip("\r") for line in self.prompt().split("\n")[1:-1]]

    def interrupt(self, command: str, sign: str = "", seconds: float = 30.0) -> str:
        """Type a command, and Ctrl-C once it prints a sign: what it printed from there to the prompt."""
        self.press(f'echo be""gun; {command}\r')
        self.see(r"^begun\r?$")
        if sign:
            self.see(sign)
        self.press(CTRL_C)
        return self.prompt(seconds)

    def restart(self, seconds: float = 90.0) -> str:
        """Have the machine reset itself: what it prints until its banner ends."""
        self.press(self.board.dialect.reset + "\r")
        before, match = self.board.shell().expect(self.board.dialect.banner, seconds)
        return before + match.group()
