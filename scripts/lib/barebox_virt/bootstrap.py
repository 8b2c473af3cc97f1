# SPDX-License-Identifier: MIT
"""Run a program where its Python packages are: here, or in a virtual environment of its own.

Standard library only, and the oldest Python that runs: this is what a fresh machine starts with.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from oeqa.barebox.errors import BareboxError, SetupError

from . import packages

OLDEST = (3, 9)
MARK = "BAREBOX_VIRT_ENVIRONMENT"
COMPLETE = "complete"


def requirements(path: Path) -> list[str]:
    """The requirements in ``path`` and in the files that it includes."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            found += requirements(path.parent / line[3:].strip())
        elif line:
            found.append(line)
    return found


def _numbers(version: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", version)]


def is_met(requirement: str) -> bool:
    """Whether this Python has the package, in a version that the first ``>=`` or ``==`` of ``requirement`` allows."""
    name = re.split(r"[<>=!~]", requirement)[0].strip()
    bound = re.search(r"(>=|==)\s*([\w.]+)", requirement)
    try:
        have = _numbers(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False
    if bound is None:
        return True
    want = _numbers(bound.group(2))
    return have == want if bound.group(1) == "==" else have >= want


def environment(needed: Sequence[str]) -> Path:
    """Where the virtual environment for ``needed`` belongs; another need or another Python gets another one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256("\n".join([sys.version, sys.executable, *needed]).encode()).hexdigest()[:16]
    return cache / "barebox-virt" / f"venv-{key}"


def _run(command: list[str], what: str, hint: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        last = "\n".join(f"  {line}" for line in done.stdout.splitlines()[-5:])
        raise SetupError(f"{what} failed with status {done.returncode}:\n{last}\n{hint}")


def _fill(venv: Path, needed: Sequence[str]) -> None:
    print(f"barebox-virt: installing {len(needed)} Python packages into {venv}", file=sys.stderr, flush=True)
    _run(
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        "making a virtual environment",
        "Is there room on the disk?",
    )
    pip = [str(venv / "bin/python3"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *needed]
    hint = "pip needs https://pypi.org; PIP_INDEX_URL=<address> names a mirror, HTTPS_PROXY=<address> a proxy."
    _run(pip, "installing Python packages", hint)
    (venv / COMPLETE).touch()


def make(venv: Path, needed: Sequence[str], install: bool) -> None:
    """Make the virtual environment unless it is complete; a half-made one of an interrupted run is made again.

    :raises SetupError: it cannot be made
    """
    if importlib.util.find_spec("ensurepip") is None:
        packages.provide(["ensurepip"], install)
    try:
        venv.parent.mkdir(parents=True, exist_ok=True)
        with venv.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (venv / COMPLETE).exists():
                _fill(venv, needed)
    except OSError as error:
        raise SetupError(f"{venv}: {error.strerror}. XDG_CACHE_HOME=<directory> puts it elsewhere.") from None


def _restart(venv: Path, argv: list[str]) -> NoReturn:
    os.environ[MARK] = str(venv)
    python = str(venv / "bin/python3")
    os.execv(python, [python, *argv])


def _enter(path: Path, argv: list[str]) -> None:
    if sys.version_info < OLDEST:
        raise SetupError(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, {sys.executable} is older")
    needed = requirements(path)
    missing = [r for r in needed if not is_met(r)]
    if not missing:
        os.environ.pop(MARK, None)  # a program that this one starts looks for its environment by itself
        return
    venv = environment(needed)
    if os.environ.get(MARK) == str(venv):
        raise SetupError(f"{venv} lacks {', '.join(missing)}; mend it by: rm -r {venv}")
    if not (venv / COMPLETE).exists():
        make(venv, needed, "--install-deps" in argv)
    _restart(venv, argv)


def enter(path: Path, argv: list[str]) -> None:
    """Return where the requirements in ``path`` are met; start ``argv`` again in a virtual environment otherwise."""
    try:
        _enter(path, argv)
    except BareboxError as error:
        print(f"{Path(argv[0]).name}: error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
