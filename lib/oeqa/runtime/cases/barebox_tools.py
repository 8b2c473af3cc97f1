# SPDX-License-Identifier: MIT
"""Commands on files, images and devices that scripts of boards rely on."""

import gzip
import lzma
import re
import struct
import time
import zlib

from oeqa.barebox import case, images, tools
from oeqa.barebox.disks import BlockCase
from oeqa.barebox.variant import Drive, Variant

KIB = 1 << 10
CONTENT = b"".join(b"otter %d swims\n" % number for number in range(20_000))


class ToolsCase(case.BootloaderTestCase):
    def check_file(self, path, content):
        """A file has these bytes."""
        found = self.answer(f"sha256sum {path}", seconds=60).split()[0]
        self.assertEqual(found, self.hash(content), path)


class UncompressTest(ToolsCase):
    needs = ("CMD_UNCOMPRESS", "CMD_SHA256SUM")

    def check(self, symbol, compressed):
        """What was compressed by the host is as before, and is refused where it is cut off."""
        self.need(symbol)
        self.shell(f"rm -f /plain; uncompress {self.shared(compressed)} /plain", seconds=60)
        self.check_file("/plain", CONTENT)
        result = self.attempt(f"uncompress {self.shared(compressed[: len(compressed) // 2])} /cut", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))

    def test_gzip(self):
        """gzip."""
        self.check("ZLIB", gzip.compress(CONTENT))

    def test_xz(self):
        """xz, with the sum that barebox knows."""
        self.check("XZ_DECOMPRESS", lzma.compress(CONTENT, check=lzma.CHECK_CRC32))

    def test_lz4(self):
        """lz4, in the kernel's format."""
        self.check("LZ4_DECOMPRESS", tools.data("lz4", ["-l", "-c"], CONTENT))

    def test_lzo(self):
        """lzo."""
        self.check("LZO_DECOMPRESS", tools.data("lzop", ["-c"], CONTENT))

    def test_zstd(self):
        """zstd."""
        self.check("ZSTD_DECOMPRESS", tools.data("zstd", ["-q", "-c"], CONTENT))

    def test_not_compressed(self):
        """A file that is not compressed is refused by its kind."""
        result = self.attempt(f"uncompress {self.shared(CONTENT)} /plain", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("unsupported compression", "\n".join(result.lines))


class UimageTest(ToolsCase):
    """U-Boot's legacy image: a header of 64 bytes with two sums, by the format's own description."""

    needs = ("CMD_UIMAGE", "CMD_SHA256SUM")
    LINUX, ARM64, KERNEL = 5, 22, 2

    def image(self, data=CONTENT, spoil=None, missing=0):
        fields = 0x27051956, 0, int(time.time()), len(data), 0x40080000, 0x40080040, zlib.crc32(data)
        head = struct.pack(">7I4B32s", *fields, self.LINUX, self.ARM64, self.KERNEL, 0, b"otter-kernel")
        whole = bytearray(head[:4] + struct.pack(">I", zlib.crc32(head)) + head[8:] + data)
        if spoil is not None:
            whole[spoil] ^= 1
        return self.shared(whole[: len(whole) - missing])

    def test_information(self):
        """Name, size and addresses are told."""
        text = "\n".join(self.shell(f"uimage -i {self.image()}"))
        for expected in ("otter-kernel", str(len(CONTENT)), "40080000", "40080040"):
            self.assertIn(expected, text)

    def test_verified(self):
        """An image is verified; one with a wrong bit in its data or its header is not."""
        self.shell(f"uimage -v {self.image()}", seconds=60)
        for place in (64, 64 + len(CONTENT) - 1, 33):
            result = self.attempt(f"uimage -v {self.image(spoil=place)}", seconds=60)
            self.assertNotEqual(result.status, 0, f"byte {place} is wrong:\n{result}")

    def test_truncated(self):
        """An image whose end is missing is no good one."""
        result = self.attempt(f"uimage -v {self.image(missing=1000)}", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))

    def test_extracted(self):
        """What is in the image is extracted."""
        self.shell(f"uimage -e /extracted {self.image()}", seconds=60)
        self.check_file("/extracted", CONTENT)


