# SPDX-License-Identifier: MIT
"""quickstart: from a clone of the layer to a table of verdicts."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from oeqa.barebox import accelerator, firmware, qemu, results
from oeqa.barebox.errors import BareboxError, GuestError, SetupError, UsageError
from oeqa.barebox.machine import Machine
from oeqa.barebox.target import Target

from . import LAYER, builduser, host, packages, sources, summary, table
from .bitbake import BitBake, stamp
from .workspace import Workspace

NAME = "quickstart"
HELP = (
    "check this host, build barebox for the machines by BitBake, test it, show a table; exit status 1 where one failed"
)
EXAMPLES = """\
  barebox-virt quickstart --install-deps              everything, on a fresh machine
  barebox-virt quickstart --machine qemuarm64-barebox one machine; repeatable
  barebox-virt quickstart --source barebox=~/barebox --source bitbake=~/bitbake \\
                          --source openembedded-core=~/openembedded-core
  barebox-virt quickstart --bootloader u-boot         no build: the distribution's U-Boot"""
AUTO = "auto"
QUICK = ("barebox_boot", "barebox_shell", "barebox_devices", "barebox_virtio", "barebox_virtqueues", "barebox_reset")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``quickstart``."""
    add = parser.add_argument
    add("--machine", action="append", default=[], metavar="NAME", help="only this machine; repeatable (default: all)")
    where = "folder for layers, build, downloads and results (default: ~/barebox-virt)"
    add("--workspace", type=Path, metavar="DIR", help=where)
    source = f"a local clone in place of an address; NAME is one of {', '.join(sources.NAMES)}; repeatable"
    add("--source", action="append", default=[], metavar="NAME=PATH", help=source)
    add("--downloads", type=Path, metavar="DIR", help="a DL_DIR (default: in the workspace)")
    which = "what to test; auto: barebox where its sources can be reached, else the distribution's U-Boot"
    add("--bootloader", choices=(AUTO, "barebox", "u-boot"), default=AUTO, help=which)
    names = ", ".join(accelerator.REQUESTS)
    add("--accel", choices=accelerator.REQUESTS, default="auto", help=f"{names} (default: auto)")
    add("--all-cases", action="store_true", help="every fast case, minutes a machine (default: a minute's choice)")
    add("--build-user", metavar="USER", help="started as root: the ordinary user to build as (default: one is made)")


def _machines(names: Sequence[str]) -> list[Machine]:
    known = host.known_machines(LAYER)
    for name in names:
        if name not in known:
            raise UsageError(f"unknown machine {name!r}; known: {', '.join(sorted(known))}")
    return [known[name] for name in dict.fromkeys(names or known)]


def _again(arguments: argparse.Namespace) -> list[str]:
    """This very command line, with paths that hold in any folder, without what root has done already."""
    command = [NAME, "--bootloader", arguments.bootloader, "--accel", arguments.accel]
    command += ["--all-cases"] if arguments.all_cases else []
    for name in arguments.machine:
        command += ["--machine", name]
    for text in arguments.source:
        name, _, path = text.partition("=")
        command += ["--source", f"{name}={Path(path).expanduser().absolute()}"]
    for option in ("workspace", "downloads"):
        if path := getattr(arguments, option):
            command += [f"--{option}", str(path.expanduser().absolute())]
    return command


def _install(bootloader: str) -> None:
    """What the job needs of the distribution, and BitBake's locale."""
    sets = ["test"] if bootloader == "u-boot" else ["test", "images", "build", "bitbake"]
    packages.provide(packages.wanted(sets), True)
    if bootloader != "u-boot" and host.locale().state == host.MISSING:
        packages.make_locale(host.locale_command())


def _refuse_gaps(found: Sequence[host.Finding], title: str) -> None:
    """Show what was found, and stop where something is missing.

    :raises SetupError: something is
    """
    table.show(title, ("state", "what", "found"), [(f.state, f.topic, f.detail) for f in found])
    gaps = [f for f in found if f.state == host.MISSING]
    if gaps:
        remedies = "\n".join(dict.fromkeys(f"  {f.remedy}" for f in gaps if f.remedy))
        names = ", ".join(f.topic for f in gaps)
        raise SetupError(f"this host lacks: {names}. Run:\n{remedies}\nor repeat the command with --install-deps")


def _unreachable(reach: Sequence[sources.Reach]) -> str:
    """What cannot be had, with each address that was tried; empty where all can."""
    lines = [f"  {r.name}: {r.address}: {r.reason}" for r in reach if r.reason]
    if not lines:
        return ""
    options = (
        "  --source NAME=PATH for a local clone, --downloads DIR for a folder with the tarball, HTTPS_PROXY=ADDRESS"
    )
    return "\n".join(["These sources cannot be reached:", *lines, "What helps:", options])


