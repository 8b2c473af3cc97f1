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


FIXED = {"fixed": random.randbytes(3000), "readme.txt": b"small\n", "README.MD": b"large\n", "mixed.TXT": b"mixed\n"}
CLUSTER = 512


def fixed():
    return FIXED


class FatChangesTest(FilesCase):
    """What barebox makes of a FAT: names, folders and files that are changed in their middle. The host looks after
    each case."""

    config = "FS_FAT_WRITE"
    variant = Variant(
        drives=(
            Drive("fat32", images.fat(fixed, 36 * MIB, fixed=["fixed"])),
            Drive("fat16", images.fat(fixed, 5 * MIB, bits=16, more=["-r", "32"], fixed=["fixed"])),
            Drive("fat12", images.fat(fixed, MIB, bits=12, more=["-r", "32"], fixed=["fixed"])),
        )
    )

    def check_disk(self, number, expected):
        """The host finds no fault, and the files that are expected, which then are removed, without a rest."""
        self.shell(f"umount /disk{number}")
        self.assertEqual(images.check_fat(self.path(number)), "", "fsck.fat")
        for name, content in expected.items():
            self.assertEqual(self.hash(images.from_fat(self.path(number), name)), self.hash(content), name)
        made = sorted({name.partition("/")[0] for name in expected} - set(FIXED))
        folder = self.mount(number)
        if made:
            self.shell(f"cd {folder}; rm -r " + " ".join(f"'{name}'" for name in made) + "; cd /", seconds=60)
        self.shell(f"umount {folder}")
        self.assertEqual(images.check_fat(self.path(number)), "", "fsck.fat after the removal")
        self.assertEqual(images.listed_fat(self.path(number)), sorted(FIXED))

    def test_alike(self):
        """Long names that begin alike get short names of their own, however many they are."""
        for number in (0, 2):
            folder = self.mount(number)
            self.shell(f"mkdir {folder}/alike; cd {folder}/alike")
            self.shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo -o beginning-${i}.text $i; done")
            self.shell("rm beginning-3.text; echo -o beginning-13.text 13; cd /")
            numbers = [n for n in range(1, 14) if n != 3]
            found = self.shell("cat " + " ".join(f"{folder}/alike/beginning-{n}.text" for n in numbers))
            self.assertEqual(found, [str(n) for n in numbers])
            expected = {f"alike/beginning-{n}.text": b"%d\n" % n for n in numbers}
            self.check_disk(number, expected)

    def test_letters(self):
        """Names are shown with the large and small letters that the host gave them, and the other way round."""
        folder = self.mount()
        self.assertEqual(sorted(" ".join(self.shell(f"ls {folder}")).split()), sorted(FIXED))
        names = (
            "small.txt",
            "LARGE.TXT",
            "small.BIG",
            "LARGE.low",
            "OtteR.tXt",
            "noext",
            "a.b.c.d",
            "dotted.",
            "+=,;",
        )
        for name in names:
            self.shell(f"echo -o '{folder}/{name}' x")
        shown = [name.rstrip(".") for name in names]
        self.shell(f"umount {folder}")
        self.assertEqual(images.listed_fat(self.path()), sorted([*FIXED, *shown]))
        self.assertEqual(sorted(" ".join(self.shell(f"ls {self.mount()}")).split()), sorted([*FIXED, *shown]))
        self.check_disk(0, dict.fromkeys(shown, b"x\n"))

    def test_refused_names(self):
        """Names that FAT cannot have are refused, and one of 253 letters is not."""
        folder = self.mount()
        for name in ("a*b", "a?b", "a:b", "a<b", "a>b", 'a"b', "a|b", "x" * 256):
            self.assertNotEqual(self.attempt(f"echo -o '{folder}/{name}' x; test -e '{folder}/{name}'").status, 0, name)
        name = "x" * 253
        self.shell(f"echo -o {folder}/{name} longest")
        self.check_disk(0, {name: b"longest\n"})

    def test_longest(self):
        """Names of 254 and of 255 letters, the most that there are, are shown whole, and so are the host's."""
        names = [letter * size for letter, size in (("y", 254), ("z", 255))]
        folder = self.mount()
        for name in names:
            self.shell(f"echo -o {folder}/{name} {name[0]}")
        self.shell(f"umount {folder}")
        self.assertEqual(images.listed_fat(self.path()), sorted([*FIXED, *names]))
        self.assertLess(set(names), set(" ".join(self.shell(f"ls {self.mount()}")).split()))
        self.check_disk(0, {name: name[:1].encode() + b"\n" for name in names})

    def test_read_only(self):
        """A file that the host made read-only is neither written nor removed, and is read."""
        for number in range(3):
            folder = self.mount(number)
            for command in (f"echo -a {folder}/fixed x", f"rm {folder}/fixed", f"echo -o {folder}/fixed x"):
                result = self.attempt(command)
                self.assertTrue(result.status or result.lines, str(result))
            self.assertEqual(self.answer(f"sha256sum {folder}/fixed").split()[0], self.hash(FIXED["fixed"]))
            self.check_disk(number, FIXED)

    def test_folders(self):
        """A folder with something in it is not removed, an empty one is; a name is not given twice."""
        for number in range(3):
            folder = self.mount(number)
            self.shell(f"mkdir {folder}/outer; mkdir {folder}/outer/inner; echo -o {folder}/outer/inner/file x")
            for command in (
                f"rmdir {folder}/outer",
                f"rmdir {folder}/outer/inner",
                f"mkdir {folder}/outer",
                f"mkdir {folder}/fixed",
                f"rmdir {folder}/fixed",
                f"rm {folder}/outer",
            ):
                result = self.attempt(command)
                self.assertNotEqual(result.status, 0, str(result))
            self.assertEqual(self.answer(f"cat {folder}/outer/inner/file"), "x")
            self.shell(f"rm {folder}/outer/inner/file; rmdir {folder}/outer/inner; test -d {folder}/outer")
            self.shell(f"echo -o {folder}/outer/other y")
            self.check_disk(number, {"outer/other": b"y\n"})

    def test_full_root(self):
        """The first folder of a FAT with 16 or 12 bits has room for some names alone; one more is refused."""
        for number in (1, 2):
            folder = self.mount(number)
            numbers = " ".join(str(n) for n in range(32))
            told = self.attempt(f"for i in {numbers}; do echo -o {folder}/N$i N$i; done", seconds=60).lines
            self.assertTrue([line for line in told if line.strip()], "nothing was said of a full folder")
            listed = {line.split()[-1]: int(line.split()[1]) for line in self.shell(f"ls -l {folder}")}
            made = [f"N{n}" for n in range(32) if listed.get(f"N{n}")]
            self.assertGreater(len(made), 10)
            self.assertLess(len(made), 32)
            self.check_disk(number, {name: f"{name}\n".encode() for name in made})

    def test_folder_in_full_root(self):
        """A folder for which the first one has no room is refused, and takes no cluster."""
        folder = self.mount(1)
        names = [f"N{n}" for n in range(32)]
        self.shell("; ".join(f"echo -o {folder}/{name} x" for name in names[:20]))
        self.attempt("; ".join(f"echo -o {folder}/{name} x" for name in names[20:]))
        result = self.attempt(f"mkdir {folder}/more")
        self.assertNotEqual(result.status, 0, str(result))
        made = [name for name in names if not self.attempt(f"test -s {folder}/{name}").status]
        self.check_disk(1, dict.fromkeys(made, b"x\n"))

    def test_middle(self):
        """A file is overwritten in its middle, shortened and lengthened at and around the borders of clusters."""
        self.need("CMD_TRUNCATE")
        data, pieces = random.randbytes(5000), {0: 1, 511: 2, 512: 512, 1000: 3000, 4900: 300}
        source = self.shared(data)
        parts = {place: random.randbytes(size) for place, size in pieces.items()}
        shared = {place: self.shared(part) for place, part in parts.items()}
        for number in (0, 2):
            folder, expected, commands = self.mount(number), {}, []
            for size in (0, 1, CLUSTER - 1, CLUSTER, CLUSTER + 1, 5 * CLUSTER, 4999):
                commands.append(f"cp {source} {folder}/short{size}; truncate -s {size} {folder}/short{size}")
                expected[f"short{size}"] = data[:size]
            for place, part in parts.items():
                name = f"{folder}/over{place}"
                commands.append(f"cp {source} {name}; memcpy -s {shared[place]} -d {name} 0 {place}")
                expected[f"over{place}"] = data[:place] + part + data[place + len(part) :]
            for start in range(0, len(commands), 3):
                self.shell("; ".join(commands[start : start + 3]), seconds=60)
            found = self.shell("sha256sum " + " ".join(f"{folder}/{name}" for name in expected), seconds=60)
            self.assertEqual([line.split()[0] for line in found], [self.hash(x) for x in expected.values()])
            self.check_disk(number, expected)

    def test_in_turns(self):
        """Files that grow in turns, and so lie in pieces, are whole, and are read from any place on."""
        content = random.randbytes(6 * 700)
        source = self.shared(content)
        for number in (1, 2):
            folder = self.mount(number)
            places = "0 700 1400 2100 2800 3500"
            copy = f"memcpy -s {source} -d {folder}/$name $i $i 700"
            self.shell(f"for i in {places}; do for name in one two; do {copy}; done; done", seconds=60)
            for place in (0, 513, 3000, 1023, 4199):
                found = self.shell(f"sha256sum {folder}/one {place}+{len(content) - place}; sha256sum {folder}/two")
                self.assertEqual([x.split()[0] for x in found], [self.hash(content[place:]), self.hash(content)])
            self.check_disk(number, {"one": content, "two": content})


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


