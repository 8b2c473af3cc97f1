# SPDX-License-Identifier: MIT
"""barebox reads, writes, compares, maps and allocates memory as it should, at several sizes of RAM."""

import hashlib
import random
import re

from oeqa.barebox import case
from oeqa.barebox.variant import Variant

WIDTHS = {"b": 1, "w": 2, "l": 4, "q": 8}
MIB = 1 << 20


def values(lines, width):
    """The numbers in md's hex dump, as many as its line holds of the width."""
    digits = 2 * WIDTHS[width]
    columns = 16 * (digits + 1) // WIDTHS[width] + 2
    found = []
    for line in lines:
        text = line.partition(": ")[2][:columns]
        found += [int(x, 16) for x in re.findall(rf"\b[0-9a-f]{{{digits}}}\b", text)]
    return found


def split(data, width):
    """The little-endian numbers of one width in some bytes."""
    size = WIDTHS[width]
    return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]


class Ram(case.BootloaderTestCase):
    """RAM that is nobody's: what the cases below have in common."""

    def setUp(self):
        super().setUp()
        if "EFI_PAYLOAD" in (self.board.symbols or ()):
            self.skipTest("CONFIG_EFI_PAYLOAD is on: RAM belongs to the firmware below")

    def banks(self):
        """Each bank of RAM: its bounds and the bounds of what lies in it."""
        self.need("CMD_IOMEM", "iomem")
        found = []
        for line in self.shell("iomem"):
            indent, first, last, name = re.match(r"( *)0x(\w+) - 0x(\w+) \(.*?\) (.*)", line).groups()
            area = int(first, 16), int(last, 16) + 1
            if len(indent) == 2:
                found += [(*area, [])] if re.match(r"ram\d+$", name) else []
            elif found and len(indent) == 4 and found[-1][0] <= area[0] < found[-1][1]:
                found[-1][2].append(area)
        if not found:
            self.skipTest("iomem lists no RAM: an EFI payload owns none")
        return found

    def free(self):
        """The bounds of the larger gap in the first bank, less its first half, where QEMU's device tree may be."""
        start, end, used = self.banks()[0]
        edges = [(start, start), *sorted(used), (end, end)]
        low, high = max(((a[1], b[0]) for a, b in zip(edges, edges[1:])), key=lambda gap: gap[1] - gap[0])
        return (low + (high - low) // 2 + 0xFFF) & ~0xFFF, high


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
        return values(lines, width)

    def write(self, offset, numbers, width="b", more=""):
        text = " ".join(f"{n:#x}" for n in numbers)
        self.shell(f"mw -{width} {more} {self.option('d')} {self.base + offset:#x} {text}")

    def test_every_width(self):
        """What is written in one width is read in each other one."""
        for width in WIDTHS:
            data = random.randbytes(32)
            self.write(64, split(data, width), width)
            for other in WIDTHS:
                self.assertEqual(self.read(64, 32, other), split(data, other), f"{width} read as {other}")

    def test_swapped(self):
        """md -x and mw -x swap the bytes of each number."""
        data = random.randbytes(16)
        for width in ("w", "l", "q"):
            self.write(32, split(data, width), width, "-x")
            swapped = b"".join(n.to_bytes(WIDTHS[width], "big") for n in split(data, width))
            self.assertEqual(bytes(self.read(32, 16)), swapped, f"mw -{width} -x")
            self.assertEqual(self.read(32, 16, width, "-x"), split(data, width), f"md -{width} -x")

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
        for width, size in WIDTHS.items():
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


class RamAccessTest(AccessTest, Ram):
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
            self.assertEqual(len(values(self.shell(f"md -b -s /area {area}"), "b")), 32, area)


class CopyTest(Ram):
    def setUp(self):
        super().setUp()
        self.need("CMD_MEMCPY", "memcpy")
        self.need("CMD_SHA256SUM", "sha256sum")

    def test_alignment(self):
        """memcpy between RAM at every alignment, and of odd lengths, moves the right bytes and no other."""
        start, _ = self.free()
        data = bytearray(random.randbytes(512))
        for offset in range(0, 512, 64):
            words = " ".join(f"{n:#x}" for n in split(data[offset : offset + 64], "q"))
            self.shell(f"mw -q {start + offset:#x} {words}")
        for step in range(8):
            source, target, length = step, 256 + random.randrange(8), random.randrange(1, 200)
            data[target : target + length] = data[source : source + length]
            self.shell(f"memcpy {start + source:#x} {start + target:#x} {length}")
        self.assertEqual(bytes(values(self.shell(f"md -b {start:#x}+512"), "b")), bytes(data))

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


def memory(test):
    """Bytes that malloc has given away, and has left."""
    text = "\n".join(test.shell("meminfo"))
    return tuple(int(re.search(rf"{word}: (\d+)", text)[1]) for word in ("used", "free"))


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
            self.assertGreaterEqual(memory(self)[0], 8 * MIB)
            self.shell("rm -r /loads; rm /load")
            used.append(memory(self)[0])
        self.assertLess(max(used[1:]) - used[1], 64 * 1024, f"it grows: {used}")


class MappingTest(Ram):
    """How pages are mapped, by what the processor itself says to the address (mmuinfo)."""

    def setUp(self):
        super().setUp()
        self.need("CMD_ARM_MMUINFO", "mmuinfo")

    def mapping(self, address):
        """What mmuinfo says of an address, for reading and for writing."""
        text = "\n".join(self.shell(f"mmuinfo {address:#x}"))
        return text.partition("privileged write:")[::2]

    def area(self, name):
        found = re.search(rf"0x(\w+) - 0x(\w+) \(.*?\) {name}$", "\n".join(self.shell("iomem")), re.M)
        self.assertTrue(found, f"iomem lists no {name}")
        return int(found[1], 16), int(found[2], 16)

    def test_ram(self):
        """RAM is cached, readable and writable, and is where its address says."""
        start, end = self.free()
        heap = self.area("malloc space")
        for address in (start, end - 4096, (heap[0] + heap[1]) // 2, self.area("stack")[0]):
            for side in self.mapping(address):
                self.assertIn("Write-Back", side)
                self.assertIn(f"Physical Address [51:12]: {address & ~0xFFF:#010x}", side)

    def test_program(self):
        """barebox' code and constants can be read and not be written."""
        for name in ("barebox code", "barebox RO data"):
            for address in self.area(name):
                read, write = self.mapping(address & ~0xFFF)
                self.assertIn("Write-Back", read, name)
                self.assertIn("Translation aborted", write, f"{name} at {address:#x} is writable")

    def test_devices(self):
        """Devices are mapped as devices."""
        lines = [x for x in self.shell("iomem") if x.startswith("  0x") and re.search(r"virtio_mmio|fw-cfg|amba", x)]
        self.assertTrue(lines)
        for line in lines[:: max(1, len(lines) // 6)]:
            for side in self.mapping(int(line.split()[0], 16)):
                self.assertIn("Device-nGnR", side, line)

    def test_unmapped(self):
        """The first page, and the one that guards the stack, are not mapped."""
        for address in (0, self.area("guard page")[0]):
            for side in self.mapping(address):
                self.assertIn("Translation aborted", side, f"{address:#x} is mapped")


class SmallTest(Ram):
    """With as little RAM as barebox is sold for."""

    variant = Variant(memory=128)

    def check_size(self):
        size = sum(end - start for start, end, _ in self.banks())
        self.assertEqual(size, self.variant.memory * MIB)
        self.assertEqual(size, self.board.query("query-memory-size-summary")["base-memory"])

    def test_size(self):
        """RAM is as large as QEMU was told."""
        self.check_size()

    def test_memtest(self):
        """memtest passes on the largest free area, cached, and writes to all of it."""
        self.need("CMD_MEMTEST", "memtest")
        low, high = self.free()
        places = [low, *(low + (high - low) * n // 8 & ~7 for n in range(1, 8)), high - 8]
        for place in places:
            self.shell(f"mw -q {place:#x} 0x6f747465720a")
        lines = self.shell("memtest", seconds=90)
        self.assertEqual(lines[-1], "Memtest successful.")
        tested = re.search(r"0x(\w+) -> 0x(\w+)", "\n".join(lines))
        self.assertGreater(int(tested[2], 16) - int(tested[1], 16), 32 * MIB, "memtest tests nearly nothing")
        left = [f"{p:#x}" for p in places if values(self.shell(f"md -q {p:#x}+8"), "q") == [0x6F747465720A]]
        self.assertEqual(left, [], "memtest did not write there")

    def test_exhausted(self):
        """Where more is wanted than there is, the command says so, and everything is there for the next one."""
        self.need("CMD_MEMINFO", "meminfo")
        free = memory(self)[1]
        result = self.attempt(f"memcpy -s /dev/zero -d /load 0 0 {self.variant.memory + 64}M", seconds=60)
        self.shell("rm /load")
        self.assertIn("No space left on device", "\n".join(result.lines))
        self.assertGreater(memory(self)[1], free * 0.9)


class LargeTest(Ram):
    """With RAM up to near the end of the first 4 GiB on the virt boards of arm64."""

    variant = Variant(memory=2560)

    def test_size(self):
        """RAM is as large as QEMU was told."""
        SmallTest.check_size(self)

    def test_ends(self):
        """The first and the last free address of RAM hold different values, and so does each GiB between."""
        low, high = self.free()
        places = [low, *range((low | (1 << 30) - 1) + 1, high, 1 << 30), high - 8]
        for number, place in enumerate(places):
            self.shell(f"mw -q {place:#x} {0x1122334455667700 + number:#x}")
        read = [values(self.shell(f"md -q {place:#x}+8"), "q") for place in places]
        self.assertEqual(read, [[0x1122334455667700 + number] for number in range(len(places))])

    def test_bus(self):
        """memtest's test of bus lines passes over a range of more than a GiB."""
        self.need("CMD_MEMTEST", "memtest")
        self.banks()
        self.assertEqual(self.shell("memtest -b", seconds=60)[-1], "Memtest successful.")
