# SPDX-License-Identifier: MIT
"""When a disk or a network fails, barebox says so by word and status, and goes on; what was written before stays."""

import random

from oeqa.barebox import images
from oeqa.barebox.disks import BlockCase
from oeqa.barebox.variant import Drive, Fault, Variant

MIB = images.MIB
SECTOR = images.SECTOR
SIZE = 4 * MIB
BAD = 3000
"""The bad sector."""
NEAR = 65536
"""barebox reads and writes disks in pieces of 64 KiB; one with a bad sector is bad as a whole."""


BAD_WRITE, ONCE = 6000, 5000
"""The one that cannot be written, and the one that cannot be read once."""


def tree():
    return {"early": b"otter\n", "late": random.randbytes(600_000)}


DISKS = Variant(
    drives=(
        Drive(
            "bad",
            images.noise(SIZE),
            faults=(Fault("read", BAD), Fault("write", BAD_WRITE), Fault("read", ONCE, once=True)),
        ),
        Drive("table", images.fat(tree, SIZE, bits=16), faults=(Fault("read", 0),)),
        Drive("flush", images.noise(SIZE), faults=(Fault("flush"),)),
    )
)
FILE_SYSTEMS = Variant(
    drives=(
        Drive("data", images.fat(tree, 3 * MIB, bits=16), faults=(Fault("read", 1000),)),
        Drive("write", images.fat(tree, 3 * MIB, bits=16), faults=(Fault("write"),)),
        Drive("small", images.fat(tree, MIB, bits=12)),
    )
)


