# SPDX-License-Identifier: MIT
"""The device tree readers, against the device tree compiler."""

import shutil
import subprocess

import pytest

from oeqa.barebox import devicetree

SOURCE = """/dts-v1/;
/ {
    vendor,odd-name;
    compatible = "linux,dummy-virt", "second";
    cells = <0x1 0xdeadbeef>;
    bytes = [01 02 ff];
    child@0 { empty; label = "x;{}"; grand { reg = <0x0 0x1000>; }; };
};
"""
DUMPED = [
    "",
    "{",
    "\tvendor,odd-name;",
    '\tcompatible = "linux,dummy-virt", "second";',
    "\tcells = <0x1 0xdeadbeef>;",
    "\tbytes = [01 02 ff];",
    "\tchild@0 {",
    "\t\tempty;",
    '\t\tlabel = "x;{}";',
    "\t\tgrand {",
    "\t\t\treg = <0x0 0x1000>;",
    "\t\t};",
    "\t};",
    "};",
]


def test_both_readers_agree():
    if not shutil.which("dtc"):
        pytest.skip("no dtc: apt-get install device-tree-compiler")
    blob = subprocess.run(["dtc", "-q", "-O", "dtb"], input=SOURCE.encode(), capture_output=True, check=True).stdout
    assert devicetree.from_blob(blob) == devicetree.from_source(DUMPED)
    assert devicetree.from_blob(blob)["/child@0/grand"] == {"reg": bytes.fromhex("0000000000001000")}


@pytest.mark.parametrize("blob", [b"\0" * 64, b"MZ" + bytes(60)])
def test_no_blob(blob):
    with pytest.raises(ValueError, match="no device tree"):
        devicetree.from_blob(blob)


def test_names_that_only_barebox_allows():
    assert devicetree.from_source(["{", "$barebox,root-node;", "};"]) == {"/": {"$barebox,root-node": b""}}


def test_no_source():
    with pytest.raises(ValueError, match="no device tree source"):
        devicetree.from_source(["{", "of_dump: no such command"])


def test_reservations():
    head = "d00dfeed 00000068 00000058 00000068 00000028 00000011 00000010 00000000 00000000 00000010"
    reserved = "0000000040000000 0000000000001000 000000123456789a 0000000000000002" + " 0000000000000000" * 2
    blob = bytes.fromhex(f"{head} {reserved} 00000001 00000000 00000002 00000009")
    assert devicetree.reservations(blob) == [(0x40000000, 0x1000), (0x123456789A, 2)]
