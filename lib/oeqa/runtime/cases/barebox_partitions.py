# SPDX-License-Identifier: MIT
"""barebox reads partition tables as sfdisk wrote them, and keeps partitions apart."""

import random
import re

from oeqa.barebox import images
from oeqa.barebox.disks import BlockCase
from oeqa.barebox.variant import Drive, Variant

SECTOR = images.SECTOR
MIB = images.MIB


class PartitionTest(BlockCase):
    """Each partition's place, size and contents, against the table that sfdisk wrote."""

    dos = (
        "label-id: 0x1234abcd",
        *("start=2048, size=2048, type=83", "start=4096, size=1000, type=c, bootable", "start=8192, size=8190, type=5"),
        *("start=8200, size=1024, type=83", "start=10240, size=2049, type=83", "start=12800, size=500, type=83"),
        *(f"start={13400 + 64 * n}, size={n}, type=83" for n in range(1, 8)),
    )
    uuid = "00112233-4455-6677-8899-aabbccddeeff"
    gpt = (
        *(f"label-id: {uuid}", "start=2048, size=2048, name=first, type=L, uuid=" + uuid.replace("ff", "01")),
        "start=4096, size=1000, name=second, type=U",
        # With entries between them that are free.
        *("7: start=8192, size=333, name=third, type=L", "12: start=9000, size=1, name=fourth, type=L"),
    )
    tables = {
        0: {
            **{0: (2048, 2048), 1: (4096, 1000), 4: (8200, 1024), 5: (10240, 2049), 6: (12800, 500)},
            **{6 + n: (13400 + 64 * n, n) for n in range(1, 8)},
        },
        1: {0: (2048, 2048), 1: (4096, 1000), 6: (8192, 333), 11: (9000, 1)},
    }
    variant = Variant(
        drives=(Drive("dos", images.table("dos", 8 * MIB, dos)), Drive("gpt", images.table("gpt", 8 * MIB, gpt)))
    )

    def test_places(self):
        """Partitions are where the table has them, and there are no others."""
        self.need("CMD_DEVINFO", "devinfo")
        tree = "\n".join(self.shell("devinfo"))
        for number, table in self.tables.items():
            node = self.drive(number)[1]
            found = re.findall(rf"0x(\w+)-0x(\w+) \(.*?\): {node}\.(\d+)", tree)
            places = {int(n): (int(a, 16) // SECTOR, (int(b, 16) + 1 - int(a, 16)) // SECTOR) for a, b, n in found}
            places.pop(2 if number == 0 else None, None)  # the extended partition
            self.assertEqual(places, table, node)

    def test_contents(self):
        """Each partition has the contents of its range of the disk."""
        for number, table in self.tables.items():
            path, node = self.drive(number)
            content = path.read_bytes()
            for index, (start, size) in table.items():
                expected = self.hash(content[start * SECTOR : (start + size) * SECTOR])
                self.assertEqual(self.guest_digest(f"{node}.{index}"), expected, f"{node}.{index}")

    def test_names(self):
        """Partitions of a GPT are there by name, too."""
        _, node = self.drive(1)
        for index, name in zip(self.tables[1], ("first", "second", "third", "fourth")):
            self.assertEqual(self.guest_digest(f"{node}.{name}"), self.guest_digest(f"{node}.{index}"), name)

    def test_uuids(self):
        """The UUIDs of a GPT and of its partitions are those that the host wrote; a DOS table's are of its number,
        in hexadecimal."""
        self.need("CMD_STAT", "stat")
        node = self.drive(0)[1]
        for index in self.tables[0]:
            self.assertIn(f"PARTUUID: 1234abcd-{index + 1:02x}", "\n".join(self.shell(f"stat {node}.{index}")))
        node = self.drive(1)[1]
        self.assertIn(f"DISKUUID: {self.uuid}", "\n".join(self.shell(f"stat {node}")))
        self.assertIn(f"PARTUUID: {self.uuid.replace('ff', '01')}", "\n".join(self.shell(f"stat {node}.0")))

    def test_write_inside(self):
        """A write over a partition's whole length stays inside of it, and one byte more is refused."""
        for number, index in ((0, 4), (1, 6)):
            path, node = self.drive(number)
            start, size = self.tables[number][index]
            content = bytearray(path.read_bytes())
            content[start * SECTOR : (start + size) * SECTOR] = b"\xa5" * size * SECTOR
            self.shell(f"memset -d {node}.{index} 0 0xa5 {size * SECTOR}")
            self.attempt(f"memset -d {node}.{index} {size * SECTOR} 0xa5 1")
            self.assertEqual(self.digest(path), self.hash(content), f"{node}.{index}")


class FarPartitionTest(BlockCase):
    """Partitions that begin behind 4 GiB, or are larger."""

    # Start and size in sectors.
    places = ((2048, 2048), ((4 << 30) // SECTOR + 2048 + 24, 4096), ((5 << 30) // SECTOR, (4 << 30) // SECTOR + 2048))
    ends = {start * SECTOR: random.randbytes(SECTOR) for start, _ in places}
    ends |= {(start + size - 1) * SECTOR: random.randbytes(SECTOR) for start, size in places}
    lines = tuple(f"start={start}, size={size}" for start, size in places)
    variant = Variant(drives=(Drive("far", images.table("gpt", 10 << 30, lines, ends)),))

    def test_ends(self):
        """The first and the last sector of each are those of its place."""
        node = self.drive()[1]
        for index, (start, size) in enumerate(self.places):
            for sector in (0, size - 1):
                expected = self.ends[(start + sector) * SECTOR]
                self.check_range(f"{node}.{index}", sector * SECTOR, expected)


def damaged(offset, *sectors):
    """A disk with a GPT, of whose ``sectors`` one bit is flipped, in the byte at ``offset``."""

    def make(path):
        images.table("gpt", 8 * MIB, PartitionTest.gpt)(path)
        content = bytearray(path.read_bytes())
        for sector in sectors:
            content[sector * SECTOR + offset] ^= 1 << random.randrange(8)
        path.write_bytes(content)

    return make


class DamagedTableTest(BlockCase):
    # UEFI 2.10, 5.3: the disk's GUID in the header; the first LBA in an entry.
    last = 8 * MIB // SECTOR - 1
    variant = Variant(
        drives=(
            Drive("header", damaged(56, 1)),
            Drive("entries", damaged(32, 2)),
            Drive("both", damaged(56, 1, last)),
        )
    )

    def check_first(self, number):
        path, node = self.drive(number)
        expected = self.hash(path.read_bytes()[2048 * SECTOR : 4096 * SECTOR])
        self.assertEqual(self.guest_digest(f"{node}.0"), expected, node)
        return node

    def test_entries(self):
        """Where a bit of a primary entry is wrong, the backup at the disk's end counts."""
        self.check_first(1)

    def test_header(self):
        """Where a bit of the primary header is wrong, the backup at the disk's end counts."""
        node = self.check_first(0)
        self.need("CMD_STAT", "stat")
        self.assertIn(f"DISKUUID: {PartitionTest.uuid}", "\n".join(self.shell(f"stat {node}")))

    def test_both(self):
        """A disk of whose headers neither is right has no partitions, and can be read."""
        path, node = self.drive(2)
        self.assertEqual(self.guest_digest(node), self.digest(path))
        self.shell(f"test -e {node}.0", status=1)
