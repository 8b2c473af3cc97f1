# SPDX-License-Identifier: MIT
"""Commands on files, images and devices that scripts of boards rely on."""

import gzip
import hmac
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

    def test_counted(self):
        """blkstats counts the blocks that are read and written."""
        self.need("CMD_BLKSTATS", "blkstats")
        name = self.node.rpartition("/")[2]

        def counts():
            lines = [line.split() for line in self.shell("blkstats") if line.split()[0] == name]
            self.assertEqual(len(lines), 1, "lines of the disk")
            return [int(x) for x in lines[0][1:3]]

        self.shell(f"sha256sum {self.node}", seconds=60)
        before = counts()
        self.shell(f"memcpy -s /dev/zero -d {self.node} 0 0x8000 4096; sync {self.node}; sync /dev/zero")
        after = counts()
        self.assertGreaterEqual(before[0], self.SIZE // 512)
        self.assertIn(after[1] - before[1], range(8, 129))
        self.assertEqual([line.split()[0] for line in self.shell(f"blkstats {name}")][-1:], [name])
        self.assertNotEqual(self.attempt("sync /dev/nothing").status, 0)


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

    def test_failed(self):
        """A command that fails is named, and the folder is as if it were not there."""
        self.addCleanup(self.attempt, "automount -r /auto")
        self.shell("automount -d /auto 'echo looked; false'")
        for command in ("ls /auto", "cat /auto/otter"):
            result = self.attempt(command)
            self.assertNotEqual(result.status, 0, str(result))
            self.assertEqual(result.lines[0], "looked")
            self.assertIn("automount command 'echo looked; false' failed", "\n".join(result.lines))

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

    def test_keyed(self):
        """With a key, they compute an HMAC."""
        self.need("DIGEST_HMAC_GENERIC")
        path = self.shared(CONTENT)
        for kind in filter(self.present, ("md5", "sha1", "sha256")):
            found = self.answer(f"{kind}sum -h river {path}").split()[0]
            self.assertEqual(found, hmac.new(b"river", CONTENT, kind).hexdigest(), kind)

    def present(self, kind):
        return f"{kind}sum" in self.board.commands()


class FiletypeTest(ToolsCase):
    """What a file begins with, by the formats' own descriptions."""

    needs = ("CMD_FILETYPE",)

    def check(self, expected):
        """Each content, filled up with zeros to a page, with the short name of its kind."""
        found = {}
        for name, content in expected.items():
            path = self.shared(content + bytes(4096 - len(content)))
            found[name] = self.answer(f"filetype -s kind {path}; echo $kind").split()[-1]
        self.assertEqual(found, {name: name.split()[0] for name in expected})

    def at(self, *pieces):
        """Pieces at their places."""
        content = bytearray(1600)
        for place, piece in pieces:
            content[place : place + len(piece)] = piece
        return bytes(content)

    def test_compressed(self):
        """Compressed files of each kind, and what differs in one byte from them."""
        self.check(
            {
                "gzip": b"\x1f\x8b\x08",
                "unknown gzip": b"\x1f\x8b\x07",
                "bzip2": b"BZh9",
                "unknown bzip2": b"BZh0",
                "xz": b"\xfd7zXZ\0",
                "unknown xz": b"\xfd7zXZ\1",
                "lzo": b"\x89LZO",
                "lz4": b"\x02\x21L\x18",
                "zstd": b"\x28\xb5\x2f\xfd",
                "unknown zstd": b"\x28\xb5\x2f\xfc",
            }
        )

    def test_file_systems(self):
        """File systems and partition tables."""
        boot = b"\x55\xaa"
        fat = (3, b"mkfs.fat"), (13, b"\4\1\0\2"), (21, b"\xf8"), (510, boot)
        self.check(
            {
                "ubi": b"UBI#",
                "jffs2": b"\x85\x19\x03\x20",
                "fat 16": self.at(*fat, (54, b"FAT16   ")),
                "fat 32": self.at(*fat, (82, b"FAT32   ")),
                "mbr": self.at((450, b"\x83"), (454, b"\0\x08"), (510, boot)),
                "unknown mbr": self.at((450, b"\x83"), (454, b"\0\x08")),
                "bbenv": 0x798FBA79.to_bytes(4, "little"),
            }
        )

    def test_images(self):
        """Pictures, scripts, device trees and images of systems."""
        self.check(
            {
                "sh": b"#!/bin/sh\necho",
                "unknown sh": b"#!/bin/bash\n",
                "bmp": b"BM",
                "png": b"\x89PNG\r\n\x1a\n",
                "qoi": b"qoif",
                "dtb": b"\xd0\x0d\xfe\xed",
                "u-boot": b"\x27\x05\x19\x56",
                "android": b"ANDROID!",
                "elf": b"\x7fELF",
                "fip": b"\x01\0\x64\xaa",
                "unknown 1": b"otters swim",
            }
        )

    def test_systems(self):
        """Images of Linux for each architecture, and those that are programs of EFI, too."""
        arm = 56, b"ARM\x64"
        riscv = (48, b"RISCV\0\0\0"), (56, b"RSC\x05")
        x86 = (0x1FE, b"\x55\xaa"), (0x202, b"HdrS")
        program = (0, b"MZ"), (0x3C, b"\x40\0\0\0"), (0x40, b"PE\0\0")
        late = (0, b"MZ"), (0x3C, b"\x80\0\0\0"), (0x80, b"PE\0\0")
        self.check(
            {
                "aarch64-linux": self.at(arm),
                "aarch64-efi-linux": self.at(arm, *program),
                "riscv-linux": self.at(*riscv),
                "riscv-efi-linux": self.at(*riscv, *late),
                "x86-linux": self.at(*x86),
                "x86-efi-linux": self.at(*x86, *late),
                "exe": self.at(*late),
                "arm-zimage": self.at((36, b"\x18\x28\x6f\x01")),
                "arm-efi-zimage": self.at((36, b"\x18\x28\x6f\x01"), *late),
            }
        )

    def test_told(self):
        """The kind is told with the file's name, at more length with -v; what cannot be read is an error."""
        path = self.shared(b"qoif" + bytes(600))
        self.assertEqual(self.answer(f"filetype {path}").split()[0], f"{path}:")
        self.assertIn("QOI image (qoi)", self.answer(f"filetype -v {path}"))
        self.assertTrue([x for x in self.shell("filetype -l") if re.fullmatch(r"qoi +: QOI image", x)])
        for options in ("/nothing", "/env", ""):
            self.assertNotEqual(self.attempt(f"filetype {options}").status, 0, options)

    def test_short(self):
        """A file of a few bytes is of no kind, an empty one is empty."""
        for content in (b"BZh9", b"qoif", b"x"):
            self.assertIn("unknown", self.answer(f"filetype {self.shared(content)}"), content)


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


class FindmntTest(BlockCase):
    needs = ("CMD_FINDMNT", "FS_FAT")
    variant = Variant(drives=(Drive("found", images.fat(lambda: {"in/otter": CONTENT}, 4 << 20, bits=16)),))

    def setUp(self):
        super().setUp()
        _, self.node = self.drive()
        self.addCleanup(self.attempt, "umount /river")
        self.shell(f"mkdir -p /river; mount {self.node} /river")

    def test_found(self):
        """What is mounted is found by folder, by device, and by a file on it."""
        for options in ("/river", self.node, "-T /river/in/otter", "-T /river"):
            lines = [line.split() for line in self.shell(f"findmnt {options}")]
            self.assertEqual([lines[0][:2], lines[1][:3]], [["TARGET", "SOURCE"], ["/river", self.node, "fat"]])
            self.assertEqual(len(lines), 2, options)
        listed = [line.split()[:2] for line in self.shell("findmnt")]
        self.assertLessEqual({("TARGET", "SOURCE"), ("/", "none"), ("/river", self.node)}, set(map(tuple, listed)))
        self.assertEqual(sum(words[0] == "TARGET" for words in listed), 1)

    def test_variable(self):
        """The device goes into a variable."""
        for options in ("/river", "-T /river/in/otter"):
            self.assertEqual(self.shell(f"v=; findmnt -v v {options}; echo $v"), [self.node], options)
        self.assertEqual(self.answer("findmnt -T /env -v v; echo $v"), "none")

    def test_not_found(self):
        """A folder where nothing is mounted, and what there is not, are not found."""
        self.shell("umount /river")
        for options in ("/river", self.node, "/nothing", "-T /nothing", "/dev/nothing"):
            self.assertNotEqual(self.attempt(f"findmnt {options}").status, 0, options)

    def test_by_itself(self):
        """A device is mounted by its name in /mnt where no folder is named, by mount -a with all others that have a
        file system, and mount -v tells which of these there are."""
        self.shell("umount /river")
        name = self.node.rpartition("/")[2]
        all_of_them = () if "EFI_PAYLOAD" in (self.board.symbols or ()) else ("mount -a",)  # the firmware's are slow
        for command in (f"mount {self.node}", f"mount -t fat {self.node}", *all_of_them):
            self.addCleanup(self.attempt, f"umount /mnt/{name}")
            self.shell(command, seconds=60)
            self.assertEqual([x for x in self.shell("mount") if name in x], [f"{self.node} on /mnt/{name} type fat"])
            self.assertEqual(self.answer(f"sha256sum /mnt/{name}/in/otter", seconds=60).split()[0], self.hash(CONTENT))
            self.shell(f"umount {self.node}")
            self.assertEqual([x for x in self.shell("mount") if name in x], [])
        lines = self.shell("mount -v")
        self.assertLessEqual({"fat", "ramfs"}, set(lines[lines.index("Supported filesystems:") :]))

    def test_refused(self):
        """What is no file system, what is not there, and a driver that there is not, cannot be mounted."""
        for arguments in ("/dev/zero /other", "/dev/nothing /other", f"-t otterfs {self.node} /other"):
            self.assertNotEqual(self.attempt(f"mount {arguments}").status, 0, arguments)
        self.assertEqual([x for x in self.shell("mount") if "/other" in x], [])
        for path in ("/nothing", "/env"):
            self.assertNotEqual(self.attempt(f"umount {path}").status, 0, path)


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
        self.assertNotEqual(self.attempt("devlookup /dev/zero").status, 0)

    def test_parameter(self):
        """devlookup tells a parameter of a device file's device, as devinfo does, and refuses one that it has not."""
        _, node = self.drive()
        text = "\n".join(self.shell(f"devinfo {self.answer(f'devlookup {node}')}"))
        found = dict(re.findall(r"(?m)^  ([\w.]+): (\S+) \(type: ", text))
        if not found:
            self.skipTest("the device of a disk has no parameters here")
        for name, value in found.items():
            self.assertEqual(self.answer(f"devlookup {node} {name}"), value)
            self.assertEqual(self.answer(f"devlookup -v v {node} {name}; echo $v"), value)
        self.assertNotEqual(self.attempt(f"devlookup {node} otter").status, 0)


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

    def metadata(self, *tags):
        """An image that has such tags, by the format's description, with their type and data."""
        parts = [(0x640C0001, b""), *tags, (0x640C7FFF, b"")]
        body = b"".join(struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 4) for kind, data in parts)
        return CONTENT[:1000] + body + CONTENT[1000:3000]

    def test_tags(self):
        """Each kind of tag is listed by its name, several texts of one with blanks between them, or one of them."""
        tags = (0x640C8002, b"otter-1\0"), (0x640C8004, b"River\0"), (0x640C8005, b"otter,river\0heron,lake\0")
        path = self.shared(self.metadata(*tags, (0x640C8006, b"key=value\0")))
        listed = [x for x in self.shell(f"imd {path}") if ": " in x]
        expected = ["release: otter-1", "model: River", "of_compatible: otter,river heron,lake", "parameter: key=value"]
        self.assertEqual([x.rstrip() for x in listed], expected)
        self.assertEqual(self.answer(f"imd -t of_compatible -n 1 {path}"), "heron,lake")
        self.assertEqual(self.answer(f"imd -t of_compatible -n 0 -s v {path}; echo $v"), "otter,river")
        for options in ("-t build", "-t otter", "-t of_compatible -n 2", ""):
            target = path if options else ""
            self.assertNotEqual(self.attempt(f"imd {options} {target}").status, 0, options)

    def test_sum(self):
        """A sum over the image is put into its tag, and tells a damaged image; an image without a tag takes none."""
        image = self.metadata((0x640C8004, b"River\0"), (0x640C1007, bytes(5)))
        place = image.index(struct.pack("<II", 0x640C1007, 5)) + 8
        share = self.devices("9p")[0]
        node = self.board.node(share)
        self.shell(f"cp {self.shared(image)} /image; imd -c /image; imd -V /image; cp /image {node}/summed")
        self.addCleanup(self.attempt, "rm /image")
        summed = (self.board.files.share(share) / "summed").read_bytes()
        right = zlib.crc32(image[place + 5 :], zlib.crc32(image[:place]))
        self.assertEqual(summed, image[:place] + struct.pack("<IB", right, 1) + image[place + 5 :])
        self.assertIn(f"crc32: {right:#010x}", self.shell("imd /image"))
        for wrong in (3, place, len(summed) - 1):
            damaged = bytearray(summed)
            damaged[wrong] ^= 1
            self.assertNotEqual(self.attempt(f"imd -V {self.shared(damaged)}").status, 0, f"byte {wrong}")
        for option in ("-c", "-V"):
            self.shell(f"cp {self.shared(self.metadata((0x640C8004, b'River' + bytes(1))))} /image")
            self.assertNotEqual(self.attempt(f"imd {option} /image").status, 0, option)

    def test_none(self):
        """A file without metadata has none."""
        self.assertNotEqual(self.attempt(f"imd -t release {self.shared(CONTENT)}").status, 0)


