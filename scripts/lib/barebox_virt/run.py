# SPDX-License-Identifier: MIT
"""run: a bootloader's interactive prompt in QEMU."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path

from oeqa.barebox import qemu
from oeqa.barebox.accelerator import plan
from oeqa.barebox.errors import GuestError, SetupError, UsageError
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.machine import Machine
from oeqa.barebox.process import RunFolder
from oeqa.barebox.starter import Nested
from oeqa.barebox.target import DISK_SIZE, Target
from oeqa.barebox.variant import Variant

from . import common, terminal

NAME = "run"
HELP = "start a bootloader and hand over its prompt; Ctrl-A X ends QEMU"
EXAMPLES = """\
  barebox-virt run qemuarm64-barebox --firmware images/barebox-dt-2nd.img
  barebox-virt run qemuriscv64-barebox --bootloader u-boot
  barebox-virt run qemux86-64-barebox --firmware barebox.efi --gdb    wait for gdb on localhost:1234
  barebox-virt run qemuarm64-barebox --firmware FILE --hold      stop at the prompt; console and gdb on sockets
  barebox-virt run qemuarm64-barebox --firmware FILE --accel nested   with KVM, in an emulated host
  barebox-virt run qemuarm64-barebox --firmware FILE --dry-run        print what would run, start nothing"""
GDB = ["-s", "-S"]
START_SECONDS = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``run``."""
    common.add_firmware_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the commands, runnable as printed; start nothing")
    parser.add_argument(
        "--gdb", action="store_true", help="stop before the first instruction; gdb may connect to port 1234"
    )
    hold = "pause at the prompt, or where it does not come, and print the console's and gdb's sockets; Ctrl-C ends it"
    parser.add_argument("--hold", action="store_true", help=hold)
    keep = "keep the disks and the folders for TFTP and 9p there (default: temporary)"
    parser.add_argument("--files", type=Path, metavar="DIR", help=keep)


def _accelerator(arguments: argparse.Namespace, m: Machine, firmware: Firmware, program: qemu.Program) -> str:
    """The accelerator to use; KVM under auto only after a guest ran with it."""
    tries = plan(arguments.accel, m).tries
    if len(tries) == 1:
        return tries[0]
    try:
        with tempfile.TemporaryDirectory() as logs, Target(m, firmware, program, Path(logs)) as target:
            target.start()
            print(f"{target.accelerator.name} {target.accelerator.reason}", file=sys.stderr)
            return target.accelerator.name
    except GuestError:
        return tries[-1]


def _prepare(m: Machine, files: qemu.Files) -> None:
    try:
        for folder in files.folders(m):
            folder.mkdir(parents=True, exist_ok=True)
        for disk in files.disks(m):
            with disk.open("ab") as stream:
                stream.truncate(max(DISK_SIZE, stream.tell()))
    except OSError as error:
        raise SetupError(
            f"{error.filename or files.folder}: {error.strerror}. Name another folder: --files DIR"
        ) from None


def _print(m: Machine, files: qemu.Files, command: list[str]) -> None:
    print(shlex.join(["mkdir", "-p", *map(str, files.folders(m))]))
    print(shlex.join(["truncate", "-s", f">{DISK_SIZE}", *map(str, files.disks(m))]))
    print(shlex.join(command))


def _in_host(arguments: argparse.Namespace, m: Machine, firmware: Firmware) -> int:
    """Run in a KVM host, with the console on this terminal."""
    for option, given in (("--files", arguments.files), ("--gdb", arguments.gdb)):
        if given:
            raise UsageError(f"{option} is not possible with --accel nested: QEMU runs in the KVM host")
    host = common.find_kvm_host(arguments, m)
    assert host is not None
    folder = RunFolder()
    files = qemu.Files(folder.path)
    starter = Nested(m, firmware, host)
    try:
        if arguments.dry_run:
            print("\n".join(shlex.join(line) for line in starter.commands(folder.path)))
            return 0
        _prepare(m, files)
        running = starter.start("nested", folder, folder.path / f"{m.name}.qemu.log", START_SECONDS, Variant())
        terminal.connect(running.console)
        running.kill()
        print(running.said(), file=sys.stderr)
    finally:
        starter.stop()
        folder.close()
    return 0


def _hold(arguments: argparse.Namespace, m: Machine, firmware: Firmware) -> int:
    """Hold the machine at its prompt, or where it failed to come to one; 1 where it failed."""
    for option, given in (("--files", arguments.files), ("--gdb", arguments.gdb), ("--dry-run", arguments.dry_run)):
        if given:
            raise UsageError(f"{option} is not possible with --hold")
    with (
        tempfile.TemporaryDirectory() as logs,
        Target(m, firmware, qemu.find(m), Path(logs), arguments.accel, holder=common.holder(print)) as target,
    ):
        try:
            target.start()
            status, what = 0, f"{firmware.image} at its prompt"
        except GuestError as error:
            print(error, file=sys.stderr)
            status, what = 1, str(error).partition("\n")[0]
        if trouble := target.hold(what):
            raise SetupError(trouble)
    return status


def run(arguments: argparse.Namespace) -> int:  # noqa: RET503 - execv does not return
    """Become QEMU, or print how."""
    m = common.find_machine(arguments)
    firmware = common.find_firmware(arguments, m)
    common.refuse_hold(arguments, arguments.hold, "--hold")
    if arguments.hold:
        return _hold(arguments, m, firmware)
    if arguments.accel == "nested":
        return _in_host(arguments, m, firmware)
    program = qemu.find(m)
    accelerator = _accelerator(arguments, m, firmware, program)
    folder = None
    if arguments.files:
        files = qemu.Files(arguments.files.absolute())
    elif arguments.dry_run:
        files = qemu.Files(Path(tempfile.gettempdir()) / f"barebox-virt-{m.name}")
    else:
        folder = RunFolder()
        files = qemu.Files(folder.path)
    extra = qemu.firmware_args(m, firmware) + qemu.device_args(m, firmware.bootloader, program, files)
    command = qemu.command(m, program, accelerator, extra + qemu.stdio_args() + GDB * arguments.gdb)
    if arguments.dry_run:
        _print(m, files, command)
        return 0
    _prepare(m, files)
    if folder:
        folder.outlive_exec()
    sys.stdout.flush()
    os.execv(command[0], command)
