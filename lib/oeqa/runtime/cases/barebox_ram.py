# SPDX-License-Identifier: MIT
"""RAM is as large as QEMU made it, at several sizes, and mapped as it should be."""

import re

from oeqa.barebox import ram
from oeqa.barebox.ram import MIB, RamCase
from oeqa.barebox.variant import Variant

PIECE = 2 * MIB


class MappingTest(RamCase):
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

    def test_after_memtest(self):
        """What was tested uncached is cached again."""
        self.need("CMD_MEMTEST", "memtest")
        start, end = self.free()
        self.shell("memtest -u -b", seconds=60)
        for address in (start, (start + end) // 2 & ~0xFFF, end - 4096):
            for side in self.mapping(address):
                self.assertIn("Write-Back", side, f"{address:#x}")

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

    def test_not_read(self):
        """What cannot be read is shown as such, in each width, and harms nothing."""
        self.need("CMD_MD", "md")
        for width, digits in {"b": 2, "w": 4, "l": 8, "q": 16}.items():
            words = self.answer(f"md -{width} -s /dev/mem 0+16").split()
            self.assertEqual(words[1:-1], 16 * 2 // digits * ["x" * digits], width)


class MemtestTest(RamCase):
    needs = ("CMD_MEMTEST", "CMD_IOMEM")

    def test_iterations(self):
        """memtest tests as often as it is asked for, cached or not, and leaves all memory to others."""
        before = self.shell("iomem")
        for options, said in (("-i 3", ""), ("-c", "with caching enabled"), ("-u", "with caching disabled")):
            result = self.attempt(f"memtest -b {options}", seconds=90)
            text = "\n".join(result.lines)
            if said and "Cannot map cached or uncached" in text:
                continue
            self.assertEqual(result.status, 0, str(result))
            number = int(options[-1]) if "i" in options else 1
            self.assertEqual(
                re.findall(r"iteration (\d+) of (\d+)", text), [(str(n + 1), str(number)) for n in range(number)]
            )
            self.assertEqual(text.count("Testing memory space"), number)
            self.assertIn(said, text)
        self.assertEqual(self.shell("iomem"), before)
        self.shell("memtest -x", status=1)

    def test_whole(self):
        """memtest tests the free memory of each bank to its ends, and nothing that is in use."""
        text = "\n".join(self.shell("memtest -b -t", seconds=90))
        tested = [
            (int(a, 16), int(b, 16) + 1) for a, b in re.findall(r"Testing memory space: 0x(\w+) -> 0x(\w+)", text)
        ]
        for start, end, used in self.banks():
            edges = [(start, start), *sorted(used), (end, end)]
            gaps = [(-(-a[1] // 4096) * 4096, b[0] // 4096 * 4096) for a, b in zip(edges, edges[1:])]
            expected = [gap for gap in gaps if gap[1] > gap[0]]
            self.assertEqual(sorted(area for area in tested if start <= area[0] < end), expected)


class SmallTest(RamCase):
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
        places = [low, *(low + (high - low) * n // 8 & ~7 for n in range(1, 8)), (high & ~0xFFF) - 8]
        for place in places:
            self.shell(f"mw -q {place:#x} 0x6f747465720a")
        lines = self.shell("memtest", seconds=90)
        self.assertEqual(lines[-1], "Memtest successful.")
        tested = re.search(r"0x(\w+) -> 0x(\w+)", "\n".join(lines))
        self.assertGreater(int(tested[2], 16) - int(tested[1], 16), 32 * MIB, "memtest tests nearly nothing")
        left = [f"{p:#x}" for p in places if ram.values(self.shell(f"md -q {p:#x}+8"), "q") == [0x6F747465720A]]
        self.assertEqual(left, [], "memtest did not write there")

    def test_exhausted(self):
        """Where more is wanted than there is, the command says so, and everything is there for the next one."""
        self.need("CMD_MEMINFO", "meminfo")
        free = ram.malloc(self)[1]
        result = self.attempt(f"memcpy -s /dev/zero -d /load 0 0 {self.variant.memory + 64}M", seconds=60)
        self.shell("rm /load")
        self.assertIn("No space left on device", "\n".join(result.lines))
        self.assertGreater(ram.malloc(self)[1], free * 0.9)

    def test_joined(self):
        """Memory that was freed piece by piece, in either order, is one piece again."""
        self.need("CMD_TRUNCATE", "truncate")
        self.need("CMD_OFTREE", "oftree")
        share = self.devices("9p")[0]
        self.board.reset()  # what other cases left lies in the middle
        free = ram.malloc(self)[1]
        pieces = [str(number) for number in range(free // PIECE - 1)]
        names = " ".join(pieces)
        self.shell(f"for i in {names}; do echo -o /piece$i x; rm /piece$i; done")  # it remembers the names
        large = self.board.files.share(share) / "large"
        with large.open("wb") as stream:
            stream.truncate(free // 3)
        self.addCleanup(large.unlink)
        for order in (pieces, pieces[::-1]):
            self.shell(f"for i in {names}; do truncate -s {PIECE} /piece$i; done", seconds=60)
            self.shell(f"for i in {' '.join(order)}; do rm /piece$i; done", seconds=60)
            lines = self.attempt(f"oftree -l {self.board.node(share)}/large", seconds=60).lines  # reads all of it
            self.assertIn("is not a flat device tree", "\n".join(lines))


class LargeTest(RamCase):
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
        read = [ram.values(self.shell(f"md -q {place:#x}+8"), "q") for place in places]
        self.assertEqual(read, [[0x1122334455667700 + number] for number in range(len(places))])

    def test_bus(self):
        """memtest's test of bus lines passes over a range of more than a GiB."""
        self.need("CMD_MEMTEST", "memtest")
        self.banks()
        self.assertEqual(self.shell("memtest -b", seconds=60)[-1], "Memtest successful.")