class FaultCase(BlockCase):
    def fails(self, command, words="I/O error"):
        """The command fails by its status, and says why."""
        result = self.attempt(command, seconds=60)
        self.assertNotEqual(result.status, 0, f"status 0 is a lie:\n{result}")
        self.assertIn(words, "\n".join(result.lines), str(result))

    def far(self, length=5000):
        """A place that has no piece with a bad sector in common."""
        return random.choice((random.randrange(NEAR, MIB), random.randrange(7 * MIB // 2, SIZE - length)))


class DiskTest(FaultCase):
    variant = DISKS

    def test_read(self):
        """A sector that cannot be read is an error each time, and what is far from it is read right."""
        path, node = self.drive(0)
        content = path.read_bytes()
        for _ in range(2):
            self.fails(f"memcpy -s {node} -d /range {BAD * SECTOR} 0 {SECTOR}")
            self.check_read(node, content, self.far(), 5000)
        self.fails(f"sha256sum {node}")
        self.fails(f"cp {node} /copy")
        self.attempt("rm -f /copy /range")

    def test_once(self):
        """What could not be read once is not taken for read: the next time it is the disk's."""
        path, node = self.drive(0)
        self.attempt(f"memcpy -s {node} -d /range {ONCE * SECTOR} 0 {SECTOR}")
        self.check_read(node, path.read_bytes(), ONCE * SECTOR, SECTOR)

    def test_write(self):
        """A write that fails is an error of the command's, and what is far from it stays and can be written."""
        path, node = self.drive(0)
        content = bytearray(path.read_bytes())
        self.fails(f"memset -d {node} {BAD_WRITE * SECTOR} 0x5a {SECTOR}")
        self.fails(f"memcpy -s /dev/zero -d {node} 0 {BAD_WRITE * SECTOR} {SECTOR}")
        for place in [self.far() for _ in range(3)]:
            self.attempt(f"memset -d {node} {place} 0xa5 5000; sync {node}")
            content[place : place + 5000] = b"\xa5" * 5000
        found = path.read_bytes()
        bad = BAD_WRITE * SECTOR // NEAR * NEAR
        self.assertEqual(self.hash(found[:bad]), self.hash(content[:bad]), "before the bad piece")
        self.assertEqual(self.hash(found[bad + NEAR :]), self.hash(content[bad + NEAR :]), "behind the bad piece")

    def test_long_write(self):
        """A long write fails where a piece in its beginning cannot be written, though all that follow can."""
        _, node = self.drive(0)
        self.addCleanup(self.board.discard)  # what cannot be written is kept, and fails again later
        self.fails(f"memcpy -s /dev/zero -d {node} 0 {BAD_WRITE * SECTOR} {MIB}")

    def test_first_sector(self):
        """A disk whose first sector cannot be read is there and read elsewhere, and is not taken for an empty one."""
        path, node = self.drive(1)
        self.fails(f"memcpy -s {node} -d /range 0 0 {SECTOR}")
        self.check_read(node, path.read_bytes(), self.far(), 5000)
        self.need("FS_FAT")
        result = self.attempt(f"mkdir -p /bad; mount {node} /bad")
        self.assertNotEqual(result.status, 0, str(result))
        self.assertTrue(result.lines)

    def test_flush(self):
        """Where the disk cannot be flushed, that is an error."""
        if int(self.board.program.version.partition(".")[0]) >= 10:
            self.skipTest("QEMU 10 and newer flush no disk of a guest that does not ask for it, but write through")
        self.fails(f"memset -d {self.drive(2)[1]} 4096 0x5a {SECTOR}; sync {self.drive(2)[1]}")


class FileSystemTest(FaultCase):
    variant = FILE_SYSTEMS
    needs = ("FS_FAT_WRITE",)

    def mount(self, number):
        self.shell(f"mkdir -p /bad{number}; mount {self.drive(number)[1]} /bad{number}")
        return f"/bad{number}"

    def test_read(self):
        """A file on a bad place cannot be read, which is said; another one can, and the disk be unmounted."""
        folder = self.mount(0)
        self.fails(f"cp {folder}/late /copy")
        self.assertEqual(self.answer(f"cat {folder}/early"), "otter")
        self.shell(f"umount {folder}")

    def test_write(self):
        """What cannot be written is an error of some command until the disk is unmounted, and no file is hurt."""
        path = self.drive(1)[0]
        before = self.digest(path)
        folder = self.mount(1)
        results = [self.attempt(c, seconds=60) for c in (f"echo -o {folder}/new text", f"umount {folder}")]
        self.assertTrue([r for r in results if r.status or r.lines], "\n".join(map(str, results)))
        self.assertEqual(self.digest(path), before)

    def test_full(self):
        """On a full disk each way to write fails by its status, the disk is sound, and early files stay."""
        path = self.drive(2)[0]
        folder = self.mount(2)
        self.shell("mkdir -p /from; memcpy -s /dev/prng -d /from/file 0 0 100000")
        ways = ("memcpy -s /dev/zero -d FOLDER/zeros 0 0 3M", "cp /from/file FOLDER/file", "echo -o FOLDER/text otter")
        for way in ways:
            self.fails(way.replace("FOLDER", folder), "No space left on device")
        self.assertEqual(self.answer(f"cat {folder}/early"), "otter")
        self.shell(f"umount {folder}")
        self.assertEqual(images.check_fat(path), "", "fsck.fat")
        self.assertEqual(images.from_fat(path, "early"), b"otter\n")


class PulledTest(FaultCase):
    """What the host takes away from under a running machine."""

    variant = FILE_SYSTEMS

    def test_disk_and_network(self):
        """When a disk and the network are gone their commands fail, and another disk is read as ever."""
        self.addCleanup(self.board.discard)
        path, node = self.drive(0)
        self.shell(f"memset -d {node} 2M 0x5a 4096; sync {node}")
        written = self.digest(path)
        self.board.query("human-monitor-command", **{"command-line": f"drive_del {self.variant.drives[0].id}"})
        self.fails(f"memcpy -s {node} -d /range {MIB} 0 4096")
        self.fails(f"memset -d {node} {5 * MIB // 2} 0xff 4096")
        self.pull_network()
        other, stays = self.drive(2)
        self.assertEqual(self.guest_digest(stays), self.digest(other))
        self.assertEqual(self.digest(path), written, "what was saved before")

    def pull_network(self):
        if "CMD_DHCP" not in (self.board.symbols or ()):
            return
        device = self.devices("net")[0]
        self.board.query("netdev_del", id=device.id)
        result = self.attempt(f"ifdown -a; dhcp -r 1 {self.board.node(device)}", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
