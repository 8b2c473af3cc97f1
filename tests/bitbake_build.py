# SPDX-License-Identifier: MIT
"""A BitBake build as the README tells to make one, by an ordinary user and in a folder outside of all checkouts.

What the tests build from is given by environment variables, or found where quickstart put it:

BAREBOX_VIRT_BITBAKE      a clone of bitbake: a work tree as it is, of a bare repository the tested commit
BAREBOX_VIRT_OECORE       a clone of openembedded-core, likewise
BAREBOX_VIRT_DOWNLOADS    a DL_DIR with barebox's tarball
BAREBOX_VIRT_WORKSPACE    quickstart's workspace, for what the others do not name (default: ~/barebox-virt)
BAREBOX_VIRT_BUILD_USER   started as root: the ordinary user who runs BitBake
BAREBOX_VIRT_BUILDS       a folder for the builds, kept, so that a second run is quick (default: a temporary one)
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from barebox_virt import builduser, sources
from conftest import LAYER

FRAGMENT = "barebox-virt/host-toolchain"
PACKAGES = ["-r", str(LAYER / "lib/oeqa/barebox/requirements.txt"), "jinja2>=3.1,<4"]
SETTINGS = """
DL_DIR = "{downloads}"
BB_NO_NETWORK = "1"
BB_SERVER_TIMEOUT = "0"
require conf/of-the-test.conf
"""


class Absent(Exception):
    """Something that the tests need is not given; the message names it."""


def build_user() -> pwd.struct_passwd:
    """Who runs BitBake.

    :raises Absent: root does, and no ordinary user is named
    """
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    name = os.environ.get("BAREBOX_VIRT_BUILD_USER")
    if not name:
        raise Absent("BitBake refuses root; BAREBOX_VIRT_BUILD_USER names no ordinary user")
    return builduser.find(name)


def _workspace(user: pwd.struct_passwd) -> Path:
    return Path(os.environ.get("BAREBOX_VIRT_WORKSPACE") or Path(user.pw_dir) / "barebox-virt")


def _source(name: str, variable: str, workspace: Path) -> Path:
    """A clone that a variable names, or the newest that quickstart fetched."""
    if variable in os.environ:
        return Path(os.environ[variable])
    found = sorted(workspace.glob(f"build-*/layers/{name}"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise Absent(f"{variable} names no clone of {name}, and quickstart left none in {workspace}")
    return found[-1]


@dataclass(frozen=True)
class Place:
    """Where the tests build, from what and as whom."""

    folder: Path
    user: pwd.struct_passwd
    bitbake: Path
    oecore: Path
    downloads: Path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command as the build user, with the Python that has the packages; its output and errors together."""
        return subprocess.run(
            self.command(*command),
            env=self.environment(variables),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )

    def command(self, *command: str) -> list[str]:
        """``command`` as the build user."""
        prefix = ["runuser", "-u", self.user.pw_name, "--"] if os.geteuid() == 0 else []
        return [*prefix, *command]

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The environment of a user who knows what the README says."""
        path = f"{self.folder}/venv/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        home = {"HOME": self.user.pw_dir, "USER": self.user.pw_name, "LOGNAME": self.user.pw_name}
        return {"PATH": path, "LC_ALL": "en_US.UTF-8", "TERM": "dumb", **home, **variables}

    def own(self, path: Path) -> None:
        """Give a folder with all in it to the build user."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{self.user.pw_name}:", str(path)], check=True)


def _tree(name: str, repository: Path, folder: Path) -> Path:
    """A source as files."""
    if sources.is_tree(name, repository):
        return repository
    commit = sources.pinned()[name][1]
    tree = folder / f"{name}-{commit[:12]}"
    if not tree.exists():
        archive = folder / f"{name}.tar"
        sources.archive(repository, commit, archive)
        with tarfile.open(archive) as packed:
            packed.extractall(tree)
        archive.unlink()
    return tree


def find_place() -> Iterator[Place]:
    """The place of the tests; removed at the end unless BAREBOX_VIRT_BUILDS asks to keep it.

    :raises Absent: what they build from is not given
    """
    user = build_user()
    workspace = _workspace(user)
    bitbake = _source("bitbake", "BAREBOX_VIRT_BITBAKE", workspace)
    oecore = _source("openembedded-core", "BAREBOX_VIRT_OECORE", workspace)
    downloads = Path(os.environ.get("BAREBOX_VIRT_DOWNLOADS") or workspace / "downloads")
    if not sources.has_tarball(downloads):
        raise Absent(f"BAREBOX_VIRT_DOWNLOADS: {downloads} has no {sources.release().tarball}")
    kept = os.environ.get("BAREBOX_VIRT_BUILDS")
    folder = Path(kept) if kept else Path(tempfile.mkdtemp(prefix="barebox-virt-builds-"))
    folder.mkdir(parents=True, exist_ok=True)
    trees = [_tree(n, p, folder) for n, p in (("bitbake", bitbake), ("openembedded-core", oecore))]
    place = Place(folder, user, trees[0], trees[1], downloads)
    try:
        _prepare(place)
        yield place
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(place: Place) -> None:
    """The folder is the build user's, and so is a Python with the packages that the README names."""
    place.folder.chmod(0o755)
    place.own(place.folder)
    if not (place.folder / "venv/complete").exists():
        done = place.run("python3", "-m", "venv", "--clear", f"{place.folder}/venv")
        assert done.returncode == 0, done.stdout
        done = place.run(f"{place.folder}/venv/bin/pip", "--quiet", "install", *PACKAGES)
        assert done.returncode == 0, done.stdout
        (place.folder / "venv/complete").touch()


