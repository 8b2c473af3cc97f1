#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How much the library adds to QEMU's own time: from the start to the prompt, and for a command with its status.

    scripts/benchmarks/console.py qemuarm64-barebox --firmware FILE

Both are measured in turn with a bare reader, which reads the same console of the same QEMU command by read() and a
substring search alone. Seconds depend on the machine; the ratio is the result. Goals: 1.1 for the start, 1.5 for a
command.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

LAYER = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(LAYER / "scripts/lib"), str(LAYER / "lib")]

from barebox_virt import bootstrap  # noqa: E402

if __name__ == "__main__":
    bootstrap.enter(LAYER / "scripts/requirements.txt", sys.argv)

from barebox_virt import common, table  # noqa: E402
from barebox_virt.main import guarded  # noqa: E402
from oeqa.barebox import qemu  # noqa: E402
from oeqa.barebox.process import Pipes, RunFolder  # noqa: E402
from oeqa.barebox.target import Target  # noqa: E402
from oeqa.barebox.variant import Variant  # noqa: E402

HINT = {"barebox": b"Hit ", "u-boot": b"Hit any key"}
PROMPT = {"barebox": b"barebox@", "u-boot": b"=> "}


class Bare:
    """A console without anything between: what the bootloader and QEMU need at least."""

    def __init__(self, pipes: Pipes, bootloader: str) -> None:
        os.set_blocking(pipes.from_guest, True)
        self._pipes = pipes
        self._bootloader = bootloader
        self._rest = b""

    def write(self, text: bytes) -> None:
        """Type."""
        os.write(self._pipes.to_guest, text)

    def until(self, wanted: bytes) -> None:
        """Read until ``wanted`` was printed."""
        text = self._rest
        while wanted not in text:
            text += os.read(self._pipes.from_guest, 4096)
        self._rest = text.partition(wanted)[2]

    def boot(self) -> None:
        """Stop the automatic boot and wait for the prompt."""
        self.until(HINT[self._bootloader])
        self.write(b"\r")
        self.until(PROMPT[self._bootloader])

    def command(self) -> None:
        """One true with its status."""
        self.write(b'true;echo a""b$?\r')
        self.until(b"ab0")
        self.until(PROMPT[self._bootloader])


def bare(target: Target, commands: int, run_folder: RunFolder) -> tuple[float, float]:
    """Seconds to the prompt and for one command, by the bare reader."""
    folder = run_folder.path
    m, firmware = target.machine, target.firmware
    extra = qemu.firmware_args(m, firmware, None)
    extra += qemu.device_args(m, firmware.bootloader, target.program, target.files, Variant())
    extra += qemu.io_args(folder / "console", folder / "qmp")
    command = qemu.command(m, target.program, target.accelerator.name, extra)
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.bind(str(folder / "qmp"))
        monitor.listen()
        pipes = Pipes(folder / "console")
        reader = Bare(pipes, firmware.bootloader)
        started = time.monotonic()
        null = subprocess.DEVNULL
        with subprocess.Popen(command, stdin=null, stdout=null, start_new_session=True) as process:
            run_folder.guard(process.pid)
            reader.boot()
            up = time.monotonic()
            for _ in range(commands):
                reader.command()
            done = time.monotonic()
            process.kill()
        run_folder.guard(None)
        pipes.close()
    (folder / "qmp").unlink()
    return up - started, (done - up) / commands


def library(target: Target, commands: int) -> tuple[float, float]:
    """Seconds to the prompt and for one command, by the library."""
    started = time.monotonic()
    target.shell()
    up = time.monotonic()
    for _ in range(commands):
        target.run("true")
    done = time.monotonic()
    target.off()
    return up - started, (done - up) / commands


def row(name: str, pairs: Sequence[tuple[float, float]], unit: float, goal: str) -> tuple[str, ...]:
    """A row: medians of the bare reader and of the library, and the median of the ratios, pair by pair."""
    plain, ours = (statistics.median(side) * unit for side in zip(*pairs))
    ratio = statistics.median(b / a for a, b in pairs)
    return name, f"{plain:.2f} ms", f"{ours:.2f} ms", f"{ratio:.2f}", goal


def run(arguments: argparse.Namespace) -> int:
    """Measure in turn and print the table."""
    m = common.find_machine(arguments)
    firmware = common.find_firmware(arguments, m)
    folder = RunFolder()
    starts, commands = [], []
    with Target(m, firmware, qemu.find(m), folder.path / "logs", "tcg") as target:
        library(target, 1)
        for _ in range(arguments.rounds):
            plain, ours = bare(target, arguments.commands, folder), library(target, arguments.commands)
            starts.append((plain[0], ours[0]))
            commands.append((plain[1], ours[1]))
    folder.close()
    columns = ("what", "bare", "library", "ratio", "goal")
    title = f"{firmware.bootloader} on {m.name}, TCG, medians of {arguments.rounds} rounds"
    table.show(title, columns, [row("start to prompt", starts, 1e3, "1.1"), row("one true", commands, 1e3, "1.5")])
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_firmware_arguments(parser)
    parser.add_argument("--rounds", type=int, default=9, help="default: 9")
    parser.add_argument("--commands", type=int, default=200, help="commands a round (default: 200)")
    return guarded(run, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
