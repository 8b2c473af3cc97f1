# SPDX-License-Identifier: MIT
"""barebox reads file systems that the host made, and the host reads what barebox wrote."""

import random

from oeqa.barebox import images
from oeqa.barebox.filetree import LONG, TREE, FilesCase, tree
from oeqa.barebox.variant import Drive, Variant

MIB = images.MIB


class FatReadTest(FilesCase):
    config = "FS_FAT"
    variant = Variant(
        drives=(
            Drive("fat32", images.fat(tree, 40 * MIB)),
            Drive("fat16", images.fat(tree, 20 * MIB, bits=16, cluster=4)),
            Drive("fat12", images.fat(tree, 6 * MIB, bits=12, cluster=8)),
        )
    )

    def test_read(self):
        """Files on FAT with 12, 16 and 32 bits are read right."""
        for number in range(3):
            folder = self.mount(number)
            self.check_tree(folder)
            self.check_absent(folder)


class FatWriteTest(FilesCase):
    config = "FS_FAT_WRITE"
    variant = Variant(
        drives=(
            Drive("fat32", images.fat(tree, 40 * MIB)),
            Drive("fat16", images.fat(tree, 8 * MIB, bits=16)),
            Drive("small", images.small_fat32(tree, 20 * MIB)),
        )
    )

    def check_disk(self, number, expected):
        """The host finds no fault, and the files that are expected."""
        self.shell(f"umount /disk{number}")
        self.assertEqual(images.check_fat(self.path(number)), "", "fsck.fat")
        for name, content in expected.items():
            self.assertEqual(self.hash(images.from_fat(self.path(number), name)), self.hash(content), name)

    def test_files(self):
        """Files that barebox writes, overwrites, appends to, copies and removes are so for the host."""
        for number in range(2):
            folder = self.mount(number)
            self.shell(f"echo -o {folder}/new first; echo -a {folder}/new second; echo -o {folder}/size513 shorter")
            self.shell(f'cp {folder}/size70001 "{folder}/{LONG}"; rm {folder}/size4096')
            self.shell(f"mkdir {folder}/made; mkdir {folder}/made/in; cp {folder}/size65536 {folder}/made/in/copy")
            expected = {"new": b"first\nsecond\n", "size513": b"shorter\n", LONG: TREE["size70001"]}
            expected |= {"made/in/copy": TREE["size65536"], "size4097": TREE["size4097"]}
            self.check_disk(number, expected)
            self.assertNotIn("size4096 ", f"{' '.join(self.shell(f'ls {self.mount(number)}'))} ")

    def test_closed_is_kept(self):
        """What was closed is on the disk when the power fails, and what was removed is not, without umount."""
        folder = self.mount()
        self.shell(f"echo -o {folder}/gone x; cp {folder}/size70001 {folder}/closed; echo -o {folder}/size513 shorter")
        self.shell(f"rm {folder}/gone")
        self.board.cut()
        with self.assertRaisesRegex(AssertionError, "finds no file"):
            images.from_fat(self.path(), "gone")
        self.assertEqual(images.check_fat(self.path()), "", "fsck.fat")
        for name, content in {"closed": TREE["size70001"], "size513": b"shorter\n"}.items():
            self.assertEqual(self.hash(images.from_fat(self.path(), name)), self.hash(content), name)

    def test_small(self):
        """A FAT with 32 bits may have as few clusters as one with 16 bits."""
        name = "size70001"
        found = self.answer(f"sha256sum {self.mount(2)}/{name}", seconds=60).split()[0]
        self.assertEqual(found, self.hash(TREE[name]))

    def test_cases(self):
        """Large and small letters are the same in a name."""
        folder = self.mount()
        self.shell(f"echo -o {folder}/Heron first; echo -o {folder}/heron second")
        self.assertEqual(self.answer(f"cat {folder}/HERON"), "second")
        self.shell(f"rm {folder}/HERON")
        for name in ("Heron", "heron", "HERON"):
            self.shell(f"test -e {folder}/{name}", status=1)

    def test_full(self):
        """A full file system is reported, what was there stays, and there is room again after a removal."""
        folder = self.mount(1)
        result = self.attempt(f"memcpy -s /dev/zero -d {folder}/huge 0 0 9M", seconds=60)
        self.assertIn("No space left on device", "\n".join(result.lines))
        self.shell(f"rm {folder}/huge; cp {folder}/size900000 {folder}/again")
        self.check_disk(1, {"again": TREE["size900000"], "size900000": TREE["size900000"]})

    def test_many(self):
        """A folder grows over more than one cluster, and what is removed in between leaves the others alone."""
        folder = self.mount(0)
        self.shell(f"mkdir {folder}/grown")
        for tens in range(8):
            numbers = " ".join(f"{tens}{ones}" for ones in range(10))
            self.shell(f"for i in {numbers}; do echo -o {folder}/grown/f$i n$i; done", seconds=60)
        self.shell(f"for i in 03 33 66; do rm {folder}/grown/f$i; done")
        kept = [n for n in range(80) if n not in (3, 33, 66)]
        self.assertEqual(len(" ".join(self.shell(f"ls {folder}/grown")).split()), len(kept))
        self.check_disk(0, {f"grown/f{n:02}": b"n%02d\n" % n for n in (0, 32, 34, 79)})


# Classes share disks, and so starts of the machine.
LINUX = Variant(
    drives=(
        Drive("ext4", images.ext4(tree, 24 * MIB, more=["-g", "256"])),  # in several groups of blocks
        Drive(
            "ext4small",
            images.ext4(tree, 16 * MIB, block=1024, more=["-g", "1024", "-N", "256", "-O", "^extents,^64bit"]),
        ),
        Drive("squashfs", images.squashfs(tree)),
    )
)


