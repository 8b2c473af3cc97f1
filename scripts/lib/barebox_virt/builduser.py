# SPDX-License-Identifier: MIT
"""BitBake refuses root. Where root starts a build, the whole program goes on as an ordinary user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from oeqa.barebox.errors import SetupError, UsageError

from . import LAYER, packages

DEFAULT = "barebox-virt"
PATH = "/usr/local/bin:/usr/bin:/bin"
IGNORED = shutil.ignore_patterns(".*", "__pycache__")


def choose(name: str | None) -> str:
    """The user to go on as: the named one, who called sudo, or one of our own."""
    caller = os.environ.get("SUDO_USER", "root")
    return name or (caller if caller != "root" else DEFAULT)


def find(name: str) -> pwd.struct_passwd:
    """The user's entry; our own one is made when it is missing.

    :raises UsageError: there is no such user, or it is root
    :raises SetupError: our own user cannot be made
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        if name != DEFAULT:
            raise UsageError(f"--build-user {name}: no such user; make it by: useradd --create-home {name}") from None
        entry = _make(name)
    if entry.pw_uid == 0:
        raise UsageError(f"--build-user {name}: BitBake refuses root; name an ordinary user")
    return entry


def _make(name: str) -> pwd.struct_passwd:
    command = ["useradd", "--create-home", "--shell", "/bin/bash", name]
    print(f"Making a user to build as: {' '.join(command)}", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"{' '.join(command)}: {done.stderr.strip()}. Name a user that exists: --build-user NAME")
    return pwd.getpwnam(name)


def environment(entry: pwd.struct_passwd) -> dict[str, str]:
    """This process's environment, with the user's own folders and the system's programs."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "SUDO_", "PYENV")) and k != "VIRTUAL_ENV"}
    return {**kept, "HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name, "PATH": PATH}


def _as(entry: pwd.struct_passwd, *command: str) -> list[str]:
    """``command`` as that user."""
    return [packages.find_program("runuser") or "runuser", "-u", entry.pw_name, "--", *command]


def succeeds(entry: pwd.struct_passwd, *command: str) -> bool:
    """Whether a command ends well as that user."""
    full = _as(entry, *command)
    return subprocess.run(full, env=environment(entry), capture_output=True, cwd="/", check=False).returncode == 0


def readable_layer(entry: pwd.struct_passwd) -> Path:
    """The layer where the user can read it: here, or, where folders above forbid that, in a copy."""
    if succeeds(entry, "test", "-r", str(LAYER / "conf/layer.conf")):
        return LAYER
    copy = Path(entry.pw_dir) / "meta-barebox-virt"
    print(f"{entry.pw_name} cannot read {LAYER}; building from a copy: {copy}", file=sys.stderr)
    shutil.copytree(LAYER, copy, ignore=IGNORED, dirs_exist_ok=True)
    return copy


def _hand_over(folder: Path, entry: pwd.struct_passwd) -> None:
    """Make a folder that is missing, for the user."""
    if not folder.exists():
        folder.mkdir(parents=True)
        os.chown(folder, entry.pw_uid, entry.pw_gid)


def become(name: str | None, arguments: Sequence[str], folders: Sequence[Path], install: bool) -> NoReturn:
    """Start the program again with ``arguments`` as the build user.

    :param folders: to make for that user where they are missing
    :raises BareboxError: there is no such user, or its Python cannot make virtual environments
    """
    entry = find(choose(name))
    for folder in folders:
        _hand_over(folder, entry)
    if not succeeds(entry, "python3", "-c", "import ensurepip"):
        packages.provide_module("ensurepip", install)
    print(f"BitBake refuses root: going on as the user {entry.pw_name}", file=sys.stderr, flush=True)
    program = readable_layer(entry) / "scripts/barebox-virt"
    command = _as(entry, "python3", str(program), *arguments)
    os.chdir(entry.pw_dir)
    os.execvpe(command[0], command, environment(entry))
