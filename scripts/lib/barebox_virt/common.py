# SPDX-License-Identifier: MIT
"""What run and test share: machines, firmware and cases from the command line."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from typing import Callable

from oeqa.barebox import accelerator, dialect, firmware, known_issues, linux, machine, qemu
from oeqa.barebox.errors import UsageError
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.hold import Held
from oeqa.barebox.linux import Linux
from oeqa.barebox.machine import Machine
from oeqa.barebox.nested import description, image
from oeqa.barebox.nested.description import Description
from oeqa.barebox.nested.host import Host
from oeqa.barebox.nested.image import Image

from . import LAYER, progress

KVM_HOST = "BAREBOX_KVM_HOST"
NO_IMAGE = "name an image: --firmware FILE, or take --bootloader u-boot"


def add_firmware_arguments(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Declare what names a machine and a firmware, or ``several`` firmwares and accelerators."""
    parser.add_argument("machine", metavar="MACHINE", help="a machine's name; machines --list shows them")
    parser.add_argument("--bootloader", choices=sorted(dialect.DIALECTS), default="barebox", help="default: barebox")
    default = "default: the distribution's, where it has one"
    action, also = ("append", "; repeatable") if several else ("store", "")
    image = f"the bootloader's image ({default}){also}"
    parser.add_argument("--firmware", type=Path, action=action, metavar="FILE", help=image)
    beside = "default: beside the image or in its build tree"
    parser.add_argument("--elf", type=Path, metavar="FILE", help=f"the image as ELF with symbols ({beside})")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"the image's .config ({beside})")
    parser.add_argument("--bios", type=Path, metavar="FILE", help=f"firmware that runs below, such as OVMF ({default})")
    accel, name = ("tcg,kvm,nested", "NAME,...") if several else ("auto", "NAME")
    choices = f"{', '.join(accelerator.REQUESTS)} (default: {accel})"
    parser.add_argument("--accel", default=accel, metavar=name, help=choices)
    add_layer_argument(parser)
    add_kvm_host_argument(parser)


def add_patches_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --patches."""
    what = (
        "the layer's patches that the firmware has, by number or file name: known issues that they mend count no more "
        "(default: nobody knows, and such an issue may be there or not)"
    )
    parser.add_argument("--patches", metavar="all|none|NAME,...", help=what)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what names the cases of a run of barebox-virt test, and how many machines it has at once."""
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="only these cases; repeatable")
    parser.add_argument("--slow", action="store_true", help="the whole suite, with the slow cases")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="machines at once in a run (default: 1)")


def test_command(arguments: argparse.Namespace, accelerator: str, results: Path) -> list[str]:
    """barebox-virt test with the firmware, patches and run that were declared, and its results in a folder."""
    a = arguments
    files = {"--firmware": a.firmware, "--elf": a.elf, "--config": a.config, "--bios": a.bios, "--results": results}
    command = [str(LAYER / "scripts/barebox-virt"), "test", a.machine]
    command += [word for name, value in files.items() if value for word in (name, str(value))]
    command += ["--accel", accelerator, "--bootloader", a.bootloader, *["--slow"] * a.slow, "--jobs", str(a.jobs)]
    command += ["--patches", a.patches] if a.patches else []
    command += [word for case in a.case for word in ("--case", case)]
    return command + [word for layer in a.layer for word in ("--layer", str(layer))]


def add_layer_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --layer."""
    what = "a layer with machines or cases of its own"
    parser.add_argument("--layer", type=Path, action="append", default=[], metavar="DIR", help=what)


def add_kvm_host_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --kvm-host."""
    default = os.environ.get(KVM_HOST)
    what = (
        f"the KVM host's image for the accelerator nested (default: {KVM_HOST}, or the one that kvm-host build makes)"
    )
    parser.add_argument("--kvm-host", type=Path, metavar="DIR", default=Path(default) if default else None, help=what)


