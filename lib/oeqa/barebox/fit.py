# SPDX-License-Identifier: MIT
"""FIT images, made and signed with U-Boot's mkimage, and changed afterwards as an attacker would.

Format: https://fitspec.osfw.foundation. A key is a file NAME.key with the private half in PEM, beside a certificate
NAME.crt, as openssl makes them:

    openssl req -batch -new -x509 -newkey rsa:2048 -nodes -days 36500 -subj /CN=NAME -keyout NAME.key -out NAME.crt
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import devicetree, tools
from .errors import UsageError

ARCHES = {"aarch64": "arm64", "riscv64": "riscv", "x86_64": "x86_64"}
KERNEL, OTHER_KERNEL, INITRD, OTHER_INITRD = "kernel-1", "kernel-2", "ramdisk-1", "ramdisk-2"
SOURCE = """/dts-v1/;
/ {{
    description = "of the test";
    #address-cells = <1>;
    images {{ {images} }};
    configurations {{
        default = "conf-1";
        {boards}
        conf-1 {{ description = "one"; kernel = "kernel-1"; ramdisk = "{initrds}"; {signature} }};
    }};
}};
"""
IMAGE = """{name} {{
    description = "{name}"; data = /incbin/("{name}"); type = "{kind}"; arch = "{arch}"; os = "linux";
    compression = "none"; {load} hash-1 {{ algo = "sha256"; }};
}};
"""
BOARD = 'board-{number} {{ description = "{number}"; kernel = "{kernel}"; compatible = "{compatible}"; }};'
ADDRESSES = "load = <0>; entry = <0>;"  # of no meaning with kernel_noload, and wanted all the same
SIGNATURE = """signature-1 {{
    algo = "sha256,rsa2048"; key-name-hint = "{name}"; sign-images = "kernel", "ramdisk";
}};"""


def make(
    arch: str, images: Mapping[str, bytes], key: Path | None, boards: Sequence[tuple[str, Sequence[str]]] = ()
) -> bytes:
    """A FIT image with a configuration of kernel-1 and all ramdisks, which is the default.

    :param images: contents by name: kernel-1, ramdisk-1 and others; kernels which the configuration does not name, too
    :param key: signs the configuration, which is unsigned where it is left out
    :param boards: configurations before it, by their kernels, each with the boards that it is for, the best one first
    :raises Unavailable: mkimage or dtc are not installed
    :raises UsageError: the key is not there
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nodes = ""
        for image, content in images.items():
            (folder / image).write_bytes(content)
            kind, load = ("ramdisk", "") if image.startswith("ramdisk") else ("kernel_noload", ADDRESSES)
            nodes += IMAGE.format(name=image, kind=kind, arch=ARCHES[arch], load=load)
        signature = SIGNATURE.format(name=key.stem) if key else ""
        others = "".join(
            BOARD.format(number=number, kernel=kernel, compatible='", "'.join(compatible))
            for number, (kernel, compatible) in enumerate(boards)
        )
        initrds = '", "'.join(image for image in images if image.startswith("ramdisk"))
        source = SOURCE.format(images=nodes, boards=others, initrds=initrds, signature=signature)
        (folder / "its").write_text(source, encoding="utf-8")
        signed: list[str | Path] = ["-k", key_folder(key), "-r"] if key else []
        tools.run("mkimage", ["-f", folder / "its", *signed, folder / "itb"])
        return (folder / "itb").read_bytes()


def key_folder(key: Path) -> Path:
    """The folder of a key, where mkimage finds it.

    :raises UsageError: the key is not there, or its certificate is not beside it
    """
    for path in (key, key.with_suffix(".crt")):
        if path.suffix not in (".key", ".crt") or not path.is_file():
            raise UsageError(f"{path}: no such file; a key for FIT images is NAME.key with NAME.crt beside it")
    return key.parent


def new_key(folder: Path, name: str) -> Path:
    """A new key called ``name``.

    :raises Unavailable: openssl is not installed
    """
    key = folder / f"{name}.key"
    options = ["-batch", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500", "-subj", f"/CN={name}"]
    tools.run("openssl", ["req", *options, "-keyout", key, "-out", key.with_suffix(".crt")])
    return key


def with_other_key(arch: str, images: Mapping[str, bytes], name: str) -> bytes:
    """The same FIT image, signed with a key that has the right name and is another one."""
    folder = Path(tempfile.mkdtemp())
    try:
        return make(arch, images, new_key(folder, name))
    finally:
        shutil.rmtree(folder)


def flip(blob: bytes, part: bytes, offset: int = 0) -> bytes:
    """The blob with one bit changed in the only place where ``part`` stands.

    :raises ValueError: it does not stand there once
    """
    if blob.count(part) != 1:
        raise ValueError(f"{part[:16]!r} is there {blob.count(part)} times")
    changed = bytearray(blob)
    changed[blob.index(part) + offset] ^= 1
    return bytes(changed)


def signature(blob: bytes) -> bytes:
    """The signature of conf-1.

    :raises KeyError: there is none
    """
    return devicetree.from_blob(blob)["/configurations/conf-1/signature-1"]["value"]


def swapped(blob: bytes) -> bytes:
    """The blob with conf-1 made to name the other kernel.

    :raises ValueError: its kernel's name does not stand there once as a property
    """
    size = len(KERNEL) + 1
    name = size.to_bytes(4, "big")
    places = [i for i in _all(blob, KERNEL.encode() + b"\0") if blob[i - 8 : i - 4] == name]
    (place,) = [i for i in places if _property(blob, i - 4) == "kernel"]
    return blob[:place] + OTHER_KERNEL.encode() + blob[place + len(KERNEL) :]


def _all(blob: bytes, part: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(part), blob)]


def _property(blob: bytes, place: int) -> str:
    """The name of the property whose offset into the strings stands at ``place``."""
    strings = int.from_bytes(blob[12:16], "big")
    start = strings + int.from_bytes(blob[place : place + 4], "big")
    return blob[start : blob.index(b"\0", start)].decode(errors="replace")


def with_content(blob: bytes, old: bytes, new: bytes) -> bytes:
    """The blob with an image's content replaced by another of the same length, and its digest made to fit.

    :raises ValueError: the content or its digest do not stand there once
    """
    for before, after in ((old, new), (hashlib.sha256(old).digest(), hashlib.sha256(new).digest())):
        if len(before) != len(after) or blob.count(before) != 1:
            raise ValueError("the content is not there once, or of another length")
        blob = blob.replace(before, after)
    return blob