class PartitionsTest(BlockCase):
    """Partitions by command, on a disk that has no table."""

    SIZE = 256 * KIB
    needs = ("CMD_PARTITION",)
    variant = Variant(drives=(Drive("plain", images.noise(SIZE)),))

    def setUp(self):
        super().setUp()
        self.path, self.node = self.drive()
        self.addCleanup(self.attempt, f"delpart {self.node}.one {self.node}.two {self.node}.rest")

    def test_places(self):
        """Partitions are where they were asked for, and have the disk's contents."""
        self.shell(f"addpart {self.node} '4k(one),0x2000@64k(two)ro,-(rest)'")
        content = self.path.read_bytes()
        places = {"one": (0, 4 * KIB), "two": (64 * KIB, 8 * KIB), "rest": (72 * KIB, self.SIZE - 72 * KIB)}
        for name, (start, size) in places.items():
            self.assertEqual(int(self.answer(f"ls -l {self.node}.{name}").split()[1]), size, name)
            self.assertEqual(self.guest_digest(f"{self.node}.{name}"), self.hash(content[start : start + size]), name)

    def test_read_only(self):
        """A partition that was asked for as a read-only one cannot be written, another one can."""
        before = self.path.read_bytes()
        self.shell(f"addpart {self.node} '4k(one),4k(two)ro'")
        self.shell("echo -o /text otters swim")
        result = self.attempt(f"memcpy -s /text -d {self.node}.two 0 0 8")
        self.assertNotEqual(result.status, 0, str(result))
        self.shell(f"memcpy -s /text -d {self.node}.one 0 0 8; sync {self.node}")
        self.assertEqual(self.hash(self.path.read_bytes()), self.hash(b"otters s" + before[8:]))

    def test_removed(self):
        """A partition that was removed is gone, and its place can be given away again."""
        self.shell(f"addpart {self.node} '8k(one)'; delpart {self.node}.one")
        self.shell(f"test -e {self.node}.one", status=1)
        self.shell(f"addpart {self.node} '4k(one),4k(two)'; test -e {self.node}.two")

    def test_refused(self):
        """Partitions that overlap, go over the end, or have a name that is there, are errors; removing none is, too."""
        self.shell(f"addpart {self.node} '8k(one)'")
        for description in ("8k@4k(two)", f"8k@{self.SIZE // KIB - 4}k(two)", "8k@64k(one)"):
            result = self.attempt(f"addpart {self.node} '{description}'")
            self.assertNotEqual(result.status, 0, f"{description}:\n{result}")
        self.assertNotEqual(self.attempt(f"delpart {self.node}.nothing").status, 0)


class AutomountTest(BlockCase):
    needs = ("CMD_AUTOMOUNT", "FS_FAT")
    variant = Variant(drives=(Drive("auto", images.fat(lambda: {"otter": CONTENT}, 4 << 20, bits=16)),))

    def test_mounted_by_look(self):
        """A file system is mounted by the first look at its folder, and not before."""
        _, node = self.drive()
        self.addCleanup(self.attempt, "umount /auto; automount -r /auto")
        self.shell(f"automount -d /auto 'echo looked; mount {node} /auto'")
        self.assertIn("/auto", "\n".join(self.shell("automount -l")))
        self.assertNotIn("/auto", "\n".join(self.shell("mount")))
        lines = self.shell("sha256sum /auto/otter; sha256sum /auto/otter", seconds=60)
        self.assertEqual([line.split()[0] for line in lines], ["looked", *[self.hash(CONTENT)] * 2])
        self.assertIn("/auto", "\n".join(self.shell("mount")))

    def test_mounted_by_list(self):
        """The list of the folder is such a look."""
        _, node = self.drive()
        self.addCleanup(self.attempt, "umount /list; automount -r /list")
        self.shell(f"automount -d /list 'mount {node} /list'")
        self.assertEqual([x.strip() for x in self.shell("ls /list", seconds=60)], ["otter"])

    def test_removed(self):
        """A folder that is no longer mounted by a look stays as it is."""
        _, node = self.drive()
        self.shell(f"automount -d /later 'mount {node} /later'; automount -r /later")
        self.shell("test -e /later/otter", status=1)