def _decide(arguments: argparse.Namespace, workspace: Workspace, local: Mapping[str, Path]) -> str:
    """The bootloader to test.

    :raises SetupError: it has to be barebox, and its sources cannot be reached
    """
    if arguments.bootloader == "u-boot":
        return "u-boot"
    trouble = _unreachable(sources.reach(local, workspace.layers(local), workspace.downloads))
    if not trouble:
        return "barebox"
    if arguments.bootloader == "barebox":
        raise SetupError(trouble)
    print(f"{trouble}\nSo the same job is done with the distribution's U-Boot, which needs no source.\n", flush=True)
    return "u-boot"


def _with_bitbake(
    machines: Sequence[Machine], arguments: argparse.Namespace, workspace: Workspace, local: Mapping[str, Path]
) -> list[summary.Run]:
    """Build and test barebox for each machine."""
    _refuse_gaps([*map(host.qemu_of, machines), *host.build(machines, workspace.path)], "This host")
    workspace.provide_tarball(local)
    setup = workspace.provide_setup(local)
    name = stamp()
    folder = workspace.results / name
    folder.mkdir()
    log = workspace.logs / f"bitbake-{name}.log"
    suites = () if arguments.all_cases else QUICK
    build = BitBake(setup, log, folder, arguments.accel, sources.has_tarball(workspace.downloads), suites)
    print(f"BitBake's log: {build.log}", flush=True)
    return [_built(build, m) for m in machines]


def _built(build: BitBake, m: Machine) -> summary.Run:
    started = time.monotonic()
    status = build.test(m.name)
    seconds = time.monotonic() - started
    try:
        return summary.newest(build.results / results.FILE, m.name, seconds)
    except SetupError as error:
        return summary.Run(m.name, {}, {}, seconds, build.trouble() if status else str(error))


def _with_u_boot(machines: Sequence[Machine], accel: str, workspace: Workspace) -> list[summary.Run]:
    """Test the distribution's U-Boot on each machine."""
    _refuse_gaps([*map(host.qemu_of, machines)], "This host")
    with results.Folder(workspace.results / stamp()) as folder:
        return [_installed(m, accel, folder) for m in machines]


def _installed(m: Machine, accel: str, folder: results.Folder) -> summary.Run:
    started = time.time()
    try:
        loaded = firmware.find(m, "u-boot", firmware.installed(m, "u-boot"))
        cases = results.load([LAYER / "lib/oeqa/runtime/cases"], "u-boot")
        print(f"{m.name}: {len(cases)} cases on {loaded.image}", flush=True)
        with Target(m, loaded, qemu.find(m), folder.path / "logs", accel) as target:
            verdicts = results.run(cases, target, lambda _: None)
            path = folder.add(*results.configuration(target, started), verdicts)
        return summary.newest(path, m.name, time.time() - started)
    except (BareboxError, GuestError) as error:
        return summary.Run(m.name, {}, {}, time.time() - started, str(error))


def _show(bootloader: str, runs: Sequence[summary.Run], folder: Path, every: bool) -> None:
    words = {
        "barebox": f"barebox {sources.release().version}, built from source",
        "u-boot": "U-Boot of the distribution, NOT barebox",
    }
    print()
    table.show(f"Tested: {words[bootloader]}", summary.COLUMNS, [summary.row(run) for run in runs])
    for line in [*summary.footnotes(runs), *summary.skipped(runs)]:
        print(line)
    print(f"\nResults: {folder}\nRead them: resulttool report {folder}")
    if bootloader == "barebox" and not every:
        print("These were the quick cases. All of them: barebox-virt quickstart --all-cases")


def run(arguments: argparse.Namespace) -> int:
    """Do the whole job."""
    machines = _machines(arguments.machine)
    local = sources.parse(arguments.source)
    if arguments.install_deps:
        _install(arguments.bootloader)
    if os.geteuid() == 0 and arguments.bootloader != "u-boot":
        folders = [p.expanduser().absolute() for p in (arguments.workspace, arguments.downloads) if p]
        builduser.become(arguments.build_user, _again(arguments), folders, arguments.install_deps)
    path = (arguments.workspace or Path("~/barebox-virt")).expanduser().absolute()
    downloads = arguments.downloads.expanduser().absolute() if arguments.downloads else None
    with Workspace(path, downloads) as workspace:
        bootloader = _decide(arguments, workspace, local)
        if bootloader == "barebox":
            runs = _with_bitbake(machines, arguments, workspace, local)
        else:
            runs = _with_u_boot(machines, arguments.accel, workspace)
        newest = max(workspace.results.iterdir())
    _show(bootloader, runs, newest, arguments.all_cases)
    return 0 if all(run.good for run in runs) else 1
