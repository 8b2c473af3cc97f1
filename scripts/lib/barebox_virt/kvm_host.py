# SPDX-License-Identifier: MIT
"""kvm-host: the emulated hosts in which the accelerator nested runs KVM."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from oeqa.barebox import qemu
from oeqa.barebox.errors import UsageError
from oeqa.barebox.nested import command, description, image
from oeqa.barebox.nested.description import Description
from oeqa.barebox.nested.host import Host
from oeqa.barebox.nested.image import Image
from oeqa.barebox.process import RunFolder
from oeqa.barebox.target import DISK_SIZE

from . import common, packages, progress, table

NAME = "kvm-host"
HELP = "build, list and look into the emulated hosts in which the accelerator nested runs KVM"
EXAMPLES = """\
  barebox-virt kvm-host list                       the hosts that are described, and their images
  barebox-virt kvm-host build aarch64              make the image anew where its packages changed
  barebox-virt kvm-host build aarch64 --from ROOT  from a root file system instead of packages
  barebox-virt kvm-host run aarch64                a shell in the host; Ctrl-A X ends it"""
GUEST_MEMORY = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``kvm-host``."""
    parser.add_argument("action", choices=("list", "build", "run"), help="what to do")
    parser.add_argument("arch", nargs="?", help="the architecture, as uname -m prints it")
    root = "build: a root file system with QEMU, busybox-static and a kernel"
    parser.add_argument("--from", dest="root", type=Path, metavar="DIR", help=root)
    parser.add_argument("--dry-run", action="store_true", help="run: print the command, start nothing")
    common.add_layer_argument(parser)
    common.add_kvm_host_argument(parser)


def _list(arguments: argparse.Namespace) -> int:
    rows = []
    for arch in description.names(common.layers(arguments)):
        host = description.find(arch, common.layers(arguments))
        folder = image.Cache(image.cache_folder(), progress.quiet).current_folder(host)
        rows.append((arch, f"{host.qemu.binary} {host.qemu.minimum}+", host.title, str(folder or "not built yet")))
    table.show("KVM hosts", ("arch", "QEMU", "host", "image"), rows)
    return 0


def _try(host: Description, made: Image, disks: int) -> None:
    """Start the host once: it proves itself, and leaves the saved state from which tests start it.

    :param disks: how many disks it gets; a state fits one number of them
    """
    folder = RunFolder()
    running = Host(host, made, qemu.find_for(host.qemu, f"the KVM host {host.name}"))
    files = {f"disk{i}": folder.path / f"disk{i}.img" for i in range(disks)}
    try:
        for path in files.values():
            path.touch()
            os.truncate(path, DISK_SIZE)
        running.start(folder, GUEST_MEMORY, files, image.cache_folder() / f"{host.name}.host.log")
        how = "warm" if running.warm else "cold"
        print(f"{running}: {how} start in {running.start_seconds:.1f} s, QEMU {running.guest_program().version} in it")
    finally:
        running.stop()
        folder.close()


def _build(arguments: argparse.Namespace, host: Description) -> int:
    if arguments.root is not None and not arguments.root.is_dir():
        raise UsageError(f"{arguments.root}: no such folder; --from takes a root file system")
    with progress.Lines() as shown:
        made = image.Cache(image.cache_folder(), shown).build(host, arguments.root)
    guests = [m for m in common.known_machines(arguments) if m.arch == host.name]
    for disks in sorted({sum(d.kind == "block" for d in m.devices) for m in guests}) or [0]:
        _try(host, made, disks)
    return 0


def _run(arguments: argparse.Namespace, host: Description) -> int:  # noqa: RET503 - execv does not return
    made = common.find_image(arguments, host)
    program = qemu.find_for(host.qemu, f"the KVM host {host.name}")
    options = [*command.kernel_args(host, "quiet host_shell=1"), "-serial", "mon:stdio"]
    line = command.command(host, made, program, GUEST_MEMORY, options)
    if arguments.dry_run:
        print(shlex.join(line))
        return 0
    sys.stdout.flush()
    os.execv(line[0], line)


def run(arguments: argparse.Namespace) -> int:
    """List, build or run."""
    if arguments.install_deps:
        packages.provide(packages.wanted(["nested"]), True)
    if arguments.action == "list":
        return _list(arguments)
    if arguments.arch is None:
        known = ", ".join(description.names(common.layers(arguments)))
        raise UsageError(f"kvm-host {arguments.action} needs an architecture; described: {known}")
    host = description.find(arguments.arch, common.layers(arguments))
    return _build(arguments, host) if arguments.action == "build" else _run(arguments, host)
