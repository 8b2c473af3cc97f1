# SPDX-License-Identifier: MIT
"""Disks of a case's variant, and how their contents are compared."""

from __future__ import annotations

from pathlib import Path

from . import case


class BlockCase(case.BootloaderTestCase):
    """A case on the disks of its variant."""

    def setUp(self) -> None:
        super().setUp()
        self.need("CMD_MEMCPY", "memcpy")
        self.need("CMD_SHA256SUM", "sha256sum")
        self.devices("block")

    def drive(self, number: int = 0) -> tuple[Path, str]:
        """A drive's file on the host and its node in barebox."""
        drive = self.variant.drives[number]
        return self.board.files.disk(drive), f"/dev/{self.board.node(drive)}"

    def guest_digest(self, path: str) -> str:
        """The digest of a file as barebox reads it."""
        return self.answer(f"sha256sum {path}", seconds=90).split()[0]

    def check_read(self, node: str, content: bytes | bytearray, offset: int, length: int) -> None:
        """A range reads as it is."""
        self.check_range(node, offset, content[offset : offset + length])

    def check_range(self, node: str, offset: int, expected: bytes | bytearray) -> None:
        """What is read from a place on is as expected; it comes by way of a file, so that its length is exact."""
        self.shell(f"memcpy -s {node} -d /range {offset} 0 {len(expected)}", seconds=60)
        found = self.guest_digest("/range"), int(self.answer("ls -l /range").split()[1])
        self.shell("rm /range")
        self.assertEqual(found, (self.hash(expected), len(expected)), f"{len(expected)} bytes at {offset:#x}")

    def check_same(self, path: Path, node: str, content: bytes | bytearray) -> None:
        """Host and guest both have the contents that are expected."""
        self.assertEqual(self.digest(path), self.hash(content), "the host's file is not as written")
        self.assertEqual(self.guest_digest(node), self.hash(content), "the guest reads something else")
