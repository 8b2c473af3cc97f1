#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Throughput and latency of barebox' virtio-blk and virtio-net, as ratios between transports and accelerators.

    scripts/benchmarks/virtio.py qemuarm64-barebox --firmware FILE --accel tcg --accel kvm

Where a processor has caches between guest and QEMU, which real KVM alone has, a queue that is mapped uncached is slow,
and the ratio shows it. Emulation has no caches: there the mapping is the evidence, and the ratio says nothing of it.
The last column tells which of the two a line has. Times are the guest's own; a request's is what all took, divided by
how many there were. barebox waits for each before the next.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

LAYER = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(LAYER / "scripts/lib"), str(LAYER / "lib")]

from barebox_virt import bootstrap  # noqa: E402

if __name__ == "__main__":
    bootstrap.enter(LAYER / "scripts/requirements.txt", sys.argv)

from barebox_virt import common, table  # noqa: E402
from barebox_virt.main import guarded  # noqa: E402
from oeqa.barebox import accelerator, qemu  # noqa: E402
from oeqa.barebox.errors import UsageError  # noqa: E402
from oeqa.barebox.machine import Device  # noqa: E402
from oeqa.barebox.target import DISK_SIZE, DOWNLOAD_SIZE, Target  # noqa: E402

PINGS = 100
NO_CACHES = ("tcg", "nested")
QEMU_NAMES = {"block": ("virtio-blk", "drive"), "net": ("virtio-net", "netdev")}
MIB = 1 << 20


@dataclass
class Measure:
    """One device under one accelerator: MiB/s, microseconds a request, and how its queue is mapped."""

    accelerator: str
    device: str
    model: str
    throughput: float
    latency: float
    mapping: str

    @property
    def evidence(self) -> str:
        """Which of ratio and mapping tells of a queue that is mapped uncached."""
        return "mapping" if self.accelerator in NO_CACHES else "ratio"


def seconds(target: Target, command: str) -> float:
    """How long a command takes by the guest's clock.

    :raises UsageError: it fails, or barebox has no command time
    """
    result = target.run(f"time -n {command}", 300)
    found = re.findall(r"time: (\d+)ns", "\n".join(result.lines))
    if result.status or not found:
        raise UsageError(f"the firmware cannot be measured:\n{result}")
    return int(found[-1]) / 1e9


def read(target: Target, device: Device) -> tuple[float, float]:
    """Throughput and latency of reading a whole disk."""

    def count() -> int:
        stats = {entry["device"]: entry["stats"] for entry in target.query("query-blockstats")}
        return int(stats[device.id]["rd_operations"])

    before = count()
    took = seconds(target, f"memcpy -s /dev/{target.node(device)} -d /copy 0 0 {DISK_SIZE:#x}")
    target.run("rm /copy")
    return DISK_SIZE / MIB / took, took / max(1, count() - before) * 1e6


def download(target: Target, device: Device, number: int) -> tuple[float, float]:
    """Throughput of a download by TFTP, and latency of a ping, with the console switched off meanwhile."""
    host = f"10.0.{2 + number}.2"
    target.run(f"ifdown -a; dhcp {target.node(device)}; global.net.server={host}", 60)
    took = seconds(target, "tftp download.bin /copy")
    target.run("rm /copy; echo -o /pings cs0.active=")  # printing is slow, and slower yet under KVM
    ten = "1 2 3 4 5 6 7 8 9 10"
    target.run(f"for i in {ten}; do for j in {ten}; do echo -a /pings ping {host}; done; done", 60)
    target.run("echo -a /pings cs0.active=ioe")
    return DOWNLOAD_SIZE / MIB / took, seconds(target, "sh /pings") / PINGS * 1e6


def mapping(target: Target, device: Device) -> str:
    """How the device's first queue is mapped: cached, mmuinfo's word for anything else, or unknown."""
    name, backend = QEMU_NAMES[device.kind]
    paths = [entry["path"] for entry in target.query("x-query-virtio") if entry["name"] == name]
    path = next(p for p in paths if target.query("qom-get", path=p, property=backend) == device.id)
    queue = target.query("x-query-virtio-queue-status", path=path, queue=0)
    text = "\n".join(target.run(f"mmuinfo {queue['vring-desc']:#x}").lines)
    kind = re.search(r"\b(Write-Back|Device-\w+|Non-cacheable|Write-Through)\b", text, re.IGNORECASE)
    if not kind:
        return "unknown (no mmuinfo)"
    return "cached" if kind[0] == "Write-Back" else kind[0]


def measure(target: Target, rounds: int) -> Iterator[Measure]:
    """Every disk and every network device of one machine, the best of several rounds: noise only adds time."""
    for device in target.devices("block"):
        yield _best(target, device, [read(target, device) for _ in range(rounds)])
    for number, device in enumerate(target.devices("net")):
        yield _best(target, device, [download(target, device, number) for _ in range(rounds)])


def _best(target: Target, device: Device, pairs: Sequence[tuple[float, float]]) -> Measure:
    throughput, latency = max(a for a, _ in pairs), min(b for _, b in pairs)
    return Measure(target.accelerator.name, device.id, device.model, throughput, latency, mapping(target, device))


def ratio(entry: Measure, base: Measure) -> str:
    """An entry's throughput and time for a request, with another one's as 1."""
    return f"{entry.throughput / base.throughput:.2f}, {entry.latency / base.latency:.2f}"


def show(found: list[Measure], title: str) -> None:
    """Print the table: each line is compared with the first transport of its kind, and with the first accelerator."""
    rows = []
    for entry in found:
        transport = next(e for e in found if (e.accelerator, e.device[:3]) == (entry.accelerator, entry.device[:3]))
        other = next(e for e in found if e.device == entry.device)
        speed = (f"{entry.throughput:.1f} MiB/s", f"{entry.latency:.0f} us")
        ratios = (ratio(entry, transport), ratio(entry, other))
        rows.append((entry.accelerator, entry.device, entry.model, *speed, *ratios, entry.mapping, entry.evidence))
    compared = (f"to {found[0].model.rpartition('-')[2]}", f"to {found[0].accelerator}")
    columns = ("accelerator", "device", "model", "throughput", "request", *compared, "queue", "evidence")
    table.show(title, columns, rows)
    print("Ratios: throughput, time for a request. TFTP and ping stand for a network device, reading for a disk.")


def run(arguments: argparse.Namespace) -> int:
    """Measure under each accelerator and print the table, or JSON."""
    m = common.find_machine(arguments)
    firmware = common.find_firmware(arguments, m)
    found: list[Measure] = []
    for name in arguments.accel:
        host = common.find_kvm_host(argparse.Namespace(**{**vars(arguments), "accel": name}), m)
        folder = tempfile.TemporaryDirectory()
        with folder, Target(m, firmware, qemu.find(m), Path(folder.name), name, host=host) as target:
            target.start()
            found += measure(target, arguments.rounds)
    if arguments.json:
        print(json.dumps([{**asdict(e), "evidence": e.evidence} for e in found], indent=1))
    else:
        show(found, f"{firmware.bootloader} {firmware.version} on {m.name}, QEMU {target.program.version}")
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, conflict_handler="resolve"
    )
    common.add_firmware_arguments(parser)
    names = ", ".join(accelerator.REQUESTS)
    parser.add_argument("--accel", action="append", metavar="NAME", help=f"{names}; repeatable (default: auto)")
    parser.add_argument("--rounds", type=int, default=5, help="the best of so many counts (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    arguments.accel = arguments.accel or ["auto"]
    return guarded(run, arguments)


if __name__ == "__main__":
    sys.exit(main())
