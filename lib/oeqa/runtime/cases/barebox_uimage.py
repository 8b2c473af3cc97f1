# SPDX-License-Identifier: MIT
"""barebox takes initrds and device trees out of U-Boot's legacy images, which have, by the format's own description, a
header of 64 bytes with two sums, and for several files their sizes behind it. It boots Android's images, in which each
part begins at a multiple of a page's size."""

import functools
import gzip
import random
import struct
import zlib

from oeqa.barebox import payload, tools
from oeqa.barebox.handover import HandoverCase, kernel

LINUX, ARCHITECTURES = 5, {"aarch64": 22, "riscv64": 26}
KERNEL, RAMDISK, MULTI, TREE = 2, 3, 4, 8
NONE, GZIP = 0, 1
INITRD, SECOND = random.randbytes(300_001), random.randbytes(70_004)
PACKED = gzip.compress(INITRD, mtime=0)
SOURCE = """/dts-v1/; / { compatible = "linux,dummy-virt", "riscv-virtio"; model = "%s";
    #address-cells = <2>; #size-cells = <2>; chosen { }; };"""


def image(arch, kind, data, packing=NONE, spoil=None, machine=None):
    """A legacy image; ``spoil`` is a byte of it in which a bit is wrong."""
    fields = 0x27051956, 0, 1_700_000_000, len(data), 0x40080000, 0x40080000, zlib.crc32(data)
    kinds = LINUX, machine or ARCHITECTURES[arch], kind, packing
    head = struct.pack(">7I4B32s", *fields, *kinds, b"otter")
    whole = bytearray(head[:4] + struct.pack(">I", zlib.crc32(head)) + head[8:] + data)
    if spoil is not None:
        whole[spoil] ^= 1
    return bytes(whole)


def several(*contents):
    """The data of an image of several files: their sizes up to a zero, and each file up to a multiple of four bytes."""
    sizes = struct.pack(f">{len(contents) + 1}I", *map(len, contents), 0)
    return sizes + b"".join(content + bytes(-len(content) % 4) for content in contents)


def android(page, kernel, initrd, told=None):
    """An Android boot image, version 0; ``told`` is the size of a page that it tells, where that is another one."""
    sizes = len(kernel), 0x40080000, len(initrd), 0x42000000, 0, 0
    head = struct.pack("<8s10I16s512s32x", b"ANDROID!", *sizes, 0, told or page, 0, 0, b"otter", b"never=told")
    return b"".join(part + bytes(-len(part) % page) for part in (head, kernel, initrd))


@functools.cache
def odd_kernel(arch):
    """A small kernel that does not end with a page, the same each time."""
    return payload.image(arch, 200_003)


@functools.cache
def files(arch):
    tree, packed, third = (tools.data("dtc", ["-q", "-"], (SOURCE % x).encode()) for x in ("tree", "packed", "third"))
    return {
        "image": kernel(arch),
        "initrd": image(arch, RAMDISK, INITRD),
        "initrd.gz": image(arch, RAMDISK, PACKED, GZIP),
        "initrd.end": image(arch, RAMDISK, INITRD, spoil=64 + len(INITRD) - 1),
        "initrd.head": image(arch, RAMDISK, INITRD, spoil=33),
        "several": image(arch, MULTI, several(INITRD, SECOND, third)),
        "tree": image(arch, TREE, tree),
        "packed": image(arch, TREE, gzip.compress(packed), GZIP),
        "kernel": image(arch, KERNEL, kernel(arch)),
        "kernel.end": image(arch, KERNEL, kernel(arch), spoil=64 + 70_000),
        "alien": image(arch, KERNEL, kernel(arch), machine=2),
        "plain": SECOND,
        "android": android(2048, odd_kernel(arch), SECOND),
        "android.kernel": android(16384, odd_kernel(arch), b""),
        "android.cut": android(2048, kernel(arch)[:8192], SECOND)[:-8192],
        "android.small": android(2048, kernel(arch)[:8192], b"", 512),
        "android.large": android(2048, kernel(arch)[:8192], b"", 1 << 17),
    }


