# SPDX-License-Identifier: MIT
"""Where the sources of a BitBake build come from: addresses and tested commits, local clones, what is there already."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from oeqa.barebox.errors import SetupError, UsageError

from . import LAYER

SETUP = LAYER / "conf/setup/barebox-virt.conf.json"
SECONDS = 6.0
PROOF = {"bitbake": "bin/bitbake", "openembedded-core": "meta/conf/bitbake.conf", "barebox": ".git"}
NAMES = tuple(PROOF)
ADDRESS = "https://barebox.org/download/barebox-{}.tar.bz2"


@dataclass(frozen=True)
class Release:
    """barebox's release as our recipe names it."""

    version: str
    sha256: str

    @property
    def tarball(self) -> str:
        """The tarball's file name."""
        return f"barebox-{self.version}.tar.bz2"


@dataclass(frozen=True)
class Reach:
    """Whether one source can be had; ``reason`` tells why not."""

    name: str
    address: str
    reason: str = ""


def release() -> Release:
    """What the recipe builds.

    :raises SetupError: there is no recipe of a release
    """
    for recipe in sorted((LAYER / "recipes-bsp/barebox").glob("barebox_[0-9]*.bb")):
        match = re.search(r'^SRC_URI\[.*sha256sum\] = "([0-9a-f]{64})"', recipe.read_text(encoding="utf-8"), re.M)
        if match:
            return Release(recipe.stem.partition("_")[2], match.group(1))
    raise SetupError(f"{LAYER / 'recipes-bsp/barebox'}: no recipe of a release with its sha256")


def pinned() -> dict[str, tuple[str, str]]:
    """Address and tested commit of what bitbake-setup fetches."""
    data = json.loads(SETUP.read_text(encoding="utf-8"))["sources"]
    return {name: (entry["git-remote"]["uri"], entry["git-remote"]["rev"]) for name, entry in data.items()}


def git(*arguments: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run git without questions; it may read clones that belong to another user."""
    command = ["git", "-c", "safe.directory=*", *arguments]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError:
        raise SetupError("git is not installed") from None


def parse(given: list[str]) -> dict[str, Path]:
    """The clones that --source names.

    :raises UsageError: a name is unknown or a path holds something else
    """
    found = {}
    for text in given:
        name, _, path = text.partition("=")
        if name not in NAMES or not path:
            raise UsageError(f"--source {text}: expected NAME=PATH, NAME one of: {', '.join(NAMES)}")
        found[name] = Path(path).expanduser().resolve()
        if not (found[name] / PROOF[name]).exists():
            raise UsageError(f"--source {text}: no {name} is there, it has no {PROOF[name]}")
    return found


def has_tarball(folder: Path) -> bool:
    """Whether the release's tarball lies in ``folder``, whole."""
    wanted = release()
    path = folder / wanted.tarball
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wanted.sha256


def _git_reach(name: str, address: str) -> Reach:
    try:
        done = git("ls-remote", "--exit-code", address, "HEAD", seconds=SECONDS)
    except subprocess.TimeoutExpired:
        return Reach(name, address, f"no answer within {SECONDS:.0f} s")
    except SetupError as error:
        return Reach(name, address, str(error))
    lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"git ended with status {done.returncode}"]
    return Reach(name, address, lines[-1].removeprefix("fatal: ") if done.returncode else "")


def _tarball_reach(name: str, address: str) -> Reach:
    request = urllib.request.Request(address, method="HEAD", headers={"User-Agent": "barebox-virt"})
    try:
        urllib.request.urlopen(request, timeout=SECONDS).close()
    except urllib.error.URLError as error:
        return Reach(name, address, str(error.reason))
    except OSError as error:
        return Reach(name, address, str(error))
    return Reach(name, address)


def _in_workspace(name: str, layers: Path | None) -> bool:
    """Whether an earlier run fetched the tested commit."""
    clone = layers / name if layers else None
    if clone is None or not (clone / PROOF[name]).exists():
        return False
    return git("-C", str(clone), "rev-parse", "HEAD").stdout.strip() == pinned()[name][1]


def reach(local: Mapping[str, Path], layers: Path | None, downloads: Path | None) -> list[Reach]:
    """What can be had, asked in parallel where it is neither local nor fetched before.

    :param layers: where an earlier run put its layers
    :param downloads: a DL_DIR
    """
    found, ask = [], []
    for name, (address, _) in pinned().items():
        if name in local or _in_workspace(name, layers):
            found.append(Reach(name, str(local.get(name) or layers)))
        else:
            ask.append((_git_reach, name, address))
    if "barebox" in local or (downloads and has_tarball(downloads)):
        found.append(Reach("barebox", str(local.get("barebox") or downloads)))
    else:
        ask.append((_tarball_reach, "barebox", ADDRESS.format(release().version)))
    with ThreadPoolExecutor() as pool:
        asked = list(pool.map(lambda question: question[0](*question[1:]), ask))
    return found + asked
