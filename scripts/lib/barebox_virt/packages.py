# SPDX-License-Identifier: MIT
"""The distribution's packages: which are missing, what they are called, and their installation.

Standard library only; bootstrap needs it before there is anything else.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from oeqa.barebox.errors import SetupError

from . import LAYER

NAMES = LAYER / "conf/packages.json"
INSTALLERS = {
    "apt": ["apt-get", "install", "--yes", "--no-install-recommends"],
    "dnf": ["dnf", "install", "--assumeyes"],
}
KINDS = ("programs", "files", "headers", "modules")


def names() -> dict[str, Any]:
    """conf/packages.json."""
    data: dict[str, Any] = json.loads(NAMES.read_text(encoding="utf-8"))
    return data


def wanted(sets: Iterable[str]) -> list[str]:
    """What the named sets list, without repetition."""
    data = names()["sets"]
    return list(dict.fromkeys(item for name in sets for item in data[name]))


def find_program(name: str) -> str | None:
    """Where the program is, also in the directories that only root has in PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _has_header(module: str) -> bool:
    if not find_program("pkg-config"):
        return False
    return subprocess.run(["pkg-config", "--exists", module], check=False).returncode == 0


def is_here(item: str) -> bool:
    """Whether this machine has the program, file, header or module ``item``."""
    data = names()
    if item in data["programs"]:
        return find_program(item) is not None
    if item in data["files"]:
        return any(Path(p).exists() for p in data["files"][item]["paths"])
    if item in data["headers"]:
        return _has_header(item)
    return importlib.util.find_spec(item) is not None


def manager() -> str | None:
    """The package manager of this machine: apt, dnf, or none that is known here."""
    return next((name for name, command in INSTALLERS.items() if find_program(command[0])), None)


def packages_of(items: Iterable[str], which: str) -> list[str]:
    """The packages of ``items`` by the names of ``which``; an item that it has no package for is left out."""
    data = names()
    entries = {item: entry for kind in KINDS for item, entry in data[kind].items()}
    found = [package for item in items for package in entries[item].get(which, "").split()]
    return sorted(set(found))


def install_command(items: Iterable[str]) -> list[str] | None:
    """The command that installs what ``items`` need, for this user; none where no package manager is known."""
    which = manager()
    found = packages_of(items, which) if which else []
    if not which or not found:
        return None
    return ([] if os.geteuid() == 0 else ["sudo"]) + INSTALLERS[which] + found


def remedy(items: Iterable[str]) -> str:
    """What to type to get ``items``."""
    items = list(items)
    command = install_command(items)
    if command:
        return shlex.join(command)
    return f"install by your distribution's means what provides {', '.join(items)}"


def _install(command: list[str]) -> None:
    print(f"Installing packages: {shlex.join(command)}", file=sys.stderr, flush=True)
    if command[0] == "sudo" and not find_program("sudo"):
        raise SetupError(f"installing packages needs root and there is no sudo; as root: {shlex.join(command[1:])}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if "apt-get" in command:
        update = command[: command.index("apt-get") + 1] + ["update", "--quiet"]
        subprocess.run(update, env=environment, stdout=sys.stderr, check=False)
    if status := subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode:
        raise SetupError(f"{shlex.join(command)} failed with status {status}; its own lines above say why")


def provide(items: Iterable[str], install: bool) -> None:
    """Make sure that ``items`` are here; ``install`` allows to get their packages.

    :raises SetupError: one is missing and may not or cannot be installed
    """
    missing = [item for item in items if not is_here(item)]
    if not missing:
        return
    command = install_command(missing)
    if install and command:
        _install(command)
        importlib.invalidate_caches()
        missing = [item for item in missing if not is_here(item)]
    if missing:
        repeat = "" if install else "; or repeat the command with --install-deps"
        raise SetupError(f"missing on this machine: {', '.join(missing)}. Run: {remedy(missing)}{repeat}")


def provide_module(item: str, install: bool) -> None:
    """Make sure that another user's Python has a module of a distribution's package, which this process cannot see.

    :raises SetupError: it may not or cannot be installed
    """
    command = install_command([item])
    if not install or command is None:
        raise SetupError(f"the system's python3 lacks {item}. Run: {remedy([item])}; or repeat with --install-deps")
    _install(command)


def make_locale(command: list[str]) -> None:
    """Make a locale by ``command``.

    :raises SetupError: it failed
    """
    print(f"Making a locale: {shlex.join(command)}", file=sys.stderr, flush=True)
    if status := subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise SetupError(f"{shlex.join(command)} failed with status {status}; its own lines above say why")
