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
