# SPDX-License-Identifier: MIT
"""What barebox' command bootchooser -i tells (common/bootchooser.c, bootchooser_info): targets and their counters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

FIELD = re.compile(r" +(?P<name>[a-z_ ]+): '?(?P<value>[^']*)'?")
END = "last booted target: "


@dataclass(frozen=True)
class Slot:
    """A target as it stands: what is left of it (``priority``, ``attempts``), and what it goes back to."""

    name: str
    priority: int
    attempts: int
    default_priority: int
    default_attempts: int
    boot: str
    good: bool


@dataclass(frozen=True)
class Chooser:
    """All targets, in the order in which they are tried; ``last`` is the one booted last, empty when unknown."""

    slots: tuple[Slot, ...]
    last: str
    locked: bool

    def __getitem__(self, name: str) -> Slot:
        return next(slot for slot in self.slots if slot.name == name)

    @property
    def order(self) -> list[str]:
        """The names of those that may be booted, the next one first."""
        return [slot.name for slot in self.slots if slot.good]

    @property
    def attempts(self) -> dict[str, int]:
        """What is left of each target's attempts."""
        return {slot.name: slot.attempts for slot in self.slots}

    @property
    def priorities(self) -> dict[str, int]:
        """The priority of each target."""
        return {slot.name: slot.priority for slot in self.slots}


def parse(lines: Sequence[str]) -> Chooser:
    """The boot chooser as bootchooser -i prints it; what is printed before is left out.

    :raises ValueError: the lines are not its
    """
    try:
        start = lines.index("Good targets (first will be booted next):")
        disabled = lines.index("Disabled targets:", start)
        end = next(i for i in range(disabled, len(lines)) if lines[i].startswith(END))
        slots = [*_slots(lines[start + 1 : disabled], True), *_slots(lines[disabled + 1 : end], False)]
        last = lines[end][len(END) :]
        locked = lines[end + 1] == "Locking of boot attempt counter: enabled"
    except (ValueError, StopIteration, KeyError, IndexError) as error:
        raise ValueError(f"not what bootchooser -i prints ({error}):\n" + "\n".join(lines)) from None
    return Chooser(tuple(slots), "" if last == "unknown" else last, locked)


def _slots(lines: Sequence[str], good: bool) -> list[Slot]:
    """The targets in a list; a line that is not indented begins one."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in lines:
        match = FIELD.fullmatch(line)
        if match:
            found[-1][1][match["name"]] = match["value"]
        elif line and line != "none" and not line.startswith(" "):
            found.append((line, {}))
    return [_slot(name, fields, good) for name, fields in found]


def _slot(name: str, fields: dict[str, str], good: bool) -> Slot:
    return Slot(
        name,
        int(fields["priority"]),
        int(fields["remaining attempts"]),
        int(fields["default_priority"]),
        int(fields["default attempts"]),
        fields["boot"],
        good,
    )
