# SPDX-License-Identifier: MIT
"""barebox reads, writes, compares and allocates memory as it should."""

import hashlib
import random

from oeqa.barebox import case, ram
from oeqa.barebox.ram import MIB, RamCase


class AccessTest(case.BootloaderTestCase):
    """On a file."""

    place = "/access"
    base = 0

    def setUp(self):
        super().setUp()
        for symbol in ("CMD_MD", "CMD_MW", "CMD_MM", "CMD_MEMCMP", "CMD_MEMSET", "CMD_MEMCPY"):
            self.need(symbol, symbol[4:].lower())
        self.prepare()

    def prepare(self):
        self.shell(f"memcpy -s /dev/zero -d {self.place} 0 0 4096")

    def option(self, letter):
        return f"-{letter} {self.place}"

    def read(self, offset, size, width="b", more=""):
        lines = self.shell(f"md -{width} {more} {self.option('s')} {self.base + offset:#x}+{size}")
        return ram.values(lines, width)

    def write(self, offset, numbers, width="b", more=""):
        text = " ".join(f"{n:#x}" for n in numbers)
        self.shell(f"mw -{width} {more} {self.option('d')} {self.base + offset:#x} {text}")

    def test_every_width(self):
        """What is written in one width is read in each other one."""
        for width in ram.WIDTHS:
            data = random.randbytes(32)
            self.write(64, ram.split(data, width), width)
            for other in ram.WIDTHS:
                self.assertEqual(self.read(64, 32, other), ram.split(data, other), f"{width} read as {other}")

    def test_swapped(self):
        """md -x and mw -x swap the bytes of each number."""
        data = random.randbytes(16)
        for width in ("w", "l", "q"):
            self.write(32, ram.split(data, width), width, "-x")
            swapped = b"".join(n.to_bytes(ram.WIDTHS[width], "big") for n in ram.split(data, width))
            self.assertEqual(bytes(self.read(32, 16)), swapped, f"mw -{width} -x")
            self.assertEqual(self.read(32, 16, width, "-x"), ram.split(data, width), f"md -{width} -x")

    def test_odd_addresses(self):
        """Bytes are written and read at odd addresses, and their neighbours stay."""
        data = bytearray(random.randbytes(24))
        self.write(0, data)
        for offset in (1, 7, 13):
            data[offset] ^= 0xFF
            self.write(offset, [data[offset]])
        self.assertEqual(bytes(self.read(0, 24)), bytes(data))
        self.assertEqual(bytes(self.read(5, 11)), bytes(data[5:16]))

    def test_masked(self):
        """mm changes the bits of its mask and no other."""
        for width, size in ram.WIDTHS.items():
            before, value, mask = (random.getrandbits(8 * size) for _ in range(3))
            self.write(128, [before], width)
            self.shell(f"mm -{width} {self.option('d')} {self.base + 128:#x} {value:#x} {mask:#x}")
            expected = before & ~mask | value & mask
            self.assertEqual(self.read(128, size, width), [expected], f"{before:#x} {value:#x} {mask:#x}")

    def test_fill(self):
        """memset fills its bytes and no other."""
        self.write(256, [0x11] * 32)
        self.shell(f"memset {self.option('d')} {self.base + 259:#x} 0xa5 21")
        self.assertEqual(bytes(self.read(256, 32)), b"\x11" * 3 + b"\xa5" * 21 + b"\x11" * 8)

    def test_compare(self):
        """memcmp finds the first byte that differs, wherever it is, and what is equal it calls so."""
        self.shell(f"memset {self.option('d')} {self.base:#x} 0x33 4096")
        first, second = self.base, self.base + 2048
        command = f"memcmp {self.option('s')} {self.option('d')} {first:#x} {second:#x}"
        for offset in (0, 1, 7, 8, random.randrange(9, 2046), 2047):
            self.write(2048 + offset, [0x34])
            lines = self.shell(f"{command} 2048", status=1)
            self.assertEqual(lines, [f"files differ at offset {offset}"])
            self.shell(f"{command} {offset}" if offset else "true")
            self.write(2048 + offset, [0x33])
        self.shell(f"{command} 2048")


class RamAccessTest(AccessTest, RamCase):
    """On RAM."""

    place = "/dev/mem"

    def prepare(self):
        self.base = self.free()[0]


