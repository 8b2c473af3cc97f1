# SPDX-License-Identifier: MIT
"""QEMU's command line, from the descriptions that are committed."""

from pathlib import Path

import pytest

from oeqa.barebox import accelerator, machine, qemu
from oeqa.barebox.errors import AcceleratorError, UsageError
from oeqa.barebox.firmware import Firmware

LAYER = Path(__file__).resolve().parent.parent
BUSES = ("device", "pci")
MODELS = frozenset(
    ["ramfb", *(f"virtio-{kind}-{bus}" for kind in ("blk", "net", "rng", "serial", "9p") for bus in BUSES)]
)
PROGRAM = qemu.Program(Path("/usr/bin/qemu"), "8.0.0", MODELS)
FILES = qemu.Files(Path("/run/a,b c"))


def load(name):
    return machine.load(LAYER / f"conf/machines/{name}-barebox.json")


def after(arguments, option):
    return [b for a, b in zip(arguments, arguments[1:]) if a == option]


def test_machine_under_tcg_and_kvm():
    m = load("qemuarm64")
    tcg = qemu.machine_args(m, "tcg")
    assert after(tcg, "-cpu") == ["cortex-a57"]
    assert after(tcg, "-accel") == ["tcg"]
    assert after(tcg, "-m") == ["512"]
    assert after(qemu.machine_args(m, "kvm"), "-cpu") == ["host"]


@pytest.mark.parametrize("name", ["qemuarm64", "qemuriscv64", "qemux86-64"])
def test_every_described_device_is_added_once(name):
    m = load(name)
    arguments = qemu.device_args(m, "barebox", PROGRAM, FILES)
    models = [value.partition(",")[0] for value in after(arguments, "-device")]
    assert sorted(x for x in models if x != "virtconsole") == sorted(d.model for d in m.devices if d.kind != "watchdog")
    assert models.count("virtconsole") == len(m.of_kind("console", "barebox"))


def test_a_bootloader_gets_only_devices_that_it_knows():
    arguments = qemu.device_args(load("qemuarm64"), "u-boot", PROGRAM, FILES)
    assert not [x for x in after(arguments, "-device") if "9p" in x]


def test_qemu_without_9p_leaves_it_out():
    program = qemu.Program(PROGRAM.path, "8.0.0", frozenset(m for m in MODELS if "9p" not in m))
    arguments = qemu.device_args(load("qemux86-64"), "barebox", program, FILES)
    assert "-fsdev" not in arguments
    assert not [x for x in arguments if "9p" in x]


def test_a_part_of_the_board_is_there_without_an_option():
    m = load("qemux86-64")
    program = qemu.Program(PROGRAM.path, "8.0.0", frozenset())
    assert [d.model for d in m.devices if not program.lacks(d)] == ["uefi", "ich9-tco"]
    assert "-device" not in qemu.device_args(m, "barebox", program, FILES)


def test_guests_never_reach_the_network():
    for name in ("qemuarm64", "qemuriscv64", "qemux86-64"):
        netdevs = after(qemu.device_args(load(name), "barebox", PROGRAM, FILES), "-netdev")
        assert netdevs
        assert all(",restrict=on," in netdev for netdev in netdevs)


def test_paths_with_commas_and_blanks():
    drives = after(qemu.device_args(load("qemuriscv64"), "barebox", PROGRAM, FILES), "-drive")
    assert drives == ["if=none,id=disk0,format=raw,file=/run/a,,b c/disk0.img"]


def test_bios_as_flash_where_it_has_to_be():
    assert qemu.bios_args(Path("/x/OVMF.fd")) == ["-bios", "/x/OVMF.fd"]
    (drive,) = after(qemu.bios_args(Path("/x/ovmf.qcow2")), "-drive")
    assert "if=pflash" in drive and "snapshot=on" in drive


def test_whole_command():
    m = load("qemux86-64")
    firmware = Firmware("barebox", Path("/b/barebox.efi"), bios=Path("/x/OVMF.fd"))
    command = qemu.command(m, PROGRAM, "tcg", [*qemu.firmware_args(m, firmware), "-extra"])
    assert command[0] == "/usr/bin/qemu"
    assert after(command, "-kernel") == ["/b/barebox.efi"]
    assert after(command, "-bios") == ["/x/OVMF.fd"]
    assert command[-1] == "-extra"


class TestPlan:
    arm64 = load("qemuarm64")

    def test_tcg_asks_nothing(self):
        assert accelerator.plan("tcg", self.arm64, "aarch64", Path("/nowhere")).tries == ("tcg",)

    def test_auto_tries_kvm_first_where_it_might_work(self, tmp_path):
        node = tmp_path / "kvm"
        node.touch()
        assert accelerator.plan("auto", self.arm64, "aarch64", node).tries == ("kvm", "tcg")

    def test_auto_tells_why_not_kvm(self, tmp_path):
        plan = accelerator.plan("auto", self.arm64, "x86_64", tmp_path)
        assert plan.tries == ("tcg",)
        assert plan.refused == {"kvm": "the host is x86_64, the guest aarch64"}
        missing = accelerator.plan("auto", self.arm64, "aarch64", tmp_path / "kvm")
        assert "is missing" in missing.refused["kvm"]

    def test_kvm_that_cannot_be_had(self, tmp_path):
        with pytest.raises(AcceleratorError, match="is missing"):
            accelerator.plan("kvm", self.arm64, "aarch64", tmp_path / "kvm")
        with pytest.raises(AcceleratorError, match="the host is x86_64"):
            accelerator.plan("kvm", self.arm64, "x86_64", tmp_path)

    def test_unknown(self):
        with pytest.raises(UsageError, match="allowed: auto, kvm, tcg"):
            accelerator.plan("hvf", self.arm64)