class SumsTest(ToolsCase):
    def test_each(self):
        """md5sum and its like compute what the host does, also over parts of a file and over several files."""
        present = [k for k in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512") if self.present(k)]
        if not present:
            self.skipTest("the firmware has no command md5sum or its like")
        path = self.shared(CONTENT)
        for kind in present:
            found = [line.split()[0] for line in self.shell(f"{kind}sum {path} {path}", seconds=60)]
            self.assertEqual(found, [self.hash(CONTENT, kind)] * 2, kind)
            found = self.answer(f"{kind}sum {path} 100+0x1000", seconds=60).split()[0]
            self.assertEqual(found, self.hash(CONTENT[100 : 100 + 4 * KIB], kind), kind)
            self.assertNotEqual(self.attempt(f"{kind}sum /nothing").status, 0)

    def present(self, kind):
        return f"{kind}sum" in self.board.commands()


class EnvironmentVariablesTest(case.BootloaderTestCase):
    def test_exported(self):
        """An exported variable is there in scripts, another one is not; printenv tells of both."""
        self.need("CMD_EXPORT", "export")
        self.shell("echo -o /script '#!/bin/sh'; echo -a /script 'echo [$shown] [$hidden]'")
        self.shell("hidden=beaver; export shown=otter")
        self.assertEqual(self.answer("/script"), "[otter] []")
        self.need("CMD_PRINTENV", "printenv")
        self.assertEqual(self.answer("printenv shown"), "shown=otter")
        self.shell("printenv nothing", status=1)

    def test_set(self):
        """setenv assigns and removes."""
        self.need("CMD_SETENV", "setenv")
        self.shell("setenv river wide; setenv lake deep; setenv lake")
        self.assertEqual(self.answer("echo [$river] [$lake]"), "[wide] []")


class DevicesTest(BlockCase):
    needs = ("CMD_DEVLOOKUP",)
    variant = Variant(drives=(Drive("looked", images.table("gpt", 4 << 20, ["start=2048, size=2048, name=otter"])),))

    def test_found(self):
        """devlookup tells a device file's device, and what Linux is told of a partition."""
        _, node = self.drive()
        owner = self.answer(f"devlookup {node}")
        self.assertEqual(self.answer(f"devlookup -v found {node}; echo $found"), owner)
        self.assertIn(owner, "\n".join(self.shell("devinfo")))
        uuid = re.search(r"uuid=([-\w]+)", tools.run("sfdisk", ["-d", self.drive()[0]]))[1]
        self.assertEqual(self.answer(f"devlookup -k {node}.0").lower(), f"root=partuuid={uuid}".lower())
        self.assertNotEqual(self.attempt("devlookup /dev/nothing").status, 0)


class PciTest(case.BootloaderTestCase):
    needs = ("CMD_LSPCI",)

    def test_listed(self):
        """lspci lists each PCI function that QEMU has, with its vendor and device."""
        expected = set()
        for bus in self.board.query("query-pci"):
            for device in bus["devices"]:
                place = f"{bus['bus']:02x}:{device['slot']:02x}.{device['function']:x}"
                expected.add((place, f"{device['id']['vendor']:04x}:{device['id']['device']:04x}"))
        found = [line.split() for line in self.shell("lspci")]
        self.assertEqual({(words[0], words[2]) for words in found}, expected)


class MetadataTest(ToolsCase):
    needs = ("CMD_IMD",)

    def test_own_image(self):
        """imd reads release and board out of the image that was started."""
        path = self.shared(self.board.firmware.image.read_bytes())
        release = "\n".join(self.shell(f"imd -t release {path}", seconds=60))
        self.assertIn(self.board.boots[0].version, release)
        self.shell(f"imd -t release -s found {path}", seconds=60)
        self.assertEqual(self.answer("echo $found"), release.strip())

    def test_none(self):
        """A file without metadata has none."""
        self.assertNotEqual(self.attempt(f"imd -t release {self.shared(CONTENT)}").status, 0)
