# SPDX-License-Identifier: MIT
"""What the decoders of all architectures have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A class of instructions that KVM cannot emulate on memory-mapped I/O; ``name`` is for programs, ``why`` for
    people."""

    name: str
    why: str


@dataclass(frozen=True)
class Rule:
    """Instructions whose word, masked, has a value. ``kind`` is None for those that KVM does emulate."""

    mask: int
    value: int
    kind: Kind | None

    def matches(self, word: int) -> bool:
        return word & self.mask == self.value


def first(rules: Sequence[Rule], word: int, otherwise: Kind | None) -> Kind | None:
    """The kind that the first matching rule gives."""
    return next((rule.kind for rule in rules if rule.matches(word)), otherwise)
