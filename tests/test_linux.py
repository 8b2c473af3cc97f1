# SPDX-License-Identifier: MIT
"""The Linux that barebox boots: its initrd is made of a KVM host's, and what its script tells is understood."""

import pytest

from oeqa.barebox import linux
from oeqa.barebox.errors import UsageError
from oeqa.barebox.nested import pack

CONTENT = {"usr/bin/busybox": b"busy" * 100, "init": b"x", "usr/lib/odd": b"123"}


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "initrd"
    path.write_bytes(pack.cpio(CONTENT, {"bin": "usr/bin"}, ("dev",)))
    return path


def test_extract(archive):
    for name, content in CONTENT.items():
        assert linux.extract(archive, name) == content


def test_extract_nothing(archive):
    with pytest.raises(UsageError, match=r"no usr/bin/otter in it; build it again: barebox-virt kvm-host build"):
        linux.extract(archive, "usr/bin/otter")
    archive.write_bytes(b"no archive")
    with pytest.raises(UsageError, match="no init in it"):
        linux.extract(archive, "init")


def test_initrd(archive, tmp_path):
    made = tmp_path / "made"
    made.write_bytes(linux.Linux(tmp_path / "kernel", archive, "here").initrd(b"noise"))
    assert linux.extract(made, "bin/busybox") == CONTENT["usr/bin/busybox"]
    assert linux.extract(made, "noise") == b"noise"
    assert linux.extract(made, "init").startswith(b"#!/bin/busybox sh")


def test_answers():
    text = "[ 1.0] kernel\r\npayload: cmdline\r\na b=c\r\npayload: tree\r\n11\r\n\r\npayload: end\r\n"
    assert linux.answers(text) == {"cmdline": "a b=c", "tree": "11", "end": ""}


def test_none_built(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    layer = linux.INIT.parents[3]
    assert linux.find("aarch64", [layer]) is None
    with pytest.raises(UsageError, match="no image of a KVM host"):
        linux.find("aarch64", [layer], tmp_path)