def layers(arguments: argparse.Namespace) -> list[Path]:
    """The layers that are searched, this one last.

    :raises UsageError: one is no folder
    """
    for path in arguments.layer:
        if not path.is_dir():
            raise UsageError(f"{path}: no such folder; --layer takes a layer's top folder")
    return [*arguments.layer, LAYER]


def find_machine(arguments: argparse.Namespace) -> Machine:
    """The machine that was named.

    :raises UsageError: no layer has it
    """
    known = _descriptions(arguments)
    if arguments.machine not in known:
        raise UsageError(f"unknown machine {arguments.machine!r}; known: {', '.join(sorted(known))}")
    return machine.load(known[arguments.machine])


def _descriptions(arguments: argparse.Namespace) -> dict[str, Path]:
    found = {p.stem: p for layer in reversed(layers(arguments)) for p in (layer / "conf/machines").glob("*.json")}
    found.pop("schema", None)
    return found


def known_machines(arguments: argparse.Namespace) -> list[Machine]:
    """The machines of all layers."""
    return [machine.load(path) for _, path in sorted(_descriptions(arguments).items())]


def find_firmware(arguments: argparse.Namespace, m: Machine) -> Firmware:
    """The firmware that was named, or the distribution's.

    :raises UsageError: it is missing or cannot be one
    """
    name = arguments.bootloader
    path = arguments.firmware
    if path is None:
        if not m.bootloader(name).installed:
            raise UsageError(f"no distribution has {name} for {m.name}; {NO_IMAGE}")
        path = firmware.installed(m, name)
    return firmware.find(m, name, path, arguments.elf, arguments.config, arguments.bios)


def find_known_issues(arguments: argparse.Namespace) -> tuple[known_issues.KnownIssue, ...]:
    """The known issues of all layers."""
    paths = [layer / "conf/known-issues.json" for layer in layers(arguments)]
    return known_issues.load(path for path in paths if path.exists())


def with_patches(arguments: argparse.Namespace, firmware: Firmware) -> Firmware:
    """The firmware with the patches that --patches says it has.

    :raises UsageError: there is no such patch
    """
    if arguments.patches is None:
        return firmware
    known = find_known_issues(arguments)
    return dataclasses.replace(firmware, patches=known_issues.patches(arguments.patches, known))


def refuse_hold(arguments: argparse.Namespace, wanted: bool, option: str) -> None:
    """Refuse to hold a machine where nobody could reach it.

    :raises UsageError: it runs in a KVM host
    """
    if wanted and arguments.accel == "nested":
        raise UsageError(f"{option} is not possible with --accel nested: QEMU runs in the KVM host")


def holder(tell: Callable[[str], None]) -> Callable[[Held], None]:
    """What holds a machine until Ctrl-C, and tells how to reach it."""

    def hold(held: Held) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            tell(f"\n{held}")
            sys.stdout.flush()
            held.serve()

    return hold


def find_image(arguments: argparse.Namespace, host: Description) -> Image:
    """The image of a KVM host: the one that was named, or ours, which is built where it is missing.

    :raises BareboxError: the named one is none, or ours cannot be built
    """
    if arguments.kvm_host is not None:
        return image.load(arguments.kvm_host, host)
    with progress.Lines() as shown:
        return image.Cache(image.cache_folder(), shown).get(host)


def find_kvm_host(arguments: argparse.Namespace, m: Machine) -> Host | None:
    """The KVM host for the machine, not started yet; None where the accelerator is not nested.

    :raises BareboxError: it cannot be had
    """
    if "nested" not in accelerator.plan(arguments.accel, m).tries:
        return None
    host = description.find(m.arch, layers(arguments))
    program = qemu.find_for(host.qemu, f"the KVM host {host.name}")
    return Host(host, find_image(arguments, host), program)


def find_linux(arguments: argparse.Namespace, m: Machine) -> Linux | None:
    """The Linux that cases boot, out of a KVM host's image for the machine's architecture; None where none was built.

    :raises UsageError: the image that was named is none
    """
    if m.arch not in description.names(layers(arguments)):
        return None
    return linux.find(m.arch, layers(arguments), arguments.kvm_host)
