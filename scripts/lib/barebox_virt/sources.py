# SPDX-License-Identifier: MIT
"""Where the sources of a BitBake build come from: addresses and tested commits, local clones, what is there already."""

from __future__ import annotations

import bz2
import hashlib
import json
import os
import re
import shutil
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
PROOF = {"bitbake": "bin/bitbake", "openembedded-core": "meta/conf/bitbake.conf"}
NAMES = (*PROOF, "barebox")
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
        if not is_tree(name, found[name]) and not _has_commit(found[name], _wanted(name)):
            tree = f"it has no {PROOF[name]}, and " if name in PROOF else "it "
            raise UsageError(f"--source {text}: no {name} is there: {tree}is no git repository with {_wanted(name)}")
    return found


def is_tree(name: str, path: Path) -> bool:
    """Whether ``path`` holds the files of a source, not only its history."""
    return name in PROOF and (path / PROOF[name]).exists()


def _wanted(name: str) -> str:
    """The commit or tag that a repository has to have."""
    return f"v{release().version}" if name == "barebox" else pinned()[name][1]


def _has_commit(path: Path, commit: str) -> bool:
    return path.is_dir() and git("-C", str(path), "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0


def archive(repository: Path, commit: str, target: Path, prefix: str = "") -> None:
    """Write the files of a commit to a tar file.

    :raises SetupError: git refused
    """
    done = git("-C", str(repository), "archive", f"--prefix={prefix}", f"--output={target}", commit, seconds=300)
    if done.returncode:
        raise SetupError(f"{repository}: {done.stderr.strip()}")


def pack(repository: Path, wanted: Release, folder: Path) -> None:
    """Make the release's tarball in ``folder`` from a repository that has its tag.

    :raises SetupError: git failed, the disk is full, or the result is not upstream's tarball
    """
    draft = folder / f".{wanted.tarball}.{os.getpid()}"
    plain = draft.with_suffix(".tar")
    try:
        archive(repository, f"v{wanted.version}", plain, f"barebox-{wanted.version}/")
        with plain.open("rb") as source, bz2.open(draft, "wb", 9) as target:
            shutil.copyfileobj(source, target)
        if hashlib.sha256(draft.read_bytes()).hexdigest() != wanted.sha256:
            raise SetupError(f"{repository}: its tag v{wanted.version} does not make the tarball that was released")
        draft.replace(folder / wanted.tarball)
    except OSError as error:
        raise SetupError(f"{folder / wanted.tarball} cannot be made: {error}") from None
    finally:
        draft.unlink(missing_ok=True)
        plain.unlink(missing_ok=True)


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