# Formats that mke2fs and mksquashfs know beside their usual ones.
FAR = {place: random.randbytes(3000) for place in (5000, 70_000, 300_000, 68 * MIB - 1000, 68 * MIB + 5000)}
"""Of a file with holes: behind each kind of indirect block where blocks have 1024 bytes."""
OTHERS = {
    "size20001": random.randbytes(20_001),
    **{f"sub/{n:03}-{'name' * 20}": b"%d\n" % n for n in range(300)},
    "sub/link": images.Link("../size20001"),
    # In more pieces than two levels of the tree of extents have room for in blocks of 1024 bytes.
    "pieces": b"".join(random.randbytes(1024) + bytes(3072) for _ in range(700)),
}


def others():
    return OTHERS


def far():
    """The same, and a large file with holes."""
    content = bytearray(68 * MIB + 9000)
    for place, piece in FAR.items():
        content[place : place + len(piece)] = piece
    return {**OTHERS, "far": bytes(content)}


OLD = ["-r", "0", "-O", "none"]
EXT4S = Variant(
    drives=(
        Drive("old", images.ext4(far, 16 * MIB, block=1024, more=[*OLD, "-I", "128"])),
        Drive(
            "groups",
            images.ext4(others, 16 * MIB, block=1024, more=["-O", "64bit,^resize_inode", "-g", "512", "-N", "512"]),
        ),
        Drive(
            "bare",
            images.ext4(
                others, 16 * MIB, block=2048, more=["-O", "^filetype,^sparse_super,^has_journal,^resize_inode"]
            ),
        ),
    )
)


