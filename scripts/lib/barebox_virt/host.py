# SPDX-License-Identifier: MIT
"""What this host has and lacks, as findings: each names its state and the command that mends it."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oeqa.barebox import firmware, machine, qemu
from oeqa.barebox.errors import BareboxError, GuestError
from oeqa.barebox.machine import Machine
from oeqa.barebox.nested import description, image
from oeqa.barebox.target import Target

from . import LAYER, packages, progress, sources

OK, NOTE, MISSING = "ok", "note", "missing"
LOCALE = "en_US.UTF-8"
DISK_GB = 6
COMPILERS = {"aarch64": "aarch64-linux-gnu-gcc", "riscv64": "riscv64-linux-gnu-gcc", "x86_64": "x86_64-linux-gnu-gcc"}


@dataclass(frozen=True)
class Finding:
    """One line of doctor's; ``needed_for`` is test (a firmware in QEMU) or build (BitBake)."""

    topic: str
    state: str
    detail: str
    remedy: str = ""
    needed_for: str = "test"


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.partition("\n")[0].strip()


def qemu_of(m: Machine) -> Finding:
    """The machine's QEMU: there, and new enough."""
    topic = m.qemu.binary
    if not packages.is_here(m.qemu.binary):
        return Finding(topic, MISSING, f"not installed; {m.name} needs it", packages.remedy([m.qemu.binary]))
    try:
        return Finding(topic, OK, f"release {qemu.find(m).version}, {m.name} needs {m.qemu.minimum}")
    except BareboxError as error:
        return Finding(topic, MISSING, str(error), "install a newer QEMU, first in PATH")


def compiler_of(m: Machine) -> Finding:
    """The cross-compiler that builds the machine's firmware."""
    program = COMPILERS[m.arch]
    path = packages.find_program(program)
    if path is None:
        remedy = packages.remedy([program])
        return Finding(program, MISSING, f"not installed; building for {m.name} needs it", remedy, "build")
    return Finding(program, OK, _version(path), needed_for="build")


def tools() -> Finding:
    """Everything else that a build needs."""
    wanted = [item for item in packages.wanted(["build", "bitbake"]) if item not in COMPILERS.values()]
    lacking = [item for item in wanted if not packages.is_here(item)]
    if lacking:
        return Finding("build tools", MISSING, f"not here: {', '.join(lacking)}", packages.remedy(lacking), "build")
    return Finding("build tools", OK, f"all {len(wanted)} are here", needed_for="build")


def locale() -> Finding:
    """The locale that BitBake insists on."""
    known = ""
    if program := packages.find_program("locale"):
        known = subprocess.run([program, "-a"], capture_output=True, text=True, errors="replace", check=False).stdout
    if {"en_US.utf8", LOCALE} & set(known.split()):
        return Finding("locale", OK, LOCALE, needed_for="build")
    return Finding("locale", MISSING, f"no {LOCALE}, which BitBake needs", " ".join(locale_command()), "build")


def locale_command() -> list[str]:
    """What makes the locale."""
    return ([] if os.geteuid() == 0 else ["sudo"]) + ["localedef", "-i", "en_US", "-f", "UTF-8", LOCALE]


def disk(folder: Path) -> Finding:
    """Room for a build in ``folder``, or in what exists above it."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    detail = f"{free:.0f} GiB free in {folder}, a build takes {DISK_GB}"
    if free < DISK_GB:
        return Finding("disk", MISSING, detail, "take another disk: --workspace DIR", "build")
    return Finding("disk", OK, detail, needed_for="build")


def user() -> Finding:
    """BitBake refuses root."""
    name = pwd.getpwuid(os.geteuid()).pw_name if _has_name() else str(os.geteuid())
    if os.geteuid() == 0:
        return Finding("user", NOTE, "root; BitBake refuses root, quickstart builds as an ordinary user", "", "build")
    return Finding("user", OK, name, needed_for="build")


def _has_name() -> bool:
    return any(entry.pw_uid == os.geteuid() for entry in pwd.getpwall())


def trial(m: Machine) -> Finding:
    """Boot the distribution's U-Boot, by KVM where that may work; what really ran is the answer."""
    topic = f"accelerator for {m.name}"
    try:
        image = firmware.installed(m, "u-boot")
    except BareboxError as error:
        return Finding(topic, MISSING, str(error), packages.remedy([m.bootloader("u-boot").package]))
    try:
        with tempfile.TemporaryDirectory(prefix="barebox-virt-doctor-") as logs:
            loaded = firmware.find(m, "u-boot", image)
            with Target(m, loaded, qemu.find(m), Path(logs), boot_seconds=15) as target:
                seconds = target.start().seconds
                used = target.accelerator
    except (BareboxError, GuestError) as error:
        first = (str(error).splitlines() or ["no reason given"])[0]
        return Finding(
            topic, MISSING, f"U-Boot does not boot: {first}", f"barebox-virt run {m.name} --firmware {image}"
        )
    detail = f"{used.name}: U-Boot at its prompt in {seconds:.1f} s"
    if used.name == "tcg" and m.arch == platform.machine():
        return Finding(topic, NOTE, f"{detail} ({used.reason})", "nothing needs mending: TCG runs every test")
    return Finding(topic, OK, detail)


def nested(arch: str) -> Finding:
    """The accelerator nested: its image, or what one is made with. No host is started, which takes long."""
    topic = f"accelerator nested, {arch}"
    build = f"barebox-virt kvm-host build {arch}"
    described = description.find(arch, [LAYER])
    try:
        qemu.find_for(described.qemu, f"the KVM host {arch}")
        folder = image.Cache(image.cache_folder(), progress.quiet).current_folder(described)
    except BareboxError as error:
        return Finding(topic, NOTE, str(error), "nothing needs mending where nested is not wanted")
    if folder is not None:
        return Finding(topic, OK, f"image {folder.name}; {build} tries it")
    absent = [item for item in packages.wanted(["nested"]) if not packages.is_here(item)]
    if absent:
        return Finding(topic, NOTE, f"no image, and no {', '.join(absent)} to make one", packages.remedy(absent))
    return Finding(topic, NOTE, "no image yet; the first use makes one of Debian's packages", build)


def reachable(found: Iterable[sources.Reach]) -> list[Finding]:
    """One finding a source."""
    lines = []
    for reach in found:
        option = f"--source {reach.name}=<a clone>" + (" or --downloads <a DL_DIR>" if reach.name == "barebox" else "")
        remedy = f"HTTPS_PROXY=<address>, or quickstart {option}" if reach.reason else ""
        detail = f"{reach.address}: {reach.reason}" if reach.reason else reach.address
        lines.append(Finding(f"source {reach.name}", MISSING if reach.reason else OK, detail, remedy, "build"))
    return lines


def tests(machines: Sequence[Machine]) -> list[Finding]:
    """What booting a firmware in QEMU needs; the trials only where QEMU is there."""
    found = [qemu_of(m) for m in machines]
    ready = [m for m, finding in zip(machines, found) if finding.state == OK]
    return found + [trial(m) for m in ready]


def build(machines: Sequence[Machine], workspace: Path) -> list[Finding]:
    """What building by BitBake needs of the host."""
    return [*(compiler_of(m) for m in machines), tools(), locale(), disk(workspace), user()]


def known_machines(layer: Path) -> dict[str, Machine]:
    """The machines of a layer by name."""
    found = sorted((layer / "conf/machines").glob("*.yaml"))
    return {path.stem: machine.load(path.with_suffix(".json")) for path in found}
