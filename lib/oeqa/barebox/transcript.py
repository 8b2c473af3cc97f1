# SPDX-License-Identifier: MIT
"""What a console printed, without what differs from run to run: for comparing runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .dialect import Dialect
from .wire import VT100

# Addresses, digests and random data; times and rates; the console's own markers; the counting down.
NOISE = (
    (re.compile(r"\b0x[0-9a-fA-F]+|\b[0-9a-f]{8,}\b|\b(?:[0-9a-f]{2}[ :]){3,}[0-9a-f]{2}\b"), "<hex>"),
    (re.compile(r"\b\d+(?:\.\d+)? ?(?:ns|us|ms|s|seconds|[KMG]i?B/s|MHz)\b"), "<time>"),
    (re.compile(r"ZxQ\d+"), "<marker>"),
    (re.compile(r"autoboot:.*"), "autoboot:"),
    (re.compile(r"/tmp/\S+"), "<file>"),
)


def lines(text: str, dialect: Dialect) -> list[str]:
    """The lines of a console's log that should be the same in another run."""
    text = dialect.noise.sub("", VT100.sub("", text)).replace("\r", "").replace("\b", "")
    for pattern, word in NOISE:
        text = pattern.sub(word, text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def of_logs(paths: Iterable[Path], dialect: Dialect) -> list[str]:
    """The lines of several logs, one after the other."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    return [line for text in texts for line in lines(text, dialect)]
