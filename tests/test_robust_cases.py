# SPDX-License-Identifier: MIT
"""The cases on speed and on what was built, on a machine that is none: what makes them red, and what does not."""

import dataclasses
import itertools
import json
from pathlib import Path

import pytest

from oeqa.barebox import deploy, firmware, machine, results
from oeqa.barebox.console import Result
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.target import Target

LAYER = Path(__file__).resolve().parent.parent
NAME = "qemuarm64-barebox"
CRC, COPY, NOTHING = 12_000_000, 140_000, 60_000


class FakeTarget(Target):
    """A barebox with one disk. Its commands take the ns that ``times`` tells, others what they took when measured."""

    program = type("P", (), {"lacks": lambda *_: False, "version": "7.2"})()

    def __init__(self, loaded, times=lambda _: None):
        m = machine.load(LAYER / f"conf/machines/{NAME}.json")
        self.machine = dataclasses.replace(m, devices=tuple(d for d in m.devices if d.id == "disk0"))
        self.firmware = loaded
        self.accelerator = type("A", (), {"name": "tcg"})()
        self.known_issues, self.boots, self.slow = (), [], False
        self.symbols = frozenset(loaded.symbols())
        self.times = times

    def want(self, variant):
        assert variant.icount or variant == type(variant)()

    def discard(self):
        pass

    off = discard

    def run(self, command, seconds=30.0):  # noqa: ARG002 - as Target has it
        inner = command.partition("time -n ")[2]
        usual = CRC if "crc32" in inner else COPY if "memcpy" in inner else NOTHING
        return Result(command, 0, (f"time: {self.times(inner) or usual}ns",) if inner else ())


def loaded(tmp_path, *lines, options=None):
    config = tmp_path / ".config"
    config.write_text("\n".join(["CONFIG_CMD_TIME=y", "CONFIG_CMD_MEMCPY=y", "CONFIG_CMD_CRC=y", *lines]) + "\n")
    return Firmware("barebox", Path("/x"), config=config, version="2026.06.1", patches=(), options=options)


def verdict(case, target):
    cases = results.load([LAYER / "lib/oeqa/runtime/cases"], "barebox", [case])
    (found,) = results.run(cases, target, lambda _: None)
    return found


LATENCY = "barebox_speed.BlockTest.test_latency"
DISK = ("CONFIG_VIRTIO_MMIO=y", "CONFIG_VIRTIO_BLK=y")


def on_disk(ratio):
    """The times of requests to the disk: what ``ratio`` gives, to a copy from RAM."""
    return lambda command: int(ratio() * COPY) if "/dev/virtioblk0" in command else None


def test_a_request_that_is_always_slow_is_red(tmp_path):
    found = verdict(LATENCY, FakeTarget(loaded(tmp_path, *DISK), on_disk(lambda: 2)))
    assert found.status == "FAILED"
    assert "(virtio-blk-device)" in found.log
    assert "request: 2.000 times what it is compared to; less than 1.600 times" in found.log


def test_a_request_that_fails_is_not_quick(tmp_path):
    class Broken(FakeTarget):
        def run(self, command, seconds=30.0):
            result = super().run(command, seconds)
            failed = ("FAILED",) if "time -n" in command and "/dev/virtioblk0" in command else ()
            return dataclasses.replace(result, lines=failed + result.lines)

    assert verdict(LATENCY, Broken(loaded(tmp_path, *DISK))).status == "FAILED"


def test_a_busy_host_is_not_red(tmp_path):
    """All requests but one wait for the host."""
    ratios = itertools.chain([100] * 60, itertools.repeat(1.05))
    assert verdict(LATENCY, FakeTarget(loaded(tmp_path, *DISK), on_disk(lambda: next(ratios)))).status == "PASSED"


def test_an_architecture_that_nobody_measured_is_skipped(tmp_path):
    target = FakeTarget(loaded(tmp_path, *DISK))
    target.machine = dataclasses.replace(target.machine, arch="loongarch64")
    assert verdict(LATENCY, target).log == "nobody measured loongarch64"


def test_a_machine_larger_than_the_host_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PHYS_PAGES": 1 << 19, "SC_PAGE_SIZE": 4096}[name])
    target = FakeTarget(loaded(tmp_path, "CONFIG_CMD_IOMEM=y"))
    assert (
        verdict("barebox_ram.LargeTest.test_size", target).log == "a machine with 2560 MiB of RAM; this host has 2048"
    )


FRAGMENTS = "barebox_static.ConfigurationTest.test_fragments"


@pytest.mark.parametrize(
    ("options", "lost"),
    [
        (("CONFIG_CMD_TIME=y",), ""),
        (("CONFIG_CMD_TIME=y", "CONFIG_CMD_TFTP=y"), "CONFIG_CMD_TFTP=y"),
        (("# CONFIG_CMD_TFTP is not set",), ""),
        (("# CONFIG_CMD_TIME is not set",), "# CONFIG_CMD_TIME is not set"),
    ],
)
def test_an_option_that_kconfig_dropped_is_red(tmp_path, options, lost):
    found = verdict(FRAGMENTS, FakeTarget(loaded(tmp_path, options=options)))
    assert (found.status, lost in found.log) == ("FAILED" if lost else "PASSED", True)


def test_a_build_that_names_no_options_is_skipped(tmp_path):
    assert verdict(FRAGMENTS, FakeTarget(loaded(tmp_path))).status == "SKIPPED"


def test_a_device_that_is_not_configured_is_red(tmp_path):
    case = "barebox_static.ConfigurationTest.test_devices"
    found = verdict(case, FakeTarget(loaded(tmp_path, DISK[0], options=())))
    assert (found.status, "VIRTIO_BLK" in found.log) == ("FAILED", True)
    assert verdict(case, FakeTarget(loaded(tmp_path, *DISK, options=()))).status == "PASSED"


def test_the_build_tells_its_options(tmp_path):
    image = tmp_path / "barebox-dt-2nd.img"
    image.write_bytes(bytes(0x38) + b"ARMd" + bytes(100))
    facts = dict.fromkeys(("config", "elf", "pbl"), "/none")
    facts |= {"machine": NAME, "description": LAYER / f"conf/machines/{NAME}.json", "bootloader": "barebox"}
    facts |= {"name": "b", "bios": None, "version": "1", "commit": "", "recipe": "", "patches": []}
    deploy.write(tmp_path, {**facts, "options": ["CONFIG_A=y"]})
    path = tmp_path / "b.barebox-test.json"
    assert firmware.load_description(path)[1].options == ("CONFIG_A=y",)
    data = json.loads(path.read_text())
    del data["options"]
    path.write_text(json.dumps(data))
    assert firmware.load_description(path)[1].options is None
