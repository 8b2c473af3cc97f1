# SPDX-License-Identifier: MIT
"""FIT images are made, signed and spoilt as the cases need them."""

import hashlib
import random
import shutil

import pytest

from oeqa.barebox import devicetree, fit
from oeqa.barebox.errors import UsageError

IMAGES = {fit.KERNEL: random.randbytes(5000), fit.INITRD: random.randbytes(3000), fit.OTHER_KERNEL: b"other" * 100}

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("mkimage", "openssl", "dtc"))),
    reason="no mkimage, openssl or dtc: apt-get install u-boot-tools openssl device-tree-compiler",
)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return fit.new_key(tmp_path_factory.mktemp("keys"), "otter")


@pytest.fixture(scope="module")
def good(key):
    return fit.make("aarch64", IMAGES, key)


def test_content(good):
    tree = devicetree.from_blob(good)
    for name, content in IMAGES.items():
        assert tree[f"/images/{name}"]["data"] == content
        assert tree[f"/images/{name}/hash-1"]["value"] == hashlib.sha256(content).digest()
    assert tree["/configurations/conf-1/signature-1"]["key-name-hint"] == b"otter\0"
    assert fit.signature(good) == tree["/configurations/conf-1/signature-1"]["value"]


def test_unsigned():
    tree = devicetree.from_blob(fit.make("riscv64", IMAGES, None))
    assert "/configurations/conf-1/signature-1" not in tree
    assert tree["/images/kernel-1"]["arch"] == b"riscv\0"


def test_other_key(good):
    assert fit.signature(fit.with_other_key("aarch64", IMAGES, "otter")) != fit.signature(good)


def test_swapped(good):
    before, after = devicetree.from_blob(good), devicetree.from_blob(fit.swapped(good))
    assert after["/configurations/conf-1"].pop("kernel") == b"kernel-2\0"
    assert before["/configurations/conf-1"].pop("kernel") == b"kernel-1\0"
    assert before == after


def test_flip(good):
    changed = fit.flip(good, IMAGES[fit.KERNEL][100:150], 3)
    differ = [i for i, (a, b) in enumerate(zip(good, changed)) if a != b]
    assert differ == [good.index(IMAGES[fit.KERNEL]) + 103]
    with pytest.raises(ValueError, match="is there 0 times"):
        fit.flip(good, b"beaver")


def test_with_content(good):
    new = random.randbytes(3000)
    tree = devicetree.from_blob(fit.with_content(good, IMAGES[fit.INITRD], new))
    assert tree["/images/ramdisk-1"]["data"] == new
    assert tree["/images/ramdisk-1/hash-1"]["value"] == hashlib.sha256(new).digest()


def test_no_key(tmp_path, cli):
    with pytest.raises(
        UsageError, match=r"nothing\.key: no such file; a key for FIT images is NAME\.key with NAME\.crt"
    ):
        fit.key_folder(tmp_path / "nothing.key")
    done = cli("test", "qemuarm64-barebox", "--signing-key", tmp_path / "nothing.key")
    assert (done.returncode, "NAME.crt beside it" in done.stderr) == (2, True)
