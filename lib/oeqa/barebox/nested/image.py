# SPDX-License-Identifier: MIT
"""Images of KVM hosts, kept in a cache and made anew when what they are made of changes.

An image is a folder with kernel, initrd and manifest.json. The cache has one for each architecture; aarch64.json there
names it. A draft becomes the image by one rename, so a build that is interrupted leaves the image before it in place.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SetupError, UsageError
from . import pack
from .apt import NO_PACKAGES, Apt, Package, Progress
from .description import Description

MANIFEST = "manifest.json"
FILES = ("kernel", "initrd")


@dataclass(frozen=True)
class Image:
    """An image that was checked: whole, and for the architecture that was asked for."""

    folder: Path
    source: str
    kernel_release: str

    @property
    def kernel(self) -> Path:
        return self.folder / "kernel"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"


def cache_folder() -> Path:
    """Where images are kept: barebox-virt/kvm-host in XDG_CACHE_HOME."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "barebox-virt/kvm-host"


def inputs(description: Description) -> str:
    """A digest of what decides an image's content beside the packages' versions."""
    texts = [repr(description.debian), repr(description.content), str(pack.FORMAT), pack.INIT.read_text("utf-8")]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def load(folder: Path, description: Description) -> Image:
    """The image in ``folder``.

    :raises UsageError: it is none, is damaged, or is for another architecture
    """
    manifest = _read(folder / MANIFEST)
    if manifest is None:
        raise UsageError(
            f"{folder}: no image of a KVM host, it has no {MANIFEST}; barebox-virt kvm-host build makes one"
        )
    if manifest.get("arch") != description.name:
        raise UsageError(f"{folder}: an image for {manifest.get('arch')}; the machine needs {description.name}")
    for name in FILES:
        _check(folder / name, manifest["files"][name])
    return Image(folder, manifest["source"], manifest["kernel_release"])


def _check(path: Path, expected: dict[str, Any]) -> None:
    mend = f"Build it again: barebox-virt kvm-host build {path.parent.name.partition('-')[0]}"
    size = path.stat().st_size if path.is_file() else -1
    if size != expected["size"]:
        found = "is missing" if size < 0 else f"has {size} bytes"
        raise UsageError(f"{path}: {found}; the manifest says {expected['size']} bytes. {mend}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != expected["sha256"]:
        raise UsageError(f"{path}: is damaged, its digest is not that of the manifest. {mend}")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data


class Cache:
    """The images of one folder.

    :param path: where to look for apt's programs, as in PATH
    """

    def __init__(self, folder: Path, progress: Progress, path: str | None = None) -> None:
        self.folder = folder
        self._progress = progress
        self._path = path

    def get(self, description: Description) -> Image:
        """The image, made when there is none for these inputs or the one that is there is damaged.

        :raises SetupError: it cannot be made
        """
        with self._lock(description.name):
            found = self._current(description)
            return found or self._build(description)

    def build(self, description: Description, root: Path | None = None) -> Image:
        """Make the image anew where its packages or its other inputs changed.

        :param root: a root file system to take everything from, instead of packages
        :raises SetupError: it cannot be made
        """
        with self._lock(description.name):
            return self._build(description, root)

    def current_folder(self, description: Description) -> Path | None:
        """The folder of the image for these inputs; None where there is none."""
        pointer = _read(self.folder / f"{description.name}.json")
        if pointer is None or pointer["inputs"] != inputs(description):
            return None
        return self.folder / str(pointer["image"])

    def _current(self, description: Description) -> Image | None:
        folder = self.current_folder(description)
        if folder is None:
            return None
        try:
            return load(folder, description)
        except UsageError as error:
            self._progress(str(error), 0)
            return None

    def _build(self, description: Description, root: Path | None = None) -> Image:
        if root is not None:
            return self._from_root(description, root, str(root), hashlib.sha256(os.urandom(8)).hexdigest()[:8])
        apt, packages = self._packages(description)
        names = hashlib.sha256(repr(packages).encode()).hexdigest()[:8]
        found = self._current(description)
        if found is not None and found.folder.name.endswith(names):
            self._progress(f"{found.folder} is up to date", 100)
            return found
        files = apt.download(packages, self._progress)
        with self._draft(description.name) as draft:
            apt.unpack(files, draft / "root", self._progress)
            source = f"Debian {apt.suite}: " + ", ".join(_versions(packages, description.debian.packages))
            return self._from_root(description, draft / "root", source, names)

    def _packages(self, description: Description) -> tuple[Apt, list[Package]]:
        """Packages of the first release that can be had."""
        reasons = []
        for suite in description.debian.suites:
            folder = self.folder / f"apt/{description.debian.architecture}-{suite}"
            try:
                apt = Apt(description.debian, suite, folder, self._path)
                return apt, apt.packages(self._progress)
            except SetupError as error:
                reasons.append(str(error))
                self._progress(str(error), 0)
        raise SetupError(f"{'; '.join(reasons)}. {NO_PACKAGES}")

    def _from_root(self, description: Description, root: Path, source: str, names: str) -> Image:
        self._progress("packing", 0)
        with self._draft(description.name) as draft:
            image = draft / "image"
            image.mkdir()
            facts = pack.pack(root, description, image)
            files = {name: _facts(image / name) for name in FILES}
            manifest = {"arch": description.name, "source": source, "files": files, **facts}
            (image / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            return self._install(description, image, f"{description.name}-{inputs(description)}-{names}")

    def _install(self, description: Description, image: Path, name: str) -> Image:
        """Put a finished image in its place, and remove the ones before it."""
        place, pointer = self.folder / name, self.folder / f"{description.name}.json"
        shutil.rmtree(place, ignore_errors=True)
        image.rename(place)
        draft = pointer.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"inputs": inputs(description), "image": name}) + "\n", encoding="utf-8")
        draft.replace(pointer)
        for other in self.folder.glob(f"{description.name}-*"):
            if other.name != name:
                shutil.rmtree(other, ignore_errors=True)
        self._progress(f"{place} is complete", 100)
        return load(place, description)

    @contextlib.contextmanager
    def _draft(self, arch: str) -> Iterator[Path]:
        """A folder for half-made things."""
        with _named_errors(self.folder):
            folder = tempfile.mkdtemp(prefix=f"draft-{arch}-", dir=self.folder)
            try:
                yield Path(folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _lock(self, arch: str) -> Iterator[None]:
        """One build of an architecture at a time. Who has the lock removes the drafts of builds that were killed."""
        with _named_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / f"{arch}.lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._progress(f"waiting for another build in {self.folder}", 0)
                fcntl.flock(lock, fcntl.LOCK_EX)
            for draft in self.folder.glob(f"draft-{arch}-*"):
                shutil.rmtree(draft, ignore_errors=True)
            yield


@contextlib.contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "A cache takes 1 GB; XDG_CACHE_HOME=<directory> puts it elsewhere"
        raise SetupError(f"{error.filename or folder}: {error.strerror}. {hint}.") from None


def _facts(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _versions(packages: Sequence[Package], wanted: Sequence[str]) -> list[str]:
    return [f"{p.name} {p.version}" for p in packages if p.name in wanted]
