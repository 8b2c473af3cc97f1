#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How much longer a run takes that is watched for hazards: from the start to the prompt, and for work with devices.

    scripts/benchmarks/hazards.py qemuarm64-barebox --firmware FILE

Watched and not watched are measured in turn. Seconds depend on the machine; the ratio is the result. Goal: at most 3.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
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
from oeqa.barebox.target import Target  # noqa: E402

WORK = {
    "barebox": ("devinfo", "sha256sum /dev/{block}", "dhcp {net}", "saveenv"),
    "u-boot": ("virtio scan", "virtio read ${{loadaddr}} 0 8000", "crc32 ${{loadaddr}} 800000", "dhcp"),
}


def once(target: Target) -> tuple[float, float]:
    """Seconds from the start to the prompt, and for the work behind it until the machine is off."""
    name = target.firmware.bootloader
    nodes = {kind: target.node(target.devices(kind)[0]) for kind in ("block", "net") if target.devices(kind)}
    started = time.monotonic()
    target.shell()
    up = time.monotonic()
    for command in WORK[name]:
        target.run(command.format(**nodes), 60)
    target.off()
    return up - started, time.monotonic() - up


def watched(target: Target) -> tuple[float, float]:
    """The same under the plugin."""
    with target.watched():
        return once(target)


def row(name: str, pairs: Sequence[tuple[float, float]]) -> tuple[str, ...]:
    """A row: medians of plain and of watched runs, and the median of the ratios, pair by pair."""
    plain, ours = (statistics.median(side) for side in zip(*pairs))
    ratio = statistics.median(b / a for a, b in pairs)
    return name, f"{plain:.2f} s", f"{ours:.2f} s", f"{ratio:.2f}", "3"


def run(arguments: argparse.Namespace) -> int:
    """Measure in turn and print the table."""
    m = common.find_machine(arguments)
    firmware = common.find_firmware(arguments, m)
    starts, work, whole = [], [], []
    with tempfile.TemporaryDirectory() as folder, Target(m, firmware, qemu.find(m), Path(folder), "tcg") as target:
        target.start()
        target.off()
        for _ in range(arguments.rounds):
            plain, ours = once(target), watched(target)
            starts.append((plain[0], ours[0]))
            work.append((plain[1], ours[1]))
            whole.append((sum(plain), sum(ours)))
    title = f"{firmware.bootloader} on {m.name}, QEMU {target.program.version}, medians of {arguments.rounds} rounds"
    rows = [row("start to prompt", starts), row("work", work), row("both", whole)]
    table.show(title, ("what", "plain", "watched", "ratio", "goal"), rows)
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_firmware_arguments(parser)
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    return guarded(run, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
