# SPDX-License-Identifier: MIT
"""barebox hands on random data: as much as was asked for, each time other data, and the same only by the same seed."""

from oeqa.barebox import case, devicetree, errors
from oeqa.barebox.variant import Variant

SEEN = set()
"""What was read from the devices in this run, over all starts."""


class RngCase(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_MEMCPY", "memcpy")
        self.need("CMD_MD", "md")

    def read(self, node, size):
        """Bytes from a device, which come by way of a file, so that their number is exact."""
        self.shell(f"memcpy -s /dev/{node} -d /random 0 0 {size}", seconds=60)
        self.assertEqual(int(self.answer("ls -l /random").split()[1]), size, f"{node}: not as many bytes as asked for")
        data = self.dump("/random", min(size, 512))
        self.shell("rm /random")
        return data

    def pieces(self, node, size, number):
        """Some pieces of this many bytes from a device, each read by a command of its own."""
        places = range(0, number * size, size)
        self.shell("; ".join(f"memcpy -s /dev/{node} -d /random 0 {place} {size}" for place in places), seconds=60)
        self.assertEqual(int(self.answer("ls -l /random").split()[1]), number * size, "not as many as asked for")
        data = self.dump("/random", number * size)
        self.shell("rm /random")
        return [data[place : place + size] for place in places]

    def check(self, data):
        """It is no pattern: no word repeats, no byte is frequent, no place in a word is poor, and every bit is
        set in about half of the bytes. Of 512 true random bytes, one in a billion would fail."""
        words = [data[i : i + 8] for i in range(0, len(data), 8)]
        self.assertEqual(len(set(words)), len(words), f"words repeat: {data.hex()}")
        self.assertLess(max(data.count(n) for n in range(256)), 20, f"a byte is frequent: {data.hex()}")
        for place in range(8):
            self.assertGreater(len(set(data[place::8])), 32, f"byte {place} of each word: {data.hex()}")
        for bit in range(8):
            ones = sum(byte >> bit & 1 for byte in data)
            # 512 bytes: 256 ones, standard deviation 11.3; 120 off is one chance in 10^26
            self.assertLess(abs(ones - len(data) / 2), 120 * len(data) / 512, f"bit {bit}: {data.hex()}")


class RngTest(RngCase):
    def test_amounts(self):
        """One byte, odd and large amounts, and more than a buffer of the driver's, are read in full."""
        for _, node in self.each("rng"):
            for size in (1, 3, 63, 64, 65, 4097, 70001):
                self.read(node, size)

    def test_differs(self):
        """Data differ from read to read, from device to device and from start to start, and are no pattern."""
        nodes = [node for _, node in self.each("rng")]
        for start in range(2):
            for node in nodes * 2:
                data = self.read(node, 512)
                self.check(data)
                runs = {data[i : i + 16] for i in range(0, 512, 16)}
                self.assertFalse(runs & SEEN, f"{node}: what was read before came again")
                SEEN.update(runs)
            if start == 0:
                self.board.reset()


class SlowSourceTest(RngCase):
    """QEMU hands on 24 bytes each 300 ms to each device, which is no multiple of what barebox asks for."""

    variant = Variant(globals=("virtio-rng-device.max-bytes=24", "virtio-rng-device.period=300"))

    def test_amount(self):
        """Where the host's random data come slowly, they are waited for."""
        for _, node in self.each("rng"):
            data = self.read(node, 120)
            words = [data[i : i + 8] for i in range(0, len(data), 8)]
            self.assertEqual(len(set(words)), 15, f"words repeat: {data.hex()}")


class NoSourceTest(RngCase):
    """QEMU hands on one byte and no more."""

    variant = Variant(globals=("virtio-rng-device.max-bytes=1", "virtio-rng-device.period=3600000"))

    def test_given_up(self):
        """Where the host has no random data, a read ends with an error, and the shell goes on."""
        for _, node in self.each("rng"):
            result = self.attempt(f"memcpy -s /dev/{node} -d /random 0 0 100", seconds=60)
            self.assertNotEqual(result.status, 0, str(result))
            self.assertIn("timed out", "\n".join(result.lines))
        self.shell("true")


class PrngTest(RngCase):
    def test_differs(self):
        """The pseudo-random numbers are no pattern, and others each time."""
        first, second = self.read("prng", 512), self.read("prng", 512)
        self.assertNotEqual(first, second)
        self.check(first)
        self.check(second)

    def test_amounts(self):
        """Amounts of a few bytes are random up to their last byte."""
        for size in (1, 2, 3, 5, 7):
            found = self.pieces("prng", size, 10)
            constant = [place for place, column in enumerate(zip(*found)) if len(set(column)) == 1]
            self.assertEqual(constant, [], f"bytes of {size} that never change")

    def test_seed(self):
        """A seed adds to what there is: the same one twice gives two rows of numbers."""
        self.need("CMD_SEED", "seed")
        found = []
        for _ in range(2):
            self.shell("seed 5")
            found.append(self.read("prng", 64))
        self.assertNotEqual(*found)

    def test_seeded(self):
        """Each start has pseudo-random numbers of its own."""
        first = self.read("prng", 64)
        self.board.reset()
        self.assertNotEqual(first, self.read("prng", 64))


class AlonePrngTest(PrngTest):
    """The same where there is no other source of random data."""

    variant = Variant(without=("rng",))


class SeedTest(case.BootloaderTestCase):
    def test_kept(self):
        """Where QEMU's device tree has a seed in /chosen, barebox' tree has one of its length, which is no pattern."""
        self.need("CMD_OF_DUMP", "of_dump")
        try:
            theirs = devicetree.from_blob(self.board.device_tree()).get("/chosen", {}).get("rng-seed")
        except errors.RequestRefused as error:
            self.skipTest(f"QEMU has no device tree for this machine: {error}")
        if theirs is None:
            self.skipTest(f"QEMU {self.board.program.version} gives no seed")
        ours = devicetree.from_source(self.shell("of_dump /"))["/chosen"].get("rng-seed", b"")
        self.assertEqual(len(ours), len(theirs))
        self.assertGreater(len(set(ours)), 8, ours.hex())
