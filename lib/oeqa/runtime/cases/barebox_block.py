# SPDX-License-Identifier: MIT
"""barebox reads and writes disks: at every boundary, in every size, in order, and no further than it may."""

import random

from oeqa.barebox import images
from oeqa.barebox.disks import BlockCase
from oeqa.barebox.variant import Drive, Variant

SECTOR = images.SECTOR
MIB = images.MIB
CHUNK = 1 << 16  # what barebox' cache reads and writes at once
SIZE = 9 * MIB + 3 * SECTOR


SIZES = (SIZE, 5 * MIB + SECTOR, 2 * MIB)
# Three, which is what riscv64's virt board has room for.
DISKS = Variant(
    drives=(
        Drive("data0", images.noise(SIZES[0])),
        Drive("data1", images.noise(SIZES[1])),
        Drive("fixed", images.noise(SIZES[2]), read_only=True),
    )
)


class ReadTest(BlockCase):
    variant = DISKS

    def test_whole(self):
        """Random data over a whole disk has the host's digest, and the disk the host's size."""
        path, node = self.drive()
        self.assertEqual(int(self.answer(f"ls -l {node}").split()[1]), SIZE)
        self.assertEqual(self.guest_digest(node), self.digest(path))

    def test_sizes(self):
        """One byte, one sector, less and more, and many MiB are read right."""
        path, node = self.drive()
        content = path.read_bytes()
        for length in (1, SECTOR - 1, SECTOR, SECTOR + 1, 4096, 65536, MIB - SECTOR, MIB + 1, 7 * MIB):
            self.check_read(node, content, random.randrange(0, (SIZE - length) // SECTOR) * SECTOR, length)

    def test_boundaries(self):
        """Ranges that begin before and end behind a boundary are read right."""
        path, node = self.drive()
        content = path.read_bytes()
        for boundary in (SECTOR, 4096, 8192, 65536, MIB, 4 * MIB, SIZE - SECTOR):
            for before, behind in ((1, 1), (SECTOR, SECTOR), (random.randrange(2, 512), random.randrange(2, 512))):
                self.check_read(node, content, boundary - before, before + behind)

    def test_ends(self):
        """The first and the last sector are read, and nothing behind the last."""
        path, node = self.drive()
        content = path.read_bytes()
        self.check_read(node, content, 0, SECTOR)
        self.check_read(node, content, SIZE - SECTOR, SECTOR)
        result = self.attempt(f"memcpy -s {node} -d /behind {SIZE - 10} 0 {SECTOR}")
        self.assertNotEqual(result.status, 0, str(result))
        self.assertEqual(int(self.answer("ls -l /behind").split()[1]), 10)

    def test_again(self):
        """What was read stays the same however often, and in whatever order, it is read."""
        path, node = self.drive()
        content = path.read_bytes()
        places = [random.randrange(0, SIZE - 70000) for _ in range(5)]
        for offset in [*places, *reversed(places), *sorted(places)]:
            self.check_read(node, content, offset, 65536)


class WriteTest(BlockCase):
    variant = DISKS

    def write(self, node, content, offset, data):
        """Write data, and note it in ``content``."""
        self.shell(f"memcpy -s {self.shared(data)} -d {node} 0 {offset} {len(data)}", seconds=60)
        content[offset : offset + len(data)] = data

    def test_sizes(self):
        """One byte, one sector, less and more, and some MiB are written right, and nothing beside them."""
        path, node = self.drive()
        content = bytearray(path.read_bytes())
        for length in (1, SECTOR - 1, SECTOR, SECTOR + 1, 4096, 65535, MIB + 1, 3 * MIB):
            self.write(node, content, random.randrange(0, SIZE - length), random.randbytes(length))
        self.check_same(path, node, content)

    def test_aligned(self):
        """Writes from the beginning of a sector on that end inside of one are right, far from what else is written."""
        path, node = self.drive()
        content = bytearray(path.read_bytes())
        for number, length in enumerate((1, 100, SECTOR - 1, SECTOR + 1, 3 * SECTOR + 7), 1):
            self.write(node, content, number * 4 * CHUNK, random.randbytes(length))
            self.write(node, content, (number * 4 + 3) * CHUNK - SECTOR, random.randbytes(SECTOR + length))
        self.check_same(path, node, content)

    def test_boundaries(self):
        """Writes over boundaries, to the first and to the last sector are right, and nothing beside them."""
        path, node = self.drive()
        content = bytearray(path.read_bytes())
        for boundary in (SECTOR, 4096, 65536, MIB, 4 * MIB):
            self.write(
                node, content, boundary - random.randrange(1, 512), random.randbytes(random.randrange(512, 1500))
            )
        self.write(node, content, 0, random.randbytes(SECTOR))
        self.write(node, content, SIZE - SECTOR, random.randbytes(SECTOR))
        self.check_same(path, node, content)

    def test_mixed(self):
        """Reads between overlapping writes see what was written last."""
        path, node = self.drive()
        content = bytearray(path.read_bytes())
        for _ in range(12):
            offset, length = random.randrange(0, 100000), random.randrange(1, 30000)
            self.write(node, content, offset, random.randbytes(length))
            self.check_read(node, content, random.randrange(0, 100000), random.randrange(1, 30000))
        self.check_same(path, node, content)

    def test_file(self):
        """A file that is copied to a disk is there, and what follows it stays, both read back at once."""
        path, node = self.drive()
        content = bytearray(path.read_bytes())
        data = random.randbytes(5 * MIB + 777)
        self.shell(f"cp {self.shared(data)} {node}", seconds=60)
        content[: len(data)] = data
        self.check_same(path, node, content)

    def test_behind_the_end(self):
        """A write over the end fails, and the disk is as large as before."""
        path, node = self.drive()
        content = bytearray(path.read_bytes())
        result = self.attempt(f"memcpy -s /dev/zero -d {node} 0 {SIZE - SECTOR} {4 * SECTOR}")
        self.assertNotEqual(result.status, 0, str(result))
        self.assertEqual(path.stat().st_size, SIZE)
        self.assertEqual(self.hash(path.read_bytes()[:-SECTOR]), self.hash(content[:-SECTOR]))

    def test_power_loss(self):
        """What a finished command wrote is on the disk when the power fails right after it."""
        path, node = self.drive()
        content = bytearray(path.read_bytes())
        self.write(node, content, 5 * MIB + 77, random.randbytes(100000))
        self.board.cut()
        self.check_same(path, node, content)


class OrderTest(BlockCase):
    variant = DISKS

    def test_sizes_and_contents(self):
        """Each of several disks has its own size and contents."""
        for number, size in enumerate(SIZES):
            path, node = self.drive(number)
            self.assertEqual(int(self.answer(f"ls -l {node}").split()[1]), size, node)
            self.assertEqual(self.guest_digest(node), self.digest(path), node)

    def test_write_to_one(self):
        """A write to one disk leaves the others alone."""
        before = [self.digest(self.drive(number)[0]) for number in range(3)]
        content = bytearray(self.drive(1)[0].read_bytes())
        self.shell(f"memset -d {self.drive(1)[1]} 4096 0x5a 8192")
        content[4096 : 4096 + 8192] = b"\x5a" * 8192
        after = [self.digest(self.drive(number)[0]) for number in range(3)]
        self.assertEqual(after, [before[0], self.hash(content), before[2]])

    def test_between(self):
        """Data copied from disk to disk arrive."""
        (source, node), (target, other) = self.drive(0), self.drive(1)
        self.shell(f"memcpy -s {node} -d {other} 0 {MIB} {3 * MIB}", seconds=60)
        self.assertEqual(self.hash(target.read_bytes()[MIB : 4 * MIB]), self.hash(source.read_bytes()[: 3 * MIB]))


class ReadOnlyTest(BlockCase):
    variant = DISKS

    def test_read(self):
        """A read-only disk is read."""
        path, node = self.drive(2)
        self.assertEqual(self.guest_digest(node), self.digest(path))

    def test_refuses(self):
        """A write to a read-only disk fails at once, by status and in words, and changes nothing."""
        path, node = self.drive(2)
        before = self.digest(path)
        result = self.attempt(f"memset -d {node} 0 0xff 4096")
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("Read-only file system", "\n".join(result.lines))
        self.assertEqual(self.guest_digest(node), before, "the guest reads what it could not write")
        self.assertEqual(self.digest(path), before)


class StatisticsTest(BlockCase):
    """blkstats, against what QEMU counted meanwhile. barebox' cache has room for less than half of the disk."""

    variant = DISKS
    needs = ("CMD_BLKSTATS",)

    def counted(self, *commands):
        """What commands read and wrote, in bytes, which barebox and QEMU tell alike."""
        counts = []
        for command in ("", *commands):
            if command:
                self.shell(command, seconds=60)
            name, *ours = self.answer(f"blkstats {self.drive()[1].rpartition('/')[2]}").split()
            self.assertEqual(f"/dev/{name}", self.drive()[1])
            disk = self.variant.drives[0].id
            stats = next(x["stats"] for x in self.board.query("query-blockstats") if x["device"] == disk)
            counts.append((tuple(int(x) * SECTOR for x in ours[:2]), (stats["rd_bytes"], stats["wr_bytes"])))
        ours, theirs = (tuple(b - a for a, b in zip(counts[0][n], counts[-1][n])) for n in (0, 1))
        self.assertEqual(ours, theirs, f"barebox and QEMU on what was read and written by {commands}")
        return ours

    def test_read(self):
        """What is read is counted, and the second time, out of the cache, it is not."""
        _, node = self.drive()
        self.counted(f"memcpy -s {node} -d /dev/null {6 * MIB} 0 2M")
        read, written = self.counted(f"memcpy -s {node} -d /dev/null 1M 0 {4 * CHUNK}")
        self.assertEqual((read, written), (4 * CHUNK, 0))
        self.assertEqual(self.counted(f"memcpy -s {node} -d /dev/null 1M 0 {4 * CHUNK}"), (0, 0))

    def test_written(self):
        """What is written is counted, with what had to be read around it."""
        _, node = self.drive()
        self.counted(f"memcpy -s {node} -d /dev/null {6 * MIB} 0 2M")
        read, written = self.counted(f"memset -d {node} {3 * CHUNK + 100} 0x11 1000")
        self.assertEqual((read, written), (CHUNK, CHUNK))
        read, written = self.counted(f"memset -d {node} {3 * CHUNK + 2000} 0x12 1000")
        self.assertEqual((read, written), (0, CHUNK))
        self.assertEqual(self.counted(f"sync {node}", f"memset -d /dev/null 0 0 10; sync {node}"), (0, 0))

    def test_listed(self):
        """Each disk has its line, and those that there are not are errors."""
        names = [line.split()[0] for line in self.shell("blkstats")]
        nodes = [self.board.node(x) for x in (*self.devices("block"), *self.variant.drives)]
        self.assertLessEqual(set(nodes), set(names))
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(self.shell("blkstats -l"), names)


class EraseTest(BlockCase):
    variant = DISKS
    needs = ("CMD_FLASH",)

    def test_refused(self):
        """A disk that cannot be erased says so, and stays as it is."""
        path, node = self.drive()
        before = self.digest(path)
        for command in (f"erase {node} 0+4096", f"erase {node}", "erase /dev/nothing"):
            self.assertNotEqual(self.attempt(command).status, 0, command)
        self.assertEqual((self.digest(path), self.guest_digest(node)), (before, before))


class LargeDiskTest(BlockCase):
    """A disk whose sectors have numbers, and whose bytes have addresses, of more than 32 bits."""

    size = 6 << 30
    places = (0, (4 << 30) - SECTOR, 4 << 30, (5 << 30) + 7 * SECTOR, size - SECTOR)
    pieces = {place: random.randbytes(SECTOR) for place in places}
    variant = Variant(drives=(Drive("large", images.sparse(size, pieces)),))

    def test_read(self):
        """Each sector around and behind 4 GiB is read from its place."""
        _, node = self.drive()
        self.assertEqual(int(self.answer(f"ls -l {node}").split()[1]), self.size)
        for place, content in self.pieces.items():
            self.check_range(node, place, content)

    def test_write(self):
        """A sector behind 4 GiB is written to its place, and not to the one 4 GiB before."""
        path, node = self.drive()
        place = (4 << 30) + 9 * SECTOR
        self.shell(f"memset -d {node} {place} 0xa5 {SECTOR}")
        with path.open("rb") as disk:
            found = {start: (disk.seek(start), disk.read(SECTOR))[1] for start in (place, place - (4 << 30))}
        self.assertEqual(found, {place: b"\xa5" * SECTOR, place - (4 << 30): bytes(SECTOR)})
