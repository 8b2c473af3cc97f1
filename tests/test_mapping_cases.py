# SPDX-License-Identifier: MIT
"""The cases on mappings, on a machine that is none: each goes red when one page that QEMU touches is not cached."""

import contextlib
import dataclasses
import struct
from pathlib import Path

import pytest

from oeqa.barebox import machine, results
from oeqa.barebox.console import Result
from oeqa.barebox.errors import RequestRefused
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.target import Target

LAYER = Path(__file__).resolve().parent.parent
CACHED = " Outer mem. attr. [63:60]:   0x0f (0b1111 Write-Back Non-transient, Write-Allocate)"
DEVICE = " Memory attr. [63:56]:     0x00 (0b0000 Device-nGnRnE memory)"
DESC, AVAIL, USED, BUFFER, INDIRECT, CONTROL, FRAME = (page << 12 for page in range(0x41000, 0x41007))


class FakeTarget(Target):
    """A barebox with one disk and one queue, in which the pages in ``uncached`` are Device memory."""

    program = type("P", (), {"lacks": lambda *_: False, "version": "7.2"})()
    seed, held = 0, False

    def __init__(self, uncached=(), flags=0, elements=1):
        m = machine.load(LAYER / "conf/machines/qemuarm64-barebox.json")
        kept = [d for d in m.devices if d.id in ("disk0", "display0")]
        self.machine = dataclasses.replace(m, devices=tuple(kept))
        self.firmware = Firmware("barebox", Path("/x"), version="2026.06.1", patches=())
        self.accelerator = type("A", (), {"name": "tcg"})()
        self.known_issues, self.boots = (), []
        self.symbols = {"CMD_ARM_MMUINFO", "QEMU_FW_CFG", "DRIVER_VIDEO_RAMFB", "VIRTIO_MMIO", "VIRTIO_BLK"}
        self.uncached, self.flags, self.elements = uncached, flags, elements
        self.asked = []

    def off(self):
        pass

    def run(self, command, seconds=30.0):  # noqa: ARG002 - as Target has it
        word, _, rest = command.rpartition("; ")[2].partition(" ")
        return Result(command, 0, tuple(getattr(self, f"do_{word}", lambda _: ())(rest)))

    def do_mmuinfo(self, rest):
        self.asked.append(int(rest, 16))
        return [f"PAR result for {rest}:", DEVICE if int(rest, 16) in self.uncached else CACHED]

    def memory(self, address, length):
        assert address == DESC
        return struct.pack("<QIHH", INDIRECT, 0x40, self.flags, 0).ljust(length, b"\0")

    def do_echo(self, _):
        return ["[0]"]

    def do_cat(self, _):
        return ["QEMU"]

    def do_devinfo(self, _):
        return ["Resources:", "  num: 0", f"  start: {FRAME:#x}", "  size: 0x1000"]

    def query(self, name, /, **arguments):
        if name == "x-query-virtio":
            return [{"name": "virtio-blk", "path": "/machine/disk"}]
        if arguments["queue"]:
            raise RequestRefused("no such queue")
        if name == "x-query-virtio-queue-element":
            return {"descs": [{"addr": BUFFER + 0x800, "len": 0x400, "flags": ["write"]}]}
        parts = {"vring-desc": DESC, "vring-avail": AVAIL, "vring-used": USED}
        return {"name": "virtio-blk", "vring-num": 2, "last-avail-idx": self.elements, **parts}

    @contextlib.contextmanager
    def mmio_writes(self, region):
        assert region == "fwcfg.dma"
        yield [(0x9020010, 0), (0x9020014, CONTROL + 0x40)]


def verdict(case, **options):
    target = FakeTarget(**options)
    cases = results.load([LAYER / "lib/oeqa/runtime/cases"], "barebox", [f"barebox_virtqueues.{case}"])
    (found,) = results.run(cases, target, lambda _: None)
    return found, target


@pytest.mark.parametrize(
    ("case", "pages", "options"),
    [
        ("MappingTest.test_queues_cached", [DESC, AVAIL, USED], {}),
        ("MappingTest.test_buffers_cached", [BUFFER], {}),
        ("MappingTest.test_buffers_cached", [BUFFER, INDIRECT], {"flags": 4}),
        ("FirmwareConfigTest.test_control_block_cached", [CONTROL], {}),
        ("DisplayTest.test_framebuffer_cached", [FRAME], {}),
    ],
)
def test_every_page_counts(case, pages, options):
    """Green where all is cached, having looked at these pages; red where one of them is not."""
    found, target = verdict(case, **options)
    assert found.status == "PASSED", found.log
    assert set(target.asked) == set(pages)
    for page in pages:
        found, _ = verdict(case, uncached=(page,), **options)
        assert found.status == "FAILED"
        assert f"at {page:#x}: Memory attr. [63:56]:     0x00 (0b0000 Device-nGnRnE memory)" in found.log


def test_a_device_that_moved_nothing():
    """Buffers that nobody saw are no proof."""
    found, _ = verdict("MappingTest.test_buffers_cached", elements=0)
    assert found.status == "FAILED"
    assert "1 devices were used, these have buffers: []" in found.log