class Ext4Test(FilesCase):
    config = "FS_EXT4"
    variant = LINUX

    def test_read(self):
        """Files on ext4 are read right, with extents and large blocks, and with neither."""
        for number in range(2):
            folder = self.mount(number)
            self.check_tree(folder)
            self.check_absent(folder)

    def test_not_written(self):
        """ext4 cannot be written; that is an error, and the disk stays as it is."""
        folder, before = self.mount(), self.digest(self.path())
        for name in ("new", "size513"):
            result = self.attempt(f"echo -o {folder}/{name} text")
            self.assertTrue(result.status or result.lines, str(result))
        self.assertNotEqual(self.attempt(f"cat {folder}/new").status, 0)
        self.assertEqual(self.answer(f"sha256sum {folder}/size513").split()[0], self.hash(TREE["size513"]))
        self.assertEqual(self.digest(self.path()), before)


class SquashfsTest(FilesCase):
    config = "FS_SQUASHFS"
    variant = LINUX
    first = 2

    def test_read(self):
        """Files in a squashfs are read right."""
        folder = self.mount()
        self.check_tree(folder)
        self.check_absent(folder)

    def test_again(self):
        """A squashfs can be mounted, read and unmounted many times."""
        for _ in range(5):
            folder = self.mount()
            self.assertEqual(self.answer(f"sha256sum {folder}/size4097").split()[0], self.hash(TREE["size4097"]))
            self.shell(f"umount {folder}")


# Links, whose targets are short enough for ext4's inode or not, and holes.
TARGET = "sub/target"
LINKS = {f"sub/link{n}": images.Link("./" * ((n - 6) // 2) + "/" * (n % 2) + "target") for n in (6, 59, 60, 61, 200)}
HOLES = {
    "inside": random.randbytes(5000) + bytes(70_000) + random.randbytes(9000),
    "ends": random.randbytes(4096) + bytes(40_000),
    "begins": bytes(1 << 16) + random.randbytes(100),
    "empty": bytes(30_000),
    # In more pieces than a leaf of ext4's tree of extents has room for.
    "pieces": b"".join(random.randbytes(4096) + bytes(4096) for _ in range(400)),
}


def special():
    return {TARGET: random.randbytes(777), **LINKS, **HOLES}


SPECIAL = Variant(
    drives=(
        Drive("ext4", images.ext4(special, 16 * MIB)),
        Drive("squashfs", images.squashfs(special)),
        Drive("noise", images.noise(MIB)),
    )
)


class SpecialCase(FilesCase):
    """Links and holes."""

    def check_links(self):
        self.need("CMD_READLINK", "readlink")
        folder = self.mount()
        for name, target in LINKS.items():
            self.assertEqual(self.answer(f"readlink {folder}/{name} v; echo $v"), target, name)
            digests = {self.answer(f"sha256sum {folder}/{x}").split()[0] for x in (name, TARGET)}
            self.assertEqual(len(digests), 1, f"{name} does not lead to {TARGET}")

    def check_holes(self):
        folder = self.mount()
        for name, content in HOLES.items():
            self.assertEqual(self.answer(f"sha256sum {folder}/{name}").split()[0], self.hash(content), name)


class SpecialExt4Test(SpecialCase):
    config = "FS_EXT4"
    variant = SPECIAL

    def test_links(self):
        """Links on ext4 lead to their targets, whatever their length."""
        self.check_links()

    def test_holes(self):
        """Holes in files on ext4 are read as zeros."""
        self.check_holes()


class SpecialSquashfsTest(SpecialCase):
    config = "FS_SQUASHFS"
    variant = SPECIAL
    first = 1

    def test_links(self):
        """Links in a squashfs lead to their targets, whatever their length."""
        self.check_links()

    def test_holes(self):
        """Holes in files in a squashfs are read as zeros."""
        self.check_holes()


class UnmountTest(FilesCase):
    config = "FS_EXT4"
    variant = LINUX

    def check(self, command):
        """After a command, the disk can be unmounted."""
        folder = self.mount()
        self.attempt(command.replace("DISK", folder))
        self.shell(f"umount {folder}")
        self.assertNotIn(folder, "\n".join(self.shell("findmnt")))

    def test_after_reading(self):
        """A disk that was listed and read can be unmounted."""
        self.check("ls -l DISK/sub; cat DISK/size1; cp -r DISK/sub /; cat DISK/nothing; rm -r /sub")

    def test_after_folder(self):
        """A disk one of whose folders was taken for a file can be unmounted."""
        self.check("cat DISK/sub")

    def test_after_refused_write(self):
        """A read-only disk that somebody tried to write to can be unmounted."""
        self.check("echo -o DISK/new text; mkdir DISK/made; rm DISK/size1")

    def test_after_link(self):
        """A disk on which a link was not made can be unmounted."""
        self.need("CMD_LN", "ln")
        self.check("ln /nothing DISK/link")

    def test_after_stay(self):
        """A disk that was the current folder can be unmounted, once it is no longer."""
        self.check("cd DISK/sub; cd /")


class NoneTest(FilesCase):
    config = "FS_FAT"
    variant = SPECIAL

    def test_noise(self):
        """A disk of noise is not mounted, and that is said."""
        result = self.attempt(f"mkdir /none; mount /dev/{self.board.node(self.variant.drives[2])} /none")
        self.assertNotEqual(result.status, 0, str(result))
        self.assertTrue(result.lines)
