# SPDX-License-Identifier: MIT
"""A root file system in, the little that a KVM host needs out: kernel, and QEMU, busybox and modules as an initramfs.

The initramfs is not compressed: the host is emulated, and unpacking would cost it more than copying costs QEMU.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from .. import firmware
from ..errors import SetupError
from . import elf
from .description import Description

FORMAT = 1
INIT = Path(__file__).with_name("init.sh")
FOLDERS = ("dev", "proc", "sys", "tmp", "run", "modules", "usr/bin", "usr/lib")
# A root file system without a merged /usr is merged here.
LINKS = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}
BUSYBOX = ("usr/bin/busybox", "bin/busybox")


def pack(root: Path, description: Description, target: Path) -> dict[str, str]:
    """Write ``kernel`` and ``initrd`` to ``target``, and tell what is in them.

    :raises SetupError: ``root`` lacks something, or is for another architecture
    """
    kernel = _first(root, description.content.kernel, "kernel")
    release = _release(root, kernel)
    programs = [_first(root, [description.program.lstrip("/")], "QEMU"), _first(root, BUSYBOX, "busybox-static")]
    for program in programs:
        if (found := firmware.architecture(program)) != description.name:
            raise SetupError(f"{program}: a program for {found}; a KVM host for {description.name} is wanted")
    modules = _modules(root, release, description.content.modules)
    files = {**_with_libraries(root, programs), **_further(root, description.content.files)}
    content = {name: path.read_bytes() for name, path in files.items()}
    content |= {f"modules/{name}": data for name, data in modules.items()}
    content["modules/order"] = "".join(f"{name}\n" for name in modules).encode()
    content["init"] = INIT.read_bytes()
    content["usr/bin/busybox"] = programs[1].read_bytes()
    (target / "initrd").write_bytes(cpio(content, LINKS, FOLDERS))
    shutil.copyfile(kernel, target / "kernel")
    return {"kernel_release": release}


def _first(root: Path, patterns: Iterable[str], what: str) -> Path:
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            return path
    raise SetupError(f"{root} has no {what}: nothing is called {' or '.join(patterns)}")


def _release(root: Path, kernel: Path) -> str:
    """The kernel's release, by the folder of its modules."""
    names = sorted({p.name for p in [*root.glob("lib/modules/*"), *root.glob("usr/lib/modules/*")]})
    for name in names:
        if name in str(kernel):
            return name
    raise SetupError(f"{root} has no modules for {kernel.name}; folders of modules: {', '.join(names) or 'none'}")


def _further(root: Path, patterns: Iterable[str]) -> dict[str, Path]:
    found = {}
    for pattern in patterns:
        paths = sorted(root.glob(pattern))
        if not paths:
            raise SetupError(f"{root} has no {pattern}, which the host's description asks for")
        found.update({_merged(path.relative_to(root)): path for path in paths})
    return found


def _merged(path: Path) -> str:
    return str(path) if path.parts[0] not in LINKS else f"usr/{path}"


# Libraries


def _with_libraries(root: Path, programs: Iterable[Path]) -> dict[str, Path]:
    """The programs and every library that they need, directly or not, by their places in the image."""
    libraries = _libraries(root)
    found: dict[str, Path] = {}
    waiting = [(_merged(p.relative_to(root)), p) for p in programs]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name] = path
        for need in elf.needed(path):
            library = libraries.get(Path(need).name)
            if library is None:
                raise SetupError(f"{root} has no {need}, which {path.name} needs")
            place = Path(need.lstrip("/")) if need.startswith("/") else library.relative_to(root)
            waiting.append((_merged(place), library))
    return found


def _libraries(root: Path) -> dict[str, Path]:
    """Every library in the file system by name."""
    found: dict[str, Path] = {}
    for top in ("lib", "lib64", "usr/lib", "usr/lib64"):
        for folder, _, names in os.walk(root / top):
            for name in names:
                path = Path(folder) / name
                if ".so" in name and path.exists():
                    found.setdefault(name, path)
    return found


# Modules


def _modules(root: Path, release: str, wanted: Iterable[str]) -> dict[str, bytes]:
    """The modules and what they depend on, in the order to load them."""
    paths = {}
    for top in ("lib", "usr/lib"):
        for path in (root / top / "modules" / release).rglob("*.ko*"):
            paths[_module(path.name.partition(".")[0])] = path
    order: dict[str, bytes] = {}

    def add(name: str) -> None:
        path = paths.get(name)
        if path is None or f"{name}.ko" in order:
            return  # built into the kernel, or absent: what fails by it says so
        data = _decompressed(path)
        depends = re.search(rb"(?:^|\0)depends=([^\0]*)\0", data)
        for other in (depends.group(1).decode() if depends else "").split(","):
            add(_module(other))
        order[f"{name}.ko"] = data

    for name in wanted:
        add(_module(name))
    return order


def _module(name: str) -> str:
    return name.replace("-", "_")


def _decompressed(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix != ".ko":
        raise SetupError(f"{path}: modules have to be plain or compressed by xz")
    return data


# cpio, format "newc": Documentation/driver-api/early-userspace/buffer-format.rst of Linux


def cpio(content: Mapping[str, bytes], links: Mapping[str, str], folders: Iterable[str]) -> bytes:
    """An archive of programs, symbolic links and folders, for Linux as an initramfs."""
    parents = {str(p) for name in content for p in Path(name).parents if str(p) != "."}
    entries = [_entry(name, 0o040755, b"") for name in sorted({*folders, *parents})]
    entries += [_entry(name, 0o120777, place.encode()) for name, place in links.items()]
    entries += [_entry(name, 0o100755, data) for name, data in sorted(content.items())]
    return b"".join([*entries, _entry("TRAILER!!!", 0, b"")])


def _entry(name: str, mode: int, data: bytes) -> bytes:
    # Inode 0 for all: with one link each, nobody looks at it.
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name.encode()) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
