# SPDX-License-Identifier: MIT
"""A KVM host that runs, with the distribution's U-Boot and with a guest that KVM cannot emulate. Skipped by name where
its packages cannot be had."""

import struct

import pytest

from barebox_virt import LAYER
from oeqa.barebox import firmware, machine, qemu
from oeqa.barebox.errors import BareboxError, GuestError
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.nested import description, image
from oeqa.barebox.nested.host import Host
from oeqa.barebox.target import Target
from test_real_qemu import run_cases

MACHINE = machine.load(LAYER / "conf/machines/qemuarm64-barebox.json")
# Writes A to the serial port, reads its flags as a pair of registers, which KVM cannot emulate, and writes B.
PAIR = (0xD2A12000, 0x52800821, 0xB9000001, 0x29430C02, 0x52800841, 0xB9000001, 0x14000000)
# As a Linux image: a jump over the header, the image's place and size, the magic number.
HEADER = struct.pack("<2I3Q24x4sI", 0x14000010, 0, 0, 0x10000, 0xA, b"ARMd", 0)


@pytest.fixture(scope="module")
def made():
    """The image for arm64, from the cache or from packages."""
    host = description.find(MACHINE.arch, [LAYER])
    try:
        qemu.find_for(host.qemu, "the KVM host")
        return host, image.Cache(image.cache_folder(), lambda what, _: print(what)).get(host)
    except BareboxError as error:
        pytest.skip(str(error))


def target(made, loaded, logs, accel="nested", silence=20):
    host = Host(*made, qemu.find_for(made[0].qemu, "the KVM host"))
    return Target(MACHINE, loaded, qemu.find(MACHINE), logs, accel, host=host, silence_seconds=silence)


def test_u_boot_runs_its_cases_with_kvm(made, tmp_path):
    loaded = firmware.find(MACHINE, "u-boot", firmware.installed(MACHINE, "u-boot"))
    wanted = [f"uboot_virt.UBootTest.test_{name}" for name in ("banner_once", "shell", "block", "poweroff")]
    with target(made, loaded, tmp_path) as board:
        verdicts = run_cases(board, wanted)
        info = board.info()
    assert {v.status for v in verdicts.values()} == {"PASSED"}, [v.log for v in verdicts.values()]
    assert info["ACCELERATOR"] == "nested"
    assert "Linux" in str(info["KVM_HOST"])


def test_what_kvm_cannot_emulate_fails_there_and_nowhere_else(made, tmp_path):
    """The reason for all of this: a device that is read as a pair of registers."""
    path = tmp_path / "pair.img"
    path.write_bytes(HEADER + struct.pack(f"<{len(PAIR)}I", *PAIR) + bytes(0x1000))
    said = {}
    for accel in ("tcg", "nested"):
        with target(made, Firmware("barebox", path), tmp_path / accel, accel, silence=3) as board:
            with pytest.raises(GuestError) as failure:
                board.start()
            said[accel] = str(failure.value)
    logs = {a: (tmp_path / a / f"{MACHINE.name}-{a}-1.console.log").read_text() for a in said}
    assert logs == {"tcg": "AB", "nested": "A"}, said
