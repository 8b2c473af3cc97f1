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
    """What a program prints, its errors as well.

    :param data: its standard input
    :param ok: exit statuses that are none of a failure
    :raises Unavailable: it is not installed
    :raises SetupError: it fails
    """
    done = _run(program, arguments, data, subprocess.STDOUT)
    return _checked(done, done.stdout, ok).decode(errors="replace")


def data(program: str, arguments: Sequence[str | Path], data: bytes = b"") -> bytes:
    """What a program writes to its standard output, as it is; parameters and errors as in :func:`run`."""
    done = _run(program, arguments, data, subprocess.PIPE)
    return _checked(done, done.stderr, (0,))


def _run(program: str, arguments: Sequence[str | Path], data: bytes, errors: int) -> subprocess.CompletedProcess[bytes]:
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{MORE_PATH}")
    if path is None:
        raise Unavailable(f"{program} is not installed; barebox-virt doctor names the package")
    command = [path, *map(str, arguments)]
    try:
        return subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=errors, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{program} does not run: {error}") from None


def _checked(done: subprocess.CompletedProcess[bytes], said: bytes, ok: Sequence[int]) -> bytes:
    if done.returncode not in ok:
        text = said.decode(errors="replace").strip()
        raise SetupError(f"{' '.join(done.args)} ended with status {done.returncode}: {text}")
    return done.stdout
