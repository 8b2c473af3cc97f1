# SPDX-License-Identifier: MIT
"""Disks with a tree of files, and how the files are compared."""

from __future__ import annotations

import random
from pathlib import Path

from . import case

LONG = "a name that is longer than the eight and three characters of old times"
# Contents at sizes around those of sectors, clusters and blocks.
SIZES = (0, 1, 511, 512, 513, 1023, 4095, 4096, 4097, 65536, 70001, 900_000)
TREE = {
    **{f"size{size}": random.randbytes(size) for size in SIZES},
    "sub/folder/deep": b"deep\n",
    **{f"many/entry{number:03}": b"%d\n" % number for number in range(150)},
    f"sub/{LONG}.text": random.randbytes(3000),
}


def tree() -> dict[str, bytes]:
    """The files that the host puts on a disk."""
    return TREE


class FilesCase(case.BootloaderTestCase):
    """A mounted disk of the variant, whose files are compared with the tree that the host put on it."""

    config = ""
    first = 0
    """The first of the variant's disks that is the class's."""

    def setUp(self) -> None:
        super().setUp()
        self.need(self.config)
        self.need("CMD_MOUNT", "mount")
        self.need("CMD_SHA256SUM", "sha256sum")

    def mount(self, number: int = 0) -> str:
        """Mount a disk afresh: its folder. What cannot be unmounted goes with the machine."""
        folder = f"/disk{number}"
        if "busy" in "\n".join(self.attempt(f"umount {folder}; mkdir {folder}").lines):
            self.board.off()
            self.shell(f"mkdir {folder}")
        self.shell(f"mount /dev/{self.board.node(self.variant.drives[self.first + number])} {folder}")
        return folder

    def path(self, number: int = 0) -> Path:
        """A disk's file on the host."""
        return self.board.files.disk(self.variant.drives[self.first + number])

    def check_tree(self, folder: str) -> None:
        """Every file has its size and contents, and folders list what is in them."""
        for name, content in TREE.items():
            if not name.startswith("many/"):
                line = self.answer(f'sha256sum "{folder}/{name}"', seconds=60)
                self.assertEqual(line.split()[0], self.hash(content), name)
        listed = {x.split()[-1]: int(x.split()[1]) for x in self.shell(f"ls -l {folder}") if x.startswith("-")}
        self.assertEqual(listed, {name: len(content) for name, content in TREE.items() if "/" not in name})
        many = {name.partition("/")[2] for name in TREE if name.startswith("many/")}
        self.assertEqual(set(" ".join(self.shell(f"ls {folder}/many")).split()), many)
        for number in random.sample(range(150), 5):
            self.assertEqual(self.answer(f"cat {folder}/many/entry{number:03}"), str(number))
        self.assertIn(f"{LONG}.text", "\n".join(self.shell(f"ls {folder}/sub")))

    def check_absent(self, folder: str) -> None:
        """What is not there is not found."""
        for name in ("nothing", "sub/nothing", "size1/nothing", "many/entry150"):
            self.assertNotEqual(self.attempt(f"cat {folder}/{name}").status, 0, name)
