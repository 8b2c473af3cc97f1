# SPDX-License-Identifier: MIT
"""barebox erases and writes the board's NOR flash."""

import random

from oeqa.barebox import case
from oeqa.barebox.flash import SPARE

BLOCK = 1 << 18


class FlashTest(case.BootloaderTestCase):
    """On a part of the flash that nothing else is in."""

    def setUp(self):
        super().setUp()
        self.need("DRIVER_CFI")
        self.need("CMD_FLASH", "erase")
        self.need("CMD_MEMCMP", "memcmp")
        self.shell(f"erase {SPARE} 1M+{2 * BLOCK}")

    def write(self, offset, size):
        """Write random data and compare them."""
        place = (1 << 20) + offset
        self.shell(f"memcpy -s /dev/prng -d /noise 0 0 {size}; memcpy -s /noise -d {SPARE} 0 {place}", seconds=60)
        self.shell(f"memcmp -s /noise -d {SPARE} 0 {place} {size}")
        self.shell("rm /noise")

    def test_sizes(self):
        """One byte, a word, odd lengths and more than the write buffer are written right."""
        for size in (1, 4, 1023, 4097, 30001):
            self.shell(f"erase {SPARE} 1M+{2 * BLOCK}")
            self.write(0, size)

    def test_places(self):
        """Data at odd places, and over the end of an erase block, are written right, and stay."""
        places = (0, 5, 4093, 8190, BLOCK - 100)
        for offset in places:
            self.shell(f"erase {SPARE} 1M+{2 * BLOCK}")
            self.write(offset, random.randrange(200, 6000))

    def test_erased(self):
        """An erased block is all ones, and its neighbour is not touched."""
        self.need("CMD_SHA256SUM", "sha256sum")
        self.write(0, 512)
        self.write(BLOCK, 512)
        self.shell(f"erase {SPARE} 1M+{BLOCK}; memcpy -s {SPARE} -d /block 1M 0 {BLOCK}", seconds=60)
        self.assertEqual(self.answer("sha256sum /block").split()[0], self.hash(b"\xff" * BLOCK))
        self.shell(f"memcpy -s {SPARE} -d /block {(1 << 20) + BLOCK} 0 512")
        self.assertNotEqual(self.answer("sha256sum /block").split()[0], self.hash(b"\xff" * BLOCK))
        self.shell("rm /block")

    def test_odd_ranges(self):
        """What is erased in part of a block is erased as a whole block, and nothing beside it."""
        self.need("CMD_SHA256SUM", "sha256sum")
        start, ones = 1 << 20, self.hash(b"\xff" * 64)
        for place, size in ((0, 1), (BLOCK - 1, 1), (100, BLOCK - 200)):
            self.shell(f"memset -d {SPARE} {start + BLOCK // 2} 0 64; memset -d {SPARE} {start + BLOCK} 0x0f 64")
            self.shell(f"memset -d {SPARE} {start - 64} 0x33 64")
            self.shell(f"erase {SPARE} {start + place}+{size}", seconds=60)
            places = (start - 64, start + BLOCK // 2, start + BLOCK)
            found = [self.answer(f"sha256sum {SPARE} {x}+64").split()[0] for x in places]
            self.assertEqual(found, [self.hash(b"\x33" * 64), ones, self.hash(b"\x0f" * 64)], f"{size} from {place}")
            self.shell(f"erase {SPARE} {start - BLOCK}+{3 * BLOCK}", seconds=60)

    def test_protected(self):
        """Protecting and unprotecting a part of the flash leaves what is in it, and the flash readable and writable."""
        self.write(0, 300)
        before = self.dump(SPARE, 300, 1 << 20)
        self.shell(f"protect {SPARE} 1M+{BLOCK}; unprotect {SPARE} 1M+{BLOCK}")
        self.assertEqual(self.dump(SPARE, 300, 1 << 20), before)
        self.write(BLOCK, 300)

    def test_written_again(self):
        """A byte that was written can lose further bits without being erased, which its neighbours do not."""
        self.shell(f"memset -d {SPARE} 1M 0xf5 16; mw -b -d {SPARE} 0x100003 0x35")
        self.assertEqual(self.dump(SPARE, 8, 1 << 20), b"\xf5\xf5\xf5\x35\xf5\xf5\xf5\xf5")


class BankTest(case.BootloaderTestCase):
    """The whole flash, which is made of several chips."""

    needs = ("DRIVER_CFI", "CMD_FLASH", "CMD_MEMCMP", "MTD_CONCAT")
    flash = SPARE.partition(".")[0]

    def setUp(self):
        super().setUp()
        self.bank = self.flash.rpartition("/")[2]
        self.size = int(self.answer(f"echo ${self.bank}.size"))

    def test_border(self):
        """Data over the border of two chips are written right, and a range over it is erased."""
        border = self.size // 2
        self.addCleanup(self.attempt, f"erase {self.flash} {border - BLOCK}+{2 * BLOCK}")
        self.shell(f"erase {self.flash} {border - BLOCK}+{2 * BLOCK}", seconds=60)
        self.shell("memcpy -s /dev/prng -d /noise 0 0 5000", seconds=60)
        self.shell(f"memcpy -s /noise -d {self.flash} 0 {border - 1777} 5000", seconds=60)
        self.shell(f"memcmp -s /noise -d {self.flash} 0 {border - 1777} 5000")
        self.shell("rm /noise")
        self.assertNotEqual(self.dump(self.flash, 16, border - 8), b"\xff" * 16)
        self.shell(f"erase {self.flash} {border - 10}+20", seconds=60)
        for place in (border - 2000, border - 8, border + 3000):
            self.assertEqual(self.dump(self.flash, 16, place), b"\xff" * 16)

    def test_partitions(self):
        """The partitions of a flash are told, are changed by one parameter, and lie where it tells."""
        before = self.answer(f"echo ${self.bank}.partitions")
        self.addCleanup(self.attempt, f'{self.bank}.partitions="{before}"')
        self.shell(f"erase {self.flash} 4M+{2 * BLOCK}; memset -d {self.flash} 4M 0x5e 64", seconds=60)
        self.shell(f'{self.bank}.partitions="1M(first),256k@4M(second)ro,300k(third),-(rest)"')
        sizes = {"first": 1 << 20, "second": BLOCK, "third": 300 << 10}
        sizes["rest"] = self.size - (4 << 20) - BLOCK - sizes["third"]
        nodes = [name for name in " ".join(self.shell("ls /dev")).split() if name.startswith(f"{self.bank}.")]
        self.assertEqual(sorted(nodes), sorted(f"{self.bank}.{name}" for name in sizes))
        for name, size in sizes.items():
            self.assertEqual(int(self.answer(f"ls -l {self.flash}.{name}").split()[1]), size, name)
        self.assertEqual(self.dump(f"{self.flash}.second", 64), b"\x5e" * 64)
        for command in (f"memset -d {self.flash}.second 0 0 16", f"erase {self.flash}.second"):
            self.assertNotEqual(self.attempt(command).status, 0, command)
        self.shell(f"memset -d {self.flash}.third 10 0x2a 4")
        self.assertEqual(self.dump(self.flash, 4, (4 << 20) + BLOCK + 10), b"\x2a" * 4)
        told = self.answer(f"echo ${self.bank}.partitions")
        self.shell(f"erase {self.flash} 4M+{2 * BLOCK}; {self.bank}.partitions='{told}'", seconds=60)
        self.assertEqual(self.answer(f"echo ${self.bank}.partitions"), told)
        for name, size in sizes.items():
            self.assertEqual(int(self.answer(f"ls -l {self.flash}.{name}").split()[1]), size, name)
        self.shell(f'{self.bank}.partitions="{before}"')
        self.assertEqual(self.answer(f"echo ${self.bank}.partitions"), before)
