# SPDX-License-Identifier: MIT
"""The payload is what its source says, and what it prints is understood."""

import re

import pytest

from assembler import run, tool
from oeqa.barebox import firmware, payload
from oeqa.barebox.errors import Unavailable

ARCHES = sorted(payload.REGISTERS)
GOOD = {
    "aarch64": {"dtb": 0x40200000, "x1": 0, "x2": 0, "x3": 0, "start": 0x40000000, "SCTLR": 0xC51838, "DAIF": 0x3C0},
    "riscv64": {"dtb": 0x80800008, "start": 0x80400000, "satp": 0, "sie": 0, "sstatus": 0},
}
BAD = [
    ("aarch64", "dtb", 0x40200004, "not at a multiple of 8"),
    ("aarch64", "start", 0x40080000, "not at a multiple of 2 MiB"),
    ("aarch64", "x2", 1, "x1 to x3"),
    ("aarch64", "SCTLR", 0xC51839, "MMU or data cache"),
    ("aarch64", "SCTLR", 0xC5183C, "MMU or data cache"),
    ("aarch64", "DAIF", 0x340, "interrupts"),
    ("riscv64", "dtb", 0, "not at a multiple of 8"),
    ("riscv64", "satp", 8 << 60, "translation"),
]


@pytest.mark.parametrize("arch", ARCHES)
def test_assembled(arch, tmp_path):
    source = payload.FOLDER / f"{arch}.S"
    run(tool(arch, "as"), "-o", tmp_path / "o", source)
    run(tool(arch, "ld"), "-Ttext=0", "-o", tmp_path / "elf", tmp_path / "o")
    run(tool(arch, "objcopy"), "-O", "binary", "-j", ".text", tmp_path / "elf", tmp_path / "bin")
    code = (tmp_path / "bin").read_bytes()
    lines = "\n".join(code[i : i + 32].hex() for i in range(0, len(code), 32))
    text = (payload.FOLDER / f"{arch}.hex").read_text()
    found = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert found == lines, f"{arch}.hex is not made of {arch}.S; this is:\n{lines}"


@pytest.mark.parametrize("arch", ARCHES)
def test_image(arch, tmp_path):
    image = payload.image(arch, 123_456)
    assert len(image) == 123_456
    assert int.from_bytes(image[payload.IMAGE_SIZE], "little") == 123_456
    (tmp_path / "image").write_bytes(image)
    assert firmware.architecture(tmp_path / "image") == arch


def test_no_payload():
    with pytest.raises(Unavailable, match=r"no payload for otter; there are: aarch64, riscv64"):
        payload.image("otter")


@pytest.mark.parametrize("arch", ARCHES)
def test_registers(arch):
    names = payload.REGISTERS[arch]
    line = "handover" + "".join(f" {number:016x}" for number in range(len(names)))
    text = f"commandline: x\n\r\n{line}\r\n"
    assert re.search(payload.LINE, text, re.M)
    assert payload.registers(arch, text) == {name: number for number, name in enumerate(names)}
    for wrong in (text.replace("handover ", "handed "), text + text, text.replace(" " + "0" * 16, "")):
        with pytest.raises(ValueError, match="expected|times"):
            payload.registers(arch, wrong)


@pytest.mark.parametrize("arch", ARCHES)
def test_kept_rules(arch):
    assert payload.broken_rules(arch, GOOD[arch]) == []


@pytest.mark.parametrize(("arch", "register", "value", "what"), BAD)
def test_broken_rule(arch, register, value, what):
    (text,) = payload.broken_rules(arch, {**GOOD[arch], register: value})
    assert what in text