class OthersCase(FilesCase):
    """Other formats with the same files."""

    def check_others(self, number):
        folder = self.mount(number)
        for name in ("size20001", "pieces", "sub/link"):
            expected = self.hash(OTHERS["size20001" if name == "sub/link" else name])
            self.assertEqual(self.answer(f"sha256sum {folder}/{name}", seconds=60).split()[0], expected, name)
        many = {name.partition("/")[2] for name in OTHERS if name.startswith("sub/")}
        self.assertEqual(set(" ".join(self.shell(f"ls {folder}/sub", seconds=60)).split()), many)
        names = random.sample(sorted(many - {"link"}), 6)
        found = self.shell("cat " + " ".join(f"{folder}/sub/{name}" for name in names))
        self.assertEqual(found, [str(int(name[:3])) for name in names])
        self.assertNotEqual(self.attempt(f"cat {folder}/sub/300-{'name' * 20}").status, 0)
        self.check_types(folder)
        return folder

    def check_types(self, folder):
        """Folders, files and links are listed as what they are, with their sizes."""
        found = {line.split()[0][0]: line.split()[1] for line in self.shell(f"ls -l {folder}") if "size20001" in line}
        self.assertEqual(found, {"-": "20001"})
        kinds = {line.split()[0][0] for line in self.shell(f"ls -l {folder}") if line.endswith("sub")}
        self.assertEqual(kinds, {"d"})