class AccessTest(ToolsCase):
    """Defaults and refusals of the commands that read and write bytes."""

    needs = ("CMD_MD", "CMD_MW", "CMD_MM", "CMD_MEMCMP", "CMD_MEMCPY", "CMD_MEMSET")

    def setUp(self):
        super().setUp()
        self.path = self.shared(CONTENT)
        self.addCleanup(self.attempt, "rm -f /numbers /none")
        self.shell("echo -n -o /numbers 0123456789abcdef")

    def test_shown(self):
        """md shows 256 bytes in lines of 16, by default as numbers of 32 bits, with the text beside them."""
        lines = self.shell(f"md -s {self.path}")
        self.assertEqual(lines, self.shell(f"md -l -s {self.path} 0+0x100"))
        for number, line in enumerate(lines):
            piece = CONTENT[16 * number : 16 * number + 16]
            words = " ".join(f"{x:08x}" for x in struct.unpack("<4I", piece))
            text = re.sub(r"[^ -~]", ".", piece.decode())
            self.assertEqual(line[:10], f"{16 * number:08x}: ")
            self.assertTrue(line.startswith(f"{16 * number:08x}: {words} ") and line.endswith(text), line)
        self.assertEqual(len(lines), 16)
        self.assertEqual(self.shell(f"md -s {self.path} 0x20")[:14], lines[2:])

    def test_part_of_a_line(self):
        """A last line that is not full has its text in the same column."""
        for width, size in (("b", 1), ("w", 2), ("l", 4), ("q", 8)):
            lines = self.shell(f"md -{width} -s {self.path} 8+24")
            self.assertEqual(len(lines), 2)
            texts = [re.sub(r"[^ -~]", ".", CONTENT[start : start + n].decode()) for start, n in ((8, 16), (24, 8))]
            self.assertEqual(lines[0].rindex(texts[0]), lines[1].rindex(texts[1]), width)
            self.assertEqual(len(lines[1].split(":")[1].split(texts[1])[0].split()), 8 // size, width)

    def test_written(self):
        """mw writes several numbers on from a place, and refuses one that its width has no room for."""
        self.shell("mw -b -d /numbers 3 0x41 0x42 67; mw -w -d /numbers 8 0x5a59")
        self.assertEqual(self.answer("cat /numbers"), "012ABC67YZabcdef")
        for command in ("mw -b -d /numbers 0 0x141", "mw -w -d /numbers 0 0x10000", "mw -b -d /numbers 0 otter"):
            self.assertNotEqual(self.attempt(command).status, 0, command)
        self.assertEqual(self.answer("cat /numbers"), "012ABC67YZabcdef")

    def test_far(self):
        """Places are told in K, M and G, and an area by its end as well."""
        for area, place, size in (
            ("1G+2", 1 << 30, 2),
            ("3M+1", 3 << 20, 1),
            ("2M-0x200003", 2 << 20, 4),
            ("5k-5121", 5120, 2),
        ):
            self.assertEqual(
                self.answer(f"md -b -s /dev/zero {area}").split()[: size + 1], [f"{place:08x}:", *["00"] * size]
            )

    def test_refused(self):
        """What cannot be read, an area that is none, and too few arguments are errors."""
        for command in (
            "md -s /none",
            "md -s /numbers 5-2",
            "md -s /numbers 0+x",
            "md /numbers",
            "mm -b -d /numbers 0 1",
        ):
            self.assertNotEqual(self.attempt(command).status, 0, command)
        for command in ("mw -d /numbers 0", "memset -d /numbers 0 1", "memcmp -s /numbers -d /none 0 0 1", "memcpy"):
            self.assertNotEqual(self.attempt(command).status, 0, command)
        for command in ("memcpy -s /none -d /numbers 0 0 1", "memcmp -s /none -d /numbers 0 0 1", "mm -b"):
            self.assertNotEqual(self.attempt(command).status, 0, command)
        self.assertEqual(self.answer("cat /numbers"), "0123456789abcdef")


class HelpTest(ToolsCase):
    needs = ("CMD_HELP",)

    def test_command(self):
        """help tells what a command is for and how it is called, and knows the commands that it lists, no other."""
        lines = self.shell("help basename")
        self.assertTrue(lines[1].startswith("basename - "), lines)
        self.assertIn("Usage: basename PATH VAR", lines)
        self.assertEqual(self.shell("help ls cat")[1].split()[0], "ls")
        self.assertIn("Unknown command 'otter'", self.shell("help otter", status=1)[0])

    def test_all(self):
        """help alone lists commands by groups, in order of their names, with -v with what each is for, and with -a,
        how each is called."""
        groups, group = {}, ""
        for line in self.shell("help"):
            if line.endswith("commands:"):
                group = line
            elif line.startswith("  "):
                groups.setdefault(group, []).extend(line.replace(",", " ").split())
        self.assertLessEqual({"cat", "cd", "ls", "rm"}, set(groups["File commands:"]))
        for names in groups.values():
            self.assertEqual(names, sorted(names))
        self.assertTrue([x for x in self.shell("help -v") if re.match(r" *basename +strip directory", x)])
        usages = [x.split()[1] for x in self.shell("help -a", seconds=90) if x.startswith("Usage: ")]
        self.assertGreater(len(usages), 50)

    def test_options(self):
        """An option that a command has not, and one that lacks its argument, are named, with how it is called."""
        for command, text in (("ls -x", "ls: invalid option -- x"), ("ls -lx", "ls: invalid option -- x")):
            lines = self.shell(command, status=1)
            self.assertEqual(lines[0], text)
            self.assertTrue([x for x in lines if x.startswith("Usage: ls ")])
        self.assertEqual(self.shell("stat -c", status=1)[0], "option requires an argument -- c")