@dataclass(frozen=True)
class Outcome:
    """How BitBake ended, what it printed, and the newest entry of testresults.json after it."""

    status: int
    output: str
    configuration: Mapping[str, Any]
    result: Mapping[str, Mapping[str, Any]]

    def of(self, *statuses: str) -> dict[str, str]:
        """The cases that ended so, with their logs."""
        return {name: str(case.get("log", "")) for name, case in self.result.items() if case["status"] in statuses}

    @property
    def end(self) -> str:
        """What a failed assertion shows."""
        return "\n".join(self.output.splitlines()[-60:])


class Build:
    """A build directory, made by the commands that the README names."""

    def __init__(self, place: Place, name: str, *layers: Path, fragment: bool = True) -> None:
        self.place = place
        self.folder = place.folder / name
        if not (self.folder / "conf/of-the-test.conf").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self._make(layers, fragment)

    def _make(self, layers: Sequence[Path], fragment: bool) -> None:
        layer = builduser.readable_layer(self.place.user) if os.geteuid() == 0 else LAYER
        self.must("bitbake-layers", "add-layer", str(layer), *map(str, layers))
        if fragment:
            self.must("bitbake-config-build", "enable-fragment", FRAGMENT)
        with (self.folder / "conf/local.conf").open("a", encoding="utf-8") as local:
            local.write(SETTINGS.format(downloads=self.place.downloads))
        self.configure("")

    def configure(self, settings: str) -> None:
        """Settings of the test at hand."""
        (self.folder / "conf/of-the-test.conf").write_text(settings + "\n", encoding="utf-8")

    def script(self, *command: str) -> list[str]:
        """A command in the build's environment."""
        enter = shlex.join([".", f"{self.place.oecore}/oe-init-build-env", str(self.folder), str(self.place.bitbake)])
        return ["bash", "-c", f"{enter} >/dev/null && exec {shlex.join(command)}"]

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command in the build's environment, as the build user."""
        return self.place.run(*self.script(*command), **variables)

    def must(self, *command: str, **variables: str) -> str:
        """A command's output; the test fails where the command does."""
        done = self.run(*command, **variables)
        assert done.returncode == 0, f"{shlex.join(command)}:\n{done.stdout}"
        return done.stdout

    def testimage(self, machine: str, settings: str = "", *recipes: str) -> Outcome:
        """``bitbake barebox -c testimage`` for a machine, and what it left."""
        folder = self.folder / "results"
        shutil.rmtree(folder, ignore_errors=True)
        self.configure(f'{settings}\nOEQA_JSON_RESULT_DIR = "{folder}"')
        done = self.run("bitbake", *(recipes or ("barebox",)), "-c", "testimage", MACHINE=machine)
        print(done.stdout, file=sys.stderr)
        entry = self.results().get(machine, {})
        return Outcome(done.returncode, done.stdout, entry.get("configuration", {}), entry.get("result", {}))

    def results(self) -> dict[str, Any]:
        """What testresults.json has, by machine."""
        path = self.folder / "results/testresults.json"
        entries = json.loads(path.read_text(encoding="utf-8")).values() if path.exists() else []
        return {entry["configuration"]["MACHINE"]: entry for entry in entries}

    def left(self) -> dict[int, str]:
        """Processes that have this build's folder in their command line, or a log of it as standard error."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.folder) in command + os.path.realpath(process / "fd/2"):
                    found[int(process.name)] = command
        return found


def layer(place: Place, name: str) -> Path:
    """A copy of a layer of the tests, with what is generated in it. Its layer.conf lies where nobody takes the original
    for a layer: yocto-check-layer tests each one that it finds below ours."""
    copy = place.folder / name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(LAYER / "tests" / name, copy)
    (copy / "conf").mkdir(exist_ok=True)
    (copy / "layer.conf").rename(copy / "conf/layer.conf")
    if (copy / "conf/machines").exists():
        command = [sys.executable, str(LAYER / "scripts/barebox-virt"), "machines", "--layer", str(copy)]
        subprocess.run(command, check=True, capture_output=True)
    place.own(copy)
    return copy


def skip(absent: Absent) -> None:
    """Skip by name."""
    pytest.skip(str(absent))