class AreaTest(case.BootloaderTestCase):
    """How sizes and areas are written."""

    def setUp(self):
        super().setUp()
        self.need("CMD_MEMSET", "memset")
        self.shell("memcpy -s /dev/zero -d /area 0 0 4096")

    def test_suffixes(self):
        """K and M stand for 1024 and its square, small letters and iB with them."""
        for text, place in (("1K", 1024), ("2k", 2048), ("3KiB", 3072)):
            self.shell(f"memset -d /area {text} {place >> 8} 1")
            self.assertEqual(self.dump("/area", 3, place - 1), bytes((0, place >> 8, 0)), text)
        self.shell("memcpy -s /dev/zero -d /large 0 0 1M")
        self.assertIn(f" {MIB} ", self.answer("ls -l /large"))
        self.shell("rm /large")

    def test_areas(self):
        """An area is given by its length or by its last byte."""
        for area in ("16+32", "0x10+0x20", "16-47", "0x10-0x2f"):
            self.assertEqual(len(ram.values(self.shell(f"md -b -s /area {area}"), "b")), 32, area)


class CopyTest(RamCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_MEMCPY", "memcpy")
        self.need("CMD_SHA256SUM", "sha256sum")

    def test_alignment(self):
        """memcpy between RAM at every alignment, and of odd lengths, moves the right bytes and no other."""
        start, _ = self.free()
        data = bytearray(random.randbytes(512))
        for offset in range(0, 512, 64):
            words = " ".join(f"{n:#x}" for n in ram.split(data[offset : offset + 64], "q"))
            self.shell(f"mw -q {start + offset:#x} {words}")
        for step in range(8):
            source, target, length = step, 256 + random.randrange(8), random.randrange(1, 200)
            data[target : target + length] = data[source : source + length]
            self.shell(f"memcpy {start + source:#x} {start + target:#x} {length}")
        self.assertEqual(bytes(ram.values(self.shell(f"md -b {start:#x}+512"), "b")), bytes(data))

    def test_many(self):
        """Some MiB copied from the host to RAM, within RAM and to a file keep their digest."""
        start, _ = self.free()
        data = random.randbytes(3 * MIB + 4099)
        digest = hashlib.sha256(data).hexdigest()
        for device, node in self.each("9p"):
            (self.board.files.share(device) / "many").write_bytes(data)
            self.shell(f"cp {node}/many /many; memcpy -s /many -d /dev/mem 0 {start:#x} {len(data)}")
            self.shell(f"memcpy {start:#x} {start + 4 * MIB:#x} {len(data)}", seconds=60)
            self.shell(f"memcpy {start + 4 * MIB:#x} 0 {len(data)} -d /again", seconds=60)
            for place in (f"{start:#x}+{len(data)}", f"{start + 4 * MIB:#x}+{len(data)}", "/again"):
                self.assertEqual(self.answer(f"sha256sum {place}", seconds=60).split()[0], digest, place)
            self.shell("rm /many /again")
            self.compare(start, start + 4 * MIB, len(data))

    def compare(self, first, second, length):
        """memcmp finds what differs in an area of some MiB, which is equal at first, wherever it is."""
        self.need("CMD_MEMCMP", "memcmp")
        command = f"memcmp {first:#x} {second:#x} {length}"
        self.shell(command, seconds=60)
        for offset in (length - 1, MIB + 3, 4096, 4095):
            self.shell(f"mw -b {second + offset:#x} 0x11; mw -b {first + offset:#x} 0x22")
            self.assertEqual(self.shell(command, seconds=60, status=1), [f"files differ at offset {offset}"])


class MallocTest(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_MEMINFO", "meminfo")
        self.need("CMD_MEMCPY", "memcpy")

    def test_freed(self):
        """What a file took is free again when it is gone, many times over."""
        used = []
        for _ in range(6):
            self.shell("memcpy -s /dev/zero -d /load 0 0 4M; mkdir /loads; cp /load /loads/load", seconds=60)
            self.assertGreaterEqual(ram.malloc(self)[0], 8 * MIB)
            self.shell("rm -r /loads; rm /load")
            used.append(ram.malloc(self)[0])
        self.assertLess(max(used[1:]) - used[1], 64 * 1024, f"it grows: {used}")
