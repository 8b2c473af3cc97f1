# SPDX-License-Identifier: MIT
"""What run and test share: machines, firmware and cases from the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from oeqa.barebox import accelerator, dialect, firmware, known_issues, machine
from oeqa.barebox.errors import UsageError
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.machine import Machine

from . import LAYER

NO_IMAGE = "name an image: --firmware FILE, or take --bootloader u-boot"


def add_firmware_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what names a machine and a firmware."""
    parser.add_argument("machine", metavar="MACHINE", help="a machine's name; machines --list shows them")
    parser.add_argument("--bootloader", choices=sorted(dialect.DIALECTS), default="barebox", help="default: barebox")
    default = "default: the distribution's, where it has one"
    parser.add_argument("--firmware", type=Path, metavar="FILE", help=f"the bootloader's image ({default})")
    beside = "default: beside the image or in its build tree"
    parser.add_argument("--elf", type=Path, metavar="FILE", help=f"the image as ELF with symbols ({beside})")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"the image's .config ({beside})")
    parser.add_argument("--bios", type=Path, metavar="FILE", help=f"firmware that runs below, such as OVMF ({default})")
    parser.add_argument(
        "--accel", default="auto", metavar="NAME", help=f"{', '.join(accelerator.REQUESTS)} (default: auto)"
    )
    parser.add_argument(
        "--layer",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a layer with machines or cases of its own",
    )


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
    known = {p.stem: p for layer in reversed(layers(arguments)) for p in (layer / "conf/machines").glob("*.json")}
    known.pop("schema", None)
    if arguments.machine not in known:
        raise UsageError(f"unknown machine {arguments.machine!r}; known: {', '.join(sorted(known))}")
    return machine.load(known[arguments.machine])


def find_firmware(arguments: argparse.Namespace, m: Machine) -> Firmware:
    """The firmware that was named, or the distribution's.

    :raises UsageError: it is missing or cannot be one
    """
    name = arguments.bootloader
    image = arguments.firmware
    if image is None:
        if not m.bootloader(name).installed:
            raise UsageError(f"no distribution has {name} for {m.name}; {NO_IMAGE}")
        image = firmware.installed(m, name)
    return firmware.find(m, name, image, arguments.elf, arguments.config, arguments.bios)


def find_known_issues(arguments: argparse.Namespace) -> tuple[known_issues.KnownIssue, ...]:
    """The known issues of all layers."""
    paths = [layer / "conf/known-issues.json" for layer in layers(arguments)]
    return known_issues.load(path for path in paths if path.exists())
