# SPDX-License-Identifier: MIT
"""The plugin: hazards.c, built by the host's compiler on first use, or taken ready; and whether a QEMU can load it."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import SetupError, Unavailable
from ..machine import Machine
from .report import DECODERS

SOURCE = Path(__file__).with_name("hazards.c")
FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden")
API_VARIABLE = "BAREBOX_HAZARDS_API"
NEWEST_API = 7
SECONDS = 60


@dataclass(frozen=True)
class Plugin:
    """A plugin that a certain QEMU loads; ``environment`` is what that QEMU has to be started with."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def arguments(self, machine: Machine, out: Path) -> list[str]:
        """QEMU's options that have it write to ``out``."""
        plain = ":".join(f"{mask:x}.{value:x}" for mask, value in DECODERS[machine.arch].PLAIN)
        return ["-plugin", f"file={_comma(self.path)},out={_comma(out)},plain={plain}"]


def get(qemu: Path, ready: Path | None = None) -> Plugin:
    """The plugin for a QEMU, built where ``ready`` names none.

    :raises Unavailable: this QEMU loads no plugins, or not this one; or there is no compiler
    :raises SetupError: the plugin cannot be compiled, or ``ready`` is none
    """
    if ready is not None and not ready.is_file():
        raise SetupError(f"{ready}: no such file; a plugin that was built from {SOURCE.name} is expected")
    if not supported(qemu):
        raise Unavailable(f"{qemu} was built without plugins (its configure wants --enable-plugins)")
    return _load(qemu, ready or build())


@functools.cache
def supported(qemu: Path) -> bool:
    """Whether a QEMU has plugins at all."""
    try:
        text = subprocess.run([qemu, "-help"], capture_output=True, text=True, errors="replace", timeout=SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{qemu} does not run: {error}") from None
    return re.search(r"(?m)^-plugin ", text) is not None


def build(cache: Path | None = None, source: Path | None = None) -> Path:
    """The plugin, compiled by ``$HOSTCC``, cc or gcc, kept in the cache by what it was made from. ``$CC`` may well be a
    cross-compiler.

    :param cache: the cache's folder; barebox-virt below XDG_CACHE_HOME when left out
    :param source: another plugin's source
    :raises Unavailable: there is no compiler
    :raises SetupError: it fails
    """
    named = os.environ.get("HOSTCC")
    candidates = [shlex.split(named)] if named else [["cc"], ["gcc"]]
    compiler = next((c for c in candidates if shutil.which(c[0])), None)
    if compiler is None:
        names = " or ".join(c[0] for c in candidates)
        raise Unavailable(f"no C compiler ({names}) to build the plugin with: install gcc, or set HOSTCC")
    if cache is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "barebox-virt"
    source = source or SOURCE
    parts = (source.read_text(encoding="utf-8"), *compiler, *FLAGS, platform.machine())
    path = cache / f"{source.stem}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}.so"
    if not path.exists():
        _compile(compiler, source, path)
    return path


def _compile(compiler: list[str], source: Path, path: Path) -> None:
    """Compile to ``path``, which is there as a whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".hazards-", dir=path.parent) as folder:
            draft = Path(folder) / path.name
            command = [*compiler, *FLAGS, "-o", str(draft), str(source)]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS)
            if done.returncode or not draft.exists():
                last = "\n".join(done.stderr.splitlines()[-5:]) or f"status {done.returncode}"
                raise SetupError(f"the plugin cannot be compiled:\n{last}\ncommand: {shlex.join(command)}")
            draft.replace(path)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(
            f"the plugin cannot be compiled to {path}: {error}. XDG_CACHE_HOME puts it elsewhere."
        ) from None


@functools.cache
def _load(qemu: Path, path: Path) -> Plugin:
    """Find out how a QEMU loads the plugin: by itself, or told the version of its interface."""
    said = _try(qemu, path, {})
    if not said:
        return Plugin(path)
    wanted = re.search(r"(?:up to|a minimum) version (?:of )?(\d+)", said)
    if wanted and int(wanted[1]) <= NEWEST_API:
        environment = {API_VARIABLE: wanted[1]}
        if not (said := _try(qemu, path, environment)):
            return Plugin(path, environment)
    raise Unavailable(f"{qemu} does not load the plugin {path}, which knows the interfaces 1 to {NEWEST_API}: {said}")


def _try(qemu: Path, path: Path, environment: Mapping[str, str]) -> str:
    """Why a QEMU without a machine does not start with the plugin; empty where it does."""
    plugin = f"file={_comma(path)},out=/dev/null"
    options = ["-machine", "none", "-accel", "tcg", "-nodefaults", "-display", "none", "-monitor", "stdio"]
    try:
        done = subprocess.run(
            [qemu, *options, "-plugin", plugin],
            input="quit\n",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            env={**os.environ, **environment},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


def _comma(path: Path) -> str:
    """A path as a value in one of QEMU's comma-separated options."""
    return str(path).replace(",", ",,")
