# SPDX-License-Identifier: MIT
"""The host's programs that make and judge a test's data."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .errors import SetupError, Unavailable

# Where Debian has them for root alone.
MORE_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
SECONDS = 60


def run(program: str, arguments: Sequence[str | Path], data: bytes = b"", ok: Sequence[int] = (0,)) -> str:
    """What a program prints.

    :param data: its standard input
    :param ok: exit statuses that are none of a failure
    :raises Unavailable: it is not installed
    :raises SetupError: it fails
    """
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{MORE_PATH}")
    if path is None:
        raise Unavailable(f"{program} is not installed; barebox-virt doctor names the package")
    command = [path, *map(str, arguments)]
    try:
        done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{program} does not run: {error}") from None
    text = done.stdout.decode(errors="replace")
    if done.returncode not in ok:
        raise SetupError(f"{' '.join(command)} ended with status {done.returncode}: {text.strip()}")
    return text
