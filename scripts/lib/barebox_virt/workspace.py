# SPDX-License-Identifier: MIT
"""A folder with everything that a quickstart makes: layers and build by bitbake-setup, downloads, results."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from oeqa.barebox.errors import SetupError, UsageError

from . import LAYER, sources
from .host import LOCALE

CONFIGURATION = "host-toolchain"
COMPLETE = "complete"


class Workspace:
    """The folder, for one run at a time.

    :raises UsageError: BitBake cannot work in it
    :raises SetupError: it cannot be written, or another run uses it
    """

    def __init__(self, path: Path, downloads: Path | None) -> None:
        self.path = path
        self.downloads = downloads or path / "downloads"
        self.results = path / "results"
        self.logs = path / "logs"
        if any(c.isspace() or c in "@:~+" for c in str(path)):
            raise UsageError(f"{path}: BitBake cannot work in a path with a blank or one of @ : ~ +; --workspace DIR")
        try:
            for folder in (path, self.downloads, self.results, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise SetupError(f"{error.filename}: {error.strerror}. Name another folder: --workspace DIR") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupError(f"{path}: another quickstart runs there. Name another folder: --workspace DIR") from None

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._lock)

    def layers(self, local: Mapping[str, Path]) -> Path:
        """Where the setup for these local sources has its layers."""
        return self._setup(local) / "layers"

    def provide_tarball(self, local: Mapping[str, Path]) -> None:
        """Make the release's tarball from a local clone of barebox; git archives a tag the same to the byte.

        :raises UsageError: the clone lacks the release's tag
        """
        if "barebox" not in local or sources.has_tarball(self.downloads):
            return
        release = sources.release()
        print(f"Packing {release.tarball} from {local['barebox']}", flush=True)
        sources.pack(local["barebox"], release, self.downloads)

    def provide_setup(self, local: Mapping[str, Path]) -> Path:
        """The setup's folder; bitbake-setup makes it unless it is there.

        :raises SetupError: bitbake-setup failed
        """
        setup = self._setup(local)
        if not (setup / COMPLETE).exists():
            if setup.exists():
                print(f"Removing what an interrupted run left: {setup}", flush=True)
                shutil.rmtree(setup)
            self._make_setup(setup, local)
            (setup / COMPLETE).touch()
        return setup

    def _setup(self, local: Mapping[str, Path]) -> Path:
        """A setup for each configuration and choice of sources, so that changing them never touches another one."""
        chosen = {name: str(path) for name, path in local.items() if name != "barebox"}
        key = json.dumps([sources.SETUP.read_text(encoding="utf-8"), chosen, str(LAYER)], sort_keys=True)
        return self.path / f"build-{hashlib.sha256(key.encode()).hexdigest()[:8]}"

    def _make_setup(self, setup: Path, local: Mapping[str, Path]) -> None:
        log = self.logs / "bitbake-setup.log"
        print(f"Setting up layers and build by bitbake-setup (log: {log})", flush=True)
        command = [str(Path(sys.executable).with_name("bitbake-setup")), "--color", "never"]
        for name, value in (("top-dir-prefix", self.path), ("top-dir-name", "."), ("dl-dir", self.downloads)):
            command += ["--setting", "default", name, str(value)]
        command += ["init", "--non-interactive", "--setup-dir-name", setup.name, "--skip-selection", "machine"]
        for name in sources.pinned():
            if name in local:
                command += ["-L", name, str(self._tree(name, local[name]))]
        command += [str(sources.SETUP), CONFIGURATION]
        with log.open("w", encoding="utf-8") as stream:
            status = subprocess.call(
                command, cwd=self.path, env=variables(setup), stdout=stream, stderr=subprocess.STDOUT
            )
        if status or not (setup / "build/init-build-env").exists():
            raise SetupError(f"bitbake-setup failed:\n{tail(log)}\nlog: {log}")

    def _tree(self, name: str, path: Path) -> Path:
        """The source as files: a work tree as it is; of a bare repository the tested commit."""
        if sources.is_tree(name, path):
            return path
        commit = sources.pinned()[name][1]
        tree = self.path / f"sources/{name}-{commit[:12]}"
        if not tree.exists():
            draft = tree.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            archive = draft / "archive.tar"
            sources.archive(path, commit, archive)
            with tarfile.open(archive) as packed:
                packed.extractall(draft)
            archive.unlink()
            draft.rename(tree)
        return tree


def variables(setup: Path) -> dict[str, str]:
    """The environment of all that starts BitBake: programs and Python packages of this very environment, and the
    locale that BitBake wants. It is one for all, since a BitBake server outlives the command that started it."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    kept = {k: v for k, v in os.environ.items() if k not in ("LC_ALL", "PYTHONPATH")}
    return {**kept, "PATH": path, "LC_ALL": LOCALE, "BITBAKEDIR": str(setup / "layers/bitbake")}


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