class UimageTest(HandoverCase):
    needs = (*HandoverCase.needs, "BOOTM_UIMAGE")
    files = files

    def test_initrd(self):
        """An initrd arrives without the header that it has in the image."""
        with self.started("bootm -r DISK/initrd DISK/image") as handed:
            self.check_kernel(handed)
            self.check_initrd(handed, INITRD)

    def test_packed_initrd(self):
        """An initrd that is compressed arrives so, as Linux itself unpacks it."""
        with self.started("bootm -r DISK/initrd.gz DISK/image") as handed:
            self.check_initrd(handed, PACKED)

    def test_several(self):
        """Of an image of several files, the one whose number is behind @ is taken, for initrd and device tree."""
        self.need("BOOTM_OFTREE_UIMAGE")
        with self.started("bootm -r DISK/several@1 -o DISK/several@2 DISK/image") as handed:
            self.check_initrd(handed, SECOND)
            self.assertEqual(handed.tree["/"]["model"], b"third\0")

    def test_first_of_several(self):
        """The first file is taken where there is no number; with one that is too high, nothing is booted."""
        self.refused("bootm -r DISK/several@3 DISK/image", "(?i)invalid")
        with self.started("bootm -r DISK/several DISK/image") as handed:
            self.check_initrd(handed, INITRD)

    def check_tree(self, name):
        """The device tree in an image is handed over, beside an initrd that is in none."""
        self.need("BOOTM_OFTREE_UIMAGE")
        with self.started(f"bootm -r DISK/plain -o DISK/{name} DISK/image") as handed:
            self.assertEqual(handed.tree["/"]["model"], f"{name}\0".encode())
            self.check_initrd(handed, SECOND)

    def test_tree(self):
        """A device tree is taken out of an image, and the initrd beside it may be in none."""
        self.check_tree("tree")

    def test_packed_tree(self):
        """A device tree that is compressed in an image is unpacked."""
        self.check_tree("packed")

    def test_file_system(self):
        """What is in an image of several files is there as files, once it is mounted."""
        self.need("FS_UIMAGEFS")
        self.need("BOOTM_SHOW_TYPE")  # without which barebox knows no names of kinds, which are files, too
        self.need("CMD_SHA256SUM")
        tree = tools.data("dtc", ["-q", "-"], (SOURCE % "third").encode())
        data = several(INITRD, SECOND, tree)
        for name, contents in (
            ("several", {"data": data, "data0": INITRD, "data1": SECOND, "data2": tree}),
            ("initrd", {"data": INITRD}),
        ):
            self.shell(f"mkdir -p /inside; mount -t uimagefs {self.folder}/{name} /inside", seconds=60)
            self.addCleanup(self.attempt, "umount /inside")
            found = {path: self.answer(f"sha256sum /inside/{path}", seconds=60).split()[0] for path in contents}
            self.assertEqual(found, {path: self.hash(content) for path, content in contents.items()}, name)
            self.assertEqual(self.answer("cat /inside/name"), "otter")
            told = [int(self.answer(f"cat /inside/{path}"), 16) for path in ("load_addr", "data.crc")]
            self.assertEqual(told, [0x40080000, zlib.crc32(contents["data"])], name)
            self.shell("umount /inside")
        self.refused("mount -t uimagefs DISK/initrd.head /inside", "(?i)invalid|bad|error")

    def test_damaged(self):
        """An image with a wrong bit is refused, in its header always, in its data unless nobody wants it verified."""
        self.refused("bootm -r DISK/initrd.head DISK/image", "Bad Header Checksum")
        self.refused("bootm -r DISK/initrd.end DISK/image", "Bad Data CRC")
        self.refused("bootm DISK/kernel.end", "Bad Data CRC")
        self.shell("global.bootm.verify=none")
        with self.started("bootm -r DISK/initrd.end DISK/image") as handed:
            self.check_initrd(handed, INITRD[:-1] + bytes([INITRD[-1] ^ 1]))

    def test_kernel(self):
        """A kernel for another architecture is refused by its number; one for this machine, that is no Image of Linux
        but an old one, as nobody knows how to start it."""
        self.refused("bootm DISK/alien", "Unsupported Architecture 0x2")
        self.refused("bootm DISK/kernel", "no image handler found")


class AndroidTest(HandoverCase):
    needs = (*HandoverCase.needs, "BOOTM_AIMAGE")
    files = files

    def check_kernel(self, handed):
        content = odd_kernel(self.board.machine.arch)
        self.check_same(self.board.memory(handed.registers["start"], len(content)), content, "the kernel in memory")

    def test_image(self):
        """Kernel and initrd arrive whole, each from the page that it begins at."""
        with self.started("bootm DISK/android") as handed:
            self.check_kernel(handed)
            self.check_initrd(handed, SECOND)

    def test_kernel_alone(self):
        """An image without an initrd gets the one of the command line, and the device tree from there, too."""
        self.own(SOURCE % "own")
        with self.started("bootm -r DISK/plain -o /own DISK/android.kernel") as handed:
            self.check_kernel(handed)
            self.check_initrd(handed, SECOND)
            self.assertEqual(handed.tree["/"]["model"], b"own\0")

    def test_refused(self):
        """An image whose pages are too small or too large, or that is cut off, is refused."""
        self.refused("bootm DISK/android.small", "Invalid page_size 0x00000200")
        self.refused("bootm DISK/android.large", "Invalid page_size 0x00020000")
        self.refused("bootm DISK/android.cut", "handler failed")

    def test_dry_run(self):
        """A dry run boots nothing, and leaves nothing of what it unpacked."""
        before = self.shell("ls /tmp")
        self.shell(f"bootm -d {self.folder}/android", seconds=60)
        self.assertEqual(self.shell("ls /tmp"), before)