class OtherExt4Test(OthersCase):
    config = "FS_EXT4"
    variant = EXT4S

    def test_old(self):
        """ext2 of old, with blocks of 1 KiB: a file is read behind each kind of indirect block."""
        folder = self.check_others(0)
        for place, piece in FAR.items():
            self.shell(f"memcpy -s {folder}/far -d /part {place - 100} 0 {len(piece) + 200}", seconds=60)
            found = self.answer("sha256sum /part; rm /part").split()[0]
            self.assertEqual(found, self.hash(bytes(100) + piece + bytes(100)), f"from {place}")

    def test_groups(self):
        """More groups than one block has descriptors of, and a tree of extents with several levels, are read."""
        self.check_others(1)

    def test_bare(self):
        """A disk whose folders do not tell what kind a file is of is read, and so is one without a journal."""
        self.check_others(2)


MANY = {place: random.randbytes(300_000) for place in (0, 3 * MIB + 5000, 5 * MIB)}


def many_blocks():
    """The same, and a file of many blocks, some of which are nothing but zeros."""
    content = bytearray(6 * MIB)
    for place, piece in MANY.items():
        content[place : place + len(piece)] = piece
    return {**OTHERS, "many": bytes(content)}


def pressed(compression, *more):
    """A squashfs with a file of many blocks, devices and a pipe."""
    extra = ["-p", "pipe i 644 0 0 f", "-p", "tty c 600 0 0 4 64", "-p", "disk b 600 0 0 8 1"]
    return images.squashfs(many_blocks, compression, [*extra, *more])


SQUASHED = Variant(
    drives=(
        Drive("lz4", pressed("lz4")),
        Drive("lzo", pressed("lzo")),
        Drive(
            "plain",
            pressed("gzip", "-noI", "-noD", "-noF", "-no-fragments", "-Xcompression-level", "1", "-Xwindow-size", "9"),
        ),
    )
)


class OtherSquashfsTest(OthersCase):
    config = "FS_SQUASHFS"
    variant = SQUASHED

    def check_types(self, folder):
        """Devices and a pipe are listed as what they are."""
        super().check_types(folder)
        found = {line.split()[-1]: line[0] for line in self.shell(f"ls -l {folder}")}
        self.assertEqual((found["tty"], found["disk"]), ("c", "b"))
        self.assertIn(found["pipe"], "pf")

    def test_lz4(self):
        """lz4, and a large file from places far behind its beginning, backwards."""
        self.need("SQUASHFS_LZ4")
        folder = self.check_others(0)
        for place, piece in reversed(MANY.items()):
            self.shell(f"memcpy -s {folder}/many -d /part {place} 0 {len(piece)}", seconds=60)
            self.assertEqual(self.answer("sha256sum /part; rm /part").split()[0], self.hash(piece), f"from {place}")

    def test_lzo(self):
        """lzo."""
        self.need("SQUASHFS_LZO")
        self.check_others(1)

    def test_plain(self):
        """Nothing compressed, and no ends of files put together."""
        self.check_others(2)


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


