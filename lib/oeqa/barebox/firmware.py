# SPDX-License-Identifier: MIT
"""The firmware under test: its files, what it was built from, and what it can do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import machine as machines
from .errors import SetupError, UsageError
from .machine import Machine

FORMAT = 1
ELF_MACHINES = {0xB7: "aarch64", 0xF3: "riscv64", 0x3E: "x86_64"}
PE_MACHINES = {0xAA64: "aarch64", 0x5064: "riscv64", 0x8664: "x86_64"}
COMMON = 4096
"""So many bytes from the middle of an image on are in all images of one build."""
NAMES = {"barebox": b"barebox", "u-boot": b"U-Boot"}


@dataclass(frozen=True)
class Firmware:
    """A bootloader's image and what belongs to it; what is not known is None or empty.

    ``elf`` is the bootloader with its symbols, ``pbl`` the same of what unpacks it (barebox' pre-bootloader).
    ``version`` is what the banner has to print, ``build`` what follows it there.
    ``options`` are the lines of the Kconfig fragments that the build merged; None where nobody can tell.
    ``patches`` are those of the layer that are in the image; None where nobody can tell.
    """

    bootloader: str
    image: Path
    elf: Path | None = None
    config: Path | None = None
    bios: Path | None = None
    version: str = ""
    build: str = ""
    commit: str = ""
    recipe: str = ""
    patches: tuple[str, ...] | None = None
    pbl: Path | None = None
    options: tuple[str, ...] | None = None

    def symbols(self) -> frozenset[str] | None:
        """The Kconfig symbols, without CONFIG_, that are set; None where the configuration is not at hand."""
        if self.config is None:
            return None
        text = self.config.read_text(encoding="utf-8", errors="replace")
        return frozenset(re.findall(r"(?m)^CONFIG_(\w+)=[^n]", text))


def architecture(image: Path) -> str | None:
    """The architecture that an image's header names, as uname -m prints it; None where it has no header.

    Headers: Linux' arm64 and riscv Image, PE/COFF, ELF.

    :raises UsageError: the image cannot be read or is empty
    """
    try:
        with image.open("rb") as stream:
            head = stream.read(4096)
    except OSError as error:
        raise UsageError(f"{image}: {error.strerror}; a bootloader's image is expected") from None
    if not head:
        raise UsageError(f"{image}: the file is empty; a bootloader's image is expected")
    if head[:4] == b"\x7fELF":
        return ELF_MACHINES.get(int.from_bytes(head[18:20], "little"), "another ELF machine")
    if head[0x38:0x3C] == b"ARMd":
        return "aarch64"
    if head[0x30:0x35] == b"RISCV":
        return "riscv64"
    pe = int.from_bytes(head[0x3C:0x40], "little")
    if head[:2] == b"MZ" and head[pe : pe + 4] == b"PE\0\0":
        return PE_MACHINES.get(int.from_bytes(head[pe + 4 : pe + 6], "little"), "another PE machine")
    return None


def check(machine: Machine, bootloader: str, image: Path) -> None:
    """Refuse an image that the machine cannot start.

    :raises UsageError: missing, empty, of another architecture, or no such bootloader
    """
    found = architecture(image)
    if found == machine.arch:
        return
    if found is not None:
        raise UsageError(f"{image}: an image for {found}; {machine.name} needs {machine.arch}")
    if machine.bootloader(bootloader).load == "kernel":
        raise UsageError(
            f"{image}: neither a Linux image, nor PE, nor ELF; {machine.name} starts such a {bootloader} image"
        )
    if NAMES[bootloader] not in image.read_bytes():
        raise UsageError(f"{image}: no {bootloader} image, its name does not occur in it")


def check_flash(machine: Machine, bootloader: str, image: Path) -> None:
    """Refuse a second image for the machine's flash that is of another build: what is started from there would not be
    what was named. Images of one build differ in their first part and have what comes behind it in common.

    :raises UsageError: it is of another build
    """
    flash = machine.bootloader(bootloader).flash
    names = {part.image for part in flash.parts if part.image} if flash else set()
    for path in filter(Path.is_file, map(image.with_name, sorted(names - {image.name}))):
        content = image.read_bytes()
        middle = content[len(content) // 2 :][:COMMON]
        if middle not in path.read_bytes():
            raise UsageError(
                f"{path}: of another build than {image.name}, and cases with a flash start from it. "
                "Build all images anew, or take it away, and those cases are skipped: make"
            )


def installed(machine: Machine, bootloader: str) -> Path:
    """The distribution's image of a bootloader for the machine.

    :raises SetupError: none is installed
    """
    description = machine.bootloader(bootloader)
    return _first(description.installed, f"{bootloader} for {machine.name}", description.package)


def find(
    machine: Machine,
    bootloader: str,
    image: Path,
    elf: Path | None = None,
    config: Path | None = None,
    bios: Path | None = None,
) -> Firmware:
    """The firmware in ``image``, with ELF and configuration from beside it or from its build tree.

    :raises UsageError: a file is missing or cannot be what it is said to be
    :raises SetupError: a firmware that has to run below is not installed
    """
    check(machine, bootloader, image)
    check_flash(machine, bootloader, image)
    for path in (elf, config, bios):
        if path is not None and not path.is_file():
            raise UsageError(f"{path}: no such file")
    elf = elf or _beside(image, ["barebox", f"barebox-{machine.name}.elf"] if bootloader == "barebox" else ["u-boot"])
    config = config or _beside(image, [".config", f"{bootloader}-{machine.name}.config"])
    below = machine.bootloader(bootloader).bios
    if below is not None and bios is None:
        bios = _first(below.installed, below.name, below.package)
    version, build = banner(elf, bootloader) if elf else ("", "")
    stage = image.stem.removeprefix("barebox-").replace("-", "_")
    pbl = _beside(image, [f"start_{stage}.pbl", f"{bootloader}-{machine.name}.pbl.elf"])
    return Firmware(bootloader, image.absolute(), elf, config, bios, version, build, pbl=pbl)


def load_description(path: Path) -> tuple[Machine, Firmware]:
    """Machine and firmware from the file that the build deployed beside the image.

    :raises UsageError: the file is missing or malformed, or names files that are not there
    """
    try:
        data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}. Build the bootloader again: bitbake -C deploy barebox") from None
    if data.get("format") != FORMAT:
        raise UsageError(
            f"{path}: format {data.get('format')!r}, {FORMAT} is expected. Build again: bitbake -C deploy barebox"
        )
    machine = machines.from_dict(data["machine"], f"{path}: machine")
    files = {key: _file(path, data.get(key)) for key in ("image", "elf", "config", "bios", "pbl")}
    image = files["image"]
    if image is None:
        raise UsageError(f"{path}: image: a file name is expected")
    check(machine, data["bootloader"], image)
    below = machine.bootloader(data["bootloader"]).bios
    if below is not None and files["bios"] is None:
        files["bios"] = _first(below.installed, below.name, below.package)
    version, build = banner(files["elf"], data["bootloader"]) if files["elf"] else ("", "")
    firmware = Firmware(
        bootloader=data["bootloader"],
        image=image,
        elf=files["elf"],
        config=files["config"],
        bios=files["bios"],
        version=data["version"] or version,
        build=build,
        commit=data.get("commit", ""),
        recipe=data.get("recipe", ""),
        patches=tuple(data["patches"]),
        pbl=files["pbl"],
        options=None if data.get("options") is None else tuple(data["options"]),
    )
    return machine, firmware


def banner(elf: Path, bootloader: str) -> tuple[str, str]:
    """Version and build as they stand in the image's own text; empty where they do not."""
    pattern = rb"\0?barebox ([0-9]\S+) (#[^\0\n]+)" if bootloader == "barebox" else rb"U-Boot ([0-9]\S+) \(([^)\0]+)\)"
    match = re.search(pattern, elf.read_bytes())
    return (match.group(1).decode(), match.group(2).decode()) if match else ("", "")


def _file(description: Path, name: str | None) -> Path | None:
    if not name:
        return None
    path = description.parent / name
    if not path.is_file():
        raise UsageError(f"{description}: {path} is not there. Build again: bitbake -C deploy barebox")
    return path


def _beside(image: Path, names: list[str]) -> Path | None:
    folders = [image.parent, image.parent.parent] if image.parent.name == "images" else [image.parent]
    return next((f / n for f in folders for n in names if (f / n).is_file() and f / n != image), None)


def _first(paths: tuple[str, ...], what: str, package: str) -> Path:
    for path in map(Path, paths):
        if path.is_file():
            return path
    where = ", ".join(paths) or "nowhere"
    raise SetupError(f"{what} is not installed (looked at {where}); its package on Debian: {package}")