class RamTest(FilesCase):
    """The file system in RAM, and what all file systems have in common: links, mounts and folders."""

    config = "FS_FAT"
    inside = {"file": random.randbytes(3000), "sub/deep": b"deep\n"}
    variant = Variant(
        drives=(
            Drive("fat", images.fat(lambda: RamTest.inside, 4 * MIB, bits=16)),
            Drive("fixed", images.fat(lambda: RamTest.inside, 4 * MIB, bits=16), read_only=True),
        )
    )

    def setUp(self):
        super().setUp()
        self.shell("mkdir -p /ram")
        self.addCleanup(self.attempt, "cd /; umount /ram/disk; rm -r /ram", seconds=60)

    def fails(self, command, words=""):
        result = self.attempt(command)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn(words, "\n".join(result.lines))

    def test_changes(self):
        """A file that is written, overwritten, cut and lengthened at random places is as it should be each time; what
        was cut off, and what nobody wrote, are zeros."""
        self.need("CMD_TRUNCATE")
        source = random.randbytes(40_000)
        path = self.shared(source)
        self.shell(f"cp {path} /ram/source; echo -n -o /ram/file ''")
        expected, commands = b"", []
        for _ in range(24):
            if random.randrange(3):
                start, size = random.randrange(20_000), random.randrange(1, 20_000)
                place = random.randrange(0, len(expected) + 5000)
                commands.append(f"memcpy -s /ram/source -d /ram/file {start} {place} {size}")
                expected = expected.ljust(place, b"\0")
                expected = expected[:place] + source[start : start + size] + expected[place + size :]
            else:
                size = random.randrange(0, 60_000)
                commands.append(f"truncate -s {size} /ram/file")
                expected = expected[:size].ljust(size, b"\0")
            if len(commands) == 3:
                self.shell("; ".join(commands))
                found = self.answer("sha256sum /ram/file").split()[0]
                self.assertEqual(found, self.hash(expected), "\n".join(commands))
                self.assertEqual(int(self.answer("ls -l /ram/file").split()[1]), len(expected))
                commands = []

    def test_links(self):
        """Links are followed one after the other, out of a disk and into one; those that lead in a circle are not."""
        self.need("CMD_LN", "ln")
        _, node = self.path(), f"/dev/{self.board.node(self.variant.drives[0])}"
        self.shell(f"mkdir /ram/disk; mount {node} /ram/disk; echo -o /ram/end otter")
        chain = "; ".join(f"ln link{n + 1} /ram/link{n}" for n in range(8))
        self.shell(f"{chain}; ln ./disk/../end /ram/link8")
        self.assertEqual(self.answer("cat /ram/link0"), "otter")
        self.shell("ln disk/sub /ram/in; mkdir /ram/other; ln ../in/deep /ram/other/through")
        self.assertEqual(self.shell("cat /ram/in/deep /ram/other/through /ram/in/../sub/deep"), ["deep"] * 3)
        self.shell("ln one /ram/two; ln two /ram/one; ln self /ram/self; ln nothing /ram/dangling")
        for name in ("one", "self", "dangling"):
            self.fails(f"cat /ram/{name}")
            self.fails(f"ls /ram/{name}/file")
        self.fails("cd /ram/one")
        self.shell("rm /ram/one /ram/two /ram/self /ram/dangling /ram/link0")
        self.assertEqual(self.answer("cat /ram/link1"), "otter")

    def test_mounts(self):
        """Mounting is refused of what there is not, on what is no folder, or is a mount already; so is unmounting."""
        node = f"/dev/{self.board.node(self.variant.drives[0])}"
        self.shell("mkdir /ram/disk; echo -o /ram/file x")
        self.fails(f"mount {node} /ram/file")
        self.fails("mount /dev/nothing /ram/disk")
        self.fails(f"mount -t otter {node} /ram/disk")
        self.fails(f"mount -t squashfs {node} /ram/disk")
        self.fails(f"mount {node} /ram/nothing/folder")
        for name in ("/ram/disk", "/ram/file", "/ram/nothing"):
            self.fails(f"umount {name}")
        self.shell(f"mount {node} /ram/disk")
        self.fails(f"mount {node} /ram/disk")
        self.fails("rmdir /ram/disk")
        self.assertEqual(self.answer("cat /ram/disk/sub/deep"), "deep")
        self.shell(f"umount {node}")
        self.fails("cat /ram/disk/sub/deep")
        self.shell(f"mount -t fat {node} /ram/disk; umount /ram/disk/; rmdir /ram/disk")

    def test_busy(self):
        """What is the current folder, has a mount in it, or a file that is mounted, is not unmounted."""
        node = f"/dev/{self.board.node(self.variant.drives[0])}"
        image = self.path(1).read_bytes()
        self.shell("mkdir /ram/outer; mount -t ramfs none /ram/outer; mkdir /ram/outer/disk /ram/outer/loop")
        self.addCleanup(self.attempt, "cd /; umount /ram/outer/disk; umount /ram/loop; umount /ram/outer")
        self.shell("cd /ram/outer")
        self.fails("umount /ram/outer", "busy")
        self.assertEqual(self.answer("pwd"), "/ram/outer")
        self.shell(f"cd /; mount {node} /ram/outer/disk")
        self.fails("umount /ram/outer", "busy")
        self.assertEqual(self.answer("cat /ram/outer/disk/sub/deep"), "deep")
        self.shell(f"umount /ram/outer/disk; mkdir /ram/loop; cp {self.shared(image)} /ram/outer/image", seconds=60)
        self.shell("mount -o loop /ram/outer/image /ram/loop")
        self.fails("umount /ram/outer", "busy")
        self.assertEqual(self.answer("cat /ram/loop/sub/deep"), "deep")
        self.shell("umount /ram/loop; umount /ram/outer")
        self.assertNotIn("/ram/", "\n".join(self.shell("mount")))

    def test_default_place(self):
        """A disk that is mounted without a place is at /mnt and its name."""
        name = self.board.node(self.variant.drives[0])
        self.addCleanup(self.attempt, f"umount /mnt/{name}")
        self.shell(f"mount /dev/{name}")
        self.assertEqual(self.answer(f"cat /mnt/{name}/sub/deep"), "deep")

    def test_all(self):
        """mount -a mounts what disks have file systems, each at its place, and leaves the others."""
        if "EFI_BLK" in (self.board.symbols or ()):
            self.skipTest("mount -a looks for all that the firmware below may know of")
        name = self.board.node(self.variant.drives[0])
        self.addCleanup(self.attempt, f"umount /mnt/{name}")
        self.attempt("mount -a", seconds=60)
        mounted = [line for line in self.shell("mount") if line.startswith("/dev/") and "fw_cfg" not in line]
        other = self.board.node(self.variant.drives[1])
        self.addCleanup(self.attempt, f"umount /mnt/{other}")
        expected = [[f"/dev/{x}", "on", f"/mnt/{x}"] for x in (name, other)]
        self.assertEqual([line.split()[:3] for line in mounted], expected)
        self.assertEqual(self.answer(f"cat /mnt/{name}/sub/deep"), "deep")

    def test_read_only_disk(self):
        """A disk that cannot be written is read; what is to change it is an error, and it can be unmounted."""
        self.need("FS_FAT_WRITE")
        node = f"/dev/{self.board.node(self.variant.drives[1])}"
        self.shell(f"mkdir /ram/disk; mount {node} /ram/disk")
        results = [
            self.attempt(f"{x}; umount /ram/disk; mount {node} /ram/disk")
            for x in ("echo -o /ram/disk/new x", "mkdir /ram/disk/folder", "rm /ram/disk/file")
        ]
        for result in results:
            self.assertTrue([x for x in result.lines if x.strip()], str(result))
        self.assertEqual(sorted(" ".join(self.shell("ls /ram/disk")).split()), ["file", "sub"])
        self.assertEqual(self.answer("sha256sum /ram/disk/file").split()[0], self.hash(self.inside["file"]))
        self.shell("umount /ram/disk")

    def test_automount_fails(self):
        """Where the command that is to mount a folder fails, or mounts nothing, that is said at each look."""
        self.need("CMD_AUTOMOUNT")
        for command, words in (("false", "failed"), ("true", "didn't mount anything")):
            self.shell(f"mkdir -p /ram/auto; automount /ram/auto {command}")
            for _ in range(2):
                self.fails("cat /ram/auto/file", words)
            self.shell("automount -r /ram/auto")
            self.assertNotIn(words, "\n".join(self.attempt("cat /ram/auto/file").lines))

    def test_loop(self):
        """A file system in a file is mounted, also one that begins later in it; the file's disk is busy meanwhile."""
        image = self.path().read_bytes()
        self.shell(f"mkdir /ram/disk /ram/loop; cp {self.shared(bytes(70_656) + image)} /ram/later", seconds=60)
        self.addCleanup(self.attempt, "umount /ram/loop")
        self.fails("mount -o loop /ram/later /ram/loop")
        self.shell("mount -o loop,offset=69k /ram/later /ram/loop")
        self.assertEqual(self.answer("sha256sum /ram/loop/file").split()[0], self.hash(self.inside["file"]))
        self.need("FS_FAT_WRITE")
        self.shell("echo -o /ram/loop/new otter; umount /ram/loop; memcpy -s /ram/later -d /ram/plain 70656 0 4M")
        self.shell("mount -o loop /ram/plain /ram/loop")
        self.assertEqual(self.shell("cat /ram/loop/sub/deep /ram/loop/new"), ["deep", "otter"])
        self.shell("umount /ram/loop; rm /ram/plain /ram/later")

    def test_folders(self):
        """Folders are made once, in folders that there are; those with something in them are not removed."""
        self.shell("mkdir /ram/a /ram/a/b; echo -o /ram/file x")
        refused = (
            *("mkdir /ram/a", "mkdir /ram/no/folder", "mkdir /ram/file", "mkdir /ram/file/folder", "rmdir /ram/a"),
            *("rmdir /ram/file", "rmdir /ram/nothing", "rmdir /ram/a/b/.", "rmdir /ram/a/b/..", "rmdir /", "rm /ram/a"),
            *("rm /ram/nothing", "cd /ram/file", "cd /ram/nothing", "echo -o /ram/a x", "cat /ram/a"),
            *("mkdir -p /ram/file/folder", "echo -o /ram/file/in x"),
        )
        for command in refused:
            self.fails(command)
        self.shell("mkdir -p /ram/a/b/c/d; mkdir -p /ram/a/b/c/d; cd /ram/a/b/c; echo -o ../in y; cd ./d/../..")
        self.assertEqual(self.answer("pwd"), "/ram/a/b")
        self.assertEqual(self.shell("cat in ./c/../in /ram/a/./b//in; cd /"), ["y"] * 3)
        self.shell("rmdir /ram/a/b/c/d; rmdir /ram/a/b/c; rm -r /ram/a; test -e /ram/a", status=1)

    def test_copied_trees(self):
        """A tree is copied from a disk to RAM, and from there to the disk, whole."""
        self.need("FS_FAT_WRITE")
        node = f"/dev/{self.board.node(self.variant.drives[0])}"
        self.shell(f"mkdir /ram/disk /ram/copy; mount {node} /ram/disk; cp -r /ram/disk /ram/copy", seconds=60)
        self.shell("mkdir /ram/disk/again; cp -r /ram/copy/disk /ram/disk/again", seconds=60)
        for folder in ("copy/disk", "disk/again/disk"):
            found = [x.split()[0] for x in self.shell(f"sha256sum /ram/{folder}/file /ram/{folder}/sub/deep")]
            self.assertEqual(found, [self.hash(x) for x in self.inside.values()], folder)
        self.shell("rm -r /ram/disk/again; umount /ram/disk")
        self.assertEqual(images.check_fat(self.path()), "", "fsck.fat")
